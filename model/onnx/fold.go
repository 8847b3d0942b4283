package onnx

import (
	"fmt"
	"math"
	"slices"

	"github.com/synshard/synshard/internal/onnxpb"
	"github.com/synshard/synshard/model"
)

// batchNorm is a batch norm's constants, one a channel: y = scale (x - mean) /
// sqrt(variance + eps) + shift.
type batchNorm struct {
	scale, shift, mean, variance []float32
	eps                          float64
}

// into folds the batch norm into the convolution before it, in place: weight
// is [channels, ...] and bias [channels]. With k = scale / sqrt(variance +
// eps), w' = w k and b' = (b - mean) k + shift, in float64 (Ioffe and Szegedy,
// "Batch Normalization", arXiv:1502.03167, algorithm 2). prepare in
// train/torch/shim/predict.cpp does the same with libtorch's tensors, for predictions by
// the training engine; TestInferEngineTorch of cmd/synshard holds the two equal.
func (n *batchNorm) into(weight, bias []float32) {
	per := len(weight) / len(bias)
	for c := range bias {
		k := float64(n.scale[c]) / math.Sqrt(float64(n.variance[c])+n.eps)
		for i := c * per; i < (c+1)*per; i++ {
			weight[i] = float32(float64(weight[i]) * k)
		}
		bias[c] = float32((float64(bias[c])-float64(n.mean[c]))*k + float64(n.shift[c]))
	}
}

// DropIdentities has what an Identity gives be read where it takes it: exporters
// put them before weights that several operators share. One whose result is the
// model's stays.
func (g *Graph) DropIdentities() {
	source := map[string]string{}
	g.Nodes = slices.DeleteFunc(g.Nodes, func(n *onnxpb.Node) bool {
		for i, s := range n.Inputs {
			if from, ok := source[s]; ok {
				n.Inputs[i] = from
			}
		}
		drop := n.GetOp() == "Identity" && len(n.Inputs) == 1 && len(n.Outputs) == 1 && !g.IsOutput(n.Outputs[0])
		if drop {
			source[n.Outputs[0]] = n.Inputs[0]
		}
		return drop
	})
}

// FoldBatchNorm takes every BatchNormalization behind a convolution up into it.
// It is left where something else takes the convolution's output or the weight
// too.
func (g *Graph) FoldBatchNorm() error {
	users := g.Users()
	made := map[string]*onnxpb.Node{}
	gone := map[*onnxpb.Node]bool{}
	for _, n := range g.Nodes {
		for _, s := range n.Outputs {
			made[s] = n
		}
		conv := made[FirstInput(n)]
		if n.GetOp() != "BatchNormalization" || len(n.Inputs) != 5 || len(n.Outputs) != 1 || conv.GetOp() != "Conv" ||
			len(conv.Inputs) < 2 || len(users[n.Inputs[0]]) != 1 || g.IsOutput(n.Inputs[0]) || len(users[conv.Inputs[1]]) != 1 {
			continue
		}
		ok, err := g.fold(conv, n)
		if err != nil {
			return fmt.Errorf("node %q: %w", n.GetName(), err)
		}
		if ok {
			conv.Outputs[0], gone[n], made[n.Outputs[0]] = n.Outputs[0], true, conv
		}
	}
	g.Nodes = slices.DeleteFunc(g.Nodes, func(n *onnxpb.Node) bool { return gone[n] })
	return nil
}

// fold folds one batch norm; ok is false where one of its constants, or the
// convolution's, is none.
func (g *Graph) fold(conv, bn *onnxpb.Node) (ok bool, err error) {
	weight, shape, ok, err := g.Floats(conv.Inputs[1])
	if !ok || len(shape) < 3 || shape[0] == 0 {
		return false, err
	}
	c := shape[0]
	norm := batchNorm{eps: Number(bn, "epsilon", 1e-5)}
	for i, to := range []*[]float32{&norm.scale, &norm.shift, &norm.mean, &norm.variance} {
		values, _, ok, err := g.Floats(bn.Inputs[1+i])
		if !ok {
			return false, err
		}
		if len(values) != c {
			return false, fmt.Errorf("%w: %q has %d values for %d channels", model.ErrFormat, bn.Inputs[1+i], len(values), c)
		}
		*to = values
	}
	bias := make([]float32, c)
	if len(conv.Inputs) > 2 && conv.Inputs[2] != "" {
		have, _, ok, err := g.Floats(conv.Inputs[2])
		if !ok || len(have) != c {
			return false, err
		}
		copy(bias, have)
	}
	norm.into(weight, bias)
	name := bn.Outputs[0] + ".folded"
	g.Put(name+".weight", onnxpb.Tensor_FLOAT, shape, FloatBytes(weight))
	g.Put(name+".bias", onnxpb.Tensor_FLOAT, []int{c}, FloatBytes(bias))
	conv.Inputs = []string{conv.Inputs[0], name + ".weight", name + ".bias"}
	return true, nil
}
