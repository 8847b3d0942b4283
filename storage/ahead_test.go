package storage_test

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"testing"

	"github.com/synshard/synshard/storage"
	"github.com/synshard/synshard/storage/storagetest"
)

// TestAheadMemory has many read at a time, each in order, with memory for few: what is under
// way counts, too, and what is closed takes none.
func TestAheadMemory(t *testing.T) {
	const readers, each, budget, piece = 12, 6 << 20, 8 << 20, 256 << 10
	s := storagetest.Start(t)
	p := open(t, s.URL("x"), storage.Options{})
	want := random(each, 1)
	s.Put(t, "x/a", want)
	a := storage.NewAhead(budget, 0)
	var group sync.WaitGroup
	for i := range readers {
		o, err := p.OpenRead(t.Context(), "a")
		check(t, err)
		group.Go(func() {
			r := a.Reader(o)
			for at := 0; at < each; at += piece {
				b := make([]byte, piece)
				if _, err := r.ReadAt(b, int64(at)); err != nil && err != io.EOF || !bytes.Equal(b, want[at:at+piece]) {
					t.Errorf("reader %d at %d: %v", i, at, err)
					return
				}
				if used := a.Used(); used > budget+readers*piece {
					t.Errorf("%d bytes are read ahead", used)
					return
				}
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if used := a.Used(); used != 0 {
		t.Error(fmt.Sprint(used, " bytes are kept of what is closed"))
	}
}

// TestAheadRuns: what forward reads have behind them is let go though they passed over the most of
// it; and who reads elsewhere in the same object goes on by large ranges.
func TestAheadRuns(t *testing.T) {
	const size, step, piece = 40 << 20, 256 << 10, 16 << 10
	s := storagetest.Start(t)
	p := open(t, s.URL("x"), storage.Options{})
	want := random(size, 1)
	s.Put(t, "x/a", want)
	o, err := p.OpenObject(t.Context(), "a")
	check(t, err)
	a := storage.NewAhead(64<<20, 1<<20)
	r := a.Reader(o)
	read := func(at int) {
		t.Helper()
		b := make([]byte, piece)
		if _, err := r.ReadAt(b, int64(at)); err != nil || !bytes.Equal(b, want[at:at+piece]) {
			t.Fatalf("at %d: %v", at, err)
		}
	}
	for at := 0; at < size; at += step {
		read(at)
	}
	if used := a.Used(); used > 3*8<<20 {
		t.Errorf("%d bytes are kept behind headers that were read", used)
	}
	check(t, r.Close())
	began := p.Traffic().Requests.Load()
	for at := 0; at < size/2; at += piece { // two, of whom one is ten times as fast
		if read(size/2 + at); at%(10*piece) == 0 {
			read(at / 10)
		}
	}
	if n := p.Traffic().Requests.Load() - began; n > 20 {
		t.Errorf("two who read in order made %d requests", n)
	}
}

// TestAheadSeveral: who reads in order alone has several of the largest ranges under way; of more readers each
// keeps to its share of the memory, so that nothing is fetched twice.
func TestAheadSeveral(t *testing.T) {
	const size, piece, largest, budget = 64 << 20, 256 << 10, 8 << 20, 64 << 20
	s := storagetest.Start(t)
	s.Put(t, "x/a", random(size, 1))
	for readers, want := range map[int]int64{1: 4 * largest, 4: budget / 2} {
		p := open(t, s.URL("x"), storage.Options{}) // counts what this case asks for: some of it after the last read
		o, err := p.OpenObject(t.Context(), "a")
		check(t, err)
		a := storage.NewAhead(budget, 0)
		r := a.Reader(o)
		began, most := p.Traffic().Requests.Load(), int64(0)
		each := size / readers
		for at := 0; at < each; at += piece {
			for i := range readers {
				if _, err := r.ReadAt(make([]byte, piece), int64(i*each+at)); err != nil && err != io.EOF {
					t.Fatalf("%d readers at %d: %v", readers, at, err)
				}
				most = max(most, a.Used())
			}
		}
		if most < want || most > budget {
			t.Errorf("%d readers: %d bytes are read ahead at most, and not %d", readers, most, want)
		}
		if n := p.Traffic().Requests.Load() - began; n > int64(size/largest+4*readers) {
			t.Errorf("%d readers made %d requests", readers, n)
		}
		check(t, r.Close())
	}
}

// TestAheadFirst: what came along when an object was opened is not asked for again, and counts.
func TestAheadFirst(t *testing.T) {
	s := storagetest.Start(t)
	p := open(t, s.URL("x"), storage.Options{})
	want := random(100_000, 1)
	check(t, p.Write(t.Context(), "a", want))
	began := p.Traffic().Requests.Load()
	o, err := p.OpenRead(t.Context(), "a")
	check(t, err)
	a := storage.NewAhead(1<<20, 0)
	r := a.Reader(o)
	if used := a.Used(); used != 64<<10 {
		t.Errorf("%d bytes came along", used)
	}
	b := make([]byte, len(want))
	if _, err := r.ReadAt(b, 0); err != nil || !bytes.Equal(b, want) {
		t.Error("other bytes", err)
	}
	if n := p.Traffic().Requests.Load() - began; n != 2 {
		t.Errorf("%d requests", n)
	}
	check(t, r.Close())
	if used := a.Used(); used != 0 {
		t.Errorf("%d bytes are kept of what is closed", used)
	}
}
