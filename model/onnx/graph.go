package onnx

import (
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/synshard/synshard/internal/onnxpb"
	"github.com/synshard/synshard/model"
)

// Graph is a model taken apart for rewriting. Nodes are in the order in which
// they are computed, and may be replaced or reordered so long as that holds.
type Graph struct {
	Nodes  []*onnxpb.Node
	Inputs []string // names, without weights
	Opset  int64    // of the default domain

	initializers map[string]*onnxpb.Tensor
	order        []string // of initializers
	outputs      []*onnxpb.Value
	shell        *onnxpb.Model // everything else
}

// Graph takes the model apart; the model is the graph's from here on. A graph
// within a node (If, Loop) or a function of the model's own, whose uses of a
// tensor would not be seen, is an error; so are weights in other files.
func (m *Model) Graph() (*Graph, error) {
	info, err := m.Info()
	if err != nil {
		return nil, err
	}
	if len(m.pb.GetFunctions()) > 0 {
		return nil, fmt.Errorf("the model has functions of its own, which cannot be rewritten; inline them first")
	}
	shell := m.pb
	g := &Graph{Nodes: shell.Graph.Nodes, Inputs: info.inputNames(), Opset: info.Opset, initializers: map[string]*onnxpb.Tensor{}, outputs: shell.Graph.Outputs, shell: shell}
	if len(g.Nodes) == 0 {
		return nil, fmt.Errorf("%w: no graph with nodes", model.ErrFormat)
	}
	for _, n := range g.Nodes {
		if err := checkNode(n); err != nil {
			return nil, err
		}
	}
	for _, t := range shell.Graph.Initializers {
		if t.GetLocation() == onnxpb.Tensor_EXTERNAL {
			return nil, fmt.Errorf("initializer %q lies in another file; save the model with its weights inside", t.GetName())
		}
		g.put(t)
	}
	// The types of tensors between change with the nodes.
	shell.Graph.Nodes, shell.Graph.Initializers, shell.Graph.Outputs, shell.Graph.Values = nil, nil, nil, nil
	return g, nil
}

func checkNode(n *onnxpb.Node) error {
	if n.GetOp() == "" || len(n.Outputs) == 0 {
		return fmt.Errorf("%w: node %q without operator or output", model.ErrFormat, n.GetName())
	}
	for _, a := range n.Attributes {
		if a.Graph != nil || len(a.Graphs) > 0 {
			return fmt.Errorf("node %q (%s) has a graph inside, which cannot be rewritten", n.GetName(), n.GetOp())
		}
	}
	return nil
}

// Clone gives a graph whose lists of nodes, initializers and outputs can be
// changed apart from this one's. The nodes themselves are shared.
func (g *Graph) Clone() *Graph {
	c := *g
	c.Nodes, c.order, c.outputs = slices.Clone(g.Nodes), slices.Clone(g.order), slices.Clone(g.outputs)
	c.initializers = maps.Clone(g.initializers)
	return &c
}

// IsOutput says whether a tensor is an output of the model.
func (g *Graph) IsOutput(name string) bool {
	return slices.ContainsFunc(g.outputs, func(v *onnxpb.Value) bool { return v.GetName() == name })
}

// AddOutput makes a tensor of floats, of whatever shape, an output.
func (g *Graph) AddOutput(name string) {
	g.outputs = append(g.outputs, shapeless(name))
}

// shapeless is a tensor of floats of whatever shape.
func shapeless(name string) *onnxpb.Value {
	kind := proto.Int32(int32(onnxpb.Tensor_FLOAT))
	return &onnxpb.Value{Name: proto.String(name), Type: &onnxpb.Type{Tensor: &onnxpb.Type_TensorType{Element: kind}}}
}

// Initializer gives the initializer of that name, or nil.
func (g *Graph) Initializer(name string) *onnxpb.Tensor { return g.initializers[name] }

