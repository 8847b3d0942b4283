package storage

import (
	"cmp"
	"io"
	"sync"
)

// Ahead keeps what is read ahead of objects that are read in order, of all of them
// within one bound of memory. Reads that go forward become requests for ever larger
// ranges, the next ones under way while one is used; reads anywhere else ask for what
// they want and no more. So do those of many readers for whom the memory is too little.
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
	// windowsAhead are how many are under way where they have the largest size: a store that sends one looks
	// for the others meanwhile.
	windowsAhead = 3
)

// NewAhead gives one that takes so many bytes of memory. Slack is how many bytes may
// be passed over: reading them costs less than another request.
func NewAhead(budget, slack int64) *Ahead { return &Ahead{slack: slack, budget: budget} }

// window is a range that was asked for. Its bytes are there when done is closed.
type window struct {
	of       *AheadReader
	from, to int64
	run      *run
	asked    int64 // when it was asked for and when it was used, by Ahead.tick
	used     int64
	spent    bool // it was read to its end
	holders  int  // who use its bytes: who fetches them, who reads them, and all while it is kept
	done     chan struct{}
	data     []byte
	err      error
}

// run is one reader in order: all windows that reads went through forward.
type run struct{ used int64 }

// AheadReader reads an object. It is for many goroutines.
type AheadReader struct {
	*Object
	a *Ahead
}

// Reader gives an object's reader. What came along when the object was opened is a window
// like others from here on.
func (a *Ahead) Reader(o *Object) *AheadReader {
	r := &AheadReader{o, a}
	if first := o.first; len(first) > 0 {
		o.first = nil
		w := &window{of: r, to: int64(len(first)), holders: 1, done: make(chan struct{}), data: first}
		close(w.done)
		a.mu.Lock()
		defer a.mu.Unlock()
		a.tick++
		w.run, w.asked, w.used = &run{a.tick}, a.tick, a.tick
		a.add(w)
	}
	return r
}

// Close lets go what was read ahead. It is for who alone reads through r; others need not
// close theirs.
func (r *AheadReader) Close() error {
	a := r.a
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := len(a.all) - 1; i >= 0; i-- {
		if a.all[i].of.Object == r.Object {
			a.forget(i)
		}
	}
	return nil
}

// ReadAt is Object.ReadAt.
func (r *AheadReader) ReadAt(b []byte, at int64) (n int, err error) {
	for n < len(b) {
		if at+int64(n) >= r.Size() {
			return n, io.EOF
		}
		w := r.window(at+int64(n), int64(len(b)-n))
		<-w.done
		if err := w.err; err != nil {
			r.a.drop(w)
			r.a.leave(w)
			return n, err
		}
		n += copy(b[n:], w.data[at+int64(n)-w.from:])
		r.a.leave(w)
	}
	return n, nil
}

// window gives the one in which a byte lies, and has what is wanted next fetched. Who got it
// leaves it.
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
			w.used, w.run.used = a.tick, a.tick
			w.holders++
			w.spent = w.spent || at+want >= w.to
			if size := w.to - w.from; size > firstWindow && at+want-w.from > size/2 {
				a.passed(w)
				a.further(r, w, at+want-w.to)
			}
			return w
		case w.to <= at && at <= w.to+a.slack && (before == nil || w.to > before.to):
			before = w
		}
	}
	size, by := max(want, firstWindow), &run{}
	if before != nil {
		by = before.run
		size = max(a.room(min(4*(before.to-before.from), mostWindow), a.tick), size)
	}
	by.used = a.tick
	w := a.fetch(r, at, size, by)
	w.holders++
	w.spent = at+want >= w.to
	return w
}

// further has what follows a window fetched, of which so many bytes are wanted now: one window or,
// where those are of the largest size, as many as fit in the reader's share of the memory.
func (a *Ahead) further(r *AheadReader, w *window, want int64) {
	since := w.asked
	for n := 0; n < windowsAhead && w.to < r.Size(); n++ {
		next := a.at(r, w.to)
		if next == nil {
			size := min(max(4*(w.to-w.from), want), mostWindow)
			if n > 0 && (w.to-w.from < mostWindow || !a.shares(w.run, size, since)) {
				return
			}
			if size = a.room(size, since); size <= firstWindow {
				return
			}
			next = a.fetch(r, w.to, size, w.run)
		}
		w = next
	}
}

// shares says whether so many bytes more are within a reader's share, which all have equally
// who read since a moment.
func (a *Ahead) shares(by *run, size, since int64) bool {
	readers := map[*run]bool{by: true}
	for _, w := range a.all {
		if w.run.used >= since {
			readers[w.run] = true
		}
		if w.run == by {
			size += w.to - w.from
		}
	}
	return size <= a.budget/int64(len(readers))
}

// room gives how many of so many bytes there is memory for: where is forgotten what was read to its end, or
// what is of readers who did not read since a moment.
func (a *Ahead) room(size, since int64) int64 {
	a.shrink(a.budget-size, since)
	return min(size, max(a.budget-a.used, 0))
}

// passed forgets what reads that went forward to a window, of which half is read, have behind
// them: what was read to its end, and what lies farther back than who reads in nearly this
// order comes. Another's windows say where that one is, and are left.
func (a *Ahead) passed(by *window) {
	for i := len(a.all) - 1; i >= 0; i-- {
		if w := a.all[i]; w.run == by.run && (w.spent && w.to <= by.from || w.to <= by.from-mostWindow) {
			a.forget(i)
		}
	}
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
func (a *Ahead) fetch(r *AheadReader, from, size int64, by *run) *window {
	size = min(size, r.Size()-from)
	if next := a.after(r, from); next > 0 {
		size = min(size, next-from)
	}
	w := &window{of: r, from: from, to: from + size, run: by, asked: a.tick, used: a.tick, holders: 2, done: make(chan struct{})}
	a.add(w)
	go func() {
		defer a.leave(w)
		defer close(w.done)
		if w.data, w.err = memory(size); w.err == nil {
			_, w.err = r.Object.ReadAt(w.data, from)
		}
	}()
	return w
}

// add keeps a window; the lock is held.
func (a *Ahead) add(w *window) {
	a.used += w.to - w.from
	a.all = append(a.all, w)
	a.shrink(a.budget, a.tick)
}

// leave says that somebody uses a window's bytes no longer.
func (a *Ahead) leave(w *window) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.left(w)
}

// left is leave where the lock is held.
func (a *Ahead) left(w *window) {
	if w.holders--; w.holders == 0 {
		unused(w.data)
		w.data = nil
	}
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

// shrink forgets until at most so many bytes are left: what was read to its end first, and then what
// is of readers who did not read since a moment (now: of all), of who read longest ago first. What is
// under way stays.
func (a *Ahead) shrink(most, since int64) {
	for a.used > most {
		worst := -1
		for i, w := range a.all {
			select {
			case <-w.done:
				if w.used < a.tick && (w.spent || w.run.used < since || since == a.tick) && (worst < 0 || w.worse(a.all[worst])) {
					worst = i
				}
			default:
			}
		}
		if worst < 0 {
			return
		}
		a.forget(worst)
	}
}

// worse says whether a window is forgotten before another.
func (w *window) worse(than *window) bool {
	if w.spent != than.spent {
		return w.spent
	}
	return cmp.Or(cmp.Compare(w.run.used, than.run.used), cmp.Compare(w.used, than.used)) < 0
}

func (a *Ahead) forget(i int) {
	w := a.all[i]
	a.used -= w.to - w.from
	a.left(w)
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
