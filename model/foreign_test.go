package model

import (
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestRename holds the names of torchvision's densenet121 of 2017 and of
// timm's VGG to this package's.
func TestRename(t *testing.T) {
	zero := func(name string, shape ...int) Tensor {
		return NewTensor(name, shape, make([]float32, Elements(shape)))
	}
	for network_, c := range map[string][]struct {
		given Tensor
		name  string
		shape []int
	}{
		"densenet121": {
			{zero("features.denseblock1.denselayer2.norm.1.running_var", 96), "features.denseblock1.denselayer2.norm1.running_var", []int{96}},
			{zero("features.denseblock1.denselayer2.conv.2.weight", 32, 128, 3, 3), "features.denseblock1.denselayer2.conv2.weight", []int{32, 128, 3, 3}},
			{zero("features.norm0.bias", 64), "features.norm0.bias", []int{64}},
		},
		"vgg16": {
			{zero("pre_logits.fc1.weight", 4096, 512, 7, 7), "classifier.0.weight", []int{4096, 25088}},
			{zero("pre_logits.fc2.bias", 4096), "classifier.3.bias", []int{4096}},
			{zero("head.fc.weight", 10, 4096), "classifier.6.weight", []int{10, 4096}},
			{zero("features.0.weight", 64, 3, 3, 3), "features.0.weight", []int{64, 3, 3, 3}},
		},
	} {
		n := network(t, network_, Options{Dropout: -1})
		for _, x := range c {
			got := n.Rename([]Tensor{x.given})[0]
			if got.Name != x.name || !slices.Equal(got.Shape, x.shape) {
				t.Errorf("%s: %s%v becomes %s%v, want %s%v", network_, x.given.Name, x.given.Shape, got.Name, got.Shape, x.name, x.shape)
			}
		}
	}
}

func TestGuessNetwork(t *testing.T) {
	for _, name := range []string{"alexnet", "googlenet", "vgg16_bn"} {
		n := network(t, name, Options{Classes: 7, Aux: false, Dropout: -1})
		var tensors []Tensor
		for _, p := range n.Params() {
			tensors = append(tensors, Tensor{p.Name, "F32", p.Shape, nil})
		}
		if got, classes, err := GuessNetwork(tensors); got != name || classes != 7 || err != nil {
			t.Errorf("%s: guessed %s of %d classes, %v", name, got, classes, err)
		}
		if got, _, err := GuessNetwork(tensors[1:]); err == nil {
			t.Errorf("%s without a tensor is taken for %s", name, got)
		}
	}
}

// tensorProto builds an initializer as onnx.proto3 has it, its floats in
// float_data or raw_data and its dims packed or not.
func tensorProto(name string, packed, raw bool, values ...float32) []byte {
	m := []byte{10, 1, byte(len(values))}
	if !packed {
		m = []byte{8, byte(len(values))}
	}
	var data []byte
	for _, v := range values {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
	}
	field := byte(4)
	if raw {
		field = 9
	}
	m = append(m, 16, 1, field<<3|2, byte(len(data)))
	return appendString(append(m, data...), 8, name)
}

func TestInitializers(t *testing.T) {
	for _, packed := range []bool{false, true} {
		for _, raw := range []bool{false, true} {
			got, err := parseInitializer(tensorProto("w", packed, raw, 1, -2, 0.5))
			if err != nil {
				t.Fatal(err)
			}
			values, err := got.Floats()
			if err != nil || got.Name != "w" || !slices.Equal(got.Shape, []int{3}) || !slices.Equal(values, []float32{1, -2, 0.5}) {
				t.Errorf("packed %v, raw %v: %+v, %v", packed, raw, got, err)
			}
		}
	}
	elsewhere := append(tensorProto("w", true, true, 1), 14<<3, 1)
	short := append(tensorProto("w", true, true, 1), 8, 9)
	text := append(tensorProto("w", true, true, 1), 16, 8)
	for _, bad := range [][]byte{elsewhere, short, text, {10, 200}} {
		if _, err := parseInitializer(bad); err == nil {
			t.Errorf("%v is read", bad)
		}
	}
	path := filepath.Join(t.TempDir(), "no.onnx")
	if err := os.WriteFile(path, []byte("no model"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ReadONNXWeights(path); !errors.Is(err, ErrFormat) {
		t.Errorf("text as ONNX: %v", err)
	}
}

func FuzzInitializer(f *testing.F) {
	f.Add(tensorProto("w", true, true, 1, 2))
	f.Add(tensorProto("w", false, false, 1, 2))
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := parseInitializer(b)
		if err == nil && len(x.Data) != Elements(x.Shape)*dtypeSize[x.DType] {
			t.Errorf("%s%v in %d bytes", x.DType, x.Shape, len(x.Data))
		}
	})
}
