package arrowipc

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/arrow/memory"
)

// TestLeaf wants a column read alone to be what it is in its record.
func TestLeaf(t *testing.T) {
	leaves := 0
	for name := range goldens(t) {
		b := read(t, name)
		f, err := Open(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		for i := range f.Batches() {
			for k := range f.Schema().Fields() {
				rec, err := f.Record(i, []int{k})
				leaf, _, leafErr := f.Leaf(i, k)
				if (err == nil) != (leafErr == nil) {
					t.Errorf("%s, column %d: Record gives %v, Leaf %v", name, k, err, leafErr)
				}
				if err != nil || leafErr != nil {
					continue
				}
				leaves++
				if !array.Equal(rec.Column(0), leaf) {
					t.Errorf("%s, column %d: %v, want %v", name, k, leaf, rec.Column(0))
				}
				if s, ok := rec.Column(0).(*array.Struct); ok {
					leaves += leafChildren(t, name, f, i, k, s)
				}
			}
		}
	}
	if leaves < 100 {
		t.Errorf("%d columns", leaves)
	}
}

func leafChildren(t *testing.T, name string, f *File, i, k int, s *array.Struct) int {
	t.Helper()
	for c := range s.NumField() {
		leaf, valid, err := f.Leaf(i, k, c)
		if err != nil {
			t.Fatal(err)
		}
		if !array.Equal(s.Field(c), leaf) {
			t.Errorf("%s, column %d.%d: %v, want %v", name, k, c, leaf, s.Field(c))
		}
		for row := range s.Len() {
			if valid(row) != s.IsValid(row) {
				t.Errorf("%s, column %d.%d, row %d: valid is %v", name, k, c, row, valid(row))
			}
		}
	}
	return s.NumField()
}

// reads counts the bytes that are read.
type reads struct {
	io.ReaderAt
	n int
}

func (r *reads) ReadAt(b []byte, at int64) (int, error) {
	r.n += len(b)
	return r.ReaderAt.ReadAt(b, at)
}

// TestLeafReadsItsOwnBytes wants labels to be read without the images.
func TestLeafReadsItsOwnBytes(t *testing.T) {
	images := array.NewBinaryBuilder(memory.DefaultAllocator, arrow.BinaryTypes.Binary)
	labels := array.NewInt64Builder(memory.DefaultAllocator)
	for i := range 10 {
		images.Append(make([]byte, 10000))
		labels.Append(int64(i))
	}
	schema := arrow.NewSchema([]arrow.Field{{Name: "image", Type: arrow.BinaryTypes.Binary}, {Name: "label", Type: arrow.PrimitiveTypes.Int64}}, nil)
	var out bytes.Buffer
	w := ipc.NewWriter(&out, ipc.WithSchema(schema))
	if err := errors.Join(w.Write(array.NewRecord(schema, []arrow.Array{images.NewArray(), labels.NewArray()}, 10)), w.Close()); err != nil {
		t.Fatal(err)
	}
	b := out.Bytes()
	in := &reads{ReaderAt: bytes.NewReader(b)}
	f, err := Open(in, int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	in.n = 0
	leaf, valid, err := f.Leaf(0, 1)
	if err != nil {
		t.Fatal(err)
	}
	if v, ok := Int(leaf, 9); v != 9 || !ok || !valid(9) || in.n > 2000 {
		t.Errorf("row 9 is %d, %v, after reading %d bytes of %d", v, ok, in.n, len(b))
	}
	for _, path := range [][]int{{2}, {-1}, {0, 0}, {}} {
		if _, _, err := f.Leaf(0, path...); err == nil {
			t.Errorf("column %v was read", path)
		}
	}
	if _, _, err := f.Leaf(1, 0); err == nil {
		t.Error("batch 1 of 1 was read")
	}
}
