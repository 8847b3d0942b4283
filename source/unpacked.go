package source

import (
	"container/list"
	"context"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/source/entry"
	"github.com/synshard/synshard/source/tarfile"
)

// keptUnpacked bounds the compressed tars that lie unpacked on the disk at a
// time. Who reads in order, and several images at once, needs two.
const keptUnpacked = 4

// unpacking are the compressed tars of a Set that are read in place: each is
// unpacked into a temporary file when it is read, and again where it gave way to
// others meanwhile.
type unpacking struct {
	mu   sync.Mutex
	kept list.List // of *unpacked, the one used last in front
}

// unpacked is a compressed tar as the file that is in it.
type unpacked struct {
	entry.File // as it is packed
	pool       *unpacking
	size       int64

	opening sync.Mutex
	f       *os.File // the pool's lock guards it and what follows
	users   int
	in      *list.Element
}

// unpack unpacks a tar for the first time, to know its size.
func (p *unpacking) unpack(ctx context.Context, a entry.File) (*unpacked, error) {
	u := &unpacked{File: a, pool: p}
	f, err := u.make(ctx)
	if err != nil {
		return nil, err
	}
	u.keep(f)
	u.done()
	return u, nil
}

// make unpacks the tar into a file that has no name any more.
func (u *unpacked) make(ctx context.Context) (*os.File, error) {
	r, err := tarfile.Unpack(u.File)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	f, err := durable.Nameless("synshard-unpacked-*")
	if err != nil {
		return nil, err
	}
	if u.size, err = io.Copy(f, reader{ctx, r}); err != nil {
		f.Close()
		return nil, fmt.Errorf("unpack %s in %s: %w", u.Path(), os.TempDir(), err)
	}
	return f, nil
}

// reader ends when a context does.
type reader struct {
	ctx context.Context
	io.Reader
}

func (r reader) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(b)
}

// Size is that of the unpacked tar.
func (u *unpacked) Size() int64 { return u.size }

// ReadAt reads from the unpacked tar, which it unpacks where it is not there.
func (u *unpacked) ReadAt(b []byte, at int64) (int, error) {
	f := u.use()
	if f == nil {
		var err error
		if f, err = u.again(); err != nil {
			return 0, err
		}
	}
	defer u.done()
	return f.ReadAt(b, at)
}

// use gives the unpacked file, nil where it is not there.
func (u *unpacked) use() *os.File {
	u.pool.mu.Lock()
	defer u.pool.mu.Unlock()
	if u.f != nil {
		u.users++
		u.pool.kept.MoveToFront(u.in)
	}
	return u.f
}

// again unpacks the tar, unless another goroutine just did.
func (u *unpacked) again() (*os.File, error) {
	u.opening.Lock()
	defer u.opening.Unlock()
	if f := u.use(); f != nil {
		return f, nil
	}
	size := u.size
	f, err := u.make(context.Background())
	if err != nil {
		return nil, err
	}
	if u.size != size {
		f.Close()
		return nil, fmt.Errorf("%s: it was changed while it was read", u.Path())
	}
	return u.keep(f), nil
}

// keep notes the unpacked file, which is in use, and lets others go.
func (u *unpacked) keep(f *os.File) *os.File {
	u.pool.mu.Lock()
	defer u.pool.mu.Unlock()
	u.f, u.users, u.in = f, u.users+1, u.pool.kept.PushFront(u)
	for e := u.pool.kept.Back(); e != nil && u.pool.kept.Len() > keptUnpacked; {
		old := e.Value.(*unpacked)
		e = e.Prev()
		if old.users == 0 {
			old.shut()
		}
	}
	return f
}

func (u *unpacked) done() {
	u.pool.mu.Lock()
	u.users--
	u.pool.mu.Unlock()
}

// shut lets the unpacked file go; the lock is held. An error of closing what is
// never read again means nothing.
func (u *unpacked) shut() {
	u.f.Close()
	u.pool.kept.Remove(u.in)
	u.f, u.in = nil, nil
}

func (p *unpacking) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.kept.Len() > 0 {
		p.kept.Front().Value.(*unpacked).shut()
	}
}
