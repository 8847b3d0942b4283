package cached

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/internal/regular"
	"github.com/synshard/synshard/storage"
)

// sumEnd is the end of the file, beside a copy, that says the copy's SHA-256 in hex.
const sumEnd = ".sha256"

// Copies is a directory for copies of what lies at a URL in one state. It stays while it is
// held by any process; those of other states of the URL go with the next one that nobody is beside.
type Copies struct {
	Dir  string        // its path
	lock *durable.Lock // shared by those who read copies of the URL
}

// OpenCopies makes one below dir. State is whatever tells the states of what lies at the URL apart.
func OpenCopies(ctx context.Context, dir, url, state string) (*Copies, error) {
	top := filepath.Join(dir, "copies", short(url))
	own := filepath.Join(top, short(state))
	if err := durable.MkdirAll(top); err != nil {
		return nil, err
	}
	alone, err := durable.TryLock(top + lockEnd)
	if err == nil {
		err = errors.Join(removeOthers(top, own), alone.Unlock())
	}
	if err != nil && !errors.Is(err, durable.ErrLocked) {
		return nil, err
	}
	for {
		lock, err := durable.TryShare(top + lockEnd)
		switch {
		case err == nil:
			if err := errors.Join(touch(top+lockEnd), durable.MkdirAll(own)); err != nil {
				return nil, errors.Join(err, lock.Unlock())
			}
			return &Copies{own, lock}, nil
		case !errors.Is(err, durable.ErrLocked):
			return nil, err
		}
		select { // somebody removes what is old
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// short names a text of any length.
func short(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text)))[:32] }

func removeOthers(top, own string) error {
	entries, err := os.ReadDir(top)
	for _, e := range entries {
		if path := filepath.Join(top, e.Name()); path != own {
			err = errors.Join(err, os.RemoveAll(path))
		}
	}
	return err
}

// Remove removes the copies. What is open stays readable.
func (c *Copies) Remove() error { return os.RemoveAll(c.Dir) }

// Close lets the copies go, which stay.
func (c *Copies) Close() error { return c.lock.Unlock() }

// Copy has an object's bytes at a path: those that an earlier Copy left there, where they still are
// what it wrote, or else fetched now. The path is to be this state of this object's alone.
func Copy(o *storage.Object, to string) error {
	note := filepath.Join(filepath.Dir(to), "."+filepath.Base(to)+sumEnd)
	if want, err := regular.ReadFile(note, 2*sha256.Size); err == nil {
		if got, err := regular.SHA256(to); err == nil && got == string(want) {
			return nil
		}
	}
	sum := sha256.New()
	err := durable.WriteFile(to, func(w io.Writer) error {
		_, err := io.Copy(io.MultiWriter(w, sum), o.Reader())
		return err
	})
	if err != nil {
		return err
	}
	return durable.WriteFile(note, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%x", sum.Sum(nil))
		return err
	})
}
