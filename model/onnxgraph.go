package model

import (
	"fmt"
	"math"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// onnxGraph is an ONNX model taken apart as far as rewriting it needs. What it
// does not look into is kept byte for byte.
type onnxGraph struct {
	head    []byte // every field of ModelProto but the graph
	rest    []byte // every field of GraphProto but nodes, initializers and value_info
	opset   int64  // of the default domain
	nodes   []*onnxNode
	weights map[string][]byte // TensorProto by name
	order   []string          // of weights
	inputs  []string          // without weights
	outputs map[string]bool
}

// onnxNode is a NodeProto.
type onnxNode struct {
	op, name, domain string
	in, out          []string
	attrs            [][]byte // AttributeProto
}

// parseONNXGraph takes a model apart. Nodes with graphs inside (If, Loop) and
// local functions, whose uses of a tensor it would not see, are errors.
func parseONNXGraph(b []byte) (*onnxGraph, error) {
	g := &onnxGraph{weights: map[string][]byte{}, outputs: map[string]bool{}}
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
		g.head = append(g.head, raw...)
		return nil
	})
	if err == nil && (graphs != 1 || len(g.nodes) == 0) {
		err = fmt.Errorf("%w: no graph with nodes", ErrFormat)
	}
	if err != nil {
		return nil, err
	}
	g.inputs = slices.DeleteFunc(g.inputs, func(s string) bool { return g.weights[s] != nil })
	return g, nil
}

func (g *onnxGraph) parseOpset(b []byte) error {
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
		g.opset = version
	}
	return err
}

func (g *onnxGraph) parse(b []byte) error {
	return rawFields(b, func(f protowire.Number, raw, m []byte) error {
		switch f {
		case 1:
			n, err := parseNode(m)
			g.nodes = append(g.nodes, n)
			return err
		case 5:
			name, err := firstName(m, 8)
			if g.weights[name] == nil {
				g.order = append(g.order, name)
			}
			g.weights[name] = m
			return err
		case 13: // types of inner tensors: they change
			return nil
		case 11, 12:
			name, err := firstName(m, 1)
			if err != nil {
				return err
			}
			if f == 11 {
				g.inputs = append(g.inputs, name)
			} else {
				g.outputs[name] = true
			}
		}
		g.rest = append(g.rest, raw...)
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

func parseNode(b []byte) (*onnxNode, error) {
	n := &onnxNode{}
	err := fields(b, func(f protowire.Number, _ uint64, m []byte) error {
		switch f {
		case 1:
			n.in = append(n.in, string(m))
		case 2:
			n.out = append(n.out, string(m))
		case 3:
			n.name = string(m)
		case 4:
			n.op = string(m)
		case 5:
			n.attrs = append(n.attrs, m)
			return fields(m, func(f protowire.Number, _ uint64, _ []byte) error {
				if f == 6 || f == 11 {
					return fmt.Errorf("node %q (%s) has a graph inside, which cannot be rewritten", n.name, n.op)
				}
				return nil
			})
		case 7:
			n.domain = string(m)
		}
		return nil
	})
	if err == nil && (n.op == "" || len(n.out) == 0) {
		err = fmt.Errorf("%w: node %q without operator or output", ErrFormat, n.name)
	}
	return n, err
}

// number gives an attribute's i, or its f, or the default.
func (n *onnxNode) number(name string, missing float64) float64 {
	for _, a := range n.attrs {
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
func (g *onnxGraph) weight(name string) (values []float32, shape []int, ok bool, err error) {
	m, is := g.weights[name]
	if !is {
		return nil, nil, false, nil
	}
	t, err := parseInitializer(m)
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
func (g *onnxGraph) put(name string, kind uint64, dims []int, raw []byte) {
	var m []byte
	for _, d := range dims {
		m = protowire.AppendVarint(protowire.AppendTag(m, 1, protowire.VarintType), uint64(d))
	}
	m = protowire.AppendVarint(protowire.AppendTag(m, 2, protowire.VarintType), kind)
	m = appendMessage(appendString(m, 8, name), 9, raw)
	if g.weights[name] == nil {
		g.order = append(g.order, name)
	}
	g.weights[name] = m
}

// users gives the nodes that take each tensor.
func (g *onnxGraph) users() map[string][]*onnxNode {
	out := map[string][]*onnxNode{}
	for _, n := range g.nodes {
		for _, s := range n.in {
			out[s] = append(out[s], n)
		}
	}
	return out
}

// bytes puts the model together again, without weights that nothing uses.
func (g *onnxGraph) bytes() []byte {
	var graph []byte
	users := g.users()
	for _, n := range g.nodes {
		graph = appendMessage(graph, 1, n.bytes())
	}
	for _, name := range g.order {
		if len(users[name]) > 0 || g.outputs[name] {
			graph = appendMessage(graph, 5, g.weights[name])
		}
	}
	return appendMessage(slices.Clone(g.head), 7, append(graph, g.rest...))
}

func (n *onnxNode) bytes() []byte {
	var m []byte
	for _, s := range n.in {
		m = appendString(m, 1, s)
	}
	for _, s := range n.out {
		m = appendString(m, 2, s)
	}
	m = appendString(appendString(m, 3, n.name), 4, n.op)
	for _, a := range n.attrs {
		m = appendMessage(m, 5, a)
	}
	if n.domain != "" {
		m = appendString(m, 7, n.domain)
	}
	return m
}

// rawFields calls f for each field of a message, with all its bytes and, where
// it is length-delimited, its content.
func rawFields(b []byte, f func(field protowire.Number, raw, m []byte) error) error {
	for len(b) > 0 {
		field, kind, size := protowire.ConsumeField(b)
		if size < 0 {
			return fmt.Errorf("%w: %w", ErrFormat, protowire.ParseError(size))
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
