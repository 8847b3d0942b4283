package openfiles

import (
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

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

// TestLeastRecentlyUsed: the file that was not used for longest is closed for another, once nobody uses it.
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
	get(t, p, "x").Release()
	get(t, p, "y").Release() // z goes
	get(t, p, "z").Release() // x goes, and is used still
	if x.Open.closed.Load() != 0 {
		t.Error("a file in use was closed")
	}
	if x.Release(); x.Open.closed.Load() != 1 {
		t.Errorf("a file that left was closed %d times", x.Open.closed.Load())
	}
	if diff := cmp.Diff(map[string]int{"x": 1, "y": 2, "z": 2}, opened); diff != "" {
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

// TestClose: a pool that is closed closes its files, those in use when they are released, and also one that is being opened.
func TestClose(t *testing.T) {
	var p *Pool[string, *handle]
	late := &handle{}
	p = New(9, func(key string) (*handle, error) {
		if key != "late" {
			return &handle{}, nil
		}
		p.Close()
		return late, nil
	})
	x, y := get(t, p, "x"), get(t, p, "y")
	y.Release()
	if _, err := p.Get("late"); !errors.Is(err, os.ErrClosed) || late.closed.Load() != 1 {
		t.Errorf("opened while it was closed: %v, closed %d times", err, late.closed.Load())
	}
	if x.Open.closed.Load() != 0 || y.Open.closed.Load() != 1 {
		t.Errorf("closed: one in use %d times, one kept %d", x.Open.closed.Load(), y.Open.closed.Load())
	}
	if x.Release(); x.Open.closed.Load() != 1 {
		t.Error("a file in use was not closed when it was released")
	}
	if _, err := p.Get("x"); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// TestNobodyWaits: who needs another file does not wait for one that is being opened, and of two that open the
// same one is kept.
func TestNobodyWaits(t *testing.T) {
	began, end := make(chan bool), make(chan bool)
	p := New(9, func(key string) (*handle, error) {
		if key == "slow" {
			began <- true
			<-end
		}
		return &handle{}, nil
	})
	got := make([]*File[string, *handle], 2)
	var wg sync.WaitGroup
	for i := range got {
		wg.Go(func() { got[i], _ = p.Get("slow") })
	}
	<-began
	<-began
	get(t, p, "x").Release()
	close(end)
	wg.Wait()
	if got[0] != got[1] || got[0].Open.closed.Load() != 0 {
		t.Error("two of one file are kept, or it was closed")
	}
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
	if len(p.open) > 3 || p.used.Len() != len(p.open) {
		t.Errorf("%d files are kept, %d in order; want 3 at most", len(p.open), p.used.Len())
	}
	p.Close()
	for _, h := range all {
		if h.closed.Load() != 1 {
			t.Fatalf("a file was closed %d times", h.closed.Load())
		}
	}
}