// Constant gives an initializer's elements; ok is false if there is none of that name, or
// it is of a type that no weight has. The elements are not the caller's to change.
func (g *Graph) Constant(name string) (x model.Tensor, ok bool, err error) {
	t, is := g.initializers[name]
	if !is || elementTypes[onnxpb.Tensor_DataType(t.GetDataType())] == "" {
		return x, false, nil
	}
	if x, err = (&Model{}).weight(t); err != nil {
		return x, false, fmt.Errorf("initializer %q: %w", name, err)
	}
	return x, true, nil
}

// Decode gives the elements of a tensor that lies in the model itself; ok is false where
// they are malformed, or of a type that no weight has.
func Decode(t *onnxpb.Tensor) (x model.Tensor, ok bool) {
	x, err := (&Model{}).weight(t)
	return x, err == nil
}

// Floats gives an initializer's values and shape; ok is false if there is none
// of that name, or it is none of float32. The values are the caller's.
func (g *Graph) Floats(name string) (values []float32, shape []int, ok bool, err error) {
	x, ok, err := g.Constant(name)
	if !ok || err != nil || x.DType != "F32" {
		return nil, nil, false, err
	}
	values, err = x.Floats()
	return values, x.Shape, err == nil, err
}

// PutConstant adds or replaces the initializer x.Name, of a type that weights have.
func (g *Graph) PutConstant(x model.Tensor) {
	for kind, dtype := range elementTypes {
		if dtype == x.DType {
			g.Put(x.Name, kind, x.Shape, x.Data)
		}
	}
}

// PutTensor adds or replaces an initializer by a message of the format, under a name.
func (g *Graph) PutTensor(name string, t *onnxpb.Tensor) {
	t = proto.CloneOf(t)
	t.Name = proto.String(name)
	g.put(t)
}

// Say puts an entry into what the model says of itself, in place of one of that key.
func (g *Graph) Say(key, value string) {
	g.shell = proto.CloneOf(g.shell) // which a Clone shares
	g.shell.Metadata = slices.DeleteFunc(g.shell.Metadata, func(e *onnxpb.Entry) bool { return e.GetKey() == key })
	g.shell.Metadata = append(g.shell.Metadata, &onnxpb.Entry{Key: proto.String(key), Value: proto.String(value)})
}

// Put adds or replaces an initializer of raw data, little-endian.
func (g *Graph) Put(name string, kind onnxpb.Tensor_DataType, dims []int, raw []byte) {
	g.put(tensor(name, kind, dims, raw))
}

func (g *Graph) put(t *onnxpb.Tensor) {
	if g.initializers[t.GetName()] == nil {
		g.order = append(g.order, t.GetName())
	}
	g.initializers[t.GetName()] = t
}

// Users gives the nodes that take each tensor.
func (g *Graph) Users() map[string][]*onnxpb.Node {
	out := map[string][]*onnxpb.Node{}
	for _, n := range g.Nodes {
		for _, s := range n.Inputs {
			out[s] = append(out[s], n)
		}
	}
	return out
}

// Model puts the model together again, without weights that nothing
// uses. A model that carried a sum carries that of what it is now.
func (g *Graph) Model() *Model {
	m := &Model{pb: proto.CloneOf(g.shell)}
	m.pb.Graph.Nodes, m.pb.Graph.Outputs = g.Nodes, g.outputs
	users := g.Users()
	for _, name := range g.order {
		if len(users[name]) > 0 || g.IsOutput(name) {
			m.pb.Graph.Initializers = append(m.pb.Graph.Initializers, g.initializers[name])
		}
	}
	if _, sealed := m.metadata()[sumKey]; sealed {
		m.seal()
	}
	return m
}

// FirstInput is the node's first input, "" without one.
func FirstInput(n *onnxpb.Node) string {
	if len(n.GetInputs()) == 0 {
		return ""
	}
	return n.GetInputs()[0]
}
