package storage

import (
	"io"
	"sync"
)

// Ahead keeps what is read ahead of objects that are read in order, of all of them
// within one bound of memory. Reads that go forward become requests for ever larger
// ranges, the next one under way while one is used; reads anywhere else ask for what
// they want and no more.
type Ahead struct {
	slack  int64 // a read so far behind the last one's end still goes forward
	budget int64

	mu   sync.Mutex
	used int64 // bytes of all windows
	tick int64
	all  []*window
}

const (
	firstWindow = 16 << 10
	mostWindow  = 8 << 20
)

// NewAhead gives one that takes so many bytes of memory. Slack is how many bytes may
// be passed over: reading them costs less than another request.
func NewAhead(budget, slack int64) *Ahead { return &Ahead{slack: slack, budget: budget} }

// window is a range that was asked for. Its bytes are there when done is closed.
type window struct {
	of       *AheadReader
	from, to int64
	used     int64
	done     chan struct{}
	data     []byte
	err      error
}

// AheadReader reads an object. It is for many goroutines.
type AheadReader struct {
	*Object
	a *Ahead
}

// Reader gives an object's reader.
func (a *Ahead) Reader(o *Object) *AheadReader { return &AheadReader{o, a} }

// ReadAt is Object.ReadAt.
func (r *AheadReader) ReadAt(b []byte, at int64) (n int, err error) {
	for n < len(b) {
		if at+int64(n) >= r.Size() {
			return n, io.EOF
		}
		w := r.window(at+int64(n), int64(len(b)-n))
		<-w.done
		if w.err != nil {
			r.a.drop(w)
			return n, w.err
		}
		n += copy(b[n:], w.data[at+int64(n)-w.from:])
	}
	return n, nil
}

// window gives the one in which a byte lies, and has what is wanted next fetched.
func (r *AheadReader) window(at, want int64) *window {
	a := r.a
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tick++
	var before *window // ends shortly before
	for _, w := range a.all {
		switch {
		case w.of.Object != r.Object:
		case w.from <= at && at < w.to:
			w.used = a.tick
			if size := w.to - w.from; size > firstWindow && at+want-w.from > size/2 && w.to < r.Size() && a.at(r, w.to) == nil {
				a.fetch(r, w.to, min(4*size, mostWindow))
			}
			return w
		case w.to <= at && at <= w.to+a.slack && (before == nil || w.to > before.to):
			before = w
		}
	}
	switch {
	case before != nil:
		return a.fetch(r, at, max(min(4*(before.to-before.from), mostWindow), want))
	case want < firstWindow:
		return a.fetch(r, at, firstWindow)
	}
	return a.fetch(r, at, want)
}

// at finds the window in which a byte lies; nil where there is none.
func (a *Ahead) at(r *AheadReader, at int64) *window {
	for _, w := range a.all {
		if w.of.Object == r.Object && w.from <= at && at < w.to {
			return w
		}
	}
	return nil
}

// fetch begins to read a range; the lock is held.
func (a *Ahead) fetch(r *AheadReader, from, size int64) *window {
	size = min(size, r.Size()-from)
	if next := a.after(r, from); next > 0 {
		size = min(size, next-from)
	}
	w := &window{of: r, from: from, to: from + size, used: a.tick, done: make(chan struct{})}
	a.used += size
	a.all = append(a.all, w)
	a.shrink()
	go func() {
		defer close(w.done)
		w.data = make([]byte, size)
		_, w.err = r.Object.ReadAt(w.data, from)
	}()
	return w
}

// after is where the first window behind a byte begins; 0: there is none.
func (a *Ahead) after(r *AheadReader, at int64) (first int64) {
	for _, w := range a.all {
		if w.of.Object == r.Object && w.from > at && (first == 0 || w.from < first) {
			first = w.from
		}
	}
	return first
}

// shrink forgets what was not used for longest until the bound is kept. What is under
// way stays.
func (a *Ahead) shrink() {
	for a.used > a.budget {
		oldest := -1
		for i, w := range a.all {
			select {
			case <-w.done:
				if w.used < a.tick && (oldest < 0 || w.used < a.all[oldest].used) {
					oldest = i
				}
			default:
			}
		}
		if oldest < 0 {
			return
		}
		a.forget(oldest)
	}
}

func (a *Ahead) forget(i int) {
	a.used -= a.all[i].to - a.all[i].from
	a.all[i] = a.all[len(a.all)-1]
	a.all = a.all[:len(a.all)-1]
}

// drop forgets a window that could not be had.
func (a *Ahead) drop(w *window) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range a.all {
		if a.all[i] == w {
			a.forget(i)
			return
		}
	}
}
