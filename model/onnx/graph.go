package onnx

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/synshard/synshard/model"
)

// Graph is an ONNX model taken apart as far as rewriting it needs. What it
// does not look into is kept byte for byte.
type Graph struct {
	Head    []byte // every field of ModelProto but the graph
	Rest    []byte // every field of GraphProto but nodes, initializers and value_info
	Opset   int64  // of the default domain
	Nodes   []*Node
	Weights map[string][]byte // TensorProto by name
	Order   []string          // of weights
	Inputs  []string          // without weights
	Outputs map[string]bool
}

// Node is a NodeProto.
type Node struct {
	Op, Name, Domain string
	In, Out          []string
	Attrs            [][]byte // AttributeProto
}

// ParseGraph takes a model apart. Nodes with graphs inside (If, Loop) and
// local functions, whose uses of a tensor it would not see, are errors.
func ParseGraph(b []byte) (*Graph, error) {
	g := &Graph{Weights: map[string][]byte{}, Outputs: map[string]bool{}}
	graphs := 0
	err := rawFields(b, func(f protowire.Number, raw, m []byte) error {
		switch f {
		case 7:
			graphs++
			return g.parse(m)
		case 8:
			if err := g.parseOpset(m); err != nil {
				return err
			}
		case 25:
			return fmt.Errorf("the model has functions of its own, which cannot be rewritten; inline them first")
		}
		g.Head = append(g.Head, raw...)
		return nil
	})
	if err == nil && (graphs != 1 || len(g.Nodes) == 0) {
		err = fmt.Errorf("%w: no graph with nodes", model.ErrFormat)
	}
	if err != nil {
		return nil, err
	}
	g.Inputs = slices.DeleteFunc(g.Inputs, func(s string) bool { return g.Weights[s] != nil })
	return g, nil
}

func (g *Graph) parseOpset(b []byte) error {
	domain, version := "", int64(0)
	err := fields(b, func(f protowire.Number, v uint64, m []byte) error {
		switch f {
		case 1:
			domain = string(m)
		case 2:
			version = int64(v)
		}
		return nil
	})
	if domain == "" || domain == "ai.onnx" {
		g.Opset = version
	}
	return err
}

func (g *Graph) parse(b []byte) error {
	return rawFields(b, func(f protowire.Number, raw, m []byte) error {
		switch f {
		case 1:
			n, err := parseNode(m)
			g.Nodes = append(g.Nodes, n)
			return err
		case 5:
			name, err := firstName(m, 8)
			if g.Weights[name] == nil {
				g.Order = append(g.Order, name)
			}
			g.Weights[name] = m
			return err
		case 13: // types of inner tensors: they change
			return nil
		case 11, 12:
			name, err := firstName(m, 1)
			if err != nil {
				return err
			}
			if f == 11 {
				g.Inputs = append(g.Inputs, name)
			} else {
				g.Outputs[name] = true
			}
		}
		g.Rest = append(g.Rest, raw...)
		return nil
	})
}

func firstName(b []byte, field protowire.Number) (name string, err error) {
	err = fields(b, func(f protowire.Number, _ uint64, m []byte) error {
		if f == field {
			name = string(m)
		}
		return nil
	})
	return name, err
}

func parseNode(b []byte) (*Node, error) {
	n := &Node{}
	err := fields(b, func(f protowire.Number, _ uint64, m []byte) error {
		switch f {
		case 1:
			n.In = append(n.In, string(m))
		case 2:
			n.Out = append(n.Out, string(m))
		case 3:
			n.Name = string(m)
		case 4:
			n.Op = string(m)
		case 5:
			n.Attrs = append(n.Attrs, m)
			return fields(m, func(f protowire.Number, _ uint64, _ []byte) error {
				if f == 6 || f == 11 {
					return fmt.Errorf("node %q (%s) has a graph inside, which cannot be rewritten", n.Name, n.Op)
				}
				return nil
			})
		case 7:
			n.Domain = string(m)
		}
		return nil
	})
	if err == nil && (n.Op == "" || len(n.Out) == 0) {
		err = fmt.Errorf("%w: node %q without operator or output", model.ErrFormat, n.Name)
	}
	return n, err
}

