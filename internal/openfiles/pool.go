// Package openfiles keeps files open from one use to the next, of which a process may have only so many.
package openfiles

import (
	"container/list"
	"io"
	"os"
	"sync"

	"github.com/synshard/synshard/internal/regular"
)

// Pool keeps files open, by keys, and closes the one that was not used for longest for another. It is for any number of
// goroutines.
type Pool[K comparable, F io.Closer] struct {
	opener func(K) (F, error)
	most   int // files kept
	mu     sync.Mutex
	open   map[K]*list.Element
	used   list.List // of *File[K, F], the one used last in front
	closed bool
}

// File is a file that is open until its user releases it.
type File[K comparable, F io.Closer] struct {
	Open  F // never to be closed by its user
	pool  *Pool[K, F]
	key   K
	users int
	left  bool // the pool; the last user closes it
}

// New makes a pool that keeps so many files, opened by open.
func New[K comparable, F io.Closer](most int, open func(K) (F, error)) *Pool[K, F] {
	return &Pool[K, F]{opener: open, most: most, open: map[K]*list.Element{}}
}

// Get gives the file of a key, which is to be released. While one is opened nobody waits who needs another; two who need
// the same may both open it, and one is closed again. After Close the error is os.ErrClosed, else what opening gave.
func (p *Pool[K, F]) Get(key K) (*File[K, F], error) {
	if f, err := p.use(key); f != nil || err != nil {
		return f, err
	}
	file, err := p.opener(key)
	for regular.TooMany(err) && p.evict() { // others hold the rest
		file, err = p.opener(key)
	}
	if err != nil {
		return nil, err
	}
	return p.put(key, file)
}

// use gives a file if it is open.
func (p *Pool[K, F]) use(key K) (*File[K, F], error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, os.ErrClosed
	}
	if e, ok := p.open[key]; ok {
		return p.touch(e), nil
	}
	return nil, nil
}

// put keeps a file that was opened, or gives the one that was kept meanwhile.
func (p *Pool[K, F]) put(key K, file F) (*File[K, F], error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		file.Close()
		return nil, os.ErrClosed
	}
	if e, ok := p.open[key]; ok {
		file.Close()
		return p.touch(e), nil
	}
	for len(p.open) >= p.most {
		p.drop(p.used.Back())
	}
	p.open[key] = p.used.PushFront(&File[K, F]{Open: file, pool: p, key: key})
	return p.touch(p.used.Front()), nil
}

func (p *Pool[K, F]) touch(e *list.Element) *File[K, F] {
	p.used.MoveToFront(e)
	f := e.Value.(*File[K, F])
	f.users++
	return f
}

// evict closes the file that was not used for longest; false: none is kept.
func (p *Pool[K, F]) evict() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := p.used.Back()
	if last != nil {
		p.drop(last)
	}
	return last != nil
}

// drop takes a file out of the pool.
func (p *Pool[K, F]) drop(e *list.Element) {
	f := p.used.Remove(e).(*File[K, F])
	delete(p.open, f.key)
	if f.left = true; f.users == 0 {
		f.Open.Close() // files are read: an error says nothing
	}
}

// Release says that one use of the file has ended.
func (f *File[K, F]) Release() {
	f.pool.mu.Lock()
	defer f.pool.mu.Unlock()
	if f.users--; f.users == 0 && f.left {
		f.Open.Close()
	}
}

// Close closes all files, those in use when they are released, and gives no more.
func (p *Pool[K, F]) Close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	for p.evict() {
	}
}
