// Package openfiles keeps files open from one use to the next, of which a process may have only so many.
package openfiles

import (
	"container/list"
	"io"
	"os"
	"sync"

	"github.com/synshard/synshard/internal/regular"
)

// Pool keeps files open, by keys, and closes the one that was not used for longest for another. Files in use are never
// closed; while all are, there may be more. It is for any number of goroutines.
type Pool[K comparable, F io.Closer] struct {
	open   func(K) (F, error)
	mu     sync.Mutex
	most   int // files kept
	files  map[K]*File[K, F]
	used   list.List // of *File[K, F], the one used last in front
	closed bool
}

// File is a file that is open until its user releases it.
type File[K comparable, F io.Closer] struct {
	Open F // never to be closed by its user
	err  error

	pool    *Pool[K, F] // whose lock guards what follows
	key     K
	in      *list.Element
	users   int
	opening chan struct{} // closed when Open or err is there; nil: Open is
}

// New makes a pool that keeps so many files, opened by open, each by one goroutine at a time.
func New[K comparable, F io.Closer](most int, open func(K) (F, error)) *Pool[K, F] {
	return &Pool[K, F]{open: open, most: most, files: map[K]*File[K, F]{}}
}

// Get gives the file of a key, which is to be released. While it is opened only those wait who need it, too.
// After Close the error is os.ErrClosed, else what opening gave.
func (p *Pool[K, F]) Get(key K) (*File[K, F], error) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, os.ErrClosed
	}
	f, ok := p.files[key]
	if !ok {
		f = &File[K, F]{pool: p, key: key, opening: make(chan struct{})}
		f.in = p.used.PushFront(f)
		p.files[key] = f
	}
	f.users++
	p.used.MoveToFront(f.in)
	p.shrink(p.most)
	opening := f.opening
	p.mu.Unlock()
	switch {
	case !ok:
		f.begin()
	case opening != nil:
		<-opening
	}
	if f.err != nil {
		return nil, f.err
	}
	return f, nil
}

// begin opens the file for all who wait for it.
func (f *File[K, F]) begin() {
	p := f.pool
	f.Open, f.err = p.open(f.key)
	for regular.TooMany(f.err) && p.evict() { // others hold the rest
		f.Open, f.err = p.open(f.key)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if f.err != nil {
		p.forget(f)
	}
	close(f.opening)
	f.opening = nil
}

// Release says that one use of the file has ended.
func (f *File[K, F]) Release() {
	f.pool.mu.Lock()
	defer f.pool.mu.Unlock()
	f.users--
	f.pool.shrink(f.pool.most)
}

// Close closes all files, those in use when they are released, and gives no more.
func (p *Pool[K, F]) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed, p.most = true, 0
	p.shrink(0)
}

// evict closes the file that was not used for longest; false: there is none to close.
func (p *Pool[K, F]) evict() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.files)
	p.shrink(n - 1)
	return len(p.files) < n
}

// shrink closes what was not used for longest until so many are left, or all are in use. The lock is held.
func (p *Pool[K, F]) shrink(most int) {
	for e := p.used.Back(); e != nil && len(p.files) > most; {
		f := e.Value.(*File[K, F])
		e = e.Prev()
		if f.users == 0 {
			f.Open.Close() // files are read: an error says nothing
			p.forget(f)
		}
	}
}

// forget takes a file out of the pool. The lock is held.
func (p *Pool[K, F]) forget(f *File[K, F]) {
	p.used.Remove(f.in)
	delete(p.files, f.key)
}
