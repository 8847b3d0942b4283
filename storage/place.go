package storage

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/synshard/synshard/internal/regular"
)

// Place is what a URL leads to: an object, or all that lies below it. Its methods
// may be called from many goroutines. Names are relative to it, with slashes; "" is
// the object at the URL itself. What would change a web server is ErrReadOnly; what the
// store says for longer than Options.Patience is its own error, with the name.
type Place struct {
	url     string
	at      location
	store   store
	o       Options
	traffic *Traffic
	single  *semaphore.Weighted // removals of which each is a request
}

// Options say how a place is used. The zero value serves.
type Options struct {
	// Patience is how long what fails for a while is tried again; 0 means two
	// minutes without anything having come.
	Patience time.Duration
	// Idle is how long an answer may say nothing; 0 means thirty seconds.
	Idle time.Duration
	// Summed says that who reads a web server's files holds them to sums: one of
	// which the server tells no state but its size is read all the same.
	Summed bool
}

// Info describes an object.
type Info struct {
	Name     string    // relative to the place
	Size     int64     // bytes
	Modified time.Time // as the store says
	ID       string    // of this state of the object: its ETag or generation
}

// Traffic counts what went over the network.
type Traffic struct {
	Requests atomic.Int64 // those that were made again, too
	Retries  atomic.Int64 // of what failed for a while
	Read     atomic.Int64 // bytes of objects
	Written  atomic.Int64 // bytes of objects
}

// Figures say what went to and from a place.
type Figures struct {
	URL      string `json:"url"`           // without query
	Requests int64  `json:"requests"`      // those that were made again, too
	Retries  int64  `json:"retries"`       // of the requests
	Read     int64  `json:"bytes_read"`    // of objects
	Written  int64  `json:"bytes_written"` // of objects
}

// Figures are those of now.
func (p *Place) Figures() Figures {
	t := p.traffic
	return Figures{p.String(), t.Requests.Load(), t.Retries.Load(), t.Read.Load(), t.Written.Load()}
}

// store is one kind of place. Errors are fs.ErrNotExist, ErrNoBucket, ErrChanged, ErrExists and
// ErrReadOnly where they are that; a transient one is made so by temporary.
type store interface {
	stat(ctx context.Context, key string) (Info, error)
	// first is stat that brings the first n bytes of an object along, or all where it has
	// fewer; errors.ErrUnsupported where that is not to be had of it.
	first(ctx context.Context, key string, n int64) (Info, io.ReadCloser, error)
	// read gives n bytes from at, of the state id of the object and no other.
	read(ctx context.Context, key, id string, at, n int64) (io.ReadCloser, error)
	// list calls f with the objects whose keys begin with prefix, in order of the keys. With
	// flat those behind a further slash are one Info, whose name ends in it.
	list(ctx context.Context, prefix string, flat bool, f func(Info) error) error
	// write makes an object of the first size bytes of r whole, or not at all, where what is
	// there is as wanted: else ErrExists, or ErrChanged.
	write(ctx context.Context, key string, r io.ReaderAt, size int64, want wanted) error
	// copy makes an object of the bytes of another of the same store.
	copy(ctx context.Context, key, from string) error
	remove(ctx context.Context, key string) error
	// removeMany is remove of up to ManyKeys by one request; errors.ErrUnsupported where that
	// is not to be had, and some of them may be gone then.
	removeMany(ctx context.Context, keys []string) error
	// abort gives up what writers of keys that begin with prefix began and did not end.
	abort(ctx context.Context, prefix string) error
	close() error
}

// wanted is what there is to be where an object is written; the zero value is anything.
type wanted struct {
	fresh bool   // nothing
	id    string // an object in this state
}

// Open opens the place at a URL; nothing is asked of it yet. Credentials, regions and
// endpoints come from the URL's options and from where the store's own tools look.
// A URL that cannot be one is ErrURL.
func Open(ctx context.Context, name string, o Options) (*Place, error) {
	at, err := parse(name)
	if err != nil {
		return nil, err
	}
	p := &Place{url: name, at: at, o: o, traffic: &Traffic{}, single: semaphore.NewWeighted(removedAtOnce)}
	p.o.Patience, p.o.Idle = cmp.Or(o.Patience, 2*time.Minute), cmp.Or(o.Idle, 30*time.Second)
	if p.store, err = openStore(ctx, at, o, p.traffic); err != nil {
		return nil, fmt.Errorf("open %s: %w", at, err)
	}
	return p, nil
}

func openStore(ctx context.Context, at location, o Options, t *Traffic) (store, error) {
	if at.web() {
		return newWeb(at, o, t), nil
	}
	return newBucket(ctx, at, t)
}

