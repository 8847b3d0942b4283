// Package directory is what lies below a URL as a directory of files, which are written
// as they come: nothing of it stays here.
package directory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/synshard/synshard/storage"
	"github.com/synshard/synshard/storage/files"
)

// Options say who writes.
type Options struct {
	// Holder is who takes locks.
	Holder storage.Holder
	// OnWait is told that a lock's holder may be dead, which is waited for.
	OnWait func(err error)
	// OnTrouble is told that the store holds to no conditions, so that two writers who begin
	// at the same moment both go on; and that what was begun and not ended may stay.
	OnTrouble func(err error)
}

const (
	// atOnce is how many objects are asked for at a time.
	atOnce = 32
	// manyAtOnce is how many requests to remove a thousand of them are made at a time: a store
	// takes seconds for one.
	manyAtOnce = 8
	// aheadMemory bounds what is read ahead of files that are read in order.
	aheadMemory = 32 << 20
	aheadSlack  = 64 << 10
)

// dir is the files below a place. Its methods end with the context that it was opened
// with, and when a lock of it is lost.
type dir struct {
	at    *storage.Place
	o     Options
	ctx   context.Context
	lose  context.CancelCauseFunc
	ahead *storage.Ahead
	mu    sync.Mutex
	held  storage.Locks // by mu
}

// At gives the directory below a place.
func At(ctx context.Context, at *storage.Place, o Options) files.Dir {
	ctx, lose := context.WithCancelCause(ctx)
	return &dir{at: at, o: o, ctx: ctx, lose: lose, ahead: storage.NewAhead(aheadMemory, aheadSlack)}
}

// why is an error, or that the lock was lost, which is why all else failed.
func (d *dir) why(err error) error {
	if err != nil && errors.Is(context.Cause(d.ctx), storage.ErrLost) && !errors.Is(err, storage.ErrLost) {
		return fmt.Errorf("%s: %w", d.at, storage.ErrLost)
	}
	return err
}

// key is a name as the place has it.
func key(name string) string {
	if name = path.Clean(name); name == "." {
		return ""
	}
	return name
}

func (d *dir) String() string { return d.at.String() }

func (d *dir) Path(name string) string {
	if key(name) == "" {
		return d.at.String()
	}
	return d.at.String() + "/" + key(name)
}

func (d *dir) Open(name string) (files.Opened, error) {
	o, err := d.at.OpenRead(d.ctx, key(name))
	if err != nil {
		return nil, d.why(err)
	}
	return &object{d, d.ahead.Reader(o)}, nil
}

// object is an open object.
type object struct {
	d *dir
	*storage.AheadReader
}

func (o *object) ReadAt(b []byte, at int64) (int, error) {
	n, err := o.AheadReader.ReadAt(b, at)
	return n, o.d.why(err)
}

// info describes an object, or a directory.
type info struct {
	name string
	size int64
	at   time.Time
	dir  bool
}

func (i info) Name() string               { return i.name }
func (i info) Size() int64                { return i.size }
func (i info) ModTime() time.Time         { return i.at }
func (i info) IsDir() bool                { return i.dir }
func (i info) Sys() any                   { return nil }
func (i info) Type() fs.FileMode          { return i.Mode().Type() }
func (i info) Info() (fs.FileInfo, error) { return i, nil }

func (i info) Mode() fs.FileMode {
	if i.dir {
		return fs.ModeDir | 0o777
	}
	return 0o666
}

func infoOf(i storage.Info) info {
	return info{path.Base(i.Name), i.Size, i.Modified, strings.HasSuffix(i.Name, "/")}
}

// Stat is of an object, or of a directory that has files in it; the directory itself is
// always there.
func (d *dir) Stat(name string) (fs.FileInfo, error) {
	name = key(name)
	if name == "" {
		return info{path.Base(d.at.String()), 0, time.Time{}, true}, nil
	}
	i, err := d.at.Stat(d.ctx, name)
	if err == nil {
		return infoOf(i), nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		below, lerr := d.at.Entries(d.ctx, name, 1)
		if lerr != nil {
			return nil, d.why(lerr)
		}
		if len(below) > 0 {
			return info{path.Base(name), 0, time.Time{}, true}, nil
		}
	}
	return nil, d.why(err)
}

func (d *dir) Lstat(name string) (fs.FileInfo, error) { return d.Stat(name) }

func (d *dir) ReadDir(name string) ([]fs.DirEntry, error) {
	list, err := d.at.Entries(d.ctx, key(name), 0)
	out := make([]fs.DirEntry, len(list))
	for i := range list {
		out[i] = infoOf(list[i])
	}
	return out, d.why(err)
}

