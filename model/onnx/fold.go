package onnx

import (
	"fmt"
	"math"

	"github.com/synshard/synshard/model"
)

// dropIdentities has what an Identity gives be read where it takes it: exporters
// put them before weights that several operators share. One whose result is the
// model's stays.
func (g *Graph) DropIdentities() {
	of := map[string]string{}
	kept := g.Nodes[:0]
	for _, n := range g.Nodes {
		for i, s := range n.In {
			if from, ok := of[s]; ok {
				n.In[i] = from
			}
		}
		if n.Op == "Identity" && len(n.In) == 1 && len(n.Out) == 1 && !g.Outputs[n.Out[0]] {
			of[n.Out[0]] = n.In[0]
			continue
		}
		kept = append(kept, n)
	}
	g.Nodes = kept
}

// foldBatchNorm takes every BatchNormalization behind a convolution up into it:
// w' = w g/sqrt(v+eps), b' = (b-m) g/sqrt(v+eps) + beta, in float64. It is left
// where something else takes the convolution's output or the weight too.
func (g *Graph) FoldBatchNorm() error {
	users := g.Users()
	made := map[string]*Node{}
	gone := map[*Node]bool{}
	for _, n := range g.Nodes {
		for _, s := range n.Out {
			made[s] = n
		}
		conv := made[n.First()]
		if n.Op != "BatchNormalization" || len(n.In) != 5 || len(n.Out) != 1 || conv == nil || conv.Op != "Conv" ||
			len(conv.In) < 2 || len(users[n.In[0]]) != 1 || g.Outputs[n.In[0]] || len(users[conv.In[1]]) != 1 {
			continue
		}
		ok, err := g.fold(conv, n)
		if err != nil {
			return fmt.Errorf("node %q: %w", n.Name, err)
		}
		if ok {
			conv.Out[0], gone[n], made[n.Out[0]] = n.Out[0], true, conv
		}
	}
	kept := g.Nodes[:0]
	for _, n := range g.Nodes {
		if !gone[n] {
			kept = append(kept, n)
		}
	}
	g.Nodes = kept
	return nil
}

func (g *Graph) fold(conv, bn *Node) (bool, error) {
	weight, shape, ok, err := g.Weight(conv.In[1])
	if !ok || len(shape) < 3 || shape[0] == 0 {
		return false, err
	}
	c := shape[0]
	var parts [4][]float32 // scale, shift, mean, variance
	for i := range parts {
		values, _, ok, err := g.Weight(bn.In[1+i])
		if !ok {
			return false, err
		}
		if len(values) != c {
			return false, fmt.Errorf("%w: %q has %d values for %d channels", model.ErrFormat, bn.In[1+i], len(values), c)
		}
		parts[i] = values
	}
	bias := make([]float32, c)
	if len(conv.In) > 2 && conv.In[2] != "" {
		have, _, ok, err := g.Weight(conv.In[2])
		if !ok || len(have) != c {
			return false, err
		}
		copy(bias, have)
	}
	eps, per := bn.Number("epsilon", 1e-5), len(weight)/c
	for i := range c {
		k := float64(parts[0][i]) / math.Sqrt(float64(parts[3][i])+eps)
		for j := i * per; j < (i+1)*per; j++ {
			weight[j] = float32(float64(weight[j]) * k)
		}
		bias[i] = float32((float64(bias[i])-float64(parts[2][i]))*k + float64(parts[1][i]))
	}
	name := bn.Out[0] + ".folded"
	g.Put(name+".weight", Float, shape, FloatBytes(weight))
	g.Put(name+".bias", Float, []int{c}, FloatBytes(bias))
	conv.In = []string{conv.In[0], name + ".weight", name + ".bias"}
	return true, nil
}
