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

// Local is a directory on this machine: its path.
type Local string

func (l Local) String() string { return string(l) }

// Path is the file's path.
func (l Local) Path(name string) string { return filepath.Join(string(l), filepath.FromSlash(name)) }

// Create is durable.Create.
func (l Local) Create(name string) (File, error) {
	f, err := durable.Create(l.Path(name))
	if err != nil {
		return nil, err // and no File that is a nil pointer
	}
	return f, nil
}

// Open is regular.Open.
func (l Local) Open(name string) (Opened, error) {
	f, info, err := regular.Open(l.Path(name))
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
func (l Local) Stat(name string) (fs.FileInfo, error) { return os.Stat(l.Path(name)) }

// Lstat is os.Lstat.
func (l Local) Lstat(name string) (fs.FileInfo, error) { return os.Lstat(l.Path(name)) }

// ReadDir is os.ReadDir.
func (l Local) ReadDir(name string) ([]fs.DirEntry, error) { return os.ReadDir(l.Path(name)) }

// top is where a walk begins: the directory itself may be a link, what is in it is not followed.
func (l Local) top(name string) string {
	if path := l.Path(name); path != l.Path(".") {
		return path
	}
	return l.Path(".") + string(filepath.Separator)
}

// Walk follows no links, but the directory's own.
func (l Local) Walk(name string, f func(name string, e fs.DirEntry) error) error {
	top := l.top(name)
	return filepath.WalkDir(top, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == top {
			return err
		}
		rel, err := filepath.Rel(string(l), path)
		if err != nil {
			return err
		}
		return f(filepath.ToSlash(rel), e)
	})
}

// MkdirAll is durable.MkdirAll.
func (l Local) MkdirAll(name string) error { return durable.MkdirAll(l.Path(name)) }

// MkdirBelow is durable.MkdirBelow.
func (l Local) MkdirBelow(name string) error { return durable.MkdirBelow(string(l), name) }

// Remove is os.Remove.
func (l Local) Remove(name string) error { return os.Remove(l.Path(name)) }

// RemoveAll is os.RemoveAll.
func (l Local) RemoveAll(name string) error { return os.RemoveAll(l.Path(name)) }

// Rename is os.Rename.
func (l Local) Rename(from, to string) error { return os.Rename(l.Path(from), l.Path(to)) }

// Sync is durable.SyncDir.
func (l Local) Sync(name string) error { return durable.SyncDir(l.Path(name)) }

// Touch leaves alone the times of another user's files.
func (l Local) Touch(name string) error {
	now := time.Now()
	if err := os.Chtimes(l.Path(name), now, now); err != nil && !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return nil
}

// RemoveTemps is durable.RemoveTemps; temporary files whose writers live stay.
func (l Local) RemoveTemps(name string, below bool) error {
	if !below {
		return durable.RemoveTemps(l.Path(name))
	}
	return filepath.WalkDir(l.top(name), func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.IsDir() {
			return err
		}
		return durable.RemoveTemps(path)
	})
}

// TryLock is durable.TryLock.
func (l Local) TryLock(name string) (Lock, error) { return locked(durable.TryLock(l.Path(name))) }

// TryShare is durable.TryShare, of which nothing stays when a member dies.
func (l Local) TryShare(name, _ string) (Lock, error) { return locked(durable.TryShare(l.Path(name))) }

func locked(l *durable.Lock, err error) (Lock, error) {
	if err != nil {
		return nil, err
	}
	return l, nil
}

// AtOnce is one: a disk is not asked sooner by asking twice.
func (l Local) AtOnce() int { return 1 }
