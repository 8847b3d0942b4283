package standin

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/internal/inorder"
	"github.com/synshard/synshard/internal/regular"
	"github.com/synshard/synshard/storage"
)

// Dir is a directory here that stands for what lies below a URL, of which it alone is
// the writer. What is there when it is opened is here. What is written here is there
// after Commit, a little later, file after file in the order of DirOptions.Rank and
// what was removed last, so that whoever is killed in between leaves there what a call
// killed at some moment leaves here. A link to a file of the directory is a copy there.
type Dir struct {
	Path string // of the directory on this machine

	o      DirOptions
	place  *storage.Place
	here   *durable.Lock
	lock   *storage.Lock
	ctx    context.Context // of what goes there, which a signal does not end
	cancel context.CancelCauseFunc

	record  string // where known lies
	known   map[string]file
	mu      sync.Mutex
	next    *snapshot // waits for the one that is under way
	under   bool      // one is under way
	idle    *sync.Cond
	failure error // of the last one
}

// DirOptions say how a directory is written.
type DirOptions struct {
	// Rank says which files go first: those of a lower rank, and of the same in order of
	// their names.
	Rank func(name string) int
	// Private says of a name, relative and with slashes, that it stays here.
	Private func(name string) bool
	// Holder is who takes the lock, the object .lock.
	Holder storage.Holder
	// OnWait is told that the lock's holder may be dead, which is waited for.
	OnWait func(err error)
	// OnTrouble is told, from other goroutines, of what was not written there and will be
	// tried again with the next Commit; and that the store holds to no conditions, so that
	// two writers who begin at the same moment both go on.
	OnTrouble func(err error)
	// OnLost is told that another has taken the lock: from then on nothing is written.
	OnLost func()
}

// LockName is the lock's, below the URL.
const LockName = ".lock"

// file is what is known of an object: that these bytes, which lie here too, are it.
type file struct {
	ID   string `json:"id"`
	Size int64  `json:"size"`
	CRC  uint32 `json:"crc32c"`
	Of   string `json:"of,omitempty"` // of a link: the file that it was copied from, and its ID

	is os.FileInfo // as it was written, of this process
}

