package arrowipc

import (
	"bytes"
	"errors"
	"runtime"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/synshard/synshard/internal/raced"
)

// touch reads all that a file holds, as far as it can be read: whatever the
// bytes, nothing else than these two errors may come of it.
func touch(t testing.TB, b []byte) {
	f, err := OpenBytes(b)
	if err == nil {
		for i := range f.Batches() {
			for k := range f.Schema().Fields() {
				rec, err := f.Record(i, []int{k})
				if err == nil {
					for row := range int(min(rec.NumRows(), 1000)) {
						look(rec.Column(0), row, 0)
					}
				} else if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrUnsupported) {
					t.Fatalf("batch %d, column %d: %v", i, k, err)
				}
				v, err := f.Vectors(i, k)
				for row := 0; err == nil && row < int(f.Batches()[i].Rows); row += 100 {
					v.Valid(row)
				}
				if err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrUnsupported) {
					t.Fatalf("places in batch %d, column %d: %v", i, k, err)
				}
			}
			f.DataAt(i, 0)
		}
	} else if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrUnsupported) {
		t.Fatal(err)
	}
}

// look looks at a value and at those within it.
func look(a arrow.Array, i, depth int) {
	switch a := a.(type) {
	case *array.Struct:
		for k := range a.NumField() {
			look(a.Field(k), i, depth+1)
		}
	case array.ListLike:
		if a.IsValid(i) {
			from, to := a.ValueOffsets(i)
			for k := from; k < min(to, from+100); k++ {
				look(a.ListValues(), int(k), depth+1)
			}
		}
	default:
		Bytes(a, i)
		textOf(a, i)
		Int(a, i)
	}
}

// TestFlipped changes every byte of every golden file, in one of three ways in
// turn, and cuts the files. Nothing may panic, and memory stays in proportion.
func TestFlipped(t *testing.T) {
	raced.Skip(t, "one goroutine does it all")
	masks := []byte{0xff, 0x01, 0x80}
	for name := range goldens(t) {
		b := read(t, name)
		step := 1
		if testing.Short() {
			step = 5
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for i := 0; i < len(b); i += step {
			b[i] ^= masks[i%len(masks)]
			touch(t, b)
			b[i] ^= masks[i%len(masks)]
		}
		runtime.ReadMemStats(&after)
		if per := (after.TotalAlloc - before.TotalAlloc) * uint64(step) / uint64(len(b)); per > 8<<20 {
			t.Errorf("%s of %d bytes: %d bytes taken to read it damaged", name, len(b), per)
		}
		for n := 0; n < len(b); n += 5 * step {
			touch(t, b[:n:n])
		}
	}
}

// TestBomb wants a buffer that says it unpacks to all memory to end in an
// error, and one that does so to be stopped.
func TestBomb(t *testing.T) {
	u, err := newUnpacker(1, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []uint64{1 << 62, 1 << 40, leastUnpacked + 100*1000 + 1, 1<<63 + 1} {
		if _, err := u.buffer(le.AppendUint64(nil, n)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	// 200 MB announced, and three bytes there: no more is taken than comes.
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := u.buffer(append(le.AppendUint64(nil, 200<<20), 1, 2, 3)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("three bytes: %v", err)
	}
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 32<<20 {
		t.Errorf("%d bytes taken", took)
	}
}

func FuzzOpen(f *testing.F) {
	for name := range goldens(f) {
		f.Add(read(f, name))
	}
	f.Add(read(f, "pyarrow-1.feather"))
	f.Add(bytes.Repeat([]byte{0xff}, 64))
	f.Fuzz(func(t *testing.T, b []byte) { touch(t, b) })
}
