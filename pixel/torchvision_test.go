package pixel

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestEvalLikeTorchvision compares the evaluation path, from the file's bytes to
// the network's pixels, with PIL's and torchvision's over a folder of JPEGs.
func TestEvalLikeTorchvision(t *testing.T) {
	python, folder := os.Getenv("SYNSHARD_TEST_PYTHON"), os.Getenv("SYNSHARD_TEST_IMAGES")
	if python == "" || folder == "" {
		t.Skip("needs a Python with torchvision, named by SYNSHARD_TEST_PYTHON, and a folder of JPEGs, SYNSHARD_TEST_IMAGES")
	}
	dir := t.TempDir()
	cmd := exec.Command(python, filepath.Join("..", "scripts", "golden", "pixel_torchvision.py"), folder, dir)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	names, err := os.ReadFile(filepath.Join(dir, "names.txt"))
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(filepath.Join(dir, "pixels.rgb"))
	if err != nil {
		t.Fatal(err)
	}
	const size = 299
	d := NewDecoder()
	defer d.Close()
	got := make([]byte, size*size*3)
	var counts [256]int
	n, worst, where := 0, 0.0, ""
	for _, name := range strings.Fields(string(names)) {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Eval(got, b, Eval{Size: size, Resize: 342, Interpolation: "bilinear"}); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		sum := 0
		for i, v := range got {
			diff := int(v) - int(want[n*len(got)+i])
			diff = max(diff, -diff)
			counts[diff]++
			sum += diff
		}
		if mean := float64(sum) / float64(len(got)); mean > worst {
			worst, where = mean, filepath.Base(name)
		}
		n++
	}
	if n == 0 {
		t.Fatalf("%s has no JPEG", folder)
	}
	total, below, most, hundredth := 0, 0, 0, 0
	for d, c := range counts {
		total += d * c
		if c > 0 {
			most = d
		}
		if below += c; below <= n*len(got)*99/100 {
			hundredth = d + 1
		}
	}
	mean := float64(total) / float64(n*len(got))
	t.Logf("%d images: grey levels differ by %.3f in the mean, %d at the 99th percentile, %d at most; the worst image's mean is %.3f (%s)",
		n, mean, hundredth, most, worst, where)
	if worst > 0.5 || most > 3 {
		t.Error("more than half a grey level in an image's mean, or three anywhere")
	}
}
