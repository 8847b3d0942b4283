// Package describe shows what a network is made of: what its blocks save, what
// its nodes see, and a drawing.
package describe

import (
	"fmt"

	"github.com/synshard/synshard/model"
)

// Saving compares a factorised or bottlenecked pair of convolutions with the
// one convolution that covers the same window from the same input to the same
// output. Weights are counts, Multiplies multiply-adds of one image.
type Saving struct {
	Block           string  `json:"block"`  // Node.Block of the pair
	What            string  `json:"what"`   // the pair, and what it stands for
	First           string  `json:"first"`  // names of the convolutions compared
	Second          string  `json:"second"` // likewise
	Weights         int64   `json:"weights"`
	PlainWeights    int64   `json:"plain_weights"` // of the one convolution
	Multiplies      int64   `json:"multiplications"`
	PlainMultiplies int64   `json:"plain_multiplications"` // of the one convolution
	Saved           float64 `json:"saved"`                 // share of the plain form's weights
}

// Savings lists, for each pair of convolutions one of which feeds the other
// through nothing but batch norm and ReLU, what they cost against one
// convolution in their place: a 1x1 bottleneck, 1xn and nx1, or two 3x3; and
// 1x3 beside 3x1 against a 3x3 of their joint width.
func Savings(n *model.Network) []Saving {
	shapes, err := n.Shapes()
	if err != nil {
		panic(err) // New has checked them
	}
	var out []Saving
	taken := map[int]bool{} // the second of a factorised pair is not the first of another
	for i, second := range n.Nodes {
		if second.Op != model.Conv {
			continue
		}
		f := feeder(n, second.Inputs[0])
		if f < 0 || n.Nodes[f].Block != second.Block || n.Nodes[f].Block == "" {
			continue
		}
		first := n.Nodes[f]
		what, window := pairKind(first, second)
		if what == "" || taken[f] {
			continue
		}
		taken[i] = first.Kernel != [2]int{1, 1}
		in, mid, end := int64(shapes[first.Inputs[0]].C), int64(first.Out), int64(second.Out)
		a, b := int64(first.Kernel[0]*first.Kernel[1]), int64(second.Kernel[0]*second.Kernel[1])
		s := Saving{Block: second.Block, What: what, First: first.Name, Second: second.Name,
			Weights: in*mid*a + mid*end*b, PlainWeights: in * end * int64(window[0]*window[1])}
		s.Multiplies = in*mid*a*area(shapes[f]) + mid*end*b*area(shapes[i])
		s.PlainMultiplies = s.PlainWeights * area(shapes[i])
		s.Saved = 1 - float64(s.Weights)/float64(s.PlainWeights)
		out = append(out, s)
	}
	return append(out, besides(n, shapes)...)
}

func area(s model.Shape) int64 { return int64(s.H * s.W) }

// feeder gives the convolution whose output reaches a node through batch norm
// and ReLU only, or -1.
func feeder(n *model.Network, i int) int {
	for n.Nodes[i].Op == model.BatchNorm || n.Nodes[i].Op == model.ReLU {
		i = n.Nodes[i].Inputs[0]
	}
	if n.Nodes[i].Op != model.Conv {
		return -1
	}
	return i
}

// pairKind names what two convolutions in a row are and gives the window of
// the one that would stand for both; "" where they are neither.
func pairKind(a, b model.Node) (string, [2]int) {
	point := [2]int{1, 1}
	switch {
	case a.Kernel == point && b.Kernel != point:
		return fmt.Sprintf("1x1 bottleneck before %dx%d", b.Kernel[0], b.Kernel[1]), b.Kernel
	case a.Kernel[0] == 1 && b.Kernel[1] == 1 && a.Kernel[1] == b.Kernel[0] && a.Kernel[1] > 1,
		a.Kernel[1] == 1 && b.Kernel[0] == 1 && a.Kernel[0] == b.Kernel[1] && a.Kernel[0] > 1:
		k := max(a.Kernel[0], a.Kernel[1])
		return fmt.Sprintf("%dx%d and %dx%d for %dx%d", a.Kernel[0], a.Kernel[1], b.Kernel[0], b.Kernel[1], k, k), square(k)
	case a.Kernel == square(3) && b.Kernel == square(3) && a.Stride == point && b.Stride == point:
		return "two 3x3 for 5x5", square(5)
	}
	return "", point
}

