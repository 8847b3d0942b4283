package weights

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/synshard/synshard/model"
)

// TestSum flips every bit of a file of ours, and cuts it everywhere: it is another's
// no more than it is whole.
func TestSum(t *testing.T) {
	tensors := []model.Tensor{model.NewTensor("w", []int{2, 2}, []float32{1, 2, 3, 4}), model.NewTensor("b", []int{1}, []float32{5})}
	var file bytes.Buffer
	if err := WriteSummed(&file, tensors, map[string]string{"format": "pt", model.SpecKey: "{}"}); err != nil {
		t.Fatal(err)
	}
	whole := file.Bytes()
	read := func(b []byte) ([]model.Tensor, error) {
		got, _, err := ReadSafetensors(bytes.NewReader(b), int64(len(b)))
		return got, err
	}
	if _, err := read(whole); err != nil {
		t.Fatal(err)
	}
	passed := 0
	for at := range whole {
		for bit := range 8 {
			b := slices.Clone(whole)
			b[at] ^= 1 << bit
			if _, err := read(b); err == nil {
				passed++ // the case of a word of the format, which is read alike
			} else if !errors.Is(err, ErrDamaged) {
				t.Errorf("bit %d of byte %d: %v", bit, at, err)
			}
		}
		if _, err := read(whole[:at]); at > 200 && !errors.Is(err, ErrDamaged) {
			t.Errorf("cut at %d: %v", at, err)
		}
	}
	if words := len("dtypeshapedata_offsets"); passed > len(tensors)*words {
		t.Errorf("%d flips pass", passed)
	}
	var others bytes.Buffer
	if err := WriteSafetensors(&others, tensors, map[string]string{"format": "pt"}); err != nil {
		t.Fatal(err)
	}
	b := others.Bytes()
	b[len(b)-1] ^= 1
	if _, err := read(b); err != nil {
		t.Errorf("a file without a sum: %v", err)
	}
}