// Close lets the place's connections go.
func (p *Place) Close() error { return p.store.close() }

// URL is the place's, as it was given.
func (p *Place) URL() string { return p.url }

// String is the place as errors name it.
func (p *Place) String() string { return p.at.String() }

// Traffic is what went to and from the place.
func (p *Place) Traffic() *Traffic { return p.traffic }

// key is the key of a name below the place. A web server's is escaped, as it is in URLs.
func (p *Place) key(name string) string {
	if p.at.web() {
		name = (&url.URL{Path: name}).EscapedPath()
	}
	if name == "" || p.at.key == "" {
		return p.at.key + name
	}
	return strings.TrimRight(p.at.key, "/") + "/" + name
}

// shown is a name as errors have it.
func (p *Place) shown(name string) string {
	at := p.at
	at.key = p.key(name)
	return at.String()
}

// Stat describes an object; one that is not there is fs.ErrNotExist.
func (p *Place) Stat(ctx context.Context, name string) (Info, error) {
	var info Info
	err := p.again(ctx, func(ctx context.Context) error {
		return p.heard(ctx, func(ctx context.Context, _ func()) (err error) {
			info, err = p.store.stat(ctx, p.key(name))
			return err
		})
	})
	if err != nil {
		return Info{}, fmt.Errorf("%s: %w", p.shown(name), err)
	}
	info.Name = name
	return info, nil
}

// List gives the objects below the place whose names begin with prefix, in order of
// their names' bytes. A place without any gives none.
func (p *Place) List(ctx context.Context, prefix string) ([]Info, error) {
	return p.list(ctx, prefix, false, 0)
}

// Entries is List of what lies directly below dir: of what lies deeper, there is one for
// each name behind dir, which ends in a slash. With most above 0 it may end after so many.
func (p *Place) Entries(ctx context.Context, dir string, most int) ([]Info, error) {
	if dir != "" {
		dir += "/"
	}
	return p.list(ctx, dir, true, most)
}

// errEnough ends a list early.
var errEnough = errors.New("enough is known")

