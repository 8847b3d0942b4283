package weights

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/internal/raced"
	"github.com/synshard/synshard/model"
)

// TestFitAnyWidth fits weights of any width by a spec that has it, and by one
// of an older run, which has not.
func TestFitAnyWidth(t *testing.T) {
	raced.Skip(t, "one goroutine does it all")
	for _, name := range []string{"inception_v3", "densenet121", "vgg16_bn", "alexnet"} {
		for _, width := range []float64{0.0625, 0.125, 0.3, 0.37, 1, 1.5} {
			if testing.Short() && name != "inception_v3" || width > 1 && name != "inception_v3" || width >= 1 && name == "vgg16_bn" {
				continue
			}
			spec, err := PublishedSpec(name)
			if err != nil {
				t.Fatal(err)
			}
			spec.Classes = []string{"a", "b", "c"}
			if width != 1 {
				spec.Width = width
			}
			net, err := spec.Network(true)
			if err != nil {
				t.Fatal(err)
			}
			var tensors []model.Tensor
			for _, p := range net.Params() {
				tensors = append(tensors, model.NewTensor(p.Name, p.Shape, make([]float32, model.Elements(p.Shape))))
			}
			old := spec
			old.Width = 0
			for _, s := range []model.Spec{spec, WithWidth(old, tensors)} {
				got, values, err := Fit(s, tensors)
				if err != nil {
					t.Errorf("%s of width %v, as %v: %v", name, width, s.Width, err)
					continue
				}
				if diff := cmp.Diff([]any{len(tensors), net.Params()}, []any{len(values), got.Params()}); diff != "" {
					t.Errorf("%s of width %v, as %v: tensors, parameters (-want +got):\n%s", name, width, s.Width, diff)
				}
			}
			if got := WithWidth(old, tensors).Width; width <= 0.125 && name == "inception_v3" && got != width {
				t.Errorf("%s: width %v is taken for %v", name, width, got)
			}
		}
	}
}

func TestFitRefuses(t *testing.T) {
	spec, err := PublishedSpec("alexnet")
	if err != nil {
		t.Fatal(err)
	}
	spec.Classes, spec.Width = []string{"a", "b"}, 0.125
	net, err := spec.Network(false)
	if err != nil {
		t.Fatal(err)
	}
	tensors := net.Init(1)
	if _, _, err := Fit(spec, tensors[1:]); err == nil || !strings.Contains(err.Error(), tensors[0].Name) {
		t.Errorf("a tensor less: %v", err)
	}
	tensors[2].Shape = []int{7, 1, 1, 1}
	if got := WithWidth(model.Spec{Model: "alexnet", InputSize: 224, Classes: spec.Classes}, tensors); got.Width != 0 {
		t.Errorf("tensors of no width are taken for %v", got.Width)
	}
}
