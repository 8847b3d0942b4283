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
