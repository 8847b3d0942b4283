package source

import (
	"container/list"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
)

// openFiles bounds the archives that are open at a time: a Set may hold
// thousands.
const openFiles = 64

// openRegular opens a regular file and nothing else: what a name leads to may
// be a FIFO or a device, which would hang or never end.
func openRegular(path string) (*os.File, os.FileInfo, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s: not a regular file", path)
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// readSmall reads a file of at most limit bytes whole.
func readSmall(path string, limit int64) ([]byte, error) {
	f, info, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info.Size() > limit {
		return nil, fmt.Errorf("%s: %d bytes, more than the %d that are read of such a file", path, info.Size(), limit)
	}
	b := make([]byte, info.Size())
	if _, err := io.ReadFull(f, b); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return b, nil
}

// readImage reads a file of its own. Whatever is wrong with it is its own.
func readImage(path string, buf []byte) ([]byte, error) {
	f, info, err := openRegular(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	defer f.Close()
	if info.Size() > MaxImage {
		return nil, fmt.Errorf("%w: %s: %w", ErrUnreadable, path, tooLarge(info.Size()))
	}
	buf = sized(buf, info.Size())
	if _, err := io.ReadFull(f, buf); err != nil {
		return nil, fmt.Errorf("%w: read %s: %w", ErrUnreadable, path, unexpected(err))
	}
	return buf, nil
}

func tooLarge(size int64) error { return fmt.Errorf("%d bytes, more than an image has", size) }

// sized gives a slice of n bytes, in buf where they fit.
func sized(buf []byte, n int64) []byte {
	if int64(cap(buf)) < n {
		return make([]byte, n)
	}
	return buf[:n]
}

// unexpected turns an end where there should be more into io.ErrUnexpectedEOF.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// files are the archives of a Set, of which a few are open at a time.
type files struct {
	mu     sync.Mutex
	open   list.List // of *file, the one used last in front
	closed bool
}

// file is a regular file that is read in place, opened when it is needed. It
// stays what it was when it was first seen, or reading is an error.
type file struct {
	pool *files
	path string
	info os.FileInfo

	f     *os.File // the pool's lock guards it and what follows
	users int
	in    *list.Element
}

// add opens a file for the first time.
func (p *files) add(path string) (*file, error) {
	f, info, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	a := &file{pool: p, path: path, info: info, f: f}
	p.mu.Lock()
	defer p.mu.Unlock()
	a.in = p.open.PushFront(a)
	p.evict()
	return a, nil
}

// evict closes what was not used for longest, where too many are open. The
// lock is held.
func (p *files) evict() {
	for e := p.open.Back(); e != nil && p.open.Len() > openFiles; {
		a := e.Value.(*file)
		e = e.Prev()
		if a.users == 0 {
			a.shut()
		}
	}
}

// shut closes the file; the lock is held. Nothing was written to it, so that
// an error means nothing.
func (a *file) shut() {
	a.f.Close()
	a.pool.open.Remove(a.in)
	a.f, a.in = nil, nil
}

func (p *files) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	var errs []error
	for e := p.open.Front(); e != nil; e = e.Next() {
		errs = append(errs, e.Value.(*file).f.Close())
	}
	p.open.Init()
	return errors.Join(errs...)
}

// ReadAt reads from the file, which it opens where it is not open.
func (a *file) ReadAt(b []byte, at int64) (int, error) {
	f, err := a.use()
	if err != nil {
		return 0, err
	}
	n, err := f.ReadAt(b, at)
	a.pool.mu.Lock()
	a.users--
	a.pool.mu.Unlock()
	return n, err
}

func (a *file) use() (*os.File, error) {
	a.pool.mu.Lock()
	defer a.pool.mu.Unlock()
	if a.pool.closed {
		return nil, fmt.Errorf("%s: %w", a.path, os.ErrClosed)
	}
	if a.f == nil {
		f, info, err := openRegular(a.path)
		if err != nil {
			return nil, err
		}
		if err := a.same(info); err != nil {
			f.Close()
			return nil, err
		}
		a.f, a.in = f, a.pool.open.PushFront(a)
	}
	a.users++
	a.pool.open.MoveToFront(a.in)
	a.pool.evict()
	return a.f, nil
}

func (a *file) size() int64 { return a.info.Size() }

// unchanged wants the path to lead to the file it led to, as it was.
func (a *file) unchanged() error {
	now, err := os.Stat(a.path)
	if err != nil {
		return err
	}
	return a.same(now)
}

func (a *file) same(now os.FileInfo) error {
	if !os.SameFile(a.info, now) || a.info.Size() != now.Size() || !a.info.ModTime().Equal(now.ModTime()) {
		return fmt.Errorf("%s: it was changed while it was read", a.path)
	}
	return nil
}
