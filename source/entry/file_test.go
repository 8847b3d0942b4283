package entry

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestReadImageInNeed: an image that is missing is unreadable; one that could not be opened because the process has too
// many files open is not, and must not be left out for it.
func TestReadImageInNeed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.jpg")
	if _, err := ReadImage(path, nil); !errors.Is(err, ErrUnreadable) {
		t.Errorf("a missing file: %v", err)
	}
	if err := os.WriteFile(path, []byte("image"), 0o666); err != nil {
		t.Fatal(err)
	}
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 0, Max: was.Max}); err != nil {
		t.Fatal(err)
	}
	_, err := ReadImage(path, nil)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(err, unix.EMFILE) || errors.Is(err, ErrUnreadable) {
		t.Errorf("no more files to be had: %v", err)
	}
	if b, err := ReadImage(path, nil); err != nil || string(b) != "image" {
		t.Errorf("%q, %v", b, err)
	}
}
