package weights

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/synshard/synshard/model"
)

// TestReadPTH reads what torch.save wrote, in each of its formats.
func TestReadPTH(t *testing.T) {
	b, err := os.ReadFile("testdata/pth/values.json")
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]struct {
		Shape  []int     `json:"shape"`
		Values []float64 `json:"values"`
	}
	if err := json.Unmarshal(b, &want); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"zip.pth", "legacy.pth", "wrapped.pth"} {
		tensors, _, err := ReadFile(filepath.Join("testdata/pth", name))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(tensors) != len(want) {
			t.Errorf("%s: %d tensors, want %d", name, len(tensors), len(want))
		}
		for _, x := range tensors {
			w := want[x.Name]
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
	if _, _, err := ReadFile("testdata/pth/list.pth"); !errors.Is(err, model.ErrFormat) {
		t.Errorf("a list of numbers: %v", err)
	}
}

// TestDamagedPTH flips every byte and cuts at every place: an error or other
// weights, never a crash.
func TestDamagedPTH(t *testing.T) {
	for _, name := range []string{"zip.pth", "legacy.pth"} {
		b, err := os.ReadFile(filepath.Join("testdata/pth", name))
		if err != nil {
			t.Fatal(err)
		}
		for i := range b {
			c := bytes.Clone(b)
			c[i] ^= 0x55
			if _, err := ReadPTH(bytes.NewReader(c), int64(len(c))); err != nil && !errors.Is(err, model.ErrFormat) {
				t.Fatalf("%s, byte %d: %v", name, i, err)
			}
			if _, err := ReadPTH(bytes.NewReader(b[:i]), int64(i)); err == nil {
				t.Fatalf("the first %d bytes of %s are accepted", i, name)
			}
		}
	}
}

func FuzzReadPTH(f *testing.F) {
	for _, name := range []string{"zip.pth", "legacy.pth", "wrapped.pth"} {
		b, err := os.ReadFile(filepath.Join("testdata/pth", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		tensors, err := ReadPTH(bytes.NewReader(b), int64(len(b)))
		if err != nil && !errors.Is(err, model.ErrFormat) {
			t.Fatalf("an error of another kind: %v", err)
		}
		for _, x := range tensors {
			if len(x.Data) != model.Elements(x.Shape)*model.ElementSize(x.DType) {
				t.Fatalf("%s: %s%v in %d bytes", x.Name, x.DType, x.Shape, len(x.Data))
			}
		}
	})
}

// TestWritePTH reads back what is written, in every element type, and holds
// the writer to one form and to what it may be given.
func TestWritePTH(t *testing.T) {
	tensors := []model.Tensor{
		model.NewTensor("a.weight", []int{2, 3, 1, 1}, []float32{1, 2, 3, 4, 5, 6}),
		{Name: "steps", DType: "I64", Shape: []int{}, Data: []byte{7, 0, 0, 0, 0, 0, 0, 0}},
		{Name: "half", DType: "BF16", Shape: []int{2}, Data: []byte{1, 2, 3, 4}},
		{Name: "none", DType: "F32", Shape: []int{0}},
	}
	var b, again bytes.Buffer
	if err := errors.Join(WritePTH(&b, tensors), WritePTH(&again, tensors)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.Bytes(), again.Bytes()) {
		t.Error("two files of the same tensors differ")
	}
	got, err := ReadPTH(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(tensors, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("(-written +read)\n%s", diff)
	}
	for _, bad := range [][]model.Tensor{{tensors[0], tensors[0]}, {{Name: "x", DType: "F8", Shape: []int{1}, Data: []byte{1}}}, {{Name: "x", DType: "F32", Shape: []int{2}, Data: []byte{1}}}} {
		if err := WritePTH(io.Discard, bad); err == nil {
			t.Errorf("%+v is written", bad)
		}
	}
}
