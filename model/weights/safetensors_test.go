package weights

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/model"
)

func TestSafetensorsRoundTrip(t *testing.T) {
	tensors := []model.Tensor{model.NewTensor("b", []int{2, 3}, []float32{1, 2, 3, 4, 5, 6}), {Name: "a", DType: "I64", Data: make([]byte, 8)}, {Name: "empty", DType: "F32", Shape: []int{0, 4}, Data: []byte{}}}
	meta := map[string]string{"k": "v", model.SpecKey: "{}"}
	var file bytes.Buffer
	if err := WriteSafetensors(&file, tensors, meta); err != nil {
		t.Fatal(err)
	}
	got, gotMeta, err := ReadSafetensors(bytes.NewReader(file.Bytes()), int64(file.Len()))
	if err != nil {
		t.Fatal(err)
	}
	tensors[1].Shape = []int{}
	if diff := cmp.Diff(tensors, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(meta, gotMeta); diff != "" {
		t.Error(diff)
	}
	if err := WriteSafetensors(&file, []model.Tensor{tensors[0], tensors[0]}, nil); err == nil {
		t.Error("a name that is there twice is written")
	}
}

func FuzzReadSafetensors(f *testing.F) {
	var file bytes.Buffer
	if err := WriteSafetensors(&file, []model.Tensor{model.NewTensor("w", []int{2}, []float32{1, 2})}, map[string]string{"a": "b"}); err != nil {
		f.Fatal(err)
	}
	f.Add(file.Bytes())
	f.Add([]byte("\x02\x00\x00\x00\x00\x00\x00\x00{}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		tensors, meta, err := ReadSafetensors(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		var again bytes.Buffer
		if err := WriteSafetensors(&again, tensors, meta); err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
	})
}
