package inorder

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestFirstToFail: whichever piece fails first, the first in order is told; those before it are
// all done, those after it are told to end, and none is begun after.
func TestFirstToFail(t *testing.T) {
	for name, run := range map[string]func(ctx context.Context, workers, n int, work func(context.Context, int) error) error{
		"Each": Each,
		"Group": func(ctx context.Context, workers, n int, work func(context.Context, int) error) error {
			g, giving := New(ctx, workers)
			for i := range n {
				if !g.Go(func(ctx context.Context) error { return work(ctx, i) }) {
					if giving.Err() == nil {
						t.Error("Go gives false, and its context has not ended")
					}
					break
				}
			}
			return g.Wait()
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				// Four at a time: 5 fails after 1 s, 4 after 3 s; 6 lasts until it is told to end.
				var begun, done [20]atomic.Bool
				err := run(t.Context(), 4, 20, func(ctx context.Context, i int) error {
					begun[i].Store(true)
					defer done[i].Store(true)
					switch {
					case i < 4:
						return nil
					case i == 4 || i == 5:
						time.Sleep(time.Duration(11-2*i) * time.Second)
						if ctx.Err() != nil {
							t.Errorf("piece %d is told to end", i)
						}
						return fmt.Errorf("piece %d", i)
					}
					<-ctx.Done()
					return ctx.Err()
				})
				if err == nil || err.Error() != "piece 4" {
					t.Error(err)
				}
				for i := range begun {
					if begun[i].Load() != (i < 8) || begun[i].Load() != done[i].Load() {
						t.Errorf("piece %d: begun %v, done %v", i, begun[i].Load(), done[i].Load())
					}
				}
			})
		})
	}
}

// TestAllAreDone: without a failure all is done, no more at a time than were asked for, and an
// end of the context that nothing was lost for is none.
func TestAllAreDone(t *testing.T) {
	for _, workers := range []int{-1, 1, 3, 50} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			var mu sync.Mutex
			working, most, done := 0, 0, map[int]bool{}
			count := func(i, by int) {
				mu.Lock()
				defer mu.Unlock()
				working += by
				most = max(most, working)
				if done[i] = true; len(done) == 10 {
					cancel()
				}
			}
			err := Each(ctx, workers, 10, func(_ context.Context, i int) error {
				count(i, 1)
				time.Sleep(time.Second)
				count(i, -1)
				return nil
			})
			if err != nil || len(done) != 10 || most != min(max(workers, 1), 10) {
				t.Errorf("%d workers, %d at a time: done %v, %v", workers, most, done, err)
			}
		})
	}
	if err := Each(t.Context(), 4, 0, nil); err != nil {
		t.Error(err)
	}
}

// TestContextEnds: nothing is begun once it has, and its reason is given.
func TestContextEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var n atomic.Int64
	err := Each(ctx, 2, 1000, func(context.Context, int) error {
		if n.Add(1) == 5 {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) || n.Load() > 6 {
		t.Errorf("%v after %d", err, n.Load())
	}
}

func TestFirst(t *testing.T) {
	var f First
	one, two := errors.New("one"), errors.New("two")
	if f.Before(1<<60) != nil {
		t.Error("something failed")
	}
	f.Failed(7, two)
	f.Failed(5, one)
	f.Failed(6, two)
	for turn, want := range map[int64]error{4: nil, 5: nil, 6: one, 8: one} {
		if got := f.Before(turn); got != want {
			t.Errorf("before %d: %v, want %v", turn, got, want)
		}
	}
}
