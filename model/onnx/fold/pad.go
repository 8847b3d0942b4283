package fold

import (
	"slices"

	"github.com/synshard/synshard/internal/onnxpb"
	"github.com/synshard/synshard/model/onnx"
)

// pads takes every Pad with zeros up into the convolutions that take it. For others it
// stays.
func pads(g *onnx.Graph) error {
	users := g.Users()
	gone := map[*onnxpb.Node]bool{}
	for _, n := range g.Nodes {
		amounts, ok := zeros(g, n)
		if !ok {
			continue
		}
		left := 0
		for _, c := range users[n.Outputs[0]] {
			if !padded(g, c, n, amounts) {
				left++
			}
		}
		gone[n] = left == 0 && !g.IsOutput(n.Outputs[0])
	}
	drop(g, gone)
	return nil
}

// zeros gives how many zeros a Pad puts before and behind each dimension of space, all
// that is before first, as Conv has them; ok is false where it does something else.
func zeros(g *onnx.Graph, n *onnxpb.Node) (amounts []int64, ok bool) {
	if n.GetOp() != "Pad" || !standard(n) || len(n.Inputs) < 2 || len(n.Inputs) > 3 || len(n.Outputs) != 1 {
		return nil, false
	}
	if a := onnx.Attribute(n, "mode"); a != nil && string(a.GetS()) != "constant" {
		return nil, false
	}
	if value := float32(0); len(n.Inputs) == 3 && n.Inputs[2] != "" && (!single(g, n.Inputs[2], &value) || value != 0) {
		return nil, false
	}
	x, ok, err := g.Constant(n.Inputs[1])
	if !ok || err != nil {
		return nil, false
	}
	all, ok := x.Integers()
	rank := len(all) / 2
	if !ok || rank < 3 || len(all)%2 != 0 || slices.Min(all) < 0 || slices.Max(all) > 1<<16 || all[0]+all[1]+all[rank]+all[rank+1] != 0 {
		return nil, false
	}
	return slices.Concat(all[2:rank], all[rank+2:]), true
}

// padded adds what a Pad puts around to a convolution's own, which then takes what the Pad
// takes; false where it is none, or says otherwise how much it wants.
func padded(g *onnx.Graph, c, pad *onnxpb.Node, amounts []int64) bool {
	if c.GetOp() != "Conv" || !standard(c) || slices.Index(c.Inputs, pad.Outputs[0]) != 0 || slices.Contains(c.Inputs[1:], pad.Outputs[0]) {
		return false
	}
	if a := onnx.Attribute(c, "auto_pad"); a != nil && string(a.GetS()) != "NOTSET" {
		return false
	}
	own := onnx.Attribute(c, "pads")
	if own != nil && len(own.Ints) != len(amounts) {
		return false
	}
	sum := slices.Clone(amounts)
	if own != nil {
		for i, v := range own.Ints {
			sum[i] += v
		}
	}
	c.Attributes = slices.DeleteFunc(c.Attributes, func(a *onnxpb.Attribute) bool { return a.GetName() == "pads" })
	c.Attributes = append(c.Attributes, onnx.Ints("pads", sum...))
	c.Inputs[0] = pad.Inputs[0]
	return true
}
