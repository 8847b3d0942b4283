package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/synshard/synshard/internal/inorder"
	"github.com/synshard/synshard/source/entry"
	"github.com/synshard/synshard/source/list"
	"github.com/synshard/synshard/storage"
)

// What is read ahead of archives in buckets, of all of them together, and how much is
// read for nothing rather than asked for anew: as much as comes while a store thinks, 10 ms
// at 100 MB/s. The headers of a tar of images are not asked for one after the other then,
// those of a tar of tars are.
const (
	aheadMemory = 64 << 20
	aheadSlack  = 1 << 20
)

// remote are the places of a Set that URLs lead to.
type remote struct {
	ctx    context.Context // that of Open, which ends reading single files
	mu     sync.Mutex
	places []*storage.Place
	roots  map[string]*storage.Place // of single files, by the URLs of their buckets
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
	for _, p := range slices.AppendSeq(slices.Clone(r.places), maps.Values(r.roots)) {
		errs = append(errs, p.Close())
	}
	return errors.Join(errs...)
}

// archive is an object that is read in place.
type archive struct {
	*storage.AheadReader
	url string // with its options; "" of one that lies below a prefix
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

// Given is what Info.Given has of a path or a URL.
func Given(path string) string {
	if !storage.IsURL(path) {
		return path
	}
	return strings.TrimRight(storage.Shown(path), "/")
}

// openURL opens the object at a URL, or all objects below it as a folder.
func (s *Set) openURL(ctx context.Context, kind Kind, url string) error {
	place, err := s.remote.open(ctx, url)
	if err != nil {
		return err
	}
	var absent error
	if !strings.HasSuffix(strings.SplitN(url, "?", 2)[0], "/") {
		object, err := place.OpenObject(ctx, "")
		if err == nil {
			o, err := s.openObject(ctx, kind, url, Info{Path: object.Path(), Given: Given(url)}, object)
			if err == nil {
				s.add(o)
			}
			return err
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		absent = err
	}
	if kind != "" && kind != Folder {
		return fmt.Errorf("%s: no such object: %w", place, fs.ErrNotExist)
	}
	if err = s.openPrefix(ctx, place, Given(url)); errors.Is(err, storage.ErrUnlisted) && absent != nil {
		return absent
	}
	return err
}

// openObject opens an object as the container that its bytes say it is.
func (s *Set) openObject(ctx context.Context, kind Kind, url string, info Info, object *storage.Object) (*opened, error) {
	o, err := s.openAs(ctx, kind, info, archive{s.remote.ahead.Reader(object), url})
	if err == nil && o.container == nil {
		o.far = found{object, queryOf(url)}
	}
	return o, err
}

// found is an object that holds one image.
type found struct {
	*storage.Object
	query string // queryOf its URL; "" below a prefix
}

func (f found) Name() string    { return f.Path() }
func (f found) Query() string   { return f.query }
func (f found) Modified() int64 { return entry.UnixNano(f.Info().Modified) }

// Read reads it. What the store cannot give at the moment is not the image's own fault.
func (f found) Read(buf []byte) ([]byte, error) {
	if f.Size() > MaxImage {
		return nil, fmt.Errorf("%w: %s: %w", ErrUnreadable, f.Path(), entry.TooLarge(f.Size()))
	}
	buf = entry.Sized(buf, f.Size())
	_, err := f.ReadAt(buf, 0)
	return buf, err
}

// missing is a file that a list names and that is not there, or not to be had: that image's own trouble.
type missing struct {
	url string
	err error
}

func (m missing) Name() string                { return storage.Shown(m.url) }
func (m missing) Query() string               { return queryOf(m.url) }
func (m missing) Size() int64                 { return -1 }
func (m missing) Modified() int64             { return 0 }
func (m missing) Read([]byte) ([]byte, error) { return nil, fmt.Errorf("%w: %w", ErrUnreadable, m.err) }

// At is list.Far's: a URL is one wherever it stands, and takes the options of the list's
// where it has none and is of the same scheme; a path is below the list's own directory,
// unless it begins with a slash.
func (r *remote) At(base, name string) (url, shown string, err error) {
	switch {
	case storage.IsURL(name):
		return storage.WithOptions(name, base), storage.Shown(name), storage.Check(name)
	case !storage.IsURL(base), strings.HasPrefix(name, "/"):
		return "", "", nil
	}
	shown = strings.ReplaceAll(name, `\`, "/")
	url, err = storage.Beside(base, shown)
	return url, shown, err
}

// Find is list.Far's.
func (r *remote) Find(_ context.Context, url string) (list.Found, error) {
	root, key := storage.Root(url)
	place, err := r.root(r.ctx, root)
	if err != nil {
		return nil, err
	}
	o, err := place.OpenObject(r.ctx, key)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, storage.ErrUnserved) {
		return missing{url, err}, nil
	}
	if err != nil {
		return nil, err
	}
	return found{o, queryOf(url)}, nil
}

// root opens a bucket, or a web server, once.
func (r *remote) root(ctx context.Context, url string) (*storage.Place, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := r.roots[url]; p != nil {
		return p, nil
	}
	p, err := storage.Open(ctx, url, storage.Options{})
	if err != nil {
		return nil, err
	}
	if r.roots == nil {
		r.roots = map[string]*storage.Place{}
	}
	r.roots[url] = p
	return p, nil
}

// openPrefix opens the objects below a prefix as a folder, and the containers among
// them.
func (s *Set) openPrefix(ctx context.Context, place *storage.Place, given string) error {
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
		case strings.HasSuffix(i.Name, "/") && i.Size == 0: // a directory's mark
		case !ok || name != i.Name:
			h.skip(i.Name, "a name that no file has", ImageName(strings.TrimRight(i.Name, "/")))
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
	err = inorder.Each(ctx, opening, len(within), func(now context.Context, i int) error {
		object, err := place.OpenObject(ctx, within[i].Name) // which is read from later, too
		if err == nil && now.Err() == nil {
			found[i], err = s.openObject(ctx, "", "", Info{Path: object.Path(), Given: given, Within: within[i].Name}, object)
		}
		return err
	})
	if err != nil {
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
	s.add(&opened{info: Info{Path: place.String(), Given: given, Kind: Folder}, container: below, entries: entry.SortByName(entries, h.skip), home: h})
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
	return found{Object: p.place.Listed(p.ctx, info)}.Read(buf)
}

// Each reads several objects ahead of the one that f is called with.
func (p *prefix) Each(ctx context.Context, entries []Entry, f entry.Visit) error {
	return entry.EachAhead(ctx, p, entries, f)
}

// Unchanged is nil: each object was read in the state in which it was listed.
func (p *prefix) Unchanged() error { return nil }
