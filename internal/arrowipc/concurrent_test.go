package arrowipc

import (
	"bytes"
	"sync"
	"testing"
)

// TestConcurrent reads a file with dictionaries from many goroutines.
func TestConcurrent(t *testing.T) {
	b := read(t, "pyarrow-kinds.arrow")
	f, err := Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			var buf []byte
			for range 5 {
				for i := range f.Batches() {
					rec, err := f.RecordIn(&buf, i, nil)
					if err != nil {
						t.Error(err)
						return
					}
					for k := range rec.Columns() {
						look(rec.Column(k), 0, 0)
					}
				}
			}
		})
	}
	wg.Wait()
}
