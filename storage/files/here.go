package files

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/internal/regular"
)

// Here is the path of a directory on this machine.
type Here string

func (h Here) String() string { return string(h) }

// Path is the file's path.
func (h Here) Path(name string) string { return filepath.Join(string(h), filepath.FromSlash(name)) }

// Create is durable.Create.
func (h Here) Create(name string) (File, error) {
	f, err := durable.Create(h.Path(name))
	if err != nil {
		return nil, err // and no File that is a nil pointer
	}
	return f, nil
}

// Open is regular.Open.
func (h Here) Open(name string) (Opened, error) {
	f, info, err := regular.Open(h.Path(name))
	if err != nil {
		return nil, err
	}
	return opened{f, info.Size()}, nil
}

type opened struct {
	*os.File
	size int64
}

func (o opened) Size() int64 { return o.size }

// Stat is os.Stat.
func (h Here) Stat(name string) (fs.FileInfo, error) { return os.Stat(h.Path(name)) }

// Lstat is os.Lstat.
func (h Here) Lstat(name string) (fs.FileInfo, error) { return os.Lstat(h.Path(name)) }

// ReadDir is os.ReadDir.
func (h Here) ReadDir(name string) ([]fs.DirEntry, error) { return os.ReadDir(h.Path(name)) }

// Walk follows no links.
func (h Here) Walk(name string, f func(name string, e fs.DirEntry) error) error {
	top := h.Path(name)
	return filepath.WalkDir(top, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == top {
			return err
		}
		rel, err := filepath.Rel(string(h), path)
		if err != nil {
			return err
		}
		return f(filepath.ToSlash(rel), e)
	})
}

// MkdirAll is durable.MkdirAll.
func (h Here) MkdirAll(name string) error { return durable.MkdirAll(h.Path(name)) }

// MkdirBelow is durable.MkdirBelow.
func (h Here) MkdirBelow(name string) error { return durable.MkdirBelow(string(h), name) }

// Remove is os.Remove.
func (h Here) Remove(name string) error { return os.Remove(h.Path(name)) }

// RemoveAll is os.RemoveAll.
func (h Here) RemoveAll(name string) error { return os.RemoveAll(h.Path(name)) }

// Rename is os.Rename.
func (h Here) Rename(from, to string) error { return os.Rename(h.Path(from), h.Path(to)) }

// Sync is durable.SyncDir.
func (h Here) Sync(name string) error { return durable.SyncDir(h.Path(name)) }

// Touch leaves alone the times of another user's files.
func (h Here) Touch(name string) error {
	now := time.Now()
	if err := os.Chtimes(h.Path(name), now, now); err != nil && !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return nil
}

// RemoveTemps is durable.RemoveTemps; temporary files whose writers live stay.
func (h Here) RemoveTemps(name string, below bool) error {
	if !below {
		return durable.RemoveTemps(h.Path(name))
	}
	return filepath.WalkDir(h.Path(name), func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.IsDir() {
			return err
		}
		return durable.RemoveTemps(path)
	})
}

// TryLock is durable.TryLock.
func (h Here) TryLock(name string) (Lock, error) { return locked(durable.TryLock(h.Path(name))) }

// TryShare is durable.TryShare, of which nothing stays when a member dies.
func (h Here) TryShare(name, _ string) (Lock, error) { return locked(durable.TryShare(h.Path(name))) }

func locked(l *durable.Lock, err error) (Lock, error) {
	if err != nil {
		return nil, err
	}
	return l, nil
}

// AtOnce is one: a disk is not asked sooner by asking twice.
func (h Here) AtOnce() int { return 1 }
