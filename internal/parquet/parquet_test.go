package parquet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	types "github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/float16"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/internal/filetest"
	"github.com/synshard/synshard/internal/golden"
)

// fixtures are files of every codec and several writers; golden.json is what
// pyarrow reads in them: scripts/golden/parquet_columns.py.
func fixtures(t testing.TB) (files []string, truth map[string][][]any) {
	t.Helper()
	files, err := filepath.Glob("testdata/*.parquet")
	if err != nil || len(files) < 9 {
		t.Fatalf("%d fixtures: %v", len(files), err)
	}
	golden.Read(t, "testdata/golden.json", &truth)
	return files, truth
}

func open(b []byte) (*File, error) { return Open(bytes.NewReader(b), int64(len(b))) }

// all reads a column as golden.json has it: numbers as float64, bytes as
// strings where they are text and lists of numbers elsewhere.
func all(f *File, c Column) (out [][]any, err error) {
	for g := range f.Groups() {
		switch c.Kind {
		case Bytes:
			err = f.Strings(g, c, func(_ int, values [][]byte) error {
				row := []any{}
				for _, v := range values {
					if c.Path[len(c.Path)-1] != "bytes" {
						row = append(row, string(v))
						continue
					}
					numbers := []any{}
					for _, x := range v {
						numbers = append(numbers, float64(x))
					}
					row = append(row, numbers)
				}
				out = append(out, row)
				return nil
			})
		case Int:
			err = f.Ints(g, c, func(_ int, values []int64) error {
				row := []any{}
				for _, v := range values {
					row = append(row, float64(v))
				}
				out = append(out, row)
				return nil
			})
		case Float:
			err = f.Floats(g, c, func(_ int, values []float64) error {
				row := []any{}
				for _, v := range values {
					row = append(row, v)
				}
				out = append(out, row)
				return nil
			})
		}
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

func TestValuesEqualPyarrows(t *testing.T) {
	files, truth := fixtures(t)
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		f, err := open(b)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		seen := 0
		for _, c := range f.Columns() {
			key := c.Path[0]
			if key == "image" {
				key = strings.Join(c.Path, "/")
			}
			want, ok := truth[key]
			if !ok {
				t.Errorf("%s: unexpected column %v", name, c.Path)
				continue
			}
			seen++
			got, err := all(f, c)
			if err != nil {
				t.Errorf("%s: %v: %v", name, c.Path, err)
			} else if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s: %v (-pyarrow +here):\n%s", name, c.Path, diff)
			}
		}
		if seen < len(truth)-1 { // polars and DuckDB have no half
			t.Errorf("%s: %d columns of %d", name, seen, len(truth))
		}
		if said, ok := f.Metadata("said"); strings.Contains(name, "zstd") && (!ok || said != "so") {
			t.Errorf("%s: metadata said = %q, %v", name, said, ok)
		}
	}
}

func columnNamed(t *testing.T, f *File, path ...string) Column {
	t.Helper()
	i := slices.IndexFunc(f.Columns(), func(c Column) bool { return slices.Equal(c.Path[:min(len(path), len(c.Path))], path) })
	if i < 0 {
		t.Fatalf("no column %v", path)
	}
	return f.Columns()[i]
}

func TestOtherKindsAreNamed(t *testing.T) {
	b, err := os.ReadFile("testdata/snappy.parquet")
	if err != nil {
		t.Fatal(err)
	}
	f, err := open(b)
	if err != nil {
		t.Fatal(err)
	}
	var labels []int64
	if err := f.Ints(0, columnNamed(t, f, "holes"), func(_ int, v []int64) error { labels = append(labels, v...); return nil }); err != nil || len(labels) < 5 {
		t.Errorf("integers in a column of floats: %v, %v", labels, err)
	}
	for what, err := range map[string]error{
		"fractions as integers": f.Ints(0, columnNamed(t, f, "single"), func(int, []int64) error { return nil }),
		"strings as floats":     f.Floats(0, columnNamed(t, f, "path"), func(int, []float64) error { return nil }),
		"integers as strings":   f.Strings(0, columnNamed(t, f, "label"), func(int, [][]byte) error { return nil }),
	} {
		if !errors.Is(err, ErrKind) || errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v, want ErrKind", what, err)
		}
	}
	mine := errors.New("mine")
	if err := f.Strings(0, columnNamed(t, f, "path"), func(int, [][]byte) error { return mine }); err != mine {
		t.Errorf("the caller's error comes back as %v", err)
	}
	defer func() {
		if p := recover(); p != "mine" {
			t.Errorf("the caller's panic comes back as %v", p)
		}
	}()
	f.Strings(0, columnNamed(t, f, "path"), func(int, [][]byte) error { panic("mine") })
}

