package source

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/internal/openfiles"
	"github.com/synshard/synshard/source/entry"
	"github.com/synshard/synshard/source/tarfile"
)

// mostUnpacked bounds the compressed tars that lie unpacked on the disk at a
// time. Who reads in order, and several images at once, needs two.
const mostUnpacked = 4

// unpacking are the compressed tars of a Set that are read in place: each is
// unpacked into a temporary file when it is read, and again where it gave way to
// others meanwhile.
type unpacking struct {
	*openfiles.Pool[*unpacked, *os.File]
}

func newUnpacking() unpacking {
	return unpacking{openfiles.New(mostUnpacked, (*unpacked).make)}
}

// unpacked is a compressed tar as the file that is in it.
type unpacked struct {
	entry.File // as it is packed
	pool       unpacking
	ctx        context.Context // of the first time
	size       int64           // -1 before
}

// unpack unpacks a tar for the first time, to know its size.
func (p unpacking) unpack(ctx context.Context, a entry.File) (*unpacked, error) {
	u := &unpacked{a, p, ctx, -1}
	f, err := p.Get(u)
	if err != nil {
		return nil, err
	}
	u.ctx = context.Background()
	f.Release()
	return u, nil
}

// make unpacks the tar into a file that has no name any more.
func (u *unpacked) make() (*os.File, error) {
	r, err := tarfile.Unpack(u.File)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	f, err := durable.Nameless("synshard-unpacked-*")
	if err != nil {
		return nil, err
	}
	size, err := io.Copy(f, reader{u.ctx, r})
	switch {
	case err != nil:
		err = fmt.Errorf("unpack %s in %s: %w", u.Path(), os.TempDir(), err)
	case u.size < 0:
		u.size = size
	case u.size != size:
		err = fmt.Errorf("%s: it was changed while it was read", u.Path())
	}
	if err != nil {
		f.Close()
		return nil, err
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
	f, err := u.pool.Get(u)
	if err != nil {
		return 0, err
	}
	defer f.Release()
	return f.Open.ReadAt(b, at)
}
