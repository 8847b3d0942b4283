package fold

import (
	"math"
	"slices"

	"github.com/synshard/synshard/internal/onnxpb"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/onnx"
)

// largest bounds a constant that is computed, in elements, unless what it is computed of
// is as large: a graph of few bytes can ask for any.
const largest = 1 << 16

// constants computes what is made of constants alone, such as the amounts of a Pad, and
// makes initializers of it. An operator that is none of its own, or does not fit what it
// is given, is left.
func constants(g *onnx.Graph) error {
	gone := map[*onnxpb.Node]bool{}
	for _, n := range g.Nodes {
		if !standard(n) || len(n.Outputs) != 1 || g.IsOutput(n.Outputs[0]) {
			continue
		}
		if n.GetOp() == "Constant" {
			gone[n] = constant(g, n)
			continue
		}
		inputs, ok, err := inputsOf(g, n)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		if x, ok := compute(n, inputs); ok {
			x.Name, gone[n] = n.Outputs[0], true
			g.PutConstant(x)
		}
	}
	drop(g, gone)
	return nil
}

// constant makes an initializer of a Constant; false where it is of a form unknown.
func constant(g *onnx.Graph, n *onnxpb.Node) bool {
	if len(n.Attributes) != 1 {
		return false
	}
	a, name := n.Attributes[0], n.Outputs[0]
	switch a.GetName() {
	case "value":
		if a.Tensor == nil || a.Tensor.GetLocation() == onnxpb.Tensor_EXTERNAL {
			return false
		}
		g.PutTensor(name, a.Tensor)
	case "value_float":
		g.Put(name, onnxpb.Tensor_FLOAT, nil, onnx.FloatBytes([]float32{a.GetF()}))
	case "value_floats":
		g.Put(name, onnxpb.Tensor_FLOAT, []int{len(a.Floats)}, onnx.FloatBytes(a.Floats))
	case "value_int":
		g.PutConstant(named(name, integers(nil, []int64{a.GetI()})))
	case "value_ints":
		g.PutConstant(named(name, integers([]int{len(a.Ints)}, a.Ints)))
	default:
		return false
	}
	return true
}

func named(name string, x model.Tensor) model.Tensor {
	x.Name = name
	return x
}

// inputsOf gives a node's inputs, a zero Tensor for one that is left out; ok is false
// where one is no constant, or there is none.
func inputsOf(g *onnx.Graph, n *onnxpb.Node) (out []model.Tensor, ok bool, err error) {
	for _, s := range n.Inputs {
		var x model.Tensor
		if s != "" {
			if x, ok, err = g.Constant(s); !ok {
				return nil, false, err
			}
		}
		out = append(out, x)
	}
	return out, len(out) > 0 && n.Inputs[0] != "", nil
}

// compute gives what a node of ONNX makes of constants, as the specification of its
// operator from opset 13 on has it; ok is false where it is left.
func compute(n *onnxpb.Node, in []model.Tensor) (x model.Tensor, ok bool) {
	size := largest
	for _, t := range in {
		size = max(size, model.Elements(t.Shape))
	}
	switch op := n.GetOp(); {
	case op == "Shape" && len(n.Attributes) == 0:
		dims := make([]int64, len(in[0].Shape))
		for i, d := range in[0].Shape {
			dims[i] = int64(d)
		}
		return integers([]int{len(dims)}, dims), true
	case op == "Cast":
		return cast(in[0], onnxpb.Tensor_DataType(int32(onnx.Number(n, "to", 0))))
	case op == "Transpose":
		return transpose(in[0], onnx.Attribute(n, "perm"))
	case op == "Concat":
		return concat(in, int(onnx.Number(n, "axis", math.MaxInt32)), size)
	case op == "ConstantOfShape":
		return filled(n, in[0], size)
	case op == "Slice" && len(in) >= 3:
		return sliced(in)
	case len(in) != 2:
		return x, false
	case op == "Reshape" && onnx.Number(n, "allowzero", 0) == 0:
		return reshape(in[0], in[1])
	case op == "Unsqueeze":
		return unsqueeze(in[0], in[1])
	case op == "Squeeze":
		return squeeze(in[0], in[1])
	case op == "Gather":
		return gather(in[0], in[1], int(onnx.Number(n, "axis", 0)))
	case op == "Add" || op == "Sub" || op == "Mul" || op == "Div":
		return arithmetic(op, in[0], in[1], size)
	}
	return x, false
}

// filled is a tensor of one value, in a shape given as integers.
func filled(n *onnxpb.Node, dims model.Tensor, size int) (x model.Tensor, ok bool) {
	shape, ok := lengths(dims)
	if !ok || count(shape) > size {
		return x, false
	}
	x = model.NewTensor("", nil, []float32{0})
	if a := onnx.Attribute(n, "value"); a != nil {
		if x, ok = decoded(a.Tensor); !ok || model.Elements(x.Shape) != 1 {
			return x, false
		}
	}
	x.Shape = nil
	return view{shape: shape, strides: make([]int, len(shape))}.of(x), true
}

// decoded gives a tensor of an attribute.
func decoded(t *onnxpb.Tensor) (x model.Tensor, ok bool) {
	if t == nil || t.GetLocation() == onnxpb.Tensor_EXTERNAL {
		return x, false
	}
	return onnx.Decode(t)
}

// cast makes floats or integers of numbers.
func cast(x model.Tensor, to onnxpb.Tensor_DataType) (model.Tensor, bool) {
	switch whole, isWhole := x.Integers(); {
	case to == onnxpb.Tensor_INT64 && isWhole:
		return integers(x.Shape, whole), true
	case to == onnxpb.Tensor_FLOAT && isWhole:
		values := make([]float32, len(whole))
		for i, v := range whole {
			values[i] = float32(v)
		}
		return model.NewTensor("", x.Shape, values), true
	case to == onnxpb.Tensor_FLOAT:
		values, err := x.Floats()
		return model.NewTensor("", x.Shape, values), err == nil
	}
	return x, false
}

// arithmetic is a sum, difference, product or quotient, of two of float32 or of int64.
func arithmetic(op string, a, b model.Tensor, size int) (x model.Tensor, ok bool) {
	shape, ok := broadcast(a.Shape, b.Shape)
	if !ok || count(shape) > size || a.DType != b.DType {
		return x, false
	}
	a, b = spread(a, shape), spread(b, shape)
	if a.DType == "F32" {
		p, err := a.Floats()
		q, err2 := b.Floats()
		if err != nil || err2 != nil || !combine(op, p, q) {
			return x, false
		}
		return model.NewTensor("", shape, p), true
	}
	p, ok := a.Integers()
	q, ok2 := b.Integers()
	if !ok || !ok2 || a.DType != "I64" || op == "Div" && slices.Contains(q, 0) || !combine(op, p, q) {
		return x, false
	}
	return integers(shape, p), true
}

// combine puts the results into a.
func combine[N float32 | int64](op string, a, b []N) bool {
	for i := range a {
		switch op {
		case "Add":
			a[i] += b[i]
		case "Sub":
			a[i] -= b[i]
		case "Mul":
			a[i] *= b[i]
		case "Div":
			a[i] /= b[i]
		default:
			return false
		}
	}
	return true
}
