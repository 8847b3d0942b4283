package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/synshard/synshard/source/entry"
	"github.com/synshard/synshard/storage"
)

// What is read ahead of archives in buckets, of all of them together, and how much is
// read for nothing rather than asked for anew: less than lies between the headers of
// images.
const (
	aheadMemory = 128 << 20
	aheadSlack  = 64 << 10
)

// remote are the places of a Set that URLs lead to.
type remote struct {
	mu     sync.Mutex
	places []*storage.Place
	ahead  *storage.Ahead
}

// open opens the place at a URL.
func (r *remote) open(ctx context.Context, url string) (*storage.Place, error) {
	p, err := storage.Open(ctx, url, storage.Options{})
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.places = append(r.places, p)
	if r.ahead == nil {
		r.ahead = storage.NewAhead(aheadMemory, aheadSlack)
	}
	return p, nil
}

func (r *remote) close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var errs []error
	for _, p := range r.places {
		errs = append(errs, p.Close())
	}
	return errors.Join(errs...)
}

// archive is an object that is read in place.
type archive struct {
	*storage.AheadReader
}

// ReadAt is the reader's, whose failures are no damage to an archive.
func (a archive) ReadAt(b []byte, at int64) (int, error) {
	n, err := a.AheadReader.ReadAt(b, at)
	if err != nil && err != io.EOF {
		err = entry.Unread(err)
	}
	return n, err
}

func (a archive) modified() int64 { return entry.UnixNano(a.Info().Modified) }

// openURL opens the object at a URL, or all objects below it as a folder.
func (s *Set) openURL(ctx context.Context, kind Kind, url string) error {
	place, err := s.remote.open(ctx, url)
	if err != nil {
		return err
	}
	if !strings.HasSuffix(strings.SplitN(url, "?", 2)[0], "/") {
		object, err := place.OpenObject(ctx, "")
		if err == nil {
			o, err := s.openObject(ctx, kind, Info{Path: object.Path(), Given: object.Path()}, object)
			if err == nil {
				s.add(o)
			}
			return err
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if kind != "" && kind != Folder {
		return fmt.Errorf("%s: no such object: %w", place, fs.ErrNotExist)
	}
	return s.openPrefix(ctx, place)
}

// openObject opens an object as the container that its bytes say it is.
func (s *Set) openObject(ctx context.Context, kind Kind, info Info, object *storage.Object) (*opened, error) {
	o, err := s.openAs(ctx, kind, info, archive{s.remote.ahead.Reader(object)})
	if err == nil && (o.info.Kind == List || o.container == nil) {
		err = fmt.Errorf("%s: %s: of URLs archives, files of columns and what lies below a prefix are read", info.Path, o.info.Kind)
	}
	return o, err
}

// exportKeeps begins the names of what an export keeps beside its images, which their
// names do not tell. Who reads exports looks for it in a directory; without it labels would be others.
const exportKeeps = ".synshard-export"

// openPrefix opens the objects below a prefix as a folder, and the containers among
// them.
func (s *Set) openPrefix(ctx context.Context, place *storage.Place) error {
	objects, err := place.List(ctx, "")
	if err != nil {
		return err
	}
	if len(objects) == 0 {
		return fmt.Errorf("%s: nothing is there: %w", place, fs.ErrNotExist)
	}
	h := &home{set: s}
	below := &prefix{ctx: ctx, place: place, objects: map[string]storage.Info{}}
	var entries []Entry
	var within []storage.Info
	for _, i := range objects {
		name, ok := entry.CleanName(i.Name)
		switch {
		case strings.HasPrefix(i.Name, exportKeeps):
			return fmt.Errorf("%s: an export, whose classes are kept in %s: its files are read in a directory and not by a URL: %w", place, exportKeeps, storage.ErrURL)
		case strings.HasSuffix(i.Name, "/"): // a directory's mark
		case !ok || name != i.Name:
			h.skip(i.Name, "a name that no file has", ImageName(i.Name))
		case Junk(name):
			reason, image := Junked(name)
			h.skip(name, reason, image)
		case containerName(name):
			within = append(within, i)
		default:
			below.objects[name] = i
			entries = append(entries, Entry{Name: name, Size: i.Size, Modified: entry.UnixNano(i.Modified)})
		}
	}
	found := make([]*opened, len(within))
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(opening)
	for i, w := range within {
		group.Go(func() error {
			object, err := place.OpenObject(ctx, w.Name)
			if err == nil && gctx.Err() == nil {
				found[i], err = s.openObject(ctx, "", Info{Path: object.Path(), Given: place.String(), Within: w.Name}, object)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	containers := found[:0]
	for i, o := range found {
		if o.plain {
			below.objects[o.info.Within] = within[i]
			entries = append(entries, Entry{Name: o.info.Within, Size: o.info.Size, Modified: o.info.Modified})
		} else {
			containers = append(containers, o)
		}
	}
	s.add(&opened{info: Info{Path: place.String(), Given: place.String(), Kind: Folder}, container: below, entries: entry.SortByName(entries, h.skip), home: h})
	for _, o := range containers {
		s.add(o)
	}
	return nil
}

// prefix is the objects below a prefix as a container.
type prefix struct {
	ctx     context.Context
	place   *storage.Place
	objects map[string]storage.Info
}

func (p *prefix) Read(e *Entry, buf []byte) ([]byte, error) {
	info, ok := p.objects[e.Name]
	if !ok {
		return nil, fmt.Errorf("%s/%s: %w", p.place, e.Name, fs.ErrNotExist)
	}
	if info.Size > MaxImage {
		return nil, fmt.Errorf("%w: %s/%s: %w", ErrUnreadable, p.place, e.Name, entry.TooLarge(info.Size))
	}
	buf = entry.Sized(buf, info.Size)
	_, err := p.place.Listed(p.ctx, info).ReadAt(buf, 0)
	return buf, err
}

// readsAtOnce is how many objects are asked for at a time by who reads one after the
// other.
const readsAtOnce = 8

// Each reads several objects ahead of the one that f is called with.
func (p *prefix) Each(ctx context.Context, entries []Entry, f entry.Visit) error {
	type answer struct {
		b   []byte
		err error
	}
	asked := make([]chan answer, len(entries))
	ask := func(i int) {
		if i < len(entries) {
			asked[i] = make(chan answer, 1)
			go func() {
				b, err := p.Read(&entries[i], nil)
				asked[i] <- answer{b, err}
			}()
		}
	}
	for i := range readsAtOnce {
		ask(i)
	}
	for i := range entries {
		var a answer
		select {
		case a = <-asked[i]:
		case <-ctx.Done():
			return ctx.Err()
		}
		asked[i] = nil
		ask(i + readsAtOnce)
		if a.err != nil && !errors.Is(a.err, ErrUnreadable) {
			return a.err
		}
		if a.err != nil {
			a.b = nil
		}
		if err := f(entries[i], a.b, a.err); err != nil {
			return err
		}
	}
	return nil
}

// Unchanged is nil: each object was read in the state in which it was listed.
func (p *prefix) Unchanged() error { return nil }
