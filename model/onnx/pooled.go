package onnx

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/synshard/synshard/internal/onnxpb"
)

// Pooled is how a classifier ends whose scores are one linear layer over the mean of
// feature maps: Inception-v3, ResNet, DenseNet, EfficientNet. What a place adds to the
// score of a class is then the maps there, weighted by the class's row (Zhou et al. 2016,
// "Learning Deep Features for Discriminative Localization").
type Pooled struct {
	Maps     string    // the tensor of feature maps, float [N, Channels, height, width]
	Channels int       // how many maps there are
	Weights  []float32 // [classes, Channels] of the linear layer, whose bias is left out
}

// Classes is how many the linear layer has.
func (p *Pooled) Classes() int { return len(p.Weights) / max(p.Channels, 1) }

// Operators that an average is found through, and a linear layer: they change shapes at most.
var (
	beforeLinear = []string{"Flatten", "Reshape", "Squeeze", "Identity", "Dropout"}
	afterLinear  = []string{"Softmax", "LogSoftmax", "Identity"}
)

// Pooled finds what an output of scores, or of probabilities, is made of. A model that ends
// in another way is an error that says where.
func (m *Model) Pooled(output string) (*Pooled, error) {
	makers := map[string]*onnxpb.Node{}
	for _, n := range m.pb.GetGraph().GetNodes() {
		for _, out := range n.GetOutputs() {
			makers[out] = n
		}
	}
	last := through(makers, output, afterLinear)
	p, in, err := m.linear(makers, last)
	if err != nil {
		return nil, fmt.Errorf("output %s: %w", output, err)
	}
	pool := makers[through(makers, in, beforeLinear)]
	if !m.averages(makers, pool) {
		return nil, fmt.Errorf("output %s: its last layer is over what %s makes, not over the mean of feature maps", output, described(pool))
	}
	p.Maps = FirstInput(pool)
	return p, nil
}

// through is the tensor that another one is made of by some operators alone.
func through(makers map[string]*onnxpb.Node, tensor string, ops []string) string {
	for range len(makers) {
		n := makers[tensor]
		if n == nil || !slices.Contains(ops, n.GetOp()) || FirstInput(n) == "" {
			break
		}
		tensor = FirstInput(n)
	}
	return tensor
}

func described(n *onnxpb.Node) string {
	if n == nil {
		return "no node"
	}
	return n.GetOp()
}

// linear reads the linear layer that makes a tensor; in is what it takes.
func (m *Model) linear(makers map[string]*onnxpb.Node, tensor string) (p *Pooled, in string, err error) {
	n := makers[tensor]
	if n.GetOp() == "Add" && len(n.GetInputs()) == 2 { // of a bias, on either side
		for _, side := range n.GetInputs() {
			if of := makers[side]; of.GetOp() == "MatMul" {
				n = of
			}
		}
	}
	plain := n.GetOp() == "MatMul"
	if n.GetOp() == "Gemm" {
		plain = Number(n, "alpha", 1) == 1 && Number(n, "transA", 0) == 0
	}
	if !plain || len(n.GetInputs()) < 2 {
		return nil, "", fmt.Errorf("it is made by %s, not by a linear layer", described(n))
	}
	weights, shape, err := m.floats(n.GetInputs()[1])
	if err != nil {
		return nil, "", fmt.Errorf("the weights of its linear layer: %w", err)
	}
	if len(shape) != 2 {
		return nil, "", fmt.Errorf("the weights of its linear layer have the shape %v", shape)
	}
	if n.GetOp() == "MatMul" || Number(n, "transB", 0) == 0 {
		weights, shape = transposed(weights, shape[0], shape[1]), []int{shape[1], shape[0]}
	}
	return &Pooled{Channels: shape[1], Weights: weights}, n.GetInputs()[0], nil
}

// floats gives the float32 values of an initializer.
func (m *Model) floats(name string) ([]float32, []int, error) {
	t := m.initializer(name)
	if t == nil {
		return nil, nil, fmt.Errorf("%s is computed, not stored", name)
	}
	x, err := m.weight(t)
	if err != nil {
		return nil, nil, err
	}
	if x.DType != "F32" {
		return nil, nil, fmt.Errorf("%s is of type %s, not F32", name, x.DType)
	}
	values, err := x.Floats()
	return values, x.Shape, err
}

// transposed turns [rows, columns] into [columns, rows].
func transposed(v []float32, rows, columns int) []float32 {
	out := make([]float32, len(v))
	for r := range rows {
		for c := range columns {
			out[c*rows+r] = v[r*columns+c]
		}
	}
	return out
}

// averages says whether a node takes the mean over height and width.
func (m *Model) averages(makers map[string]*onnxpb.Node, n *onnxpb.Node) bool {
	switch n.GetOp() {
	case "GlobalAveragePool":
		return len(n.GetInputs()) == 1
	case "ReduceMean":
		axes := m.axes(makers, n)
		slices.Sort(axes)
		return slices.Equal(axes, []int64{2, 3}) || slices.Equal(axes, []int64{-2, -1})
	}
	return false
}

// axes are those of a node, as an attribute or, since opset 18, as an input; nil where they
// are not known.
func (m *Model) axes(makers map[string]*onnxpb.Node, n *onnxpb.Node) []int64 {
	for _, a := range n.GetAttributes() {
		if a.GetName() == "axes" {
			return slices.Clone(a.GetInts())
		}
	}
	if len(n.GetInputs()) < 2 {
		return nil
	}
	name := n.GetInputs()[1]
	stored := m.initializer(name)
	if from := makers[name]; from.GetOp() == "Constant" {
		for _, a := range from.GetAttributes() {
			stored = a.GetTensor()
		}
	}
	x, err := m.weight(stored)
	if err != nil || x.DType != "I64" {
		return nil
	}
	var out []int64
	for at := 0; at < len(x.Data); at += 8 {
		out = append(out, int64(binary.LittleEndian.Uint64(x.Data[at:])))
	}
	return out
}

// initializer gives the one of that name, or nil.
func (m *Model) initializer(name string) *onnxpb.Tensor {
	all := m.pb.GetGraph().GetInitializers()
	i := slices.IndexFunc(all, func(t *onnxpb.Tensor) bool { return t.GetName() == name })
	if i < 0 {
		return nil
	}
	return all[i]
}
