package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// SyncDir makes the names in dir survive a power cut. File systems that cannot
// sync a directory (they answer EINVAL or ENOTSUP) are taken at their word.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	defer d.Close()
	err = d.Sync()
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOTSUP) {
		return fmt.Errorf("sync directory %s: %w", dir, err)
	}
	return nil
}

// SyncAll makes durable all that was written to the file system in which a
// directory lies: many files at once, where each alone would take long.
func SyncAll(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync file system: %w", err)
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return fmt.Errorf("sync file system of %s: %w", dir, err)
	}
	return nil
}

// MkdirAll makes path and the parents it lacks, and syncs every directory that
// gained a name.
func MkdirAll(path string) error {
	path = filepath.Clean(path)
	info, err := os.Stat(path)
	if err == nil {
		if !info.IsDir() {
			return fmt.Errorf("make directory %s: %w", path, unix.ENOTDIR)
		}
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("make directory: %w", err)
	}
	parent := filepath.Dir(path)
	if parent != path {
		if err := MkdirAll(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(path, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make directory: %w", err)
	}
	if info, err := os.Stat(path); err != nil || !info.IsDir() {
		return fmt.Errorf("make directory %s: %w", path, errors.Join(err, unix.ENOTDIR))
	}
	return SyncDir(parent)
}

// ErrLink is of a link where there must be a directory of our own.
var ErrLink = errors.New("a link, which would lead elsewhere, is in the place of a directory")

// MkdirBelow is MkdirAll for the directories of rel, with slashes, below base. None
// of them may be a link: the error is ErrLink.
func MkdirBelow(base, rel string) error {
	at := filepath.Clean(base)
	for element := range strings.SplitSeq(path.Clean(rel), "/") {
		if element == "." {
			continue
		}
		parent := at
		at = filepath.Join(at, element)
		info, err := os.Lstat(at)
		if errors.Is(err, fs.ErrNotExist) {
			if err := os.Mkdir(at, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
				return fmt.Errorf("make directory: %w", err)
			}
			if err := SyncDir(parent); err != nil {
				return err
			}
			info, err = os.Lstat(at) // which another may have made
		}
		switch {
		case err != nil:
			return fmt.Errorf("make directory: %w", err)
		case info.Mode()&fs.ModeSymlink != 0:
			return fmt.Errorf("make directory %s: %w", at, ErrLink)
		case !info.IsDir():
			return fmt.Errorf("make directory %s: %w", at, unix.ENOTDIR)
		}
	}
	return nil
}
