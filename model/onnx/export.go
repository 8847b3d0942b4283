package onnx

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/synshard/synshard/model"
)

// The ONNX graph of a network for prediction: uint8 images in, probabilities
// and embedding out. Field numbers are those of onnx.proto3.

const (
	irVersion = 8
	opset     = 17

	Float = 1 // TensorProto.DataType
	Uint8 = 2
)

// graphWriter builds a GraphProto.
type graphWriter struct {
	graph   []byte
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
// metadata under SpecKey.
func Write(w io.Writer, n *model.Network, weights []model.Tensor, spec model.Spec) error {
	if err := spec.Check(); err != nil {
		return fmt.Errorf("write onnx: %w", err)
	}
	if spec.InputSize != n.Input || len(spec.Classes) != n.Classes {
		return fmt.Errorf("write onnx: the spec is for %d pixels and %d classes, the network for %d and %d", spec.InputSize, len(spec.Classes), n.Input, n.Classes)
	}
	n = n.WithoutAux()
	values, err := n.Match(weights)
	if err != nil {
		return fmt.Errorf("write onnx: %w", err)
	}
	shapes, err := n.Shapes()
	if err != nil {
		return fmt.Errorf("write onnx: %w", err)
	}
	g := &graphWriter{weights: values, names: map[string]bool{}, out: make([]string, len(n.Nodes)), shapes: shapes}
	g.input(spec)
	if err := g.nodes(n); err != nil {
		return fmt.Errorf("write onnx: %w", err)
	}
	g.node("Softmax", "softmax", []string{g.out[n.Logits]}, "probabilities", AttrInt("axis", 1))
	g.node("Identity", "embedding.identity", []string{g.out[n.Embedding]}, "embedding")
	g.message(2, []byte(n.Name)) // name
	g.value(11, "image", Uint8, n.Input, n.Input, 3)
	g.value(12, "probabilities", Float, n.Classes)
	g.value(12, "embedding", Float, shapes[n.Embedding].Elements())
	return writeModel(w, g.graph, map[string]string{model.SpecKey: spec.JSON()})
}

func writeModel(w io.Writer, graph []byte, metadata map[string]string) error {
	var m []byte
	m = protowire.AppendTag(m, 1, protowire.VarintType) // ir_version
	m = protowire.AppendVarint(m, irVersion)
	m = AppendString(m, 2, "synshard") // producer_name
	var set []byte
	set = protowire.AppendTag(set, 2, protowire.VarintType)
	set = protowire.AppendVarint(set, opset)
	m = AppendMessage(m, 8, set)
	for k, v := range metadata {
		m = AppendMessage(m, 14, AppendString(AppendString(nil, 1, k), 2, v))
	}
	m = protowire.AppendTag(m, 7, protowire.BytesType)
	m = protowire.AppendVarint(m, uint64(len(graph)))
	b := bufio.NewWriter(w)
	if _, err := b.Write(m); err != nil {
		return fmt.Errorf("write onnx: %w", err)
	}
	if _, err := b.Write(graph); err != nil {
		return fmt.Errorf("write onnx: %w", err)
	}
	if err := b.Flush(); err != nil {
		return fmt.Errorf("write onnx: %w", err)
	}
	return nil
}

// input turns bytes [N, H, W, 3] into normalised floats [N, 3, H, W].
func (g *graphWriter) input(spec model.Spec) {
	scale, shift := make([]float32, 3), make([]float32, 3)
	for i := range 3 {
		scale[i] = float32(1 / (255 * spec.Std[i]))
		shift[i] = float32(-spec.Mean[i] / spec.Std[i])
	}
	g.floats("normalise.scale", []int{1, 3, 1, 1}, scale)
	g.floats("normalise.shift", []int{1, 3, 1, 1}, shift)
	g.node("Transpose", "planes", []string{"image"}, "planes", AttrInts("perm", 0, 3, 1, 2))
	g.node("Cast", "floats", []string{"planes"}, "floats", AttrInt("to", Float))
	g.node("Mul", "normalise.mul", []string{"floats", "normalise.scale"}, "scaled")
	g.node("Add", "normalise.add", []string{"scaled", "normalise.shift"}, "normalised")
	g.out[0] = "normalised"
}

// nodes writes every node after the input.
func (g *graphWriter) nodes(n *model.Network) error {
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
			g.conv(n, i, bn, in[0])
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
		g.node("MaxPool", out, in, out, append(window(node), AttrInt("ceil_mode", flag(node.CeilMode)))...)
	case model.AvgPool:
		g.node("AveragePool", out, in, out, append(window(node), AttrInt("ceil_mode", flag(node.CeilMode)), AttrInt("count_include_pad", flag(node.CountIncludePad)))...)
	case model.GlobalAvgPool:
		return g.globalPool(node, g.shapes[node.Inputs[0]], in, out)
	case model.Concat:
		g.node("Concat", out, in, out, AttrInt("axis", 1))
	case model.Add:
		g.node("Add", out, in, out)
	case model.Flatten:
		g.node("Flatten", out, in, out, AttrInt("axis", 1))
	case model.LRN:
		g.node("LRN", out, in, out, AttrInt("size", int64(node.Size[0])), AttrFloat("alpha", node.Alpha), AttrFloat("beta", node.Beta), AttrFloat("bias", node.K))
	case model.Linear:
		g.floats(node.Name+".weight", []int{node.Out, len(g.weights[node.Name+".weight"]) / node.Out}, g.weights[node.Name+".weight"])
		args := []string{in[0], node.Name + ".weight"}
		if node.Bias {
			g.floats(node.Name+".bias", []int{node.Out}, g.weights[node.Name+".bias"])
			args = append(args, node.Name+".bias")
		}
		g.node("Gemm", out, args, out, AttrInt("transB", 1))
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

// conv writes a convolution, with batch norm bn folded in unless it is -1:
// w' = w g/sqrt(v+eps), b' = (b-m) g/sqrt(v+eps) + beta, in float64.
func (g *graphWriter) conv(n *model.Network, i, bn int, in string) {
	node := n.Nodes[i]
	from := g.weights[node.Name+".weight"]
	weight, bias := make([]float32, len(from)), make([]float32, node.Out)
	per := len(from) / node.Out
	copy(weight, from)
	copy(bias, g.weights[node.Name+".bias"])
	if bn >= 0 {
		b := n.Nodes[bn]
		gamma, beta := g.weights[b.Name+".weight"], g.weights[b.Name+".bias"]
		mean, variance := g.weights[b.Name+".running_mean"], g.weights[b.Name+".running_var"]
		for c := range node.Out {
			k := float64(gamma[c]) / math.Sqrt(float64(variance[c])+b.Eps)
			for j := c * per; j < (c+1)*per; j++ {
				weight[j] = float32(float64(from[j]) * k)
			}
			bias[c] = float32((float64(bias[c])-float64(mean[c]))*k + float64(beta[c]))
		}
	}
	args := []string{in, node.Name + ".weight"}
	channels := per / (node.Kernel[0] * node.Kernel[1])
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
	g.node("BatchNormalization", out, args, out, AttrFloat("epsilon", node.Eps))
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

func window(n model.Node) [][]byte {
	return [][]byte{
		AttrInts("kernel_shape", int64(n.Kernel[0]), int64(n.Kernel[1])),
		AttrInts("strides", int64(n.Stride[0]), int64(n.Stride[1])),
		AttrInts("pads", int64(n.Pad[0]), int64(n.Pad[1]), int64(n.Pad[0]), int64(n.Pad[1])),
	}
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// message appends a field of the graph.
func (g *graphWriter) message(field protowire.Number, b []byte) {
	g.graph = AppendMessage(g.graph, field, b)
}

func (g *graphWriter) node(op, name string, in []string, out string, attrs ...[]byte) {
	var m []byte
	for _, s := range in {
		m = AppendString(m, 1, s)
	}
	m = AppendString(m, 2, out)
	m = AppendString(m, 3, name)
	m = AppendString(m, 4, op)
	for _, a := range attrs {
		m = AppendMessage(m, 5, a)
	}
	g.message(1, m)
}

// floats adds an initializer.
func (g *graphWriter) floats(name string, dims []int, values []float32) {
	var m []byte
	for _, d := range dims {
		m = protowire.AppendTag(m, 1, protowire.VarintType)
		m = protowire.AppendVarint(m, uint64(d))
	}
	m = protowire.AppendTag(m, 2, protowire.VarintType) // data_type
	m = protowire.AppendVarint(m, Float)
	m = AppendString(m, 8, name)
	raw := make([]byte, 4*len(values))
	for i, v := range values {
		binary.LittleEndian.PutUint32(raw[4*i:], math.Float32bits(v))
	}
	m = AppendMessage(m, 9, raw) // raw_data
	g.message(5, m)
}

// value declares an input or output with a free first dimension.
func (g *graphWriter) value(field protowire.Number, name string, kind int, dims ...int) {
	shape := AppendMessage(nil, 1, AppendString(nil, 2, "N"))
	for _, d := range dims {
		dim := protowire.AppendTag(nil, 1, protowire.VarintType)
		dim = protowire.AppendVarint(dim, uint64(d))
		shape = AppendMessage(shape, 1, dim)
	}
	tensor := protowire.AppendTag(nil, 1, protowire.VarintType)
	tensor = protowire.AppendVarint(tensor, uint64(kind))
	tensor = AppendMessage(tensor, 2, shape)
	g.message(field, AppendMessage(AppendString(nil, 1, name), 2, AppendMessage(nil, 1, tensor)))
}

func AppendMessage(b []byte, field protowire.Number, m []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), m)
}

func AppendString(b []byte, field protowire.Number, s string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), s)
}

// AttributeProto: name 1, f 2, i 3, floats 7, ints 8, type 20.

func AttrInt(name string, v int64) []byte {
	b := AppendString(nil, 1, name)
	b = protowire.AppendVarint(protowire.AppendTag(b, 3, protowire.VarintType), uint64(v))
	return protowire.AppendVarint(protowire.AppendTag(b, 20, protowire.VarintType), 2)
}

func AttrInts(name string, vs ...int64) []byte {
	b := AppendString(nil, 1, name)
	for _, v := range vs {
		b = protowire.AppendVarint(protowire.AppendTag(b, 8, protowire.VarintType), uint64(v))
	}
	return protowire.AppendVarint(protowire.AppendTag(b, 20, protowire.VarintType), 7)
}

func AttrFloat(name string, v float64) []byte {
	b := AppendString(nil, 1, name)
	b = protowire.AppendFixed32(protowire.AppendTag(b, 2, protowire.Fixed32Type), math.Float32bits(float32(v)))
	return protowire.AppendVarint(protowire.AppendTag(b, 20, protowire.VarintType), 1)
}
