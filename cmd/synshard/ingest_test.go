package main

import (
	"archive/tar"
	"bytes"
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

// TestIngestNamesCutArchives holds that a tar without the mark at its end is told by name in a
// note, and that nothing is said to be left out; one that was cut behind an extended header is
// damaged.
func TestIngestNamesCutArchives(t *testing.T) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range []string{"cat/a.jpg", "dog/b.jpg", "dog/ü.jpg"} {
		if err := w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: 1}); err != nil {
			t.Fatal(err)
		}
		w.Write([]byte("x"))
	}
	w.Flush() // and no Close: no mark
	dir := t.TempDir()
	path := filepath.Join(dir, "open.tar")
	if err := os.WriteFile(path, b.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	ingest := []string{"ingest", path, "--out", filepath.Join(dir, "ds"), "--dry-run"}
	out, _ := runVerb(t, 0, append(ingest, "--json")...)
	_, talk := runVerb(t, 0, ingest...)
	for _, said := range []string{out, talk} {
		if note := "members are missing (" + path + ")"; !strings.Contains(said, note) || strings.Contains(said, "skipped") || strings.Contains(said, "left out") {
			t.Errorf("want %q alone:\n%s", note, said)
		}
	}
	if err := os.Truncate(path, int64(b.Len()-2*512)); err != nil {
		t.Fatal(err)
	}
	runVerb(t, exitCorrupt, ingest...)
}
