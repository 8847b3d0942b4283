package weights

import (
	"math"
	"slices"

	"github.com/synshard/synshard/model"
)

// unfold gives a network's tensors where a convolution has taken up the batch
// norm behind it, as in files for prediction: the convolution keeps the folded
// weight, and the batch norm becomes the shift alone (mean 0, variance 1,
// scale sqrt(1+eps)), or nothing where the convolution has a bias of its own.
// The network then predicts as the file does. Tensors of an unfolded network
// come back as they are.
func unfold(n *model.Network, tensors []model.Tensor) []model.Tensor {
	have := model.ByName(tensors)
	out := slices.Clone(tensors)
	for _, node := range n.Nodes {
		if node.Op != model.BatchNorm || n.Nodes[node.Inputs[0]].Op != model.Conv {
			continue
		}
		conv := n.Nodes[node.Inputs[0]]
		shift, folded := have[conv.Name+".bias"]
		if _, own := have[node.Name+".weight"]; own || !folded {
			continue
		}
		one, scale, c := make([]float32, conv.Out), make([]float32, conv.Out), []int{conv.Out}
		for i := range one {
			one[i], scale[i] = 1, float32(math.Sqrt(1+node.Eps))
		}
		if conv.Bias {
			shift = model.NewTensor("", c, make([]float32, conv.Out))
		} else {
			out = slices.DeleteFunc(out, func(t model.Tensor) bool { return t.Name == conv.Name+".bias" })
		}
		shift.Name = node.Name + ".bias"
		out = append(out, shift, model.NewTensor(node.Name+".weight", c, scale),
			model.NewTensor(node.Name+".running_mean", c, make([]float32, conv.Out)), model.NewTensor(node.Name+".running_var", c, one))
	}
	return out
}
