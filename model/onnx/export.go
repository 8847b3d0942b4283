package onnx

import (
	"fmt"
	"io"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/synshard/synshard/internal/onnxpb"
	"github.com/synshard/synshard/model"
)

// What exported models are written for: ONNX 1.12, which ONNX Runtime reads
// from 1.12 on.
const (
	irVersion = 8
	opset     = 17
	producer  = "synshard"
)

// graphWriter builds the graph of a network.
type graphWriter struct {
	n       *model.Network
	graph   *onnxpb.Graph
	weights map[string][]float32
	names   map[string]bool
	out     []string // the name of each node's output
	shapes  []model.Shape
}

// Write writes a network with its weights (state dict names; what the main
// head does not need is passed over) as an ONNX model: input "image", uint8
// [N, size, size, 3], normalised inside as the spec says; outputs
// "probabilities", float32 [N, classes], and "embedding", float32 [N, width].
// Batch norm is folded into the convolution before it. The spec travels in the
// metadata under model.SpecKey, and a sum of the whole under its key.
func Write(w io.Writer, n *model.Network, weights []model.Tensor, spec model.Spec) error {
	return WriteMade(w, n, weights, spec, "")
}

// WriteMade is Write of a model that says what it was made from, under model.MadeFromKey;
// "": it does not.
func WriteMade(w io.Writer, n *model.Network, weights []model.Tensor, spec model.Spec, madeFrom string) error {
	m, err := Export(n, weights, spec)
	if err != nil {
		return fmt.Errorf("write onnx: %w", err)
	}
	if madeFrom != "" {
		m.pb.Metadata = append(m.pb.Metadata, &onnxpb.Entry{Key: proto.String(model.MadeFromKey), Value: proto.String(madeFrom)})
		m.seal()
	}
	b, err := m.Bytes()
	if err != nil {
		return fmt.Errorf("write onnx: %w", err)
	}
	if _, err := w.Write(b); err != nil {
		return fmt.Errorf("write onnx: %w", err)
	}
	return nil
}

// Export is the model that Write writes.
func Export(n *model.Network, weights []model.Tensor, spec model.Spec) (*Model, error) {
	if err := spec.Check(); err != nil {
		return nil, err
	}
	if spec.InputSize != n.Input || len(spec.Classes) != n.Classes {
		return nil, fmt.Errorf("the spec is for %d pixels and %d classes, the network for %d and %d", spec.InputSize, len(spec.Classes), n.Input, n.Classes)
	}
	n = n.WithoutAux()
	values, err := n.Match(weights)
	if err != nil {
		return nil, err
	}
	shapes, err := n.Shapes()
	if err != nil {
		return nil, err
	}
	g := &graphWriter{n: n, graph: &onnxpb.Graph{Name: proto.String(n.Name)}, weights: values, names: map[string]bool{}, out: make([]string, len(n.Nodes)), shapes: shapes}
	g.input(spec)
	if err := g.nodes(); err != nil {
		return nil, err
	}
	g.node("Softmax", "softmax", []string{g.out[n.Logits]}, "probabilities", Int("axis", 1))
	g.node("Identity", "embedding.identity", []string{g.out[n.Embedding]}, "embedding")
	g.graph.Inputs = []*onnxpb.Value{value("image", onnxpb.Tensor_UINT8, "N", n.Input, n.Input, 3)}
	g.graph.Outputs = []*onnxpb.Value{
		value("probabilities", onnxpb.Tensor_FLOAT, "N", n.Classes),
		value("embedding", onnxpb.Tensor_FLOAT, "N", shapes[n.Embedding].Elements()),
	}
	m := &Model{pb: &onnxpb.Model{
		IrVersion:    proto.Int64(irVersion),
		ProducerName: proto.String(producer),
		OpsetImport:  []*onnxpb.OperatorSet{{Version: proto.Int64(opset)}},
		Metadata:     []*onnxpb.Entry{{Key: proto.String(model.SpecKey), Value: proto.String(spec.JSON())}},
		Graph:        g.graph,
	}}
	m.seal()
	return m, nil
}

