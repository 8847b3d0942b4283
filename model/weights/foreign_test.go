package weights

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/modeltest"
)

// TestRename holds the names of torchvision's densenet121 of 2017 and of
// timm's VGG to this package's.
func TestRename(t *testing.T) {
	tensor := func(name string, shape ...int) model.Tensor {
		return model.Tensor{Name: name, DType: "F32", Shape: shape} // names and shapes are all that matters
	}
	for architecture, c := range map[string][]struct {
		given model.Tensor
		name  string
		shape []int
	}{
		"densenet121": {
			{tensor("features.denseblock1.denselayer2.norm.1.running_var", 96), "features.denseblock1.denselayer2.norm1.running_var", []int{96}},
			{tensor("features.denseblock1.denselayer2.conv.2.weight", 32, 128, 3, 3), "features.denseblock1.denselayer2.conv2.weight", []int{32, 128, 3, 3}},
			{tensor("features.norm0.bias", 64), "features.norm0.bias", []int{64}},
		},
		"vgg16": {
			{tensor("pre_logits.fc1.weight", 4096, 512, 7, 7), "classifier.0.weight", []int{4096, 25088}},
			{tensor("pre_logits.fc2.bias", 4096), "classifier.3.bias", []int{4096}},
			{tensor("head.fc.weight", 10, 4096), "classifier.6.weight", []int{10, 4096}},
			{tensor("features.0.weight", 64, 3, 3, 3), "features.0.weight", []int{64, 3, 3, 3}},
		},
	} {
		n := modeltest.Network(t, architecture, model.Options{Dropout: -1})
		for _, x := range c {
			got := Rename(n, []model.Tensor{x.given})[0]
			if diff := cmp.Diff(model.Tensor{Name: x.name, DType: "F32", Shape: x.shape}, got); diff != "" {
				t.Errorf("%s: %s%v (-want +got)\n%s", architecture, x.given.Name, x.given.Shape, diff)
			}
		}
	}
}

func TestGuessNetwork(t *testing.T) {
	for _, name := range []string{"alexnet", "googlenet", "vgg16_bn"} {
		n := modeltest.Network(t, name, model.Options{Classes: 7, Aux: false, Dropout: -1})
		var tensors []model.Tensor
		for _, p := range n.Params() {
			tensors = append(tensors, model.Tensor{Name: p.Name, DType: "F32", Shape: p.Shape})
		}
		got, classes, err := GuessNetwork(tensors)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		type guess struct {
			Network string
			Classes int
		}
		if diff := cmp.Diff(guess{name, 7}, guess{got, classes}); diff != "" {
			t.Errorf("guess (-want +got):\n%s", diff)
		}
		if got, _, err := GuessNetwork(tensors[1:]); err == nil {
			t.Errorf("%s without a tensor is taken for %s", name, got)
		}
	}
}

// TestWhole holds weights to their network alone: what a deeper network or one with
// branches has beside it is refused, and what training leaves beside weights is not.
func TestWhole(t *testing.T) {
	n := modeltest.Network(t, "googlenet", model.Options{Classes: 2, Width: 0.0625, Aux: true, Dropout: -1})
	spec := model.Spec{Model: "googlenet", InputSize: n.Input, Width: 0.0625, Classes: []string{"a", "b"}}
	zeros := func(name string, shape ...int) model.Tensor {
		return model.NewTensor(name, shape, make([]float32, model.Elements(shape)))
	}
	var full, main, averaged []model.Tensor
	for _, p := range n.Params() {
		full = append(full, zeros(p.Name, p.Shape...))
	}
	for _, p := range n.WithoutAux().Params() {
		main = append(main, zeros(p.Name, p.Shape...))
		averaged = append(averaged, zeros("teacher."+p.Name, p.Shape...))
	}
	for what, c := range map[string]struct {
		tensors, beside []model.Tensor
		over            string // is named
	}{
		"itself":               {tensors: full},
		"no heads":             {tensors: main},
		"pieces of a head":     {tensors: main, beside: full[slices.IndexFunc(full, func(t model.Tensor) bool { return strings.HasPrefix(t.Name, "aux1") }):][:3:3]},
		"counters":             {tensors: main, beside: []model.Tensor{zeros("conv1.bn.num_batches_tracked"), {Name: "step", DType: "I64", Data: make([]byte, 8)}, zeros("conv1.total_ops", 1)}},
		"exporter's constants": {tensors: main, beside: []model.Tensor{zeros("onnx::Mul_12"), zeros("/inception3a/Constant_output_0")}},
		"a copy":               {tensors: main, beside: averaged},
		"half a copy":          {tensors: main, beside: averaged[:len(averaged)/2], over: averaged[0].Name},
		"another block":        {tensors: full, beside: []model.Tensor{zeros("inception5c.branch1.conv.weight", 3, 3, 1, 1)}, over: "inception5c.branch1.conv.weight"},
		"attention":            {tensors: main, beside: []model.Tensor{zeros("inception3a.se.fc1.weight", 3, 3), zeros("inception3a.gain")}, over: "inception3a.se.fc1.weight, inception3a.gain"},
		"a bias":               {tensors: main, beside: []model.Tensor{zeros("conv1.conv.bias", 4)}, over: "conv1.conv.bias"},
	} {
		_, _, err := Fit(spec, append(main[:0:0], append(c.tensors, c.beside...)...))
		if c.over == "" && err != nil || c.over != "" && (!errors.Is(err, ErrOther) || !strings.Contains(err.Error(), c.over)) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestGuessWhole does not take a part of a network for it.
func TestGuessWhole(t *testing.T) {
	n := modeltest.Network(t, "resnet50", model.Options{Dropout: -1})
	var tensors []model.Tensor
	for _, p := range n.Params() {
		tensors = append(tensors, model.Tensor{Name: p.Name, DType: "F32", Shape: p.Shape})
	}
	deeper := append(tensors, model.Tensor{Name: "layer3.6.conv1.weight", DType: "F32", Shape: []int{256, 1024, 1, 1}})
	if got, _, err := GuessNetwork(tensors); err != nil || got != "resnet50" {
		t.Errorf("%s, %v", got, err)
	}
	if got, _, err := GuessNetwork(deeper); !errors.Is(err, ErrOther) {
		t.Errorf("%s, %v", got, err)
	}
}
