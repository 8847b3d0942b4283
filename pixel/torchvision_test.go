package pixel

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestEvalLikeTorchvision holds the evaluation path, from the file's bytes to the
// network's pixels, to every bit of PIL's and torchvision's over a folder of
// JPEGs.
func TestEvalLikeTorchvision(t *testing.T) {
	python, folder := os.Getenv("SYNSHARD_TEST_PYTHON"), os.Getenv("SYNSHARD_TEST_IMAGES")
	if python == "" || folder == "" {
		t.Skip("needs a Python with torchvision, named by SYNSHARD_TEST_PYTHON, and a folder of JPEGs, SYNSHARD_TEST_IMAGES")
	}
	for _, e := range []Eval{
		{Size: 299, Resize: 342, Interpolation: "bilinear"},
		{Size: 224, Resize: 256, Interpolation: "bilinear"},
		{Size: 299, Resize: 341, Interpolation: "bicubic"},
	} {
		t.Run(fmt.Sprint(e.Resize, e.Interpolation), func(t *testing.T) { likeTorchvision(t, python, folder, e) })
	}
}

func likeTorchvision(t *testing.T, python, folder string, e Eval) {
	dir := t.TempDir()
	cmd := exec.Command(python, filepath.Join("..", "scripts", "golden", "pixel_torchvision.py"), folder, dir,
		fmt.Sprint(e.Resize), fmt.Sprint(e.Size), e.Interpolation)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	names, sums := lines(t, dir, "names.txt"), lines(t, dir, "sums.txt")
	if len(names) == 0 || len(names) != len(sums) {
		t.Fatalf("%d names and %d sums of the JPEGs of %s", len(names), len(sums), folder)
	}
	d := NewDecoder()
	defer d.Close()
	got := make([]byte, e.Size*e.Size*3)
	differ := 0
	for i, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Eval(got, b, e); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if fmt.Sprintf("%x", sha256.Sum256(got)) != sums[i] {
			differ++
			t.Errorf("%s differs", filepath.Base(name))
		}
	}
	t.Logf("%d of %d images equal in every bit", len(names)-differ, len(names))
}

func lines(t *testing.T, parts ...string) []string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(parts...))
	if err != nil {
		t.Fatal(err)
	}
	return strings.FieldsFunc(string(b), func(r rune) bool { return r == '\n' })
}
