package mat5

import (
	"encoding/binary"
	"errors"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// hostile are files that ask for much by little.
func hostile() map[string][]byte {
	header := make([]byte, 128)
	copy(header, "MATLAB 5.0 MAT-file")
	copy(header[126:], "IM")
	word := func(v ...uint32) []byte {
		var out []byte
		for _, x := range v {
			out = binary.LittleEndian.AppendUint32(out, x)
		}
		return out
	}
	// 2^28 structs without a field, a thousand times over.
	empty := slices.Concat(word(14, 64), word(6, 8, mxStruct, 0), word(5, 8, 1<<14, 1<<14), word(1, 0), word(5, 4, 32, 0), word(1, 0))
	many := slices.Clone(header)
	for range 1000 {
		many = append(many, empty...)
	}
	// More numbers than any kit has, a byte each.
	bytes := word(14, 56+1<<25, 6, 8, 6, 0, 5, 8, 1, 1<<25, 1, 0, 2, 1<<25)
	return map[string][]byte{"structs of nothing": many, "numbers of a byte": slices.Concat(header, bytes, make([]byte, 1<<25))}
}

// TestBounds: no file takes time or memory that its size does not.
func TestBounds(t *testing.T) {
	for name, b := range hostile() {
		bounded(t, name, b)
	}
	if _, err := Read(hostile()["numbers of a byte"]); !errors.Is(err, ErrMalformed) {
		t.Errorf("numbers of a byte: %v", err)
	}
}

func bounded(t *testing.T, name string, b []byte) (map[string]Array, error) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := time.Now()
	vars, err := Read(b)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("%s: %d bytes are read in %v", name, len(b), took)
	}
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 1<<30+64*uint64(len(b)) {
		t.Errorf("%s: %d MiB for %d bytes", name, took>>20, len(b))
	}
	return vars, err
}

// FuzzRead: any bytes are ErrMalformed, or variables whose tables are as long as
// their dimensions say, in bounded time and memory.
func FuzzRead(f *testing.F) {
	kit, err := os.ReadFile("../../ingest/imagenet/testdata/meta_scipy.mat")
	if err != nil {
		f.Fatal(err)
	}
	own, err := Write("v", [][]Field{{{"id", 300.0}, {"word", "ab"}, {"none", []float64(nil)}}, {{"id", 0.5}, {"word", ""}, {"none", []float64{1, 2}}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(kit)
	f.Add(own)
	f.Add(hostile()["structs of nothing"][:128+72])
	f.Fuzz(func(t *testing.T, b []byte) {
		vars, err := bounded(t, "fuzzed", b)
		if err != nil && !errors.Is(err, ErrMalformed) {
			t.Errorf("an error of another kind: %v", err)
		}
		for name, a := range vars {
			held(t, name, a)
		}
	})
}

func held(t *testing.T, name string, a Array) {
	count := 1
	for _, d := range a.Dims {
		count *= d
	}
	for field, values := range a.Fields {
		if len(values) != count {
			t.Errorf("%s.%s: %d values of %v", name, field, len(values), a.Dims)
		}
		for _, v := range values {
			held(t, field, v)
		}
	}
}

// FuzzWrite: what is written is read back.
func FuzzWrite(f *testing.F) {
	f.Add("words", "tench, Tinca tinca", 300.0, 0.5)
	f.Add("", "", -1.0, 1e300)
	f.Add("x", "é\x00\xff", 65535.0, 65536.0)
	f.Fuzz(func(t *testing.T, field, text string, one, two float64) {
		b, err := Write("v", [][]Field{{{"n", one}, {"row", []float64{one, two}}, {"t" + field, text}}})
		if err != nil {
			return
		}
		vars, err := Read(b)
		if err != nil {
			t.Fatal(err)
		}
		got := vars["v"].Fields
		want := map[string][]float64{"n": {one}, "row": {one, two}}
		for name, numbers := range want {
			if len(got[name]) != 1 || !slices.EqualFunc(numbers, got[name][0].Numbers, func(a, b float64) bool { return a == b || a != a && b != b }) {
				t.Errorf("%s: %v, want %v", name, got[name], numbers)
			}
		}
		for name, values := range got {
			if name != "n" && name != "row" {
				if diff := cmp.Diff(text, values[0].Text); diff != "" {
					t.Errorf("text (-want +got):\n%s", diff)
				}
			}
		}
	})
}
