package weights

import (
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
