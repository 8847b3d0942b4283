package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestIngestDryRunExit holds that a plan that leaves images out ends as the run will,
// with exit code 3, and one that leaves out only other files with 0.
func TestIngestDryRunExit(t *testing.T) {
	dir := t.TempDir()
	put := func(name string) {
		t.Helper()
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte("x"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	put("photos/cat/a.jpg")
	put("photos/dog/b.jpg")
	put("photos/README.md")
	args := []string{"ingest", filepath.Join(dir, "photos"), "--out", filepath.Join(dir, "ds"), "--dry-run", "--json"}
	runVerb(t, 0, args...)
	put("photos/stray.jpg")
	out, talk := runVerb(t, exitRefused, args...)
	if !strings.Contains(out, `"stray.jpg"`) || !strings.Contains(talk, "1 images are left out") {
		t.Errorf("%s\n%s", out, talk)
	}
}