// input turns bytes [N, H, W, 3] into normalised floats [N, 3, H, W].
func (g *graphWriter) input(spec model.Spec) {
	scale, shift := make([]float32, 3), make([]float32, 3)
	for i := range 3 {
		scale[i] = float32(1 / (255 * spec.Std[i]))
		shift[i] = float32(-spec.Mean[i] / spec.Std[i])
	}
	g.floats(model.PixelScale, []int{1, 3, 1, 1}, scale)
	g.floats(model.PixelShift, []int{1, 3, 1, 1}, shift)
	g.node("Transpose", "planes", []string{"image"}, "planes", Ints("perm", 0, 3, 1, 2))
	g.node("Cast", "floats", []string{"planes"}, "floats", Int("to", int64(onnxpb.Tensor_FLOAT)))
	g.node("Mul", "normalise.mul", []string{"floats", model.PixelScale}, "scaled")
	g.node("Add", "normalise.add", []string{"scaled", model.PixelShift}, "normalised")
	g.out[0] = "normalised"
}

// nodes writes every node after the input.
func (g *graphWriter) nodes() error {
	n := g.n
	uses := make([]int, len(n.Nodes))
	for _, node := range n.Nodes {
		for _, in := range node.Inputs {
			uses[in]++
		}
	}
	folded := map[int]int{} // convolution -> the batch norm after it
	for i, node := range n.Nodes {
		if node.Op == model.BatchNorm && n.Nodes[node.Inputs[0]].Op == model.Conv && uses[node.Inputs[0]] == 1 {
			folded[node.Inputs[0]] = i
		}
	}
	for i := 1; i < len(n.Nodes); i++ {
		node := n.Nodes[i]
		var in []string
		for _, j := range node.Inputs {
			in = append(in, g.out[j])
		}
		switch node.Op {
		case model.Conv:
			bn := -1
			if j, ok := folded[i]; ok {
				bn = j
			}
			g.conv(i, bn, in[0])
		case model.BatchNorm:
			if folded[node.Inputs[0]] == i {
				g.out[i] = in[0] // the convolution has done it
				continue
			}
			g.batchNorm(i, node, in[0])
		case model.Dropout:
			g.out[i] = in[0]
		default:
			if err := g.plain(i, node, in); err != nil {
				return err
			}
		}
	}
	return nil
}

func (g *graphWriter) plain(i int, node model.Node, in []string) error {
	out := g.unique(node.Name)
	g.out[i] = out
	switch node.Op {
	case model.ReLU:
		g.node("Relu", out, in, out)
	case model.MaxPool:
		g.node("MaxPool", out, in, out, append(window(node), Int("ceil_mode", flag(node.CeilMode)))...)
	case model.AvgPool:
		g.node("AveragePool", out, in, out, append(window(node), Int("ceil_mode", flag(node.CeilMode)), Int("count_include_pad", flag(node.CountIncludePad)))...)
	case model.GlobalAvgPool:
		return g.globalPool(node, g.shapes[node.Inputs[0]], in, out)
	case model.Concat:
		g.node("Concat", out, in, out, Int("axis", 1))
	case model.Add:
		g.node("Add", out, in, out)
	case model.Flatten:
		g.node("Flatten", out, in, out, Int("axis", 1))
	case model.LRN:
		g.node("LRN", out, in, out, Int("size", int64(node.Size[0])), float("alpha", node.Alpha), float("beta", node.Beta), float("bias", node.K))
	case model.Linear:
		g.floats(node.Name+".weight", []int{node.Out, len(g.weights[node.Name+".weight"]) / node.Out}, g.weights[node.Name+".weight"])
		args := []string{in[0], node.Name + ".weight"}
		if node.Bias {
			g.floats(node.Name+".bias", []int{node.Out}, g.weights[node.Name+".bias"])
			args = append(args, node.Name+".bias")
		}
		g.node("Gemm", out, args, out, Int("transB", 1))
	default:
		return fmt.Errorf("node %s: %s has no ONNX form here", node.Name, node.Op)
	}
	return nil
}

