package weights

import (
	"regexp"
	"slices"
	"strings"

	"github.com/synshard/synshard/model"
)

// Names that published weights use for what torchvision's present code, and
// this package, call otherwise.
var (
	// torchvision's densenet121 of 2017: denselayer1.norm.1.weight.
	oldDenseLayer = regexp.MustCompile(`^(.*denselayer\d+\.(?:norm|conv))\.([12]\..*)$`)
	// timm's VGG: the linear layers are convolutions over the last grid.
	timmVGG = map[string]string{"pre_logits.fc1.": "classifier.0.", "pre_logits.fc2.": "classifier.3.", "head.fc.": "classifier.6."}
)

// Rename gives tensors of published weights, torchvision's and timm's, the
// names and shapes the network has for them. What needs no new name comes
// back as it is.
func Rename(n *model.Network, tensors []model.Tensor) []model.Tensor {
	want := map[string][]int{}
	for _, p := range n.Params() {
		want[p.Name] = p.Shape
	}
	out := slices.Clone(tensors)
	for i, t := range out {
		name := oldDenseLayer.ReplaceAllString(t.Name, "$1$2")
		for from, to := range timmVGG {
			if rest, ok := strings.CutPrefix(name, from); ok && want[to+rest] != nil {
				name = to + rest
			}
		}
		out[i].Name = name
		shape := want[name]
		if len(shape) == 2 && len(t.Shape) == 4 && model.Elements(shape) == model.Elements(t.Shape) && shape[0] == t.Shape[0] {
			out[i].Shape = slices.Clone(shape) // a convolution over the whole grid is this linear layer, row by row
		}
	}
	return out
}
