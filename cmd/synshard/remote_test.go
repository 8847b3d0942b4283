package main

import (
	"os"
	"path/filepath"
	"testing"
)

// TestIsSet: a place at which nobody can look is not one without a dataset.
func TestIsSet(t *testing.T) {
	dir := t.TempDir()
	loop, file, set := filepath.Join(dir, "loop"), filepath.Join(dir, "a.jpg"), filepath.Join(dir, "d")
	for _, err := range []error{os.Symlink("loop", loop), os.WriteFile(file, nil, 0o666), os.Mkdir(set, 0o777), os.WriteFile(filepath.Join(set, "classes.arrow"), nil, 0o666)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]bool{dir: false, file: false, filepath.Join(dir, "none"): false, set: true} {
		if is, err := (&app{}).isSet(path); is != want || err != nil {
			t.Errorf("%s: %t, %v; want %t", path, is, err, want)
		}
	}
	if _, err := (&app{}).isSet(loop); err == nil {
		t.Error("a link to itself is said to be no dataset")
	}
}
