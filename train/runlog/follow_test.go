package runlog

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Lines come once and whole, whenever they are written; damaged ones do not.
func TestFollow(t *testing.T) {
	dir := t.TempDir()
	log, err := Append(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	f, err := Follow(filepath.Join(dir, Name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var got []int64
	read := func() {
		t.Helper()
		for {
			rec, there, err := f.Next()
			if err != nil {
				t.Fatal(err)
			}
			if !there {
				return
			}
			got = append(got, rec.Step)
		}
	}
	read()
	for step := range int64(3) {
		if err := log.Write(Step{Kind: "step", Step: step + 1}); err != nil {
			t.Fatal(err)
		}
	}
	read()
	line, err := sealed(Step{Kind: "step", Step: 4})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.OpenFile(filepath.Join(dir, Name), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	for _, part := range []string{"{\"kind\":\"step\",\"step\":9,\"crc32c\":\"00000000\"}\n", string(line[:10]), string(line[10:]) + "\n"} {
		if _, err := raw.WriteString(part); err != nil {
			t.Fatal(err)
		}
		read()
	}
	if d := cmp.Diff([]int64{1, 2, 3, 4}, got); d != "" {
		t.Errorf("steps (-want +got):\n%s", d)
	}
}
