package storage

import (
	"context"
	"sync"
	"time"
)

// waitedLong is for how long a store is asked again before that is worth a word. Tests shorten it.
var waitedLong = 5 * time.Second

// Waiting is a bucket or a web server that is asked again, since it failed for a while.
type Waiting struct {
	Place string    // its URL
	Err   error     // what came of asking last
	Until time.Time // when it is given up, unless something comes
}

// OnWaiting gives a context under which tell is told, by one goroutine at a time, of the places
// that have been asked again for some seconds: of each once until it would be given up, however
// many ask it. It is the context's, and no option of a place, since who waits has not opened it.
func OnWaiting(ctx context.Context, tell func(Waiting)) context.Context {
	return context.WithValue(ctx, waiter{}, &waits{tell: tell, until: map[string]time.Time{}})
}

// waiter is the key of a context's value: waits.
type waiter struct{}

// waits are the places of which was told, by when they would be given up.
type waits struct {
	mu    sync.Mutex
	tell  func(Waiting)
	until map[string]time.Time
}

// waiting tells who wants to know that the place has been asked since it began to fail.
func (p *Place) waiting(ctx context.Context, began time.Time, err error) {
	all, ok := ctx.Value(waiter{}).(*waits)
	if now := time.Now(); ok && now.Sub(began) >= waitedLong {
		root := p.at
		root.key = ""
		all.add(now, Waiting{Place: root.String(), Err: err, Until: began.Add(p.o.Patience)})
	}
}

func (all *waits) add(now time.Time, w Waiting) {
	all.mu.Lock()
	defer all.mu.Unlock()
	was := all.until[w.Place]
	if w.Until.After(was) { // others that began to ask later go on after the first give up
		all.until[w.Place] = w.Until
	}
	if now.After(was) {
		all.tell(w)
	}
}
