package model

import (
	"fmt"
	"math"
)

// dropIdentities has what an Identity gives be read where it takes it: exporters
// put them before weights that several operators share. One whose result is the
// model's stays.
func (g *onnxGraph) dropIdentities() {
	of := map[string]string{}
	kept := g.nodes[:0]
	for _, n := range g.nodes {
		for i, s := range n.in {
			if from, ok := of[s]; ok {
				n.in[i] = from
			}
		}
		if n.op == "Identity" && len(n.in) == 1 && len(n.out) == 1 && !g.outputs[n.out[0]] {
			of[n.out[0]] = n.in[0]
			continue
		}
		kept = append(kept, n)
	}
	g.nodes = kept
}

// foldBatchNorm takes every BatchNormalization behind a convolution up into it:
// w' = w g/sqrt(v+eps), b' = (b-m) g/sqrt(v+eps) + beta, in float64. It is left
// where something else takes the convolution's output or the weight too.
func (g *onnxGraph) foldBatchNorm() error {
	users := g.users()
	made := map[string]*onnxNode{}
	gone := map[*onnxNode]bool{}
	for _, n := range g.nodes {
		for _, s := range n.out {
			made[s] = n
		}
		conv := made[n.in0()]
		if n.op != "BatchNormalization" || len(n.in) != 5 || len(n.out) != 1 || conv == nil || conv.op != "Conv" ||
			len(conv.in) < 2 || len(users[n.in[0]]) != 1 || g.outputs[n.in[0]] || len(users[conv.in[1]]) != 1 {
			continue
		}
		ok, err := g.fold(conv, n)
		if err != nil {
			return fmt.Errorf("node %q: %w", n.name, err)
		}
		if ok {
			conv.out[0], gone[n], made[n.out[0]] = n.out[0], true, conv
		}
	}
	kept := g.nodes[:0]
	for _, n := range g.nodes {
		if !gone[n] {
			kept = append(kept, n)
		}
	}
	g.nodes = kept
	return nil
}

func (g *onnxGraph) fold(conv, bn *onnxNode) (bool, error) {
	weight, shape, ok, err := g.weight(conv.in[1])
	if !ok || len(shape) < 3 || shape[0] == 0 {
		return false, err
	}
	c := shape[0]
	var parts [4][]float32 // scale, shift, mean, variance
	for i := range parts {
		values, _, ok, err := g.weight(bn.in[1+i])
		if !ok {
			return false, err
		}
		if len(values) != c {
			return false, fmt.Errorf("%w: %q has %d values for %d channels", ErrFormat, bn.in[1+i], len(values), c)
		}
		parts[i] = values
	}
	bias := make([]float32, c)
	if len(conv.in) > 2 && conv.in[2] != "" {
		have, _, ok, err := g.weight(conv.in[2])
		if !ok || len(have) != c {
			return false, err
		}
		copy(bias, have)
	}
	eps, per := bn.number("epsilon", 1e-5), len(weight)/c
	for i := range c {
		k := float64(parts[0][i]) / math.Sqrt(float64(parts[3][i])+eps)
		for j := i * per; j < (i+1)*per; j++ {
			weight[j] = float32(float64(weight[j]) * k)
		}
		bias[i] = float32((float64(bias[i])-float64(parts[2][i]))*k + float64(parts[1][i]))
	}
	name := bn.out[0] + ".folded"
	g.put(name+".weight", onnxFloat, shape, floatBytes(weight))
	g.put(name+".bias", onnxFloat, []int{c}, floatBytes(bias))
	conv.in = []string{conv.in[0], name + ".weight", name + ".bias"}
	return true, nil
}