// globalPool writes an average to a grid; the input's size is known, and must
// be a whole multiple of the grid's.
func (g *graphWriter) globalPool(node model.Node, from model.Shape, in []string, out string) error {
	h, w := max(node.Size[0], 1), max(node.Size[1], 1)
	switch {
	case h == 1 && w == 1:
		g.node("GlobalAveragePool", out, in, out)
	case from.H == h && from.W == w:
		g.node("Identity", out, in, out)
	case from.H%h == 0 && from.W%w == 0:
		k := [2]int{from.H / h, from.W / w}
		g.node("AveragePool", out, in, out, window(model.Node{Kernel: k, Stride: k})...)
	default:
		return fmt.Errorf("node %s: ONNX has no average of %dx%d to %dx%d", node.Name, from.H, from.W, h, w)
	}
	return nil
}

// conv writes a convolution, with batch norm bn folded in unless it is -1.
func (g *graphWriter) conv(i, bn int, in string) {
	node := g.n.Nodes[i]
	weight, bias := slices.Clone(g.weights[node.Name+".weight"]), make([]float32, node.Out)
	copy(bias, g.weights[node.Name+".bias"])
	if bn >= 0 {
		b := g.n.Nodes[bn]
		norm := batchNorm{scale: g.weights[b.Name+".weight"], shift: g.weights[b.Name+".bias"],
			mean: g.weights[b.Name+".running_mean"], variance: g.weights[b.Name+".running_var"], eps: b.Eps}
		norm.into(weight, bias)
	}
	args := []string{in, node.Name + ".weight"}
	channels := len(weight) / (node.Out * node.Kernel[0] * node.Kernel[1])
	g.floats(node.Name+".weight", []int{node.Out, channels, node.Kernel[0], node.Kernel[1]}, weight)
	if bn >= 0 || node.Bias {
		g.floats(node.Name+".bias", []int{node.Out}, bias)
		args = append(args, node.Name+".bias")
	}
	out := g.unique(node.Name)
	g.node("Conv", out, args, out, window(node)...)
	g.out[i] = out
}

func (g *graphWriter) batchNorm(i int, node model.Node, in string) {
	args := []string{in}
	for _, part := range []string{"weight", "bias", "running_mean", "running_var"} {
		name := node.Name + "." + part
		g.floats(name, []int{len(g.weights[name])}, g.weights[name])
		args = append(args, name)
	}
	out := g.unique(node.Name)
	g.node("BatchNormalization", out, args, out, float("epsilon", node.Eps))
	g.out[i] = out
}

// unique gives a name no other value of the graph has.
func (g *graphWriter) unique(name string) string {
	for g.names[name] {
		name += "'"
	}
	g.names[name] = true
	return name
}

func window(n model.Node) []*onnxpb.Attribute {
	return []*onnxpb.Attribute{
		Ints("kernel_shape", int64(n.Kernel[0]), int64(n.Kernel[1])),
		Ints("strides", int64(n.Stride[0]), int64(n.Stride[1])),
		Ints("pads", int64(n.Pad[0]), int64(n.Pad[1]), int64(n.Pad[0]), int64(n.Pad[1])),
	}
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func (g *graphWriter) node(op, name string, in []string, out string, attributes ...*onnxpb.Attribute) {
	g.graph.Nodes = append(g.graph.Nodes, Node(op, name, in, out, attributes...))
}

// floats adds an initializer.
func (g *graphWriter) floats(name string, dims []int, values []float32) {
	g.graph.Initializers = append(g.graph.Initializers, tensor(name, onnxpb.Tensor_FLOAT, dims, FloatBytes(values)))
}
