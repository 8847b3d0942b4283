package model

import (
	"fmt"
	"math"
	"math/rand/v2"
)

// Fresh weights. "paper" is the truncated normal of Inception's code, standard
// deviation 0.1 cut at two deviations, with torchvision's exceptions in the
// auxiliary head; "he" is He et al. 2015 (arXiv:1502.01852) over the fan-out,
// with linear weights uniform in 1/sqrt(fan-in). Batch norm begins as the
// identity and biases at zero.
var inits = []string{"paper", "he"}

// Init makes fresh weights as the paper's code does: InitAs "paper".
func (n *Network) Init(seed uint64) []Tensor {
	out, err := n.InitAs("paper", seed)
	if err != nil {
		panic(err) // the name is known
	}
	return out
}

// InitAs makes fresh weights, F32, for every parameter and running statistic, by a
// named rule. paper is the truncated normal of Inception's code, he that of He et
// al. (arXiv:1502.01852). The values of a tensor depend on the seed and on its
// place in Params alone.
func (n *Network) InitAs(rule string, seed uint64) ([]Tensor, error) {
	if rule != "paper" && rule != "he" {
		return nil, fmt.Errorf("init %q: want one of %v", rule, inits)
	}
	var out []Tensor
	for i, p := range n.Params() {
		values := make([]float32, Elements(p.Shape))
		rng := rand.New(rand.NewPCG(seed, uint64(i)))
		switch p.Kind {
		case Weight:
			n.fill(values, p, rule, rng)
		case BNWeight, RunningVar:
			for j := range values {
				values[j] = 1
			}
		}
		out = append(out, NewTensor(p.Name, p.Shape, values))
	}
	return out, nil
}

// stddevs are torchvision's exceptions to 0.1.
var stddevs = map[string]float64{"AuxLogits.conv1.conv.weight": 0.01, "AuxLogits.fc.weight": 0.001}

func (n *Network) fill(values []float32, p Param, rule string, rng *rand.Rand) {
	conv := len(p.Shape) == 4
	var draw func() float64
	switch {
	case rule == "paper":
		std := 0.1
		if s, ok := stddevs[p.Name]; ok {
			std = s
		}
		draw = func() float64 {
			for {
				if v := rng.NormFloat64(); math.Abs(v) <= 2 {
					return v * std
				}
			}
		}
	case conv:
		std := math.Sqrt(2 / float64(p.Shape[0]*p.Shape[2]*p.Shape[3]))
		draw = func() float64 { return rng.NormFloat64() * std }
	default:
		bound := 1 / math.Sqrt(float64(p.Shape[1]))
		draw = func() float64 { return (2*rng.Float64() - 1) * bound }
	}
	for j := range values {
		values[j] = float32(draw())
	}
}
