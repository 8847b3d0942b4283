// Package quantize turns an fp32 ONNX model into one of 8 bits: it settles the
// ranges of tensors from values seen and writes the graph in QDQ form.
package quantize

import (
	"encoding/json"
	"fmt"

	"github.com/synshard/synshard/internal/onnxpb"
	"github.com/synshard/synshard/model/onnx"
	"github.com/synshard/synshard/model/onnx/fold"
)

// Quantizer turns an fp32 ONNX model into one of int8 in QDQ form: a
// QuantizeLinear and a DequantizeLinear stand at every tensor that is to be of
// 8 bits, and the runtime fuses them with the operators between. Weights of
// Conv, Gemm and MatMul are symmetric int8 with a scale for each output channel
// (max |w| / 127), biases int32 with the scale input x weight, activations 8
// bits with one scale and zero point: real = scale x (q - zero).
//
// The graph is folded first (package fold), and what engines have no fast form of 8 bits
// for is written as convolutions (fold.Depthwise). Concat, Add, Mul, Sigmoid, LeakyRelu and the
// pools join where all they take is of 8 bits already; a MaxPool or a reshaping keeps the scale of
// what it takes. A Relu or a Clip after an operator of 8 bits becomes the bounds of
// what is quantised: ranges are of what comes behind it.
type Quantizer struct {
	g       *onnx.Graph
	int8    map[*onnxpb.Node]bool
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
	Means       *Means            // by which biases are moved; nil leaves them
	Metadata    map[string]string // of the file, beside and in place of what the model has
	// For the record in the file, as Record has them.
	Calibration, Model, Images string
	Seed                       uint64 // likewise
}

// WeightBits are the bits of a weight.
func (o Options) WeightBits() int {
	if o.ReduceRange {
		return 7
	}
	return 8
}

// RecordKey is the metadata key under which a model says how it was made small, and of what:
// a Record in JSON.
const RecordKey = "synshard.quantized"

// Record is what a model of 8 bits says of its making.
type Record struct {
	Activations string `json:"activations"`      // uint8 or int8
	WeightBits  int    `json:"weight_bits"`      // of a weight
	Calibration string `json:"calibration"`      // how ranges were settled
	Model       string `json:"model,omitempty"`  // SHA-256 of the file of the model that was made small
	Images      string `json:"images,omitempty"` // the identity of what was selected to calibrate
	Seed        uint64 `json:"seed,omitempty"`   // by which images of it were drawn
}

// record is the value under RecordKey.
func (o Options) record() string {
	r := Record{"uint8", o.WeightBits(), o.Calibration, o.Model, o.Images, o.Seed}
	if o.Signed {
		r.Activations = "int8"
	}
	text, err := json.Marshal(r)
	if err != nil {
		panic(err) // of plain values
	}
	return string(text)
}

// Range is what a tensor's values lie between: Min to Max, both included.
type Range struct{ Min, Max float32 }

// weighted says which input of an operator is a weight.
var weighted = map[string]bool{"Conv": true, "Gemm": true, "MatMul": true}

// joins are the operators without weights that have a form of 8 bits; those
// that only move values keep their scale.
var (
	joins = map[string]bool{"Add": true, "Mul": true, "Concat": true, "Sigmoid": true, "LeakyRelu": true, "AveragePool": true, "GlobalAveragePool": true}
	moves = map[string]bool{"MaxPool": true, "Flatten": true, "Reshape": true, "Transpose": true, "Squeeze": true, "Unsqueeze": true}
)

// New plans the quantisation of an ONNX model, given as its file's bytes. A model
// before opset 13, one that is quantised already, one whose weights lie in other
// files, and one without anything to quantise are errors.
func New(b []byte) (*Quantizer, error) {
	m, err := onnx.Parse(b)
	if err != nil {
		return nil, fmt.Errorf("quantize: %w", err)
	}
	g, err := m.Graph()
	if err != nil {
		return nil, fmt.Errorf("quantize: %w", err)
	}
	if g.Opset < 13 {
		return nil, fmt.Errorf("quantize: the model is of opset %d; a scale for each channel takes 13 or later: export it again", g.Opset)
	}
	for _, n := range g.Nodes {
		if n.GetOp() == "QuantizeLinear" || n.GetOp() == "DequantizeLinear" || n.GetOp() == "QLinearConv" {
			return nil, fmt.Errorf("quantize: node %q is %s: the model is quantised already", n.GetName(), n.GetOp())
		}
	}
	if err := fold.Graph(g); err != nil {
		return nil, fmt.Errorf("quantize: %w", err)
	}
	fold.Depthwise(g)
	q := &Quantizer{g: g, int8: map[*onnxpb.Node]bool{}, same: map[string]string{}, is: map[string]bool{}}
	if err := q.plan(); err != nil {
		return nil, fmt.Errorf("quantize: %w", err)
	}
	if len(q.tensors) == 0 {
		return nil, fmt.Errorf("quantize: no Conv, Gemm or MatMul with weights in the model")
	}
	return q, nil
}

