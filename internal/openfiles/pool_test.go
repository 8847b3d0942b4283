package openfiles

import (
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
)

// handle is a file that knows how often it was closed.
type handle struct{ closed atomic.Int32 }

func (h *handle) Close() error {
	h.closed.Add(1)
	return nil
}

// get gets a file that can be had.
func get(t *testing.T, p *Pool[string, *handle], key string) *File[string, *handle] {
	t.Helper()
	f, err := p.Get(key)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestLeastRecentlyUsed: of those that nobody uses the file that was not used for longest is closed for another.
func TestLeastRecentlyUsed(t *testing.T) {
	opened := map[string]int{}
	p := New(2, func(key string) (*handle, error) {
		opened[key]++
		return &handle{}, nil
	})
	x := get(t, p, "x")
	get(t, p, "y").Release()
	get(t, p, "x").Release()
	get(t, p, "z").Release() // y goes
	y := get(t, p, "y")      // z goes
	get(t, p, "z").Release() // a third, while x and y are in use: it goes at once
	if x.Open.closed.Load()+y.Open.closed.Load() != 0 {
		t.Error("a file in use was closed")
	}
	x.Release()
	y.Release()
	get(t, p, "w").Release() // x goes
	if x.Open.closed.Load() != 1 || y.Open.closed.Load() != 0 {
		t.Errorf("closed: x %d times, y %d", x.Open.closed.Load(), y.Open.closed.Load())
	}
	if diff := cmp.Diff(map[string]int{"x": 1, "y": 2, "z": 2, "w": 1}, opened); diff != "" {
		t.Errorf("opened (-want +got):\n%s", diff)
	}
}

// TestTooMany: where no more files can be opened, kept ones are closed until one can.
func TestTooMany(t *testing.T) {
	fail, tries := 0, 0
	p := New(9, func(string) (*handle, error) {
		tries++
		if fail--; fail >= 0 {
			return nil, syscall.EMFILE
		}
		return &handle{}, nil
	})
	x := get(t, p, "x")
	get(t, p, "y").Release()
	x.Release()
	fail = 2
	get(t, p, "z").Release()
	if x.Open.closed.Load() != 1 {
		t.Error("x was not closed for z")
	}
	fail, tries = 9, 0
	if _, err := p.Get("w"); !errors.Is(err, syscall.EMFILE) || tries != 2 { // z was all there was
		t.Errorf("%v after %d tries", err, tries)
	}
}

// TestClose: a pool that is closed closes its files, those in use when they are released, and also one that was being opened.
func TestClose(t *testing.T) {
	var p *Pool[string, *handle]
	p = New(9, func(key string) (*handle, error) {
		if key == "late" {
			p.Close()
		}
		return &handle{}, nil
	})
	x, y := get(t, p, "x"), get(t, p, "y")
	y.Release()
	late := get(t, p, "late")
	if x.Open.closed.Load()+late.Open.closed.Load() != 0 || y.Open.closed.Load() != 1 {
		t.Errorf("closed: those in use %d and %d times, one kept %d", x.Open.closed.Load(), late.Open.closed.Load(), y.Open.closed.Load())
	}
	x.Release()
	late.Release()
	if x.Open.closed.Load() != 1 || late.Open.closed.Load() != 1 {
		t.Error("files in use were not closed when they were released")
	}
	if _, err := p.Get("x"); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// TestOpenedOnce: who needs another file does not wait for one that is being opened; those who need the same have it
// opened once, or all learn why not, and the next tries again.
func TestOpenedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end, want, opened := make(chan bool), errors.New("no such file"), 0
		p := New(9, func(key string) (*handle, error) {
			if key != "slow" {
				return &handle{}, nil
			}
			if opened++; !<-end {
				return nil, want
			}
			return &handle{}, nil
		})
		for _, good := range []bool{false, true} {
			var wg sync.WaitGroup
			var got [3]*File[string, *handle]
			for i := range got {
				wg.Go(func() {
					var err error
					if got[i], err = p.Get("slow"); good != (err == nil) || !good && err != want {
						t.Errorf("good: %v; %v", good, err)
					}
				})
			}
			synctest.Wait() // all of them wait
			get(t, p, "x").Release()
			end <- good
			wg.Wait()
			if got[0] != got[1] || got[0] != got[2] {
				t.Error("several of one file")
			}
		}
		if opened != 2 {
			t.Errorf("opened %d times", opened)
		}
	})
}

// TestManyUsers: what many use through a pool that is too small for them is open while they do, and is closed once.
func TestManyUsers(t *testing.T) {
	var mu sync.Mutex
	var all []*handle
	p := New(3, func(int) (*handle, error) {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, &handle{})
		return all[len(all)-1], nil
	})
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for k := range 300 {
				f, err := p.Get((k*7 + worker*3) % 10)
				if err != nil || f.Open.closed.Load() != 0 {
					t.Errorf("%v, or a closed file", err)
					return
				}
				f.Release()
			}
		})
	}
	wg.Wait()
	if len(p.files) > 3 || p.used.Len() != len(p.files) {
		t.Errorf("%d files are kept, %d in order; want 3 at most", len(p.files), p.used.Len())
	}
	p.Close()
	for _, h := range all {
		if h.closed.Load() != 1 {
			t.Fatalf("a file was closed %d times", h.closed.Load())
		}
	}
}
