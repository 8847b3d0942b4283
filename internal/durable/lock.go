package durable

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// ErrLocked says that another process (or another Lock of this one) holds the
// lock.
var ErrLocked = errors.New("locked by another process")

// Lock is an advisory lock on a file. The kernel drops it when the process
// ends, however it ends, so a stale lock cannot exist.
type Lock struct {
	f *os.File
}

// TryLock takes the lock on the file path, creating it, empty, if need be. It
// does not wait: if the lock is held the error matches ErrLocked. The file
// stays after Unlock; removing it would let two holders in.
func TryLock(path string) (*Lock, error) { return tryLock(path, unix.LOCK_EX) }

// TryShare takes the lock on the file path together with others who share it: it
// keeps TryLock out, and is kept out by it. All else is as TryLock's.
func TryShare(path string) (*Lock, error) { return tryLock(path, unix.LOCK_SH) }

func tryLock(path string, how int) (*Lock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o666)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	if err = flock(f, how); err == nil {
		return &Lock{f: f}, nil
	}
	f.Close()
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, fmt.Errorf("lock %s: %w", path, ErrLocked)
	}
	return nil, fmt.Errorf("lock %s: %w", path, err)
}

// Unlock lets the lock go. A second call returns an error matching
// os.ErrClosed.
func (l *Lock) Unlock() error {
	if err := l.f.Close(); err != nil {
		return fmt.Errorf("unlock: %w", err)
	}
	return nil
}

// flock takes the kernel's lock on an open file without waiting.
func flock(f *os.File, how int) error {
	for {
		err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
		if err != unix.EINTR {
			return err
		}
	}
}
