package cached

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/synshard/synshard/internal/durable"
)

// lockEnd is the end of the file beside what is kept by which it is in use.
const lockEnd = ".lock"

// Use says that what is kept at a path, a file or a directory, is in use until release is
// called or the process ends. Its time is that of the last use.
func Use(path string) (release func() error, err error) {
	at := path + lockEnd
	if err := durable.MkdirAll(filepath.Dir(path)); err != nil {
		return nil, err
	}
	l, err := durable.TryShare(at)
	for errors.Is(err, durable.ErrLocked) { // it is being removed, which takes a moment
		time.Sleep(10 * time.Millisecond)
		l, err = durable.TryShare(at)
	}
	if err != nil {
		return nil, err
	}
	return sync.OnceValue(l.Unlock), touch(at)
}

// touch makes now the time of a last use.
func touch(path string) error {
	now := time.Now()
	return os.Chtimes(path, now, now)
}

// Endings of directories beside one that is kept: what comes into it does so whole or not at
// all, and goes from it so.
const (
	incoming = ".in"
	outgoing = ".out"
)

// Fill makes a directory, which is in use and empty, what fill puts into the one that it is given; none
// of it where that fails or the process ends before. What an earlier Fill or Discard left half done
// is removed.
func Fill(dir string, fill func(dir string) error) error {
	err := errors.Join(os.RemoveAll(dir+incoming), os.RemoveAll(dir+outgoing))
	if err == nil {
		err = durable.MkdirAll(dir + incoming)
	}
	if err == nil {
		err = fill(dir + incoming)
	}
	if err == nil {
		err = os.Remove(dir) // empty, as it is to be
	}
	if err == nil {
		err = os.Rename(dir+incoming, dir)
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(dir+incoming))
	}
	return durable.SyncDir(filepath.Dir(dir))
}

// Discard removes a directory: all of it or, where the process ends before, what is no longer
// under its name.
func Discard(dir string) error {
	if err := os.RemoveAll(dir + outgoing); err != nil {
		return err
	}
	if err := os.Rename(dir, dir+outgoing); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.RemoveAll(dir + outgoing)
}

// unit is something that is kept.
type unit struct {
	path  string
	bytes int64 // on the disk
	used  time.Time
}

// Trim removes what is kept below dir, what was used longest ago first, until no more
// than so many bytes of the disk are taken. What is in use stays.
func Trim(dir string, bound int64) error {
	var units []unit
	var sum int64
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		kept, is := strings.CutSuffix(path, lockEnd)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // another call trims
		}
		if err != nil || !is || e.IsDir() {
			return err
		}
		if info, err := e.Info(); err == nil {
			if u := (unit{kept, taken(kept) + taken(kept+incoming) + taken(kept+outgoing), info.ModTime()}); u.bytes > 0 { // the locks of what is gone stay
				units = append(units, u)
				sum += u.bytes
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("trim the cache: %w", err)
	}
	slices.SortFunc(units, func(a, b unit) int { return a.used.Compare(b.used) })
	for _, u := range units {
		if sum <= bound {
			break
		}
		gone, err := u.remove()
		if err != nil {
			return fmt.Errorf("trim the cache: %w", err)
		}
		if gone {
			sum -= u.bytes
		}
	}
	return nil
}

// remove removes a unit, unless it is in use, or was used meanwhile.
func (u unit) remove() (bool, error) {
	at := u.path + lockEnd
	l, err := durable.TryLock(at)
	if errors.Is(err, durable.ErrLocked) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer l.Unlock()
	if info, err := os.Stat(at); err != nil || !info.ModTime().Equal(u.used) {
		return false, err
	}
	return true, errors.Join(Discard(u.path), os.RemoveAll(u.path+incoming))
}

// taken is how much of the disk a file or a directory takes; ranges have holes.
func taken(path string) (n int64) {
	// What goes meanwhile takes nothing.
	_ = filepath.WalkDir(path, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if info, err := e.Info(); err == nil {
			n += info.Sys().(*syscall.Stat_t).Blocks * 512
		}
		return nil
	})
	return n
}