// besides finds 1xn beside nx1 on one input.
func besides(n *model.Network, shapes []model.Shape) []Saving {
	var out []Saving
	for j, b := range n.Nodes {
		for i := max(0, j-4); b.Op == model.Conv && b.Kernel[0] > 1 && b.Kernel[1] == 1 && i < j; i++ {
			a := n.Nodes[i]
			if a.Op != model.Conv || a.Inputs[0] != b.Inputs[0] || a.Kernel[0] != 1 || a.Kernel[1] != b.Kernel[0] {
				continue
			}
			k, in := int64(b.Kernel[0]), int64(shapes[a.Inputs[0]].C)
			s := Saving{Block: b.Block, What: fmt.Sprintf("1x%d beside %dx1 for %dx%d", k, k, k, k), First: a.Name, Second: b.Name,
				Weights: in * k * int64(a.Out+b.Out), PlainWeights: in * k * k * int64(a.Out+b.Out)}
			s.Multiplies, s.PlainMultiplies = s.Weights*area(shapes[j]), s.PlainWeights*area(shapes[j])
			s.Saved = 1 - float64(s.Weights)/float64(s.PlainWeights)
			out = append(out, s)
		}
	}
	return out
}

// Principle is a saving as the lectures and papers put it: by itself, outside
// any network.
type Principle struct {
	What  string `json:"what"`       // the convolution, and what stands for it
	Plain int64  `json:"plain"`      // cost of one convolution
	Ours  int64  `json:"factorised"` // and of those in its place
	Unit  string `json:"unit"`       // of both costs

	One  Step   `json:"-"` // what costs Plain
	Many []Step `json:"-"` // what cost Ours, one after another
}

// Saved is the share of the one convolution's cost that is not paid.
func (p Principle) Saved() float64 { return 1 - float64(p.Ours)/float64(p.Plain) }

// Step is a convolution that keeps the grid's size.
type Step struct {
	Kernel  [2]int // height and width
	In, Out int    // channels
	Grid    int    // height and width of input and output
}

// Cost counts multiplications; of one channel on a grid of 1 those are the weights of a
// pair of channels.
func (s Step) Cost() int64 {
	return int64(s.Grid*s.Grid) * int64(s.In*s.Out) * int64(s.Kernel[0]*s.Kernel[1])
}

// Principles are the textbook cases, computed.
func Principles() []Principle {
	pair := func(h, w int) Step { return Step{[2]int{h, w}, 1, 1, 1} }
	const weights = "weights a channel pair"
	all := []Principle{
		{What: "5x5 by two 3x3, equal channels", Unit: weights, One: pair(5, 5), Many: []Step{pair(3, 3), pair(3, 3)}},
		{What: "3x3 by 1x3 and 3x1, equal channels", Unit: weights, One: pair(3, 3), Many: []Step{pair(1, 3), pair(3, 1)}},
		{What: "28x28x192 to 32 channels by 5x5, with a bottleneck of 16", Unit: "multiplications",
			One: Step{square(5), 192, 32, 28}, Many: []Step{{square(1), 192, 16, 28}, {square(5), 16, 32, 28}}},
	}
	for i := range all {
		p := &all[i]
		p.Plain = p.One.Cost()
		for _, s := range p.Many {
			p.Ours += s.Cost()
		}
	}
	return all
}

// ReceptiveFields gives, for each node, how many input pixels in each
// direction one of its outputs sees (the largest over its inputs), clipped to
// the input: Araujo, Norris and Sim, "Computing Receptive Fields of
// Convolutional Neural Networks", Distill 2019, equation 2.
func ReceptiveFields(n *model.Network) [][2]int {
	field, jump := make([][2]int, len(n.Nodes)), make([][2]int, len(n.Nodes))
	for i, node := range n.Nodes {
		if i == 0 {
			field[0], jump[0] = square(1), square(1)
			continue
		}
		for _, in := range node.Inputs {
			for d := range 2 {
				f, j := field[in][d], jump[in][d]
				switch node.Op {
				case model.Conv, model.MaxPool, model.AvgPool:
					f, j = f+(node.Kernel[d]-1)*j, j*node.Stride[d]
				case model.GlobalAvgPool, model.Flatten, model.Linear:
					f = n.Input
				}
				field[i][d], jump[i][d] = min(max(field[i][d], f), n.Input), max(jump[i][d], j)
			}
		}
	}
	return field
}

func square(k int) [2]int { return [2]int{k, k} }
