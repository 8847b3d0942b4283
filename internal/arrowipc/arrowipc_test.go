package arrowipc

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/endian"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/google/go-cmp/cmp"
)

// golden is what scripts/golden/arrow_foreign.py says of a file it wrote.
type golden struct {
	Stream, Ended bool
	Batches       []int64
	Columns       map[string][]any
	K             string
}

func goldens(t testing.TB) map[string]golden {
	t.Helper()
	b, err := os.ReadFile("testdata/expected.json")
	if err != nil {
		t.Fatal(err)
	}
	var all struct{ Files map[string]golden }
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&all); err != nil {
		t.Fatal(err)
	}
	if len(all.Files) < 20 {
		t.Fatalf("%d files", len(all.Files))
	}
	return all.Files
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// value is row i of a column as the golden data have it.
func value(t testing.TB, a arrow.Array, i int) any {
	t.Helper()
	if s, ok := a.(*array.Struct); ok && s.IsValid(i) {
		out := map[string]any{}
		for k, f := range s.DataType().(*arrow.StructType).Fields() {
			out[f.Name] = value(t, s.Field(k), i)
		}
		return out
	}
	if l, ok := a.(array.ListLike); ok && l.IsValid(i) {
		out := []any{}
		from, to := l.ValueOffsets(i)
		for k := from; k < to; k++ {
			out = append(out, value(t, l.ListValues(), int(k)))
		}
		return out
	}
	if v, ok := Int(a, i); ok {
		text, _ := json.Marshal(v)
		return json.Number(text)
	}
	if s, ok := textOf(a, i); ok {
		return s
	}
	if b, ok := Bytes(a, i); ok {
		return hex.EncodeToString(b)
	}
	if a.IsValid(i) {
		t.Errorf("a %s is neither number nor text", a.DataType())
	}
	return nil
}

// contents is what a file holds in the columns that want has.
func contents(t testing.TB, f *File, want golden) golden {
	t.Helper()
	got := golden{Stream: f.Stream, Ended: f.Ended, Columns: map[string][]any{}, K: f.Metadata("k")}
	var columns []int
	for k, field := range f.Schema().Fields() {
		if _, ok := want.Columns[field.Name]; ok {
			columns = append(columns, k)
			got.Columns[field.Name] = []any{}
		}
	}
	for i, b := range f.Batches() {
		got.Batches = append(got.Batches, b.Rows)
		rec, err := f.Record(i, columns)
		if err != nil {
			t.Fatal(err)
		}
		for k, field := range rec.Schema().Fields() {
			for row := range int(rec.NumRows()) {
				got.Columns[field.Name] = append(got.Columns[field.Name], value(t, rec.Column(k), row))
			}
		}
	}
	return got
}

// TestForeign reads files as pyarrow, Polars and DuckDB write them: from a
// file, and from memory.
func TestForeign(t *testing.T) {
	for name, want := range goldens(t) {
		t.Run(name, func(t *testing.T) {
			b := read(t, name)
			if !Magic(b) && !strings.Contains(name, "legacy.arrows") {
				t.Error("its first bytes are not known")
			}
			for _, open := range []func() (*File, error){
				func() (*File, error) { return Open(bytes.NewReader(b), int64(len(b))) },
				func() (*File, error) { return OpenBytes(b) },
			} {
				f, err := open()
				if err != nil {
					t.Fatal(err)
				}
				if len(want.Batches) == 0 {
					want.Batches = nil
				}
				if diff := cmp.Diff(want, contents(t, f, want)); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
			}
		})
	}
}

// TestRecordAll reads every column of the files that have no column of an
// unread type, and wants of arrow's own reader the same.
func TestRecordAll(t *testing.T) {
	for name := range goldens(t) {
		if name == "pyarrow-odd.arrow" || strings.HasSuffix(name, ".arrows") || strings.HasPrefix(name, "polars") || strings.Contains(name, "kinds") || strings.Contains(name, "legacy") {
			continue // arrow/go v15 cannot read some of these
		}
		b := read(t, name)
		f, err := OpenBytes(b)
		if err != nil {
			t.Fatal(err)
		}
		peer, err := ipc.NewFileReader(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		if !f.Schema().Equal(peer.Schema()) {
			t.Errorf("%s: schema %s, want %s", name, f.Schema(), peer.Schema())
		}
		for i := range f.Batches() {
			got, err := f.Record(i, nil)
			if err != nil {
				t.Fatal(err)
			}
			want, err := peer.RecordAt(i)
			if err != nil {
				t.Fatal(err)
			}
			if !array.RecordEqual(want, got) {
				t.Errorf("%s: batch %d is %v, want %v", name, i, got, want)
			}
		}
	}
}

// TestUnread wants columns of types that are not read to be named, and those
// beside them read.
func TestUnread(t *testing.T) {
	f, err := OpenBytes(read(t, "pyarrow-odd.arrow"))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"union": "union", "dense": "union", "ends": "run-end encoded", "views": "list view"}
	for k, field := range f.Schema().Fields() {
		_, err := f.Record(0, []int{k})
		if what, ok := want[field.Name]; ok {
			if !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), field.Name) || !strings.Contains(err.Error(), what) {
				t.Errorf("%s: %v, want %s", field.Name, err, what)
			}
		} else if err != nil {
			t.Errorf("%s: %v", field.Name, err)
		}
	}
}

