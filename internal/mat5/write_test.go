package mat5

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"io"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLayout(t *testing.T) {
	b, err := Write("v", [][]Field{{{"id", 300.0}, {"word", "ab"}, {"none", []float64(nil)}}})
	if err != nil {
		t.Fatal(err)
	}
	if len(b) < 136 {
		t.Fatalf("%d bytes", len(b))
	}
	header := []string{string(b[:10]), string(b[124:126]), string(b[126:128])}
	if diff := cmp.Diff([]string{"MATLAB 5.0", "\x00\x01", "IM"}, header); diff != "" {
		t.Fatalf("text, version and order of the header (-want +got):\n%s", diff)
	}
	tag := []uint32{binary.LittleEndian.Uint32(b[128:]), binary.LittleEndian.Uint32(b[132:])}
	if diff := cmp.Diff([]uint32{miCOMPRESSED, uint32(len(b) - 136)}, tag); diff != "" {
		t.Fatalf("type and size of the element (-want +got):\n%s", diff)
	}
	z, err := zlib.NewReader(bytes.NewReader(b[136:]))
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	word := func(v ...uint32) []byte {
		var out []byte
		for _, x := range v {
			out = binary.LittleEndian.AppendUint32(out, x)
		}
		return out
	}
	name := func(s string) []byte { return append([]byte(s), make([]byte, 32-len(s))...) }
	// Worked out by hand from the format's description.
	want := slices.Concat(
		word(14, 320), word(6, 8, 2, 0), word(5, 8, 1, 1), word(1<<16|1, 'v'),
		word(4<<16|5, 32), word(1, 96), name("id"), name("word"), name("none"),
		word(14, 48), word(6, 8, 6, 0), word(5, 8, 1, 1), word(1, 0), word(2<<16|4, 300),
		word(14, 48), word(6, 8, 4, 0), word(5, 8, 1, 2), word(1, 0), word(2<<16|16, 'a'|'b'<<8),
		word(14, 48), word(6, 8, 6, 0), word(5, 8, 0, 0), word(1, 0), word(2, 0))
	if !bytes.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if _, err := Write("v", [][]Field{{{"x", 3}}}); err == nil {
		t.Error("an int was written though the format has no place for it")
	}
}