// Directory opens the directory that stands for a URL, whose writer this becomes:
// another one is durable.ErrLocked.
func (p *Paths) Directory(ctx context.Context, url string, o DirOptions) (*Dir, error) {
	if err := storage.Writable(url); err != nil {
		return nil, err
	}
	at, err := p.Place(ctx, url)
	if err != nil {
		return nil, err
	}
	d := &Dir{Path: p.hashed("runs", at.String()), o: o, place: at, known: map[string]file{}}
	d.record, d.idle = d.path(LockName+".json"), sync.NewCond(&d.mu)
	if err := durable.MkdirAll(d.Path); err != nil {
		return nil, err
	}
	d.ctx, d.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	if d.here, err = durable.TryLock(d.Path + LockName); err != nil {
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	now := time.Now() // of its last use, for who trims
	if err := os.Chtimes(d.Path+LockName, now, now); err != nil {
		return nil, errors.Join(err, d.here.Unlock())
	}
	lost := func() { d.cancel(storage.ErrLost); o.OnLost() }
	if d.lock, err = at.AwaitLock(ctx, LockName, o.Holder, lost, o.OnWait); err != nil {
		return nil, errors.Join(err, d.here.Unlock())
	}
	if d.lock.Weak {
		o.OnTrouble(fmt.Errorf("%s: %w", at, storage.ErrWeak))
	}
	if err := d.fetch(ctx); err != nil {
		return nil, errors.Join(err, d.lock.Unlock(), d.here.Unlock())
	}
	p.maps(d.Path, url)
	return d, nil
}

// fetchesAtOnce is how many objects are copied at a time.
const fetchesAtOnce = 4

// fetch makes the directory what is there, which alone counts.
func (d *Dir) fetch(ctx context.Context) error {
	b, err := regular.ReadFile(d.record, regular.Document)
	if err == nil {
		err = json.Unmarshal(b, &d.known)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		clear(d.known) // all is copied again
	}
	objects, err := d.place.List(ctx, "")
	if err != nil {
		return err
	}
	there := map[string]file{}
	var mu sync.Mutex
	err = inorder.Each(ctx, fetchesAtOnce, len(objects), func(ctx context.Context, i int) error {
		o := objects[i]
		if !d.ours(o.Name) {
			return nil
		}
		f, err := d.bring(ctx, o)
		mu.Lock()
		defer mu.Unlock()
		there[o.Name] = f
		return err
	})
	if err != nil {
		return err
	}
	if err := d.drop(there); err != nil {
		return err
	}
	d.known = there
	return d.remember()
}

// ours says whether an object is a file of the directory.
func (d *Dir) ours(name string) bool {
	return filepath.IsLocal(filepath.FromSlash(name)) && !strings.HasSuffix(name, "/") && !strings.HasPrefix(name, LockName) && !d.o.Private(name)
}

func (d *Dir) path(name string) string { return filepath.Join(d.Path, filepath.FromSlash(name)) }

// bring copies an object, unless it lies here as it was written there.
func (d *Dir) bring(ctx context.Context, i storage.Info) (file, error) {
	to := d.path(i.Name)
	if f, ok := d.known[i.Name]; ok && f.ID == i.ID && f.Size == i.Size && i.ID != "" {
		if info, err := os.Stat(to); err == nil && info.Size() == f.Size {
			if sum, err := sumOf(to); err == nil && sum == f.CRC {
				f.is, err = os.Lstat(to)
				return f, err
			}
		}
	}
	if err := durable.MkdirBelow(d.Path, filepath.ToSlash(filepath.Dir(filepath.FromSlash(i.Name)))); err != nil {
		return file{}, err
	}
	o, err := d.place.OpenObject(ctx, i.Name)
	if err != nil {
		return file{}, err
	}
	f := file{ID: o.Info().ID, Size: o.Size()}
	sum := newSum()
	err = durable.WriteFile(to, func(w io.Writer) error {
		_, err := io.Copy(io.MultiWriter(w, sum), o.Reader())
		return err
	})
	if err != nil {
		return file{}, err
	}
	f.CRC = sum.Sum32()
	f.is, err = os.Lstat(to)
	return f, err
}

// drop removes what lies here and not there.
func (d *Dir) drop(there map[string]file) error {
	return d.each(func(name string, _ fs.DirEntry) error {
		if _, ok := there[name]; ok {
			return nil
		}
		return os.Remove(d.path(name))
	})
}

// each calls f with the names of the directory's files and links.
func (d *Dir) each(f func(name string, e fs.DirEntry) error) error {
	return filepath.WalkDir(d.Path, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		rel, err := filepath.Rel(d.Path, path)
		if name := filepath.ToSlash(rel); err == nil && d.ours(name) {
			return f(name, e)
		}
		return err
	})
}

// remember writes what is known for the next call.
func (d *Dir) remember() error {
	b, err := json.Marshal(d.known)
	if err != nil {
		return err
	}
	return durable.WriteFile(d.record, func(w io.Writer) error { _, err := w.Write(b); return err })
}

// snapshot is the directory at the moment of a Commit. Its files are open: they are
// what they were, whatever becomes of the names.
type snapshot struct {
	files map[string]*os.File
	infos map[string]os.FileInfo // of the size that a file had then
	links map[string]string      // the name of the file that a link leads to
}

func (s *snapshot) close() {
	for _, f := range s.files {
		f.Close()
	}
}