// TestWriterReadBack writes structs, lists and nulls, and wants them read as they were.
func TestWriterReadBack(t *testing.T) {
	image := types.StructOf(types.Field{Name: "bytes", Type: types.BinaryTypes.Binary, Nullable: true}, types.Field{Name: "path", Type: types.BinaryTypes.String, Nullable: true})
	md := types.NewMetadata([]string{"said"}, []string{"so"})
	schema := types.NewSchema([]types.Field{
		{Name: "image", Type: image, Nullable: true}, {Name: "label", Type: types.PrimitiveTypes.Int64, Nullable: true}, {Name: "probs", Type: types.ListOf(types.FixedWidthTypes.Float16), Nullable: true},
	}, &md)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	for i := range 3 {
		im := b.Field(0).(*array.StructBuilder)
		im.Append(true)
		im.FieldBuilder(0).(*array.BinaryBuilder).Append([]byte{byte(i), 0xff})
		im.FieldBuilder(1).(*array.StringBuilder).Append("é.jpg")
		list := b.Field(2).(*array.ListBuilder)
		if i == 1 {
			b.Field(1).AppendNull()
			list.AppendNull()
			continue
		}
		b.Field(1).(*array.Int64Builder).Append(int64(10 * i))
		list.Append(true)
		list.ValueBuilder().(*array.Float16Builder).AppendValues([]float16.Num{float16.New(0.5), float16.New(float32(i))}, nil)
	}
	rec := b.NewRecord()
	defer rec.Release()
	for _, o := range []WriterOptions{{}, {Zstd: true, Stats: true}} {
		var out bytes.Buffer
		w, err := NewWriter(&out, schema, o)
		if err == nil {
			err = errors.Join(w.Write(rec), w.Write(rec.NewSlice(1, 1)), w.Write(rec.NewSlice(0, 2)), w.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
		f, err := open(out.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		said, _ := f.Metadata("said")
		if diff := cmp.Diff([]any{"so", 2}, []any{said, f.Groups()}); diff != "" {
			t.Errorf("%+v: metadata, groups (-want +got):\n%s", o, diff)
		}
		for path, want := range map[string][][]any{
			"image bytes": {{[]any{0., 255.}}, {[]any{1., 255.}}, {[]any{2., 255.}}, {[]any{0., 255.}}, {[]any{1., 255.}}},
			"image path":  {{"é.jpg"}, {"é.jpg"}, {"é.jpg"}, {"é.jpg"}, {"é.jpg"}},
			"label":       {{0.}, {}, {20.}, {0.}, {}},
			"probs":       {{0.5, 0.}, {}, {0.5, 2.}, {0.5, 0.}, {}},
		} {
			got, err := all(f, columnNamed(t, f, strings.Fields(path)...))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%+v: %s (-want +got):\n%s", o, path, diff)
			}
		}
	}
}

// TestWriterGivesTheOutputsError wherever writing fails.
func TestWriterGivesTheOutputsError(t *testing.T) {
	schema := types.NewSchema([]types.Field{{Name: "label", Type: types.PrimitiveTypes.Int64}}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	b.Field(0).(*array.Int64Builder).AppendValues(make([]int64, 5000), nil)
	rec := b.NewRecord()
	defer rec.Release()
	for room := 0; room < 40000; room += 997 {
		w, err := NewWriter(&filetest.Full{Left: room}, schema, WriterOptions{})
		if err == nil {
			err = errors.Join(w.Write(rec), w.Close())
		}
		if !errors.Is(err, filetest.ErrFull) {
			t.Errorf("room for %d bytes: %v", room, err)
		}
	}
}

// TestDamage flips bits, cuts and overwrites: an error or other values, and
// the process goes on.
func TestDamage(t *testing.T) {
	files, _ := fixtures(t)
	rng := rand.New(rand.NewPCG(1, 2))
	for _, name := range files {
		whole, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 400 {
			b := slices.Clone(whole)
			switch i % 4 {
			case 0, 1:
				b[rng.IntN(len(b))] ^= 1 << rng.IntN(8)
			case 2:
				for range 8 {
					b[rng.IntN(len(b))] = byte(rng.IntN(256))
				}
			case 3:
				b = b[:rng.IntN(len(b))]
			}
			f, err := open(b)
			for j := 0; err == nil && j < len(f.Columns()); j++ {
				_, err = all(f, f.Columns()[j])
			}
			if err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrKind) {
				t.Errorf("%s, damage %d: %v", name, i, err)
			}
		}
	}
}

func FuzzOpen(f *testing.F) {
	files, _ := fixtures(f)
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := open(b)
		for j := 0; err == nil && j < len(file.Columns()); j++ {
			_, err = all(file, file.Columns()[j])
		}
		if err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrKind) {
			t.Error(err)
		}
	})
}

// TestDeepSchema reads a schema of groups in each other, which would take the
// stack of the reader below to its end.
func TestDeepSchema(t *testing.T) {
	for _, c := range []struct {
		depth int
		ok    bool
	}{{0, true}, {maxDepth - 1, true}, {maxDepth, false}, {5_000_000, false}} {
		f, err := open(nested(c.depth))
		switch {
		case c.ok && (err != nil || len(f.Columns()) != 1 || len(f.Columns()[0].Path) != c.depth+1):
			t.Errorf("%d groups: %v", c.depth, err)
		case !c.ok && !errors.Is(err, ErrCorrupt):
			t.Errorf("%d groups: %v", c.depth, err)
		}
	}
}

// nested is a file without rows whose one column lies in so many groups.
func nested(depth int) []byte {
	var b []byte
	count := binary.AppendUvarint(nil, uint64(depth+2))
	b = append(b, "PAR1"...)
	b = append(b, 0x15, 2, 0x19, 0xfc) // version 1; a list of structs
	b = append(b, count...)
	for range depth + 1 {
		b = append(b, 0x35, 2, 0x18, 1, 'g', 0x15, 2, 0) // optional, its name, one child
	}
	b = append(b, 0x15, 12, 0x25, 2, 0x18, 1, 'x', 0) // bytes, optional, its name
	b = append(b, 0x16, 0, 0x19, 0x0c, 0)             // no rows, no groups
	b = binary.LittleEndian.AppendUint32(b, uint32(len(b)-4))
	return append(b, "PAR1"...)
}
