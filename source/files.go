package source

import (
	"container/list"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/synshard/synshard/internal/regular"
)

// openFiles bounds the archives that are open at a time: a Set may hold
// thousands.
const openFiles = 64

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
	was  regular.State

	f     *os.File // the pool's lock guards it and what follows
	users int
	in    *list.Element
}

// add opens a file for the first time.
func (p *files) add(path string) (*file, error) {
	f, info, err := regular.Open(path)
	if regular.TooMany(err) {
		p.mu.Lock()
		p.shrink(0)
		p.mu.Unlock()
		f, info, err = regular.Open(path)
	}
	if err != nil {
		return nil, err
	}
	a := &file{pool: p, was: regular.State{Path: path, Info: info}, f: f}
	p.mu.Lock()
	defer p.mu.Unlock()
	a.in = p.open.PushFront(a)
	p.evict()
	return a, nil
}

// evict closes what was not used for longest, where too many are open. The lock
// is held.
func (p *files) evict() {
	p.shrink(regular.AtMost(openFiles, 8))
}

// shrink closes what was not used for longest until so many are open, or all
// others are in use. The lock is held.
func (p *files) shrink(most int) {
	for e := p.open.Back(); e != nil && p.open.Len() > most; {
		a := e.Value.(*file)
		e = e.Prev()
		if a.users == 0 {
			a.shut()
		}
	}
}

// shut closes the file; the lock is held. Nothing was written to it, so that an
// error means nothing.
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
		return nil, fmt.Errorf("%s: %w", a.Path(), os.ErrClosed)
	}
	if a.f == nil {
		f, info, err := regular.Open(a.Path())
		if regular.TooMany(err) {
			a.pool.shrink(0)
			f, info, err = regular.Open(a.Path())
		}
		if err != nil {
			return nil, err
		}
		if err := a.was.Same(info); err != nil {
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

// Size is the file's, in bytes.
func (a *file) Size() int64 { return a.was.Info.Size() }

func (a *file) modified() int64 { return a.was.Info.ModTime().UnixNano() }

// Path is the file's.
func (a *file) Path() string { return a.was.Path }

// Unchanged wants the path to lead to the file it led to, as it was.
func (a *file) Unchanged() error { return a.was.Unchanged() }
