package onnx

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/modeltest"
)

func TestInfo(t *testing.T) {
	n := modeltest.Network(t, "inception_v3", model.Options{Classes: 3, Aux: true, Width: 0.125})
	var file bytes.Buffer
	if err := Write(&file, n, n.Init(1), spec(3)); err != nil {
		t.Fatal(err)
	}
	info, err := infoOf(file.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	want := &Info{
		Inputs:   []Value{{"image", "uint8", []int64{-1, 299, 299, 3}}},
		Outputs:  []Value{{"probabilities", "float", []int64{-1, 3}}, {"embedding", "float", []int64{-1, 256}}},
		Metadata: map[string]string{model.SpecKey: spec(3).JSON(), sumKey: info.Metadata[sumKey], announceKey: sumKey}, Opset: 17, Producer: "synshard",
	}
	if diff := cmp.Diff(want, info); diff != "" {
		t.Error(diff)
	}
	weights := n.Init(1)
	if err := Write(&file, n, weights[1:], spec(3)); err == nil || !strings.Contains(err.Error(), weights[0].Name) {
		t.Errorf("a missing weight: %v", err)
	}
	if err := Write(&file, n, weights, spec(4)); err == nil {
		t.Error("a spec of another width is accepted")
	}
	for i := range 200 {
		if _, err := infoOf(file.Bytes()[:i*7]); err == nil || !errors.Is(err, model.ErrFormat) {
			t.Fatalf("the first %d bytes: %v", i*7, err)
		}
	}
}

// infoOf is what the bytes of a file say of themselves.
func infoOf(b []byte) (*Info, error) {
	m, err := Parse(b)
	if err != nil {
		return nil, err
	}
	return m.Info()
}

// spec is one for Inception-v3 of so many classes.
func spec(classes int) model.Spec {
	s := model.Spec{Model: "inception_v3", InputSize: 299, Resize: 342, Interpolation: "bilinear", Mean: [3]float64{0.5, 0.5, 0.5}, Std: [3]float64{0.5, 0.5, 0.5}}
	for i := range classes {
		s.Classes = append(s.Classes, "n0000000"+string(rune('0'+i)))
	}
	return s
}
