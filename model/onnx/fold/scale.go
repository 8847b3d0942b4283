package fold

import (
	"fmt"
	"math"
	"slices"

	"github.com/synshard/synshard/internal/onnxpb"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/onnx"
)

// affine is what becomes of each channel of a convolution: y = k x + s.
type affine struct{ k, s []float64 }

// into folds it into the convolution before it, in place: weight is [channels, ...] and
// bias [channels].
func (a affine) into(weight, bias []float32) {
	per := len(weight) / len(bias)
	for c := range bias {
		for i := c * per; i < (c+1)*per; i++ {
			weight[i] = float32(float64(weight[i]) * a.k[c])
		}
		bias[c] = float32(float64(bias[c])*a.k[c] + a.s[c])
	}
}

// scales takes every batch norm, and every sum, difference, product or quotient with
// constants of the channels, behind a convolution up into it. It is left where something
// else takes the convolution's output or the weight too.
func scales(g *onnx.Graph) error {
	users := g.Users()
	made := map[string]*onnxpb.Node{}
	gone := map[*onnxpb.Node]bool{}
	for _, n := range g.Nodes {
		for _, s := range n.Outputs {
			made[s] = n
		}
		if !standard(n) || len(n.Outputs) != 1 {
			continue
		}
		x := slices.IndexFunc(n.Inputs, func(s string) bool { return made[s].GetOp() == "Conv" })
		if x < 0 {
			continue
		}
		conv := made[n.Inputs[x]]
		if !standard(conv) || len(conv.Inputs) < 2 || !between(g, users, n.Inputs[x]) || len(users[conv.Inputs[1]]) != 1 {
			continue
		}
		ok, err := scale(g, conv, n, x)
		if err != nil {
			return fmt.Errorf("node %q: %w", n.GetName(), err)
		}
		if ok {
			for _, s := range conv.Inputs[1:] {
				users[s] = []*onnxpb.Node{conv}
			}
			conv.Outputs[0], gone[n], made[n.Outputs[0]] = n.Outputs[0], true, conv
		}
	}
	drop(g, gone)
	return nil
}

// scale folds one node, which takes the convolution's output as its input x; ok is false
// where it is of another kind, or one of its constants, or the convolution's, is none.
func scale(g *onnx.Graph, conv, n *onnxpb.Node, x int) (ok bool, err error) {
	weight, shape, ok, err := g.Floats(conv.Inputs[1])
	if !ok || len(shape) < 3 || shape[0] == 0 {
		return false, err
	}
	a, ok, err := affineOf(g, n, x, shape[0], len(shape))
	if !ok {
		return false, err
	}
	bias := make([]float32, shape[0])
	if len(conv.Inputs) > 2 && conv.Inputs[2] != "" {
		have, _, ok, err := g.Floats(conv.Inputs[2])
		if !ok || len(have) != len(bias) {
			return false, err
		}
		copy(bias, have)
	}
	a.into(weight, bias)
	name := n.Outputs[0] + ".folded"
	g.Put(name+".weight", onnxpb.Tensor_FLOAT, shape, onnx.FloatBytes(weight))
	g.Put(name+".bias", onnxpb.Tensor_FLOAT, []int{len(bias)}, onnx.FloatBytes(bias))
	conv.Inputs = []string{conv.Inputs[0], name + ".weight", name + ".bias"}
	return true, nil
}

// affineOf is what a node does to its input x, of so many channels and dimensions.
func affineOf(g *onnx.Graph, n *onnxpb.Node, x, channels, rank int) (a affine, ok bool, err error) {
	if n.GetOp() == "BatchNormalization" && len(n.Inputs) == 5 && x == 0 && onnx.Number(n, "training_mode", 0) == 0 {
		return batchNorm(g, n, channels)
	}
	if len(n.Inputs) != 2 {
		return a, false, nil
	}
	values, shape, ok, err := g.Floats(n.Inputs[1-x])
	if !ok || !perChannel(shape, channels, rank) {
		return a, false, err
	}
	a = affine{make([]float64, channels), make([]float64, channels)}
	for c := range channels {
		v := float64(values[c%len(values)])
		switch op := n.GetOp(); {
		case op == "Add":
			a.k[c], a.s[c] = 1, v
		case op == "Sub" && x == 0:
			a.k[c], a.s[c] = 1, -v
		case op == "Sub":
			a.k[c], a.s[c] = -1, v
		case op == "Mul":
			a.k[c] = v
		case op == "Div" && x == 0 && v != 0:
			a.k[c] = 1 / v
		default:
			return a, false, nil
		}
	}
	return a, true, nil
}

// perChannel says whether a constant of this shape has one value a channel, or one for
// all, where it meets a tensor [N, channels, ...] of rank dimensions, and leaves that
// tensor's shape as it is.
func perChannel(shape []int, channels, rank int) bool {
	at := len(shape) - rank + 1 // of the channels
	for i, d := range shape {
		if d != 1 && (i != at || d != channels) {
			return false
		}
	}
	return len(shape) <= rank
}

// batchNorm gives a batch norm's y = scale (x - mean) / sqrt(variance + eps) + shift, in
// float64: Ioffe and Szegedy, "Batch Normalization", arXiv:1502.03167, algorithm 2.
func batchNorm(g *onnx.Graph, n *onnxpb.Node, channels int) (a affine, ok bool, err error) {
	var constants [4][]float32
	for i := range constants {
		values, _, ok, err := g.Floats(n.Inputs[1+i])
		if !ok {
			return a, false, err
		}
		if len(values) != channels {
			return a, false, fmt.Errorf("%w: %q has %d values for %d channels", model.ErrFormat, n.Inputs[1+i], len(values), channels)
		}
		constants[i] = values
	}
	eps := onnx.Number(n, "epsilon", 1e-5)
	for c := range channels {
		k := float64(constants[0][c]) / math.Sqrt(float64(constants[3][c])+eps)
		a.k, a.s = append(a.k, k), append(a.s, float64(constants[1][c])-float64(constants[2][c])*k)
	}
	return a, true, nil
}
