package quantize

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/synshard/synshard/model/onnx"
)

// Quantizer turns an fp32 ONNX model into one of int8 in QDQ form: a
// QuantizeLinear and a DequantizeLinear stand at every tensor that is to be of
// 8 bits, and the runtime fuses them with the operators between. Weights of
// Conv, Gemm and MatMul are symmetric int8 with a scale for each output channel
// (max |w| / 127), biases int32 with the scale input x weight, activations 8
// bits with one scale and zero point: real = scale x (q - zero).
//
// Batch norm is folded into the convolution before it. Concat, Add and the
// pools join where all they take is of 8 bits already; a MaxPool or a reshaping
// keeps the scale of what it takes. A Relu after an operator of 8 bits becomes
// the lower bound of what is quantised.
type Quantizer struct {
	g       *onnx.Graph
	int8    map[*onnx.Node]bool
	same    map[string]string // tensor -> the one whose scale it has
	tensors []string          // of 8 bits, in the graph's order
	is      map[string]bool   // in tensors
}

// Options say how numbers are made small.
type Options struct {
	Signed bool // activations int8, else uint8
	// ReduceRange gives weights 7 bits: processors without VNNI add pairs of
	// products in 16 bits, which 8 bits overflow.
	ReduceRange bool
}

// Range is what a tensor's values lie between.
type Range struct{ Min, Max float32 }

// weighted says which input of an operator is a weight.
var weighted = map[string]bool{"Conv": true, "Gemm": true, "MatMul": true}

// joins are the operators without weights that have a form of 8 bits; those
// that only move values keep their scale.
var (
	joins = map[string]bool{"Add": true, "Concat": true, "AveragePool": true, "GlobalAveragePool": true}
	moves = map[string]bool{"MaxPool": true, "Flatten": true, "Reshape": true, "Transpose": true, "Squeeze": true, "Unsqueeze": true}
)

// New plans the quantisation of an ONNX model.
func New(b []byte) (*Quantizer, error) {
	g, err := onnx.ParseGraph(b)
	if err != nil {
		return nil, fmt.Errorf("quantize: %w", err)
	}
	if g.Opset < 13 {
		return nil, fmt.Errorf("quantize: the model is of opset %d; a scale for each channel takes 13 or later: export it again", g.Opset)
	}
	for _, n := range g.Nodes {
		if n.Op == "QuantizeLinear" || n.Op == "DequantizeLinear" || n.Op == "QLinearConv" {
			return nil, fmt.Errorf("quantize: node %q is %s: the model is quantised already", n.Name, n.Op)
		}
	}
	g.DropIdentities()
	if err := g.FoldBatchNorm(); err != nil {
		return nil, fmt.Errorf("quantize: %w", err)
	}
	q := &Quantizer{g: g, int8: map[*onnx.Node]bool{}, same: map[string]string{}, is: map[string]bool{}}
	if err := q.plan(); err != nil {
		return nil, fmt.Errorf("quantize: %w", err)
	}
	if len(q.tensors) == 0 {
		return nil, fmt.Errorf("quantize: no model.Conv, Gemm or MatMul with weights in the model")
	}
	return q, nil
}

// plan settles which nodes and tensors are of 8 bits.
func (q *Quantizer) plan() error {
	users := q.g.Users()
	small := map[string]bool{} // comes out of a node of 8 bits
	for _, n := range q.g.Nodes {
		if n.Domain != "" && n.Domain != "ai.onnx" {
			continue
		}
		switch {
		case weighted[n.Op]:
			_, shape, ok, err := q.weightOf(n)
			if err != nil {
				return err
			}
			q.int8[n] = ok && len(shape) >= 2
		case n.Op == "Relu":
			small[n.Out[0]] = small[n.In[0]] && len(users[n.In[0]]) == 1 && !q.g.Outputs[n.In[0]]
			continue
		case joins[n.Op], moves[n.Op]:
			q.int8[n] = small[n.In[0]]
			for _, s := range n.In {
				if joins[n.Op] && !small[s] {
					q.int8[n] = false
				}
			}
			if q.int8[n] && moves[n.Op] {
				q.same[n.Out[0]] = q.root(n.In[0])
			}
		}
		if q.int8[n] {
			small[n.Out[0]] = true
		}
	}
	for _, n := range q.g.Nodes {
		if !q.int8[n] {
			continue
		}
		q.take(n.In[0])
		for _, s := range n.In[1:] {
			if joins[n.Op] {
				q.take(s)
			}
		}
	}
	for _, n := range q.g.Nodes {
		if out := q.result(n, users); q.int8[n] && (n.Op == "Conv" || !weighted[n.Op]) {
			q.take(out) // else the operator could not be fused
		}
	}
	q.sort()
	return nil
}

func (q *Quantizer) take(name string) { q.is[name] = true }

// result is what becomes of a node: its output, or the Relu's after it.
func (q *Quantizer) result(n *onnx.Node, users map[string][]*onnx.Node) string {
	out := n.Out[0]
	if u := users[out]; len(u) == 1 && u[0].Op == "Relu" && !q.g.Outputs[out] {
		return u[0].Out[0]
	}
	return out
}

// sort brings the tensors into the graph's order.
func (q *Quantizer) sort() {
	for _, s := range q.g.Inputs {
		if q.is[s] {
			q.tensors = append(q.tensors, s)
		}
	}
	for _, n := range q.g.Nodes {
		for _, s := range n.Out {
			if q.is[s] {
				q.tensors = append(q.tensors, s)
			}
		}
	}
}

func (q *Quantizer) root(s string) string {
	if r, ok := q.same[s]; ok {
		return r
	}
	return s
}

// weightOf gives the weight of a node; ok is false where it has none that is
// constant, or does something to it that has no form of 8 bits.
func (q *Quantizer) weightOf(n *onnx.Node) (values []float32, shape []int, ok bool, err error) {
	if len(n.In) < 2 || n.Op == "Gemm" && (n.Number("alpha", 1) != 1 || n.Number("beta", 1) != 1 || n.Number("transA", 0) != 0) {
		return nil, nil, false, nil
	}
	values, shape, ok, err = q.g.Weight(n.In[1])
	if err != nil || !ok || n.Op != "Conv" && len(shape) != 2 {
		return nil, nil, false, err
	}
	if len(n.In) > 2 && n.In[2] != "" {
		var b []int
		_, b, ok, err = q.g.Weight(n.In[2])
		ok = ok && len(b) == 1 && b[0] == shape[channelAxis(n)]
	}
	return values, shape, ok, err
}

// channelAxis is where a weight's output channels lie.
func channelAxis(n *onnx.Node) int {
	if n.Op == "Conv" || n.Op == "Gemm" && n.Number("transB", 0) == 1 {
		return 0
	}
	return 1
}

// Tensors are the activations whose ranges Quantize wants.
func (q *Quantizer) Tensors() []string {
	var out []string
	for _, s := range q.tensors {
		if _, other := q.same[s]; !other {
			out = append(out, s)
		}
	}
	return out
}

// Observed is the fp32 model with Tensors as outputs beside its own.
func (q *Quantizer) Observed() []byte {
	g := *q.g
	g.Rest = append([]byte{}, g.Rest...)
	for _, s := range q.Tensors() {
		if g.Outputs[s] {
			continue
		}
		tensor := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), onnx.Float)
		g.Rest = onnx.AppendMessage(g.Rest, 12, onnx.AppendMessage(onnx.AppendString(nil, 1, s), 2, onnx.AppendMessage(nil, 1, tensor)))
	}
	return g.Bytes()
}