// TestOrder wants columns in the order asked for, twice where asked twice.
func TestOrder(t *testing.T) {
	f, err := OpenBytes(read(t, "pyarrow.arrow"))
	if err != nil {
		t.Fatal(err)
	}
	rec, err := f.Record(1, []int{2, 1, 2})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, field := range rec.Schema().Fields() {
		names = append(names, field.Name)
	}
	if diff := cmp.Diff([]any{int64(2), []string{"synset", "label", "synset"}}, []any{rec.NumRows(), names}); diff != "" {
		t.Errorf("rows, columns (-want +got):\n%s", diff)
	}
}

// TestDataAt wants the bytes of images where DataAt says.
func TestDataAt(t *testing.T) {
	b := read(t, "pyarrow.arrow")
	f, err := OpenBytes(b)
	if err != nil {
		t.Fatal(err)
	}
	for i := range f.Batches() {
		at, err := f.DataAt(i, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		rec, err := f.Record(i, []int{0})
		if err != nil {
			t.Fatal(err)
		}
		images := rec.Column(0).(*array.Struct).Field(0).(*array.Binary)
		for k := range images.Len() {
			from := at + int64(images.ValueOffset(k))
			if !bytes.HasPrefix(b[from:], images.Value(k)) {
				t.Errorf("batch %d: image %d does not lie at %d", i, k, from)
			}
		}
	}
	packed, err := OpenBytes(read(t, "pyarrow-lz4.arrow"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := packed.DataAt(0, 0, 0); !errors.Is(err, ErrUnsupported) {
		t.Errorf("a compressed batch: %v", err)
	}
}

// TestVectors wants the rows of lists of two numbers where Vectors says.
func TestVectors(t *testing.T) {
	b := read(t, "pyarrow-kinds.arrow")
	f, err := OpenBytes(b)
	if err != nil {
		t.Fatal(err)
	}
	column := f.Schema().FieldIndices("n")[0]
	var got [][]int32
	for i, batch := range f.Batches() {
		v, err := f.Vectors(i, column)
		if err != nil {
			t.Fatal(err)
		}
		for row := range int(batch.Rows) {
			var pair []int32
			for k := 0; k < v.Bytes && v.Valid(row); k += 4 {
				pair = append(pair, int32(le.Uint32(b[v.At+int64(row*v.Bytes+k):])))
			}
			got = append(got, pair)
		}
	}
	if diff := cmp.Diff([][]int32{{1, 2}, nil, {3, 4}, {5, 6}, {7, 8}}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	packed, err := OpenBytes(read(t, "pyarrow-kinds-zstd.arrow"))
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]*File{"a list of any length": f, "a compressed batch": packed} {
		column := f.Schema().FieldIndices("n")[0]
		if f != packed {
			column = f.Schema().FieldIndices("m")[0]
		}
		if _, err := f.Vectors(0, column); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// bigEndian is a stream whose schema says that numbers are big-endian.
func bigEndian(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	schema := arrow.NewSchemaWithEndian([]arrow.Field{{Name: "a", Type: arrow.PrimitiveTypes.Int64}}, nil, endian.NonNativeEndian)
	if err := ipc.NewWriter(&b, ipc.WithSchema(schema)).Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestRefused holds each refusal to its words.
func TestRefused(t *testing.T) {
	whole, stream := read(t, "pyarrow.arrow"), read(t, "pyarrow.arrows")
	for _, c := range []struct {
		name string
		b    []byte
		is   error
		want string
	}{
		{"nothing", nil, ErrCorrupt, "no bytes: not an Arrow file or stream: data corrupt"},
		{"Feather 1", read(t, "pyarrow-1.feather"), ErrUnsupported, "a Feather file of version 1 (write it anew as Feather 2, which is Arrow): not supported"},
		{"big-endian", bigEndian(t), ErrUnsupported, "numbers are big-endian: not supported"},
		{"a JPEG", []byte("\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01"), ErrCorrupt, "message of 3774863615 bytes at 0: data corrupt"},
		{"a file cut", whole[:len(whole)-100], ErrCorrupt, "it does not end as an Arrow file: data corrupt"},
		{"a file of its mark", whole[:8], ErrCorrupt, "8 bytes are not an Arrow file: data corrupt"},
		{"a file's footer too long", append(append([]byte{}, whole[:len(whole)-10]...), append([]byte{0xff, 0xff, 0xff, 0x7f}, whole[len(whole)-6:]...)...), ErrCorrupt, "footer of 2147483647 bytes in a file of 2826: data corrupt"},
		{"a stream cut in a body", stream[:len(stream)-100], ErrCorrupt, "the message at 1408 ends after the stream: data corrupt"},
		{"a stream and more", append(append([]byte{}, stream...), "more"...), ErrCorrupt, "4 bytes follow the end of the stream: data corrupt"},
		{"a stream without its schema", stream[560-8:], ErrCorrupt, ""},
	} {
		_, err := OpenBytes(c.b)
		if !errors.Is(err, c.is) || c.want != "" && err.Error() != c.want {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		if _, err2 := Open(bytes.NewReader(c.b), int64(len(c.b))); err2 == nil || err == nil || err2.Error() != err.Error() {
			t.Errorf("%s: %v from a file, %v from memory", c.name, err2, err)
		}
	}
}
