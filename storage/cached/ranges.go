package cached

import (
	"container/heap"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/internal/regular"
)

// key is where a range begins. Ranges do not overlap: they are images.
type key struct {
	file string
	at   int64
}

// entry is a range that is kept, or on its way.
type entry struct {
	key
	size  int64
	next  int64 // when it is asked for next
	place int   // in the heap of those that are kept; -1: it is not kept

	done chan struct{} // closed when data are there; nil of what is only kept
	data []byte
	err  error
}

// ranges is a cache of ranges: files like those that they are of, with holes where
// nothing is kept. What there is after a crash is told by the holes, and whether it is
// whole by the sums of who reads.
type ranges struct {
	f      *Files
	dir    string
	budget int64

	mu    sync.Mutex
	all   map[key]*entry
	kept  byNext
	used  int64
	ended bool

	fetches      sync.WaitGroup
	slots        chan struct{}
	hits, misses atomic.Int64
	trouble      atomic.Pointer[error] // of the cache's own files: nothing is kept from then on
}

// byNext is a heap with the entry on top that is asked for last.
type byNext []*entry

func (h byNext) Len() int           { return len(h) }
func (h byNext) Less(i, j int) bool { return h[i].next > h[j].next }
func (h byNext) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}
func (h *byNext) Push(x any) {
	e := x.(*entry)
	e.place = len(*h)
	*h = append(*h, e)
}
func (h *byNext) Pop() any {
	old := *h
	e := old[len(old)-1]
	*h = old[:len(old)-1]
	e.place = -1
	return e
}

// fetchesAtOnce is how many ranges are asked for at a time.
const fetchesAtOnce = 32

// Keep begins to keep ranges, at most so many bytes of them, in a directory of the
// name. What lies there from before is taken up as Adopt tells.
func (f *Files) Keep(name string, budget int64) error {
	dir := filepath.Join(f.dir, "ranges", name)
	if err := f.use(dir); err != nil {
		return err
	}
	if err := durable.MkdirAll(dir); err != nil {
		return err
	}
	f.rows = &ranges{f: f, dir: dir, budget: budget, all: map[key]*entry{}, slots: make(chan struct{}, fetchesAtOnce)}
	return nil
}

// Adopt takes up a range that may be kept from before, which is asked for at next.
func (f *Files) Adopt(file string, at, size, next int64) { f.rows.adopt(key{file, at}, size, next) }

// Want says that a range will be read soon.
func (f *Files) Want(file string, at, size int64) { f.rows.want(key{file, at}, size) }

// Used says that a range was read, and when it is read next: what is read last goes
// first.
func (f *Files) Used(file string, at, next int64) { f.rows.keep(key{file, at}, next) }

// Trouble is what went wrong with the cache's own files, if anything did: reading goes
// on without it.
func (f *Files) Trouble() error {
	if f.rows == nil {
		return nil
	}
	if p := f.rows.trouble.Load(); p != nil {
		return *p
	}
	return nil
}

func (r *ranges) path(file string) string { return filepath.Join(r.dir, filepath.FromSlash(file)) }

func (r *ranges) adopt(k key, size, next int64) {
	f, info, err := regular.Open(r.path(k.file))
	if err != nil {
		return
	}
	defer f.Close()
	if info.Size() < k.at+size {
		return
	}
	if data, err := unix.Seek(int(f.Fd()), k.at, unix.SEEK_DATA); err != nil || data != k.at {
		return
	}
	if hole, err := unix.Seek(int(f.Fd()), k.at, unix.SEEK_HOLE); err != nil || hole < k.at+size {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.all[k] != nil || r.used+size > r.budget {
		return
	}
	e := &entry{key: k, size: size, next: next}
	r.all[k] = e
	r.used += size
	heap.Push(&r.kept, e)
}

// want has a range fetched that is neither kept nor on its way.
func (r *ranges) want(k key, size int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.all[k] == nil && !r.ended {
		r.begin(k, size)
	}
}

// begin has a range fetched; the lock is held.
func (r *ranges) begin(k key, size int64) *entry {
	e := &entry{key: k, size: size, place: -1, done: make(chan struct{})}
	r.all[k] = e
	r.fetches.Go(func() {
		defer close(e.done)
		r.slots <- struct{}{}
		defer func() { <-r.slots }()
		o, err := r.f.object(k.file)
		if err != nil {
			e.err = err
			return
		}
		b := make([]byte, size)
		if _, e.err = o.Object.ReadAt(b, k.at); e.err == nil {
			e.data = b
		}
	})
	return e
}

// read fills b with a range that is kept, on its way, or fetched now.
func (r *ranges) read(k key, b []byte, sound func([]byte) bool) error {
	r.mu.Lock()
	e := r.all[k]
	if e != nil && e.done == nil {
		r.mu.Unlock() // where the range goes meanwhile, its bytes are not sound
		if err := r.load(e, b); err == nil && sound(b) {
			r.hits.Add(1)
			return nil
		}
		r.mu.Lock()
		if r.all[k] == e { // a crash left it, or somebody changed it
			r.drop(e)
		}
		e = r.all[k]
	}
	if e == nil || e.done == nil { // kept again by another: rare, and fetched once more
		e = r.begin(k, int64(len(b)))
	}
	r.mu.Unlock()
	r.misses.Add(1)
	<-e.done
	if e.err != nil {
		r.mu.Lock()
		if r.all[k] == e {
			delete(r.all, k)
		}
		r.mu.Unlock()
		return e.err
	}
	copy(b, e.data)
	return nil
}

// load reads a range that is kept.
func (r *ranges) load(e *entry, b []byte) error {
	f, _, err := regular.Open(r.path(e.file))
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.ReadAt(b, e.at)
	return err
}

// keep notes when a range is read next, and keeps it where nothing that is kept is
// read later.
func (r *ranges) keep(k key, next int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.all[k]
	if e == nil {
		return
	}
	e.next = next
	if e.place >= 0 {
		heap.Fix(&r.kept, e.place)
		return
	}
	select {
	case <-e.done:
	default:
		return // wanted again, and on its way
	}
	for r.used+e.size > r.budget && len(r.kept) > 0 && r.kept[0].next > next {
		r.drop(r.kept[0])
	}
	if e.err != nil || r.used+e.size > r.budget || r.trouble.Load() != nil {
		delete(r.all, k)
		return
	}
	if err := r.store(e); err != nil {
		delete(r.all, k)
		err = fmt.Errorf("cache: %w", err)
		r.trouble.Store(&err)
		return
	}
	e.data, e.done = nil, nil
	r.used += e.size
	heap.Push(&r.kept, e)
}

// store writes a range to its place.
func (r *ranges) store(e *entry) error {
	path := r.path(e.file)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o666)
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(filepath.Dir(path), 0o777); err == nil {
			f, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o666)
		}
	}
	if err != nil {
		return err
	}
	_, err = f.WriteAt(e.data, e.at)
	return errors.Join(err, f.Close())
}

// drop forgets a range that is kept and frees its place.
func (r *ranges) drop(e *entry) {
	heap.Remove(&r.kept, e.place)
	delete(r.all, e.key)
	r.used -= e.size
	if f, err := os.OpenFile(r.path(e.file), os.O_WRONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0); err == nil {
		if err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, e.at, e.size); err != nil {
			err = fmt.Errorf("cache: free %s: %w", r.path(e.file), err)
			r.trouble.Store(&err)
		}
		f.Close()
	}
}

// close waits for what is under way.
func (r *ranges) close() {
	r.mu.Lock()
	r.ended = true
	r.mu.Unlock()
	r.fetches.Wait()
}
