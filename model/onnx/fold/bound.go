package fold

import (
	"math"

	"github.com/synshard/synshard/internal/onnxpb"
	"github.com/synshard/synshard/model/onnx"
)

// Bounds are what a node keeps its first input between, infinities where it does not: of
// Relu, of Clip with constants (a ReLU6 is one), and of Max and Min with a constant, which
// must be the second input. ok is false for every other node.
func Bounds(g *onnx.Graph, n *onnxpb.Node) (lo, hi float32, ok bool) {
	lo, hi = float32(math.Inf(-1)), float32(math.Inf(1))
	if n == nil || !standard(n) || len(n.Inputs) == 0 || len(n.Outputs) != 1 {
		return lo, hi, false
	}
	switch op := n.GetOp(); {
	case op == "Relu":
		return 0, hi, len(n.Inputs) == 1
	case op == "Clip" && g.Opset < 11:
		return float32(onnx.Number(n, "min", float64(lo))), float32(onnx.Number(n, "max", float64(hi))), true
	case op == "Clip":
		for i, to := range []*float32{&lo, &hi} {
			if i+1 < len(n.Inputs) && n.Inputs[i+1] != "" && !single(g, n.Inputs[i+1], to) {
				return lo, hi, false
			}
		}
		return lo, hi, lo <= hi
	case len(n.Inputs) != 2:
		return lo, hi, false
	case op == "Max":
		return lo, hi, single(g, n.Inputs[1], &lo)
	case op == "Min":
		return lo, hi, single(g, n.Inputs[1], &hi)
	}
	return lo, hi, false
}

// single puts the value of a constant without dimensions into to, and says whether it is
// one.
func single(g *onnx.Graph, name string, to *float32) bool {
	values, shape, ok, err := g.Floats(name)
	if !ok || err != nil || len(shape) != 0 || math.IsNaN(float64(values[0])) {
		return false
	}
	*to = values[0]
	return true
}

// bounds makes one Clip, or Relu, of bounds that follow one another, and of Max and Min
// with a constant.
func bounds(g *onnx.Graph) error {
	if g.Opset < 12 { // Clip takes its bounds as inputs from 11 on
		return nil
	}
	users, made := g.Users(), makers(g)
	gone := map[*onnxpb.Node]bool{}
	for _, n := range g.Nodes {
		if op := n.GetOp(); (op == "Max" || op == "Min") && len(n.Inputs) == 2 && g.Initializer(n.Inputs[0]) != nil {
			n.Inputs[0], n.Inputs[1] = n.Inputs[1], n.Inputs[0]
		}
		lo, hi, ok := Bounds(g, n)
		if !ok {
			continue
		}
		alone := n.GetOp() == "Relu" || n.GetOp() == "Clip"
		before := made[n.Inputs[0]]
		if l, h, ok := Bounds(g, before); ok && between(g, users, n.Inputs[0]) {
			lo, hi = min(max(l, lo), hi), min(max(h, lo), hi)
			n.Inputs[0], gone[before], alone = before.Inputs[0], true, false
		}
		if !alone {
			bound(g, n, lo, hi)
		}
	}
	drop(g, gone)
	return nil
}

// bound makes a node the one that keeps its first input between lo and hi.
func bound(g *onnx.Graph, n *onnxpb.Node, lo, hi float32) {
	op, inputs := "Clip", []string{n.Inputs[0], "", ""}
	if lo == 0 && math.IsInf(float64(hi), 1) {
		op, inputs = "Relu", inputs[:1]
	} else {
		for i, v := range []float32{lo, hi} {
			if !math.IsInf(float64(v), 0) {
				inputs[i+1] = n.Outputs[0] + []string{".min", ".max"}[i]
				g.Put(inputs[i+1], onnxpb.Tensor_FLOAT, nil, onnx.FloatBytes([]float32{v}))
			}
		}
	}
	n.Op, n.Inputs, n.Attributes = &op, inputs, nil
}