// number gives an attribute's i, or its f, or the default.
func (n *Node) Number(name string, missing float64) float64 {
	for _, a := range n.Attrs {
		is, value := false, missing
		for b := a; len(b) > 0; {
			f, kind, size := protowire.ConsumeTag(b)
			if size < 0 {
				return missing
			}
			b = b[size:]
			switch {
			case f == 1 && kind == protowire.BytesType:
				s, _ := protowire.ConsumeString(b)
				is = s == name
			case f == 2 && kind == protowire.Fixed32Type:
				v, _ := protowire.ConsumeFixed32(b)
				value = float64(math.Float32frombits(v))
			case f == 3 && kind == protowire.VarintType:
				v, _ := protowire.ConsumeVarint(b)
				value = float64(int64(v))
			}
			if size = protowire.ConsumeFieldValue(f, kind, b); size < 0 {
				return missing
			}
			b = b[size:]
		}
		if is {
			return value
		}
	}
	return missing
}

// weight gives an initializer's floats and shape; ok is false if there is none
// of that name, or it is none of floats.
func (g *Graph) Weight(name string) (values []float32, shape []int, ok bool, err error) {
	m, is := g.Weights[name]
	if !is {
		return nil, nil, false, nil
	}
	t, err := ParseInitializer(m)
	if err != nil {
		return nil, nil, false, err
	}
	if t.DType != "F32" {
		return nil, nil, false, nil
	}
	values, err = t.Floats()
	return values, t.Shape, err == nil, err
}

// put adds or replaces an initializer.
func (g *Graph) Put(name string, kind uint64, dims []int, raw []byte) {
	var m []byte
	for _, d := range dims {
		m = protowire.AppendVarint(protowire.AppendTag(m, 1, protowire.VarintType), uint64(d))
	}
	m = protowire.AppendVarint(protowire.AppendTag(m, 2, protowire.VarintType), kind)
	m = AppendMessage(AppendString(m, 8, name), 9, raw)
	if g.Weights[name] == nil {
		g.Order = append(g.Order, name)
	}
	g.Weights[name] = m
}

// users gives the nodes that take each tensor.
func (g *Graph) Users() map[string][]*Node {
	out := map[string][]*Node{}
	for _, n := range g.Nodes {
		for _, s := range n.In {
			out[s] = append(out[s], n)
		}
	}
	return out
}

// bytes puts the model together again, without weights that nothing uses.
func (g *Graph) Bytes() []byte {
	var graph []byte
	users := g.Users()
	for _, n := range g.Nodes {
		graph = AppendMessage(graph, 1, n.Bytes())
	}
	for _, name := range g.Order {
		if len(users[name]) > 0 || g.Outputs[name] {
			graph = AppendMessage(graph, 5, g.Weights[name])
		}
	}
	return AppendMessage(slices.Clone(g.Head), 7, append(graph, g.Rest...))
}

func (n *Node) Bytes() []byte {
	var m []byte
	for _, s := range n.In {
		m = AppendString(m, 1, s)
	}
	for _, s := range n.Out {
		m = AppendString(m, 2, s)
	}
	m = AppendString(AppendString(m, 3, n.Name), 4, n.Op)
	for _, a := range n.Attrs {
		m = AppendMessage(m, 5, a)
	}
	if n.Domain != "" {
		m = AppendString(m, 7, n.Domain)
	}
	return m
}

// rawFields calls f for each field of a message, with all its bytes and, where
// it is length-delimited, its content.
func rawFields(b []byte, f func(field protowire.Number, raw, m []byte) error) error {
	for len(b) > 0 {
		field, kind, size := protowire.ConsumeField(b)
		if size < 0 {
			return fmt.Errorf("%w: %w", model.ErrFormat, protowire.ParseError(size))
		}
		var m []byte
		if kind == protowire.BytesType {
			_, _, tag := protowire.ConsumeTag(b)
			m, _ = protowire.ConsumeBytes(b[tag:])
		}
		if err := f(field, b[:size], m); err != nil {
			return err
		}
		b = b[size:]
	}
	return nil
}

// FloatBytes is a float tensor's raw data.
func FloatBytes(v []float32) []byte {
	b := make([]byte, 0, 4*len(v))
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return b
}

// First is the node's first input, "" without one.
func (n *Node) First() string {
	if len(n.In) == 0 {
		return ""
	}
	return n.In[0]
}
