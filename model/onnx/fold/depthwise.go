package fold

import (
	"math"
	"slices"

	"github.com/synshard/synshard/internal/onnxpb"
	"github.com/synshard/synshard/model/onnx"
)

// Depthwise makes convolutions, each of whose channels is of one channel, of operators that
// engines compute in floats, or slowly, between others of 8 bits: AveragePool is one of equal
// weights, HardSigmoid one of 1x1 and a bias, bounded by a Clip, and HardSwish the product of
// that and what it takes. A mean over height and width is written as GlobalAveragePool. What
// is computed is the same in fp32, but for the last bit.
//
// An operator stays as it is where the number of channels cannot be told from the weights
// before it, or its attributes say more than a convolution can. It is none of Passes: in fp32
// there is nothing to gain.
func Depthwise(g *onnx.Graph) {
	c := channels{g: g, of: map[string]int{}}
	var nodes []*onnxpb.Node
	for _, n := range g.Nodes {
		by := []*onnxpb.Node{n}
		if k := c.of[onnx.FirstInput(n)]; k > 0 && len(n.Outputs) == 1 && standard(n) {
			switch n.GetOp() {
			case "AveragePool":
				by = averagePool(g, n, k)
			case "HardSigmoid":
				by = hardSigmoid(g, n, n.Outputs[0], k, onnx.Number(n, "alpha", 0.2), onnx.Number(n, "beta", 0.5))
			case "HardSwish":
				gate := n.Outputs[0] + ".gate"
				by = append(hardSigmoid(g, n, gate, k, 1.0/6, 0.5), onnx.Node("Mul", n.GetName(), []string{n.Inputs[0], gate}, n.Outputs[0]))
			case "ReduceMean":
				if overPlane(g, n) && onnx.Number(n, "keepdims", 1) == 1 {
					by = []*onnxpb.Node{onnx.Node("GlobalAveragePool", n.GetName(), n.Inputs[:1], n.Outputs[0])}
				}
			}
		}
		for _, n := range by {
			c.see(n)
		}
		nodes = append(nodes, by...)
	}
	g.Nodes = nodes
}

// overPlane says whether a mean is over height and width, which an attribute says before
// opset 18 and an input from then on.
func overPlane(g *onnx.Graph, n *onnxpb.Node) bool {
	axes := slices.Clone(onnx.Attribute(n, "axes").GetInts())
	if len(n.Inputs) == 2 {
		x, ok, err := g.Constant(n.Inputs[1])
		if !ok || err != nil {
			return false
		}
		axes, _ = x.Integers()
	}
	for i, a := range axes {
		axes[i] = (a + 4) % 4
	}
	slices.Sort(axes)
	return slices.Equal(axes, []int64{2, 3})
}

// averagePool gives the convolution that a pool of two dimensions is. One that leaves
// padding out of its means is none.
func averagePool(g *onnx.Graph, n *onnxpb.Node, channels int) []*onnxpb.Node {
	numbers := func(name string) []int64 { return onnx.Attribute(n, name).GetInts() }
	kernel, pads, dilations := numbers("kernel_shape"), numbers("pads"), numbers("dilations")
	padded := slices.ContainsFunc(pads, func(p int64) bool { return p != 0 })
	asSaid := onnx.Attribute(n, "auto_pad") == nil || string(onnx.Attribute(n, "auto_pad").GetS()) == "NOTSET"
	spread := slices.ContainsFunc(dilations, func(d int64) bool { return d != 1 })
	if len(kernel) != 2 || min(kernel[0], kernel[1]) < 1 || max(kernel[0], kernel[1]) > 64 || !asSaid || spread ||
		onnx.Number(n, "ceil_mode", 0) != 0 || padded && onnx.Number(n, "count_include_pad", 0) != 1 {
		return []*onnxpb.Node{n}
	}
	attributes := []*onnxpb.Attribute{onnx.Ints("kernel_shape", kernel...)}
	for _, name := range []string{"pads", "strides"} {
		if v := numbers(name); v != nil {
			attributes = append(attributes, onnx.Ints(name, v...))
		}
	}
	each := float32(1 / float64(kernel[0]*kernel[1]))
	shape := []int{channels, 1, int(kernel[0]), int(kernel[1])}
	return []*onnxpb.Node{channelConv(g, n.Outputs[0], n.Inputs[0], n.Outputs[0], shape, each, nil, attributes...)}
}

// hardSigmoid gives max(0, min(1, alpha*x + beta)) under the name of out.
func hardSigmoid(g *onnx.Graph, n *onnxpb.Node, out string, channels int, alpha, beta float64) []*onnxpb.Node {
	if alpha == 0 || math.IsNaN(alpha+beta) || math.IsInf(alpha+beta, 0) {
		return []*onnxpb.Node{n}
	}
	line, bias := out+".line", float32(beta)
	g.Put(out+".0", onnxpb.Tensor_FLOAT, nil, onnx.FloatBytes([]float32{0}))
	g.Put(out+".1", onnxpb.Tensor_FLOAT, nil, onnx.FloatBytes([]float32{1}))
	return []*onnxpb.Node{
		channelConv(g, out, n.Inputs[0], line, []int{channels, 1, 1, 1}, float32(alpha), &bias, onnx.Ints("kernel_shape", 1, 1)),
		onnx.Node("Clip", out+".clip", []string{line, out + ".0", out + ".1"}, out),
	}
}

// channelConv is a convolution of each channel with the same weights, all alike. Its
// initializers have names that begin with name.
func channelConv(g *onnx.Graph, name, in, out string, shape []int, weight float32, bias *float32, attributes ...*onnxpb.Attribute) *onnxpb.Node {
	repeated := func(v float32, n int) []byte { return onnx.FloatBytes(slices.Repeat([]float32{v}, n)) }
	g.Put(name+".weight", onnxpb.Tensor_FLOAT, shape, repeated(weight, shape[0]*shape[2]*shape[3]))
	inputs := []string{in, name + ".weight"}
	if bias != nil {
		g.Put(name+".bias", onnxpb.Tensor_FLOAT, shape[:1], repeated(*bias, shape[0]))
		inputs = append(inputs, name+".bias")
	}
	return onnx.Node("Conv", name+".conv", inputs, out, append(attributes, onnx.Int("group", int64(shape[0])))...)
}

// channels knows of how many channels tensors are, as far as weights say: tensors of four
// dimensions that come out of a convolution.
type channels struct {
	g  *onnx.Graph
	of map[string]int // 0: unknown
}

func (c channels) see(n *onnxpb.Node) {
	in := c.of[onnx.FirstInput(n)]
	switch n.GetOp() {
	case "Conv":
		if w := c.g.Initializer(append(n.Inputs, "", "")[1]); w != nil && len(w.Dims) == 4 && w.Dims[0] < 1<<20 {
			c.of[n.Outputs[0]] = int(w.Dims[0])
		}
	case "Concat":
		sum := 0
		for _, s := range n.Inputs {
			if c.of[s] == 0 || onnx.Number(n, "axis", 0) != 1 {
				return
			}
			sum += c.of[s]
		}
		c.of[n.Outputs[0]] = sum
	case "Add", "Mul": // of which one may be broadcast, but not over channels
		if len(n.Inputs) == 2 && in > 0 && in == c.of[n.Inputs[1]] {
			c.of[n.Outputs[0]] = in
		}
	case "Relu", "Clip", "Sigmoid", "HardSigmoid", "HardSwish", "LeakyRelu", "MaxPool", "AveragePool", "GlobalAveragePool":
		c.of[n.Outputs[0]] = in
	}
}
