package shard

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/internal/filetest"
	"github.com/synshard/synshard/storage/files"
)

// TestRewritten: every shard of the fixture that was frozen is what would be written
// today, and no bit of one turns unseen but those of rows, which are
// then others.
func TestRewritten(t *testing.T) {
	shards, err := filepath.Glob("testdata/v1/*/*.arrow")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob("testdata/v1/*/*/*.arrow")
	if err != nil {
		t.Fatal(err)
	}
	t.Parallel()
	looked := 0
	for _, path := range append(shards, more...) {
		if filepath.Base(path) == IndexName {
			continue
		}
		looked++
		if same, err := Rewritten(files.Local(filepath.Dir(path)), filepath.Base(path)); !same || err != nil {
			t.Errorf("%s: %v, %v", path, same, err)
		}
	}
	if looked < 5 {
		t.Fatalf("only %d shards", looked)
	}
	clean, err := os.ReadFile(more[0])
	if err != nil {
		t.Fatal(err)
	}
	rows, _, err := ScanFile(files.Local(filepath.Dir(more[0])), filepath.Base(more[0]))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "train", filepath.Base(filepath.Dir(more[0])), filepath.Base(more[0]))
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	for at, b := range filetest.Flips(clean, 0, 29) {
		if err := os.WriteFile(path, b, 0o666); err != nil {
			t.Fatal(err)
		}
		same, err := Rewritten(files.Local(filepath.Dir(path)), filepath.Base(path))
		if err != nil && !errors.Is(err, ErrCorrupt) {
			t.Errorf("bit %d of byte %d flipped: %v", at%8, at, err)
		}
		if got, _, err := ScanFile(files.Local(filepath.Dir(path)), filepath.Base(path)); same && (err != nil || cmp.Equal(rows, got)) {
			t.Errorf("bit %d of byte %d flipped, which is no row's, and nothing is seen", at%8, at)
		}
	}
}