// plan settles which nodes and tensors are of 8 bits.
func (q *Quantizer) plan() error {
	users := q.g.Users()
	small := map[string]bool{} // comes out of a node of 8 bits
	for _, n := range q.g.Nodes {
		if n.GetDomain() != "" && n.GetDomain() != "ai.onnx" {
			continue
		}
		switch {
		case weighted[n.GetOp()]:
			_, shape, ok, err := q.weightOf(n)
			if err != nil {
				return err
			}
			q.int8[n] = ok && len(shape) >= 2
		case q.bounded(n):
			in := onnx.FirstInput(n)
			small[n.Outputs[0]] = small[in] && len(users[in]) == 1 && !q.g.IsOutput(in)
			continue
		case joins[n.GetOp()], moves[n.GetOp()]:
			q.int8[n] = small[onnx.FirstInput(n)]
			for _, s := range n.Inputs {
				if joins[n.GetOp()] && !small[s] {
					q.int8[n] = false
				}
			}
			if q.int8[n] && moves[n.GetOp()] {
				q.same[n.Outputs[0]] = q.root(n.Inputs[0])
			}
		}
		if q.int8[n] {
			small[n.Outputs[0]] = true
		}
	}
	for _, n := range q.g.Nodes {
		if !q.int8[n] {
			continue
		}
		q.take(n.Inputs[0])
		for _, s := range n.Inputs[1:] {
			if joins[n.GetOp()] {
				q.take(s)
			}
		}
	}
	for _, n := range q.g.Nodes {
		if out := q.result(n, users); q.int8[n] && (n.GetOp() == "Conv" || !weighted[n.GetOp()]) {
			q.take(out) // else the operator could not be fused
		}
	}
	q.sort()
	return nil
}

func (q *Quantizer) take(name string) { q.is[name] = true }

// bounded says whether a node is a Relu or a Clip, and no more.
func (q *Quantizer) bounded(n *onnxpb.Node) bool {
	_, _, ok := fold.Bounds(q.g, n)
	return ok
}

// result is what becomes of a node: its output, or the Relu's or Clip's after it.
func (q *Quantizer) result(n *onnxpb.Node, users map[string][]*onnxpb.Node) string {
	out := n.Outputs[0]
	if u := users[out]; len(u) == 1 && onnx.FirstInput(u[0]) == out && q.bounded(u[0]) && !q.g.IsOutput(out) {
		return u[0].Outputs[0]
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
		for _, s := range n.Outputs {
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
func (q *Quantizer) weightOf(n *onnxpb.Node) (values []float32, shape []int, ok bool, err error) {
	if len(n.Inputs) < 2 || n.GetOp() == "Gemm" && (onnx.Number(n, "alpha", 1) != 1 || onnx.Number(n, "beta", 1) != 1 || onnx.Number(n, "transA", 0) != 0) {
		return nil, nil, false, nil
	}
	values, shape, ok, err = q.g.Floats(n.Inputs[1])
	if err != nil || !ok || n.GetOp() != "Conv" && len(shape) != 2 {
		return nil, nil, false, err
	}
	if len(n.Inputs) > 2 && n.Inputs[2] != "" {
		var b []int
		_, b, ok, err = q.g.Floats(n.Inputs[2])
		ok = ok && len(b) == 1 && b[0] == shape[channelAxis(n)]
	}
	return values, shape, ok, err
}

// channelAxis is where a weight's output channels lie.
func channelAxis(n *onnxpb.Node) int {
	if n.GetOp() == "Conv" || n.GetOp() == "Gemm" && onnx.Number(n, "transB", 0) == 1 {
		return 0
	}
	return 1
}

// Tensors are the names of the activations whose ranges Quantize wants, in the
// graph's order.
func (q *Quantizer) Tensors() []string {
	var out []string
	for _, s := range q.tensors {
		if _, other := q.same[s]; !other {
			out = append(out, s)
		}
	}
	return out
}

// Observed is the fp32 model with tensors as outputs beside its own.
func (q *Quantizer) Observed(tensors []string) ([]byte, error) {
	g := q.g.Clone()
	for _, s := range tensors {
		if !g.IsOutput(s) {
			g.AddOutput(s)
		}
	}
	b, err := g.Model().Bytes()
	if err != nil {
		return nil, fmt.Errorf("quantize: %w", err)
	}
	return b, nil
}
