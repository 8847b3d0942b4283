package pth

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/synshard/synshard/internal/golden"
	"github.com/synshard/synshard/internal/raced"
	"github.com/synshard/synshard/model"
)

// readAll reads the tensors of a file in memory.
func readAll(b []byte) ([]model.Tensor, error) {
	c, err := Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil, err
	}
	f, err := c.Find("", false)
	if err != nil {
		return nil, err
	}
	var out []model.Tensor
	for _, name := range f.Names {
		x, err := f.Tensor(name)
		if err != nil {
			return nil, err
		}
		out = append(out, x)
	}
	return out, nil
}

// readFile is readAll of a file.
func readFile(path string) ([]model.Tensor, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return readAll(b)
}

// TestOpen reads what torch.save wrote, in each of its formats.
func TestOpen(t *testing.T) {
	var want map[string]struct {
		Shape  []int     `json:"shape"`
		Values []float64 `json:"values"`
	}
	golden.Read(t, "testdata/values.json", &want)
	for _, name := range []string{"zip.pth", "legacy.pth", "wrapped.pth"} {
		tensors, err := readFile(filepath.Join("testdata", name))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(tensors) != len(want) {
			t.Errorf("%s: %d tensors, want %d", name, len(tensors), len(want))
		}
		for _, x := range tensors {
			w := want[strings.TrimPrefix(x.Name, "module.")]
			if !slices.Equal(x.Shape, w.Shape) && len(x.Shape)+len(w.Shape) > 0 {
				t.Errorf("%s: %s has shape %v, want %v", name, x.Name, x.Shape, w.Shape)
				continue
			}
			if x.DType == "I64" {
				if v := binary.LittleEndian.Uint64(x.Data); float64(v) != w.Values[0] {
					t.Errorf("%s: %s is %v", name, x.Name, v)
				}
				continue
			}
			got, err := x.Floats()
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			for i, v := range got {
				if v != float32(w.Values[i]) {
					t.Errorf("%s: %s element %d is %v, want %v", name, x.Name, i, v, w.Values[i])
				}
			}
		}
	}
	if _, err := readFile("testdata/list.pth"); !errors.Is(err, model.ErrFormat) {
		t.Errorf("a list of numbers: %v", err)
	}
}

// TestDamaged flips every byte and cuts at every place: an error or other
// weights, never a crash.
func TestDamaged(t *testing.T) {
	for _, name := range []string{"zip.pth", "legacy.pth"} {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		for i := range b {
			c := bytes.Clone(b)
			c[i] ^= 0x55
			if _, err := readAll(c); err != nil && !errors.Is(err, model.ErrFormat) {
				t.Fatalf("%s, byte %d: %v", name, i, err)
			}
			if _, err := readAll(b[:i]); err == nil {
				t.Fatalf("the first %d bytes of %s are accepted", i, name)
			}
		}
	}
}

// TestWrite reads back what is written, in every element type, and holds
// the writer to one form and to what it may be given.
func TestWrite(t *testing.T) {
	tensors := []model.Tensor{
		model.NewTensor("a.weight", []int{2, 3, 1, 1}, []float32{1, 2, 3, 4, 5, 6}),
		{Name: "steps", DType: "I64", Shape: []int{}, Data: []byte{7, 0, 0, 0, 0, 0, 0, 0}},
		{Name: "half", DType: "BF16", Shape: []int{2}, Data: []byte{1, 2, 3, 4}},
		{Name: "none", DType: "F32", Shape: []int{0}},
	}
	var b, again bytes.Buffer
	if err := errors.Join(Write(&b, tensors), Write(&again, tensors)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.Bytes(), again.Bytes()) {
		t.Error("two files of the same tensors differ")
	}
	got, err := readAll(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(tensors, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("(-written +read)\n%s", diff)
	}
	for _, bad := range [][]model.Tensor{{tensors[0], tensors[0]}, {{Name: "x", DType: "F8", Shape: []int{1}, Data: []byte{1}}}, {{Name: "x", DType: "F32", Shape: []int{2}, Data: []byte{1}}}} {
		if err := Write(io.Discard, bad); err == nil {
			t.Errorf("%+v is written", bad)
		}
	}
}

// TestUnfolding: what a file says it holds is bounded by what is there.
func TestUnfolding(t *testing.T) {
	raced.Skip(t, "one goroutine does it all")
	const size = 64 << 20
	large, err := pickleStateDict([]model.Tensor{{Name: "w", DType: "U8", Shape: []int{size}, Data: make([]byte, size)}})
	if err != nil {
		t.Fatal(err)
	}
	pack := func(pickle []byte, storage []byte, method uint16) []byte {
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		for name, content := range map[string][]byte{"a/data.pkl": pickle, "a/data/0": storage} {
			w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: method})
			if err == nil {
				_, err = w.Write(content)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	// A tensor whose rows are all the same memory, 2^30 times.
	thin := bytes.Replace(large, []byte("(J\x00\x00\x00\x04t(J\x01\x00\x00\x00t"), []byte("(J\x00\x00\x00\x40t(J\x00\x00\x00\x00t"), 1)
	if bytes.Equal(thin, large) {
		t.Fatal("the pickle has no shape to replace")
	}
	for name, b := range map[string][]byte{
		"compressed zeros": pack(large, make([]byte, size), zip.Deflate),
		"strides of zero":  pack(thin, make([]byte, 1000), zip.Store),
	} {
		if _, err := readAll(b); !errors.Is(err, model.ErrFormat) || !strings.Contains(err.Error(), "unfolds") {
			t.Errorf("%s: %v", name, err)
		}
	}
	small, err := pickleStateDict([]model.Tensor{{Name: "w", DType: "U8", Shape: []int{5000}, Data: make([]byte, 5000)}})
	if err != nil {
		t.Fatal(err)
	}
	b := pack(small, make([]byte, 5000), zip.Deflate)
	if _, err := readAll(b); err != nil {
		t.Errorf("a compressed file: %v", err)
	}
}
