package directory

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/storage"
	"github.com/synshard/synshard/storage/files"
)

// inMemory is what of a file is held in memory; a larger one lies in a temporary file
// without a name until it is written.
const inMemory = 4 << 20

// upload is a file that becomes an object. It is sent when it is whole, so that it can
// be sent again.
type upload struct {
	d    *dir
	name string
	b    []byte
	f    *os.File // where more than fits is
	size int64    // of all
	err  error
	done bool
}

func (d *dir) Create(name string) (files.File, error) { return &upload{d: d, name: name}, nil }

func (u *upload) Path() string { return u.d.Path(u.name) }
func (u *upload) Size() int64  { return u.size }

func (u *upload) Write(p []byte) (int, error) {
	if u.done {
		return 0, fmt.Errorf("write %s: %w", u.Path(), os.ErrClosed)
	}
	if u.err != nil {
		return 0, u.err
	}
	if len(u.b)+len(p) > inMemory {
		u.err = u.spill()
	}
	switch {
	case u.err != nil:
	case len(p) > inMemory:
		_, u.err = u.f.Write(p)
	default:
		u.b = append(u.b, p...)
	}
	if u.err != nil {
		u.err = fmt.Errorf("write %s: aside: %w", u.Path(), u.err)
		return 0, u.err
	}
	u.size += int64(len(p))
	return len(p), nil
}

// spill writes what is in memory to the temporary file.
func (u *upload) spill() (err error) {
	if u.f == nil {
		if u.f, err = durable.Nameless("synshard-upload-*"); err != nil {
			return err
		}
	}
	_, err = u.f.Write(u.b)
	u.b = u.b[:0]
	return err
}

func (u *upload) Commit() error {
	if u.done {
		return fmt.Errorf("commit %s: %w", u.Path(), os.ErrClosed)
	}
	defer u.Abort()
	var from io.ReaderAt = bytes.NewReader(u.b)
	if u.err == nil && u.f != nil {
		if u.err = u.spill(); u.err != nil {
			u.err = fmt.Errorf("write %s: aside: %w", u.Path(), u.err)
		}
		from = u.f
	}
	if u.err != nil {
		return u.err
	}
	return u.d.why(u.d.write(u.d.ctx, key(u.name), from, u.size))
}

func (u *upload) Abort() {
	u.done = true
	if u.f != nil {
		u.f.Close()
		u.f = nil
	}
	u.b = nil
}

// tree writes many small files, some at a time.
type tree struct {
	d     *dir
	group *errgroup.Group
	ctx   context.Context
	was   map[string]map[string]storage.Info // what was there, by what it lies in
}

func (d *dir) Tree() (files.Tree, error) {
	group, ctx := errgroup.WithContext(d.ctx)
	group.SetLimit(atOnce)
	return &tree{d, group, ctx, map[string]map[string]storage.Info{}}, nil
}

func (t *tree) Put(name string, b []byte) error {
	if err := t.ctx.Err(); err != nil {
		return t.d.why(cmp.Or(t.group.Wait(), err))
	}
	name = key(name)
	was, err := t.before(name)
	if err != nil {
		return t.d.why(err)
	}
	own := bytes.Clone(b)
	t.group.Go(func() error {
		if was.ID != "" && was.Size == int64(len(own)) {
			if have, err := t.d.at.ReadFile(t.ctx, name, was.Size); err == nil && bytes.Equal(have, own) {
				return nil
			}
		}
		if ls := t.d.locks(); len(ls) > 0 {
			err := ls.WriteOver(t.ctx, name, was.ID, bytes.NewReader(own), int64(len(own)))
			if !errors.Is(err, storage.ErrChanged) && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		return t.d.write(t.ctx, name, bytes.NewReader(own), int64(len(own)))
	})
	return nil
}

// before is an object as it was there, by one list of those beside it.
func (t *tree) before(name string) (storage.Info, error) {
	in := strings.TrimSuffix(name[:strings.LastIndexByte(name, '/')+1], "/")
	list, known := t.was[in]
	if !known {
		objects, err := t.d.at.Entries(t.ctx, in, 0)
		if err != nil {
			return storage.Info{}, err
		}
		list = map[string]storage.Info{}
		for _, o := range objects {
			list[o.Name] = o
		}
		clear(t.was) // files come in order of what they lie in
		t.was[in] = list
	}
	return list[name], nil
}

func (t *tree) Close() error { return t.d.why(t.group.Wait()) }
