package record

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/shard"

	"github.com/synshard/synshard/storage/files"
)

// TestKeepFollowsNoLink plants links where a refused image is to be kept: in the
// place of a directory that is an error, in that of the file it is replaced.
func TestKeepFollowsNoLink(t *testing.T) {
	for _, at := range []string{shard.RejectedDir, shard.RejectedDir + "/train", shard.RejectedDir + "/train/n1"} {
		out, elsewhere := t.TempDir(), t.TempDir()
		link := filepath.Join(out, filepath.FromSlash(at))
		if err := errors.Join(os.MkdirAll(filepath.Dir(link), 0o777), os.Symlink(elsewhere, link)); err != nil {
			t.Fatal(err)
		}
		r := shard.Rejection{Split: "train", Path: "1.jpg", SHA256: "0123456789abcdef"}
		if err := Keep(&r, files.Local(out), "n1", []byte("bytes")); !errors.Is(err, durable.ErrLink) {
			t.Errorf("a link %s: %v", at, err)
		}
		if entries, err := os.ReadDir(elsewhere); err != nil || len(entries) > 0 {
			t.Errorf("a link %s: it leads to %v, %v", at, entries, err)
		}
	}
	out, mine := t.TempDir(), filepath.Join(t.TempDir(), "mine")
	r := shard.Rejection{Split: "train", Path: "1.jpg", SHA256: "0123456789abcdef"}
	kept := filepath.Join(out, shard.RejectedDir, "train", "n1", "0123456789ab-1.jpg")
	if err := errors.Join(os.WriteFile(mine, []byte("mine"), 0o666), os.MkdirAll(filepath.Dir(kept), 0o777), os.Symlink(mine, kept)); err != nil {
		t.Fatal(err)
	}
	if err := Keep(&r, files.Local(out), "n1", []byte("bytes")); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{mine: "mine", kept: "bytes"} {
		if b, err := os.ReadFile(file); err != nil || string(b) != want {
			t.Errorf("%s holds %q, %v", file, b, err)
		}
	}
}