func (p *Place) list(ctx context.Context, prefix string, flat bool, most int) ([]Info, error) {
	base := p.at.key
	if base != "" {
		base += "/"
	}
	var all []Info
	err := p.again(ctx, func(ctx context.Context) error {
		all = all[:0]
		return p.heard(ctx, func(ctx context.Context, word func()) error {
			err := p.store.list(ctx, base+prefix, flat, func(i Info) error {
				word()
				i.Name = strings.TrimPrefix(i.Name, base)
				if all = append(all, i); most > 0 && len(all) >= most {
					return errEnough
				}
				return nil
			})
			if errors.Is(err, errEnough) {
				return nil
			}
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", p.shown(prefix), err)
	}
	return all, nil
}

// ReadFile reads an object of at most limit bytes; a larger one is
// regular.ErrUnfit.
func (p *Place) ReadFile(ctx context.Context, name string, limit int64) ([]byte, error) {
	o, err := p.OpenRead(ctx, name)
	if err != nil {
		return nil, err
	}
	if o.Size() > limit {
		return nil, fmt.Errorf("%s: more than the %d bytes that such a file may have: %w", o.Path(), limit, regular.ErrUnfit)
	}
	b := make([]byte, o.Size())
	if _, err := o.ReadAt(b, 0); err != nil && err != io.EOF {
		return nil, err
	}
	return b, nil
}

// Put makes an object of the bytes of a local file: whole, or not at all.
func (p *Place) Put(ctx context.Context, name, path string) error {
	f, info, err := regular.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return p.write(ctx, name, f, info.Size(), wanted{})
}

// Abort gives up what was begun to be written below the place and not ended: parts of
// objects that nobody sees and that are paid for. It is for who knows that nobody writes.
// Google and Azure forget such parts by themselves, after a week.
func (p *Place) Abort(ctx context.Context) error {
	prefix := p.at.key
	if prefix != "" {
		prefix += "/"
	}
	err := p.again(ctx, func(ctx context.Context) error {
		return p.heard(ctx, func(ctx context.Context, _ func()) error { return p.store.abort(ctx, prefix) })
	})
	if err != nil {
		return fmt.Errorf("give up what was begun to be written to %s: %w", p, err)
	}
	return nil
}

// Write makes an object: whole, or not at all.
func (p *Place) Write(ctx context.Context, name string, b []byte) error {
	return p.write(ctx, name, bytes.NewReader(b), int64(len(b)), wanted{})
}

// WriteFrom is Write of so many bytes that r has from its beginning on.
func (p *Place) WriteFrom(ctx context.Context, name string, r io.ReaderAt, size int64) error {
	return p.write(ctx, name, r, size, wanted{})
}

// MostCopied is how large an object may be that Copy copies, in bytes.
const MostCopied = 5 << 30

// Copy makes an object of the bytes of another, by the store alone: whole, or not at all.
func (p *Place) Copy(ctx context.Context, name, from string) error {
	err := p.again(ctx, func(ctx context.Context) error { return p.store.copy(ctx, p.key(name), p.key(from)) })
	if err != nil {
		return fmt.Errorf("copy %s to %s: %w", p.shown(from), p.shown(name), err)
	}
	return nil
}

// WriteNew is Write of an object that must not be there with other bytes; else the
// error is ErrExists.
func (p *Place) WriteNew(ctx context.Context, name string, b []byte) error {
	return p.write(ctx, name, bytes.NewReader(b), int64(len(b)), wanted{fresh: true})
}

// WriteOver is WriteFrom in the place of an object that is in the state id or, with "", of
// none; else the error is ErrChanged.
func (p *Place) WriteOver(ctx context.Context, name, id string, r io.ReaderAt, size int64) error {
	err := p.write(ctx, name, r, size, wanted{fresh: id == "", id: id})
	if errors.Is(err, ErrExists) || id != "" && errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("write %s: %w", p.shown(name), ErrChanged)
	}
	return err
}

func (p *Place) write(ctx context.Context, name string, r io.ReaderAt, size int64, want wanted) error {
	err := p.again(ctx, func(ctx context.Context) error { return p.store.write(ctx, p.key(name), r, size, want) })
	if errors.Is(err, fs.ErrNotExist) || want != (wanted{}) && (errors.Is(err, ErrExists) || errors.Is(err, ErrChanged)) {
		// The answer to a write of ours may have been lost, and of its parts, which are no
		// longer there when they are made an object again: what is there decides.
		err = p.mine(ctx, name, r, size, err)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", p.shown(name), err)
	}
	p.traffic.Written.Add(size)
	return nil
}

// mine is nil where an object has the bytes of r, and else the error given.
func (p *Place) mine(ctx context.Context, name string, r io.ReaderAt, size int64, was error) error {
	o, err := p.OpenObject(ctx, name)
	if err != nil || o.Size() != size {
		return was
	}
	there, ours := o.Reader(), io.NewSectionReader(r, 0, size)
	have, want := make([]byte, min(size, 256<<10)), make([]byte, min(size, 256<<10))
	for at := int64(0); at < size; at += int64(len(want)) {
		want = want[:min(int64(len(want)), size-at)]
		if _, err := io.ReadFull(ours, want); err != nil {
			return err
		}
		if _, err := io.ReadFull(there, have[:len(want)]); err != nil || !bytes.Equal(have[:len(want)], want) {
			return was
		}
	}
	return nil
}

// Remove removes an object; one that is not there is no error.
func (p *Place) Remove(ctx context.Context, name string) error {
	err := p.again(ctx, func(ctx context.Context) error {
		return p.heard(ctx, func(ctx context.Context, _ func()) error { return p.store.remove(ctx, p.key(name)) })
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", p.shown(name), err)
	}
	return nil
}

// ManyKeys is how many objects S3 removes by one request.
const ManyKeys = 1000

// removedAtOnce is how many of a place are removed at a time where each is a request.
const removedAtOnce = 32

// RemoveMany is Remove of up to ManyKeys objects, by one request where the store has such. It is
// for several calls at a time.
func (p *Place) RemoveMany(ctx context.Context, names []string) error {
	keys := make([]string, len(names))
	for i, name := range names {
		keys[i] = p.key(name)
	}
	err := p.again(ctx, func(ctx context.Context) error {
		return p.heard(ctx, func(ctx context.Context, _ func()) error { return p.store.removeMany(ctx, keys) })
	})
	switch {
	case err == nil || ctx.Err() != nil:
		return err
	case !errors.Is(err, errors.ErrUnsupported): // single ones would fail as well
		return fmt.Errorf("remove below %s: %w", p, err)
	}
	group, gctx := errgroup.WithContext(ctx)
	for _, name := range names {
		if p.single.Acquire(gctx, 1) != nil {
			break // one could not be removed, or all is given up
		}
		group.Go(func() error {
			defer p.single.Release(1)
			return p.Remove(gctx, name)
		})
	}
	return cmp.Or(group.Wait(), ctx.Err())
}

// Get copies an object into an open file.
func (p *Place) Get(ctx context.Context, name string, to *os.File) (Info, error) {
	o, err := p.OpenObject(ctx, name)
	if err != nil {
		return Info{}, err
	}
	_, err = io.Copy(to, o.Reader())
	return o.info, err
}