func (d *dir) Walk(name string, f func(name string, e fs.DirEntry) error) error {
	list, err := d.below(name)
	for i := range list {
		if err != nil {
			break
		}
		err = f(list[i].Name, infoOf(list[i]))
	}
	return d.why(err)
}

// below lists all objects below a directory.
func (d *dir) below(name string) ([]storage.Info, error) {
	prefix := key(name)
	if prefix != "" {
		prefix += "/"
	}
	return d.at.List(d.ctx, prefix)
}

func (d *dir) MkdirAll(string) error   { return nil }
func (d *dir) MkdirBelow(string) error { return nil }
func (d *dir) Sync(string) error       { return nil }
func (d *dir) Touch(string) error      { return nil }

func (d *dir) Remove(name string) error {
	if err := d.isHeld(); err != nil {
		return d.why(err)
	}
	return d.why(d.at.Remove(d.ctx, key(name)))
}

// locks are those that were taken and not let go.
func (d *dir) locks() storage.Locks {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.held)
}

// isHeld wants the locks that were taken to be held: of what is removed and copied a store
// takes no conditions.
func (d *dir) isHeld() error { return d.locks().Held(d.ctx) }

// write makes an object, as the locks' holder where some were taken.
func (d *dir) write(ctx context.Context, name string, r io.ReaderAt, size int64) error {
	if ls := d.locks(); len(ls) > 0 {
		return ls.Write(ctx, name, r, size)
	}
	return d.at.WriteFrom(ctx, name, r, size)
}

func (d *dir) RemoveAll(name string) error {
	list, err := d.below(name)
	if err != nil {
		return d.why(err)
	}
	var names []string
	for i := range list {
		names = append(names, list[i].Name)
	}
	if key(name) != "" {
		names = append(names, key(name))
	}
	group, ctx := errgroup.WithContext(d.ctx)
	group.SetLimit(manyAtOnce)
	for some := range slices.Chunk(names, storage.ManyKeys) {
		group.Go(func() error {
			if err := cmp.Or(ctx.Err(), d.isHeld()); err != nil {
				return err
			}
			return d.at.RemoveMany(ctx, some)
		})
	}
	return d.why(group.Wait())
}

func (d *dir) Rename(from, to string) error {
	err := d.isHeld()
	if err == nil {
		err = d.at.Copy(d.ctx, key(to), key(from))
	}
	if err != nil {
		return d.why(err)
	}
	return d.Remove(from)
}

// RemoveTemps gives up what was begun to be written, of the whole directory.
func (d *dir) RemoveTemps(string, bool) error {
	if err := d.isHeld(); err != nil { // those of another, who holds the lock now, are not given up
		return d.why(err)
	}
	err := d.at.Abort(d.ctx)
	if err != nil && d.ctx.Err() == nil { // not allowed, or not to be had: what is written is whole all the same
		d.o.OnTrouble(fmt.Errorf("%w; what a killed writer left unfinished may remain", err))
		return nil
	}
	return d.why(err)
}

func (d *dir) TryLock(name string) (files.Lock, error) { return d.lock(name, d.at.AloneLock) }

func (d *dir) TryShare(name, member string) (files.Lock, error) {
	return d.lock(name, func(ctx context.Context, name string, who storage.Holder, lost func(), onWait func(error)) (*storage.Lock, error) {
		return d.at.ShareLock(ctx, name, member, who, lost, onWait)
	})
}

func (d *dir) lock(name string, take func(context.Context, string, storage.Holder, func(), func(error)) (*storage.Lock, error)) (files.Lock, error) {
	l, err := take(d.ctx, key(name), d.o.Holder, func() { d.lose(storage.ErrLost) }, d.o.OnWait)
	if err != nil {
		return nil, d.why(err)
	}
	if l.Weak {
		d.o.OnTrouble(fmt.Errorf("%s: %w", d.at, storage.ErrWeak))
	}
	d.mu.Lock()
	d.held = append(d.held, l)
	d.mu.Unlock()
	return held{l, d}, nil
}

// held is a lock that the directory's writes are held to until it is let go.
type held struct {
	*storage.Lock
	d *dir
}

func (h held) Unlock() error {
	h.d.mu.Lock()
	h.d.held = slices.DeleteFunc(h.d.held, func(l *storage.Lock) bool { return l == h.Lock })
	h.d.mu.Unlock()
	return h.Lock.Unlock()
}

func (d *dir) AtOnce() int { return atOnce }
