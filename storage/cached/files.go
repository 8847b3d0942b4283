// Package cached reads what lies below a URL with what is kept of it here: files by
// their sums, ranges read ahead in order, and a bounded cache of the ranges that are
// asked for again, from which goes first what is asked for last.
package cached

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"sync"

	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/internal/regular"
	"github.com/synshard/synshard/storage"
)

// Files are the files below a URL. Their methods are called from many goroutines and
// end with the context that they were opened with.
type Files struct {
	place *storage.Place
	ctx   context.Context
	dir   string // of what is kept here
	ahead *storage.Ahead

	mu      sync.Mutex
	objects map[string]*opening
	used    []func() error // releases
	rows    *ranges        // nil: no ranges are kept
}

// opening is an object that is opened once.
type opening struct {
	done chan struct{}
	o    *storage.AheadReader
	err  error
}

const (
	// aheadMemory bounds what is read ahead, and aheadSlack what is read for nothing: the
	// workers who read one row behind the other ask in nearly that order.
	aheadMemory = 96 << 20
	aheadSlack  = 2 << 20
)

// Open opens the files below a URL; nothing is asked of it yet. What is kept of them
// lies in dir.
func Open(ctx context.Context, url, dir string, o storage.Options) (*Files, error) {
	p, err := storage.Open(ctx, url, o)
	if err != nil {
		return nil, err
	}
	return &Files{place: p, ctx: ctx, dir: dir, ahead: storage.NewAhead(aheadMemory, aheadSlack), objects: map[string]*opening{}}, nil
}

// Close ends what is under way and lets connections go. What is kept stays.
func (f *Files) Close() error {
	if f.rows != nil {
		f.rows.close()
	}
	err := f.place.Close()
	for _, release := range f.used {
		err = errors.Join(err, release())
	}
	return err
}

// use says that what is kept at a path is in use until Close.
func (f *Files) use(path string) error {
	release, err := Use(path)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.used = append(f.used, release)
	return nil
}

// Figures say what was asked of the store, and what was at hand.
type Figures struct {
	URL      string `json:"url"`      // what was read, without query
	Requests int64  `json:"requests"` // those that were made again, too
	Retries  int64  `json:"retries"`  // of the requests
	Bytes    int64  `json:"bytes"`    // read from the store
	Hits     int64  `json:"hits"`     // images that were in the cache
	Misses   int64  `json:"misses"`   // images that were fetched
	// HitRate is Hits in all images that were asked for; 0 of none.
	HitRate float64 `json:"hit_rate"`
}

// Figures are those of now.
func (f *Files) Figures() Figures {
	t := f.place.Traffic()
	out := Figures{URL: f.place.String(), Requests: t.Requests.Load(), Retries: t.Retries.Load(), Bytes: t.Read.Load()}
	if f.rows != nil {
		out.Hits, out.Misses = f.rows.hits.Load(), f.rows.misses.Load()
		if n := out.Hits + out.Misses; n > 0 {
			out.HitRate = float64(out.Hits) / float64(n)
		}
	}
	return out
}

// ReadFile reads a file of at most limit bytes; one that is not there is
// fs.ErrNotExist.
func (f *Files) ReadFile(name string, limit int64) ([]byte, error) {
	return f.place.ReadFile(f.ctx, name, limit)
}

// Fetch gives the path of a copy of a file with this SHA-256, in hex: one that is kept,
// or fetched now. A file with another sum is fetched and not kept by that one.
func (f *Files) Fetch(name, sum string) (string, error) {
	to := filepath.Join(f.dir, "sums", sum[:min(2, len(sum))], sum+path.Ext(name))
	if !filepath.IsLocal(sum) || len(sum) != 2*sha256.Size {
		return "", fmt.Errorf("%s: %q is not a SHA-256", name, sum)
	}
	if err := f.use(to); err != nil {
		return "", err
	}
	if got, err := regular.SHA256(to); err == nil && got == sum {
		return to, nil
	}
	o, err := f.place.OpenObject(f.ctx, name)
	if err != nil {
		return "", err
	}
	if o.Size() > regular.Table {
		return "", fmt.Errorf("%s: more than the %d bytes that such a file may have: %w", o.Path(), int64(regular.Table), regular.ErrUnfit)
	}
	if err := durable.MkdirAll(filepath.Dir(to)); err != nil {
		return "", err
	}
	got := sha256.New()
	w, err := durable.Create(to)
	if err != nil {
		return "", err
	}
	defer w.Abort()
	if _, err := io.Copy(io.MultiWriter(w, got), o.Reader()); err != nil {
		return "", err
	}
	if hex.EncodeToString(got.Sum(nil)) != sum {
		return "", fmt.Errorf("%s: %w", o.Path(), ErrOtherSum)
	}
	return to, w.Commit()
}

// ErrOtherSum is of a file that is not the one that was asked for.
var ErrOtherSum = errors.New("its sha256 is not the one that it should have")

// Read fills b from a place in a file. Bytes that are kept here and are not sound are
// fetched again.
func (f *Files) Read(name string, b []byte, at int64, sound func([]byte) bool) error {
	if f.rows != nil {
		return f.rows.read(key{name, at}, b, sound)
	}
	o, err := f.object(name)
	if err != nil {
		return err
	}
	_, err = o.ReadAt(b, at)
	return err
}

// object opens a file once. One that could not be opened is tried again.
func (f *Files) object(name string) (*storage.AheadReader, error) {
	f.mu.Lock()
	was, ok := f.objects[name]
	if !ok {
		was = &opening{done: make(chan struct{})}
		f.objects[name] = was
	}
	f.mu.Unlock()
	if ok {
		<-was.done
		return was.o, was.err
	}
	o, err := f.place.OpenObject(f.ctx, name)
	if was.err = err; err == nil {
		was.o = f.ahead.Reader(o)
	} else if !errors.Is(err, fs.ErrNotExist) {
		f.mu.Lock()
		delete(f.objects, name)
		f.mu.Unlock()
	}
	close(was.done)
	return was.o, was.err
}
