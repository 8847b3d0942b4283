package inorder

import (
	"context"
	"sync"
	"sync/atomic"
)

// Group is pieces of work in the order in which they are given, some of them at a time.
type Group struct {
	ctx  context.Context
	end  context.CancelFunc
	room chan struct{}
	all  sync.WaitGroup

	mu      sync.Mutex
	begun   int
	working map[int]context.CancelFunc
	failed  int   // the first that failed
	err     error // of it
	dropped bool  // a piece was not begun
}

// New makes a group that works on so many pieces at a time. Its context ends once a piece has
// failed, or the group was waited for: it is for who makes pieces, and not for them.
func New(ctx context.Context, limit int) (*Group, context.Context) {
	g := &Group{ctx: ctx, room: make(chan struct{}, max(limit, 1)), working: map[int]context.CancelFunc{}}
	giving, end := context.WithCancel(ctx)
	g.end = end
	return g, giving
}

// Go begins the next piece, as soon as there is room for it. Where one has failed, or ctx has
// ended, none is begun any more, and it gives false. The context of a piece ends when one before
// it fails; those before one that fails go on, as they may fail too.
func (g *Group) Go(work func(context.Context) error) bool {
	g.room <- struct{}{}
	ctx, cancel := context.WithCancel(g.ctx)
	turn, ok := g.begin(cancel)
	if !ok {
		cancel()
		<-g.room
		return false
	}
	g.all.Go(func() {
		defer cancel()
		g.ended(turn, work(ctx))
		<-g.room
	})
	return true
}

// begin gives the turn of a piece that cancel ends.
func (g *Group) begin(cancel context.CancelFunc) (turn int, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err != nil || g.ctx.Err() != nil {
		g.dropped = true
		return 0, false
	}
	turn = g.begun
	g.begun++
	g.working[turn] = cancel
	return turn, true
}

func (g *Group) ended(turn int, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.working, turn)
	if err == nil || g.err != nil && turn > g.failed {
		return
	}
	g.failed, g.err = turn, err
	g.end()
	for later, cancel := range g.working {
		if later > turn {
			cancel()
		}
	}
}

// Wait gives the error of the first piece that failed, once none is at work; or ctx's, where
// that is why some were not begun.
func (g *Group) Wait() error {
	g.all.Wait()
	g.end()
	if g.err == nil && g.dropped {
		return g.ctx.Err()
	}
	return g.err
}

// Each does work on 0 to n-1, so many at a time, as a Group, and with as many goroutines.
func Each(ctx context.Context, workers, n int, work func(ctx context.Context, i int) error) error {
	g, _ := New(ctx, workers)
	var left atomic.Int64
	left.Store(int64(n))
	for range min(max(workers, 1), n) {
		g.all.Go(func() {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			for left.Add(-1) >= 0 {
				i, ok := g.begin(cancel)
				if !ok {
					return
				}
				g.ended(i, work(ctx, i))
			}
		})
	}
	return g.Wait()
}