// take takes a snapshot; the lock is not needed.
func (d *Dir) take() (*snapshot, error) {
	s := &snapshot{files: map[string]*os.File{}, infos: map[string]os.FileInfo{}, links: map[string]string{}}
	err := d.each(func(name string, e fs.DirEntry) error {
		if e.Type()&fs.ModeSymlink != 0 {
			to, err := os.Readlink(d.path(name))
			if err == nil {
				s.links[name] = filepath.ToSlash(filepath.Join(filepath.Dir(filepath.FromSlash(name)), to))
			}
			return err
		}
		f, info, err := regular.Open(d.path(name))
		if err == nil {
			s.files[name], s.infos[name] = f, info
		}
		return err
	})
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// Commit has the directory, as it is now, written there in the background. One that was
// to follow the one under way is left out: this one has all that it had. Its failure
// is OnTrouble's, and Wait's.
func (d *Dir) Commit() error {
	s, err := d.take()
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.next != nil {
		d.next.close()
	}
	d.next = s
	if !d.under {
		d.under = true
		go d.work()
	}
	return nil
}

// work writes what waits until nothing does.
func (d *Dir) work() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for d.next != nil {
		s := d.next
		d.next = nil
		d.mu.Unlock()
		err := d.write(s)
		s.close()
		if err != nil {
			if lost := context.Cause(d.ctx); lost != nil {
				err = lost
			}
			err = fmt.Errorf("%s: %w", d.place, err)
			d.o.OnTrouble(err)
		}
		d.mu.Lock()
		d.failure = err
	}
	d.under = false
	d.idle.Broadcast()
}

// Wait waits until all that was committed is there, and tries once more what failed.
func (d *Dir) Wait() error {
	if d.settled() == nil {
		return nil
	}
	if err := d.Commit(); err != nil {
		return err
	}
	return d.settled()
}

// settled waits until nothing is under way, and says what failed last.
func (d *Dir) settled() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for d.under {
		d.idle.Wait()
	}
	return d.failure
}

// write makes what is there a snapshot.
func (d *Dir) write(s *snapshot) error {
	names := slices.Collect(maps.Keys(s.files))
	names = slices.AppendSeq(names, maps.Keys(s.links))
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(d.o.Rank(a), d.o.Rank(b)), strings.Compare(a, b))
	})
	for _, name := range names {
		var err error
		if to, ok := s.links[name]; ok {
			err = d.link(name, to, s)
		} else {
			err = d.put(name, s.files[name], s.infos[name])
		}
		if err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.known)) {
		if slices.Contains(names, name) {
			continue
		}
		if err := d.lock.Held(d.ctx); err != nil {
			return err
		}
		if err := d.place.Remove(d.ctx, name); err != nil {
			return err
		}
		delete(d.known, name)
		if err := d.remember(); err != nil {
			return err
		}
	}
	return nil
}

// same says whether a file is the one that was written there.
func (f file) same(now os.FileInfo) bool {
	return f.is != nil && os.SameFile(f.is, now) && f.Size == now.Size() && f.is.ModTime().Equal(now.ModTime())
}

// put makes an object of a file, unless it is that already.
func (d *Dir) put(name string, f *os.File, info os.FileInfo) error {
	if d.known[name].same(info) {
		return nil
	}
	if err := d.lock.Write(d.ctx, name, f, info.Size()); err != nil {
		return err
	}
	sum := newSum()
	if _, err := io.Copy(sum, io.NewSectionReader(f, 0, info.Size())); err != nil {
		return err
	}
	return d.wrote(name, file{Size: info.Size(), CRC: sum.Sum32(), is: info})
}

// wrote notes what is there now.
func (d *Dir) wrote(name string, f file) error {
	info, err := d.place.Stat(d.ctx, name)
	if err != nil {
		return err
	}
	f.ID = info.ID
	d.known[name] = f
	return d.remember()
}

// link makes an object a copy of another, which the store makes.
func (d *Dir) link(name, to string, s *snapshot) error {
	from, ok := d.known[to]
	if !ok {
		return nil // to nothing that is there
	}
	of := to + " " + from.ID
	if d.known[name].Of == of {
		return nil
	}
	if from.Size > storage.MostCopied {
		return d.put(name, s.files[to], s.infos[to])
	}
	if err := d.lock.Held(d.ctx); err != nil {
		return err
	}
	if err := d.place.Copy(d.ctx, name, to); err != nil {
		return err
	}
	return d.wrote(name, file{Size: from.Size, CRC: from.CRC, Of: of})
}

// Figures are those of now.
func (d *Dir) Figures() storage.Figures { return d.place.Figures() }

// Close waits as Wait does and lets the directory go.
func (d *Dir) Close() error {
	err := d.Wait()
	return errors.Join(err, d.lock.Unlock(), d.here.Unlock())
}
