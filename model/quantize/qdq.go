package quantize

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/synshard/synshard/internal/onnxpb"
	"github.com/synshard/synshard/model/onnx"
	"github.com/synshard/synshard/model/onnx/fold"
)

// Quantize gives the model of 8 bits, outputs and what o does not name of the metadata as they were. It can
// be called again with other ranges.
func (q *Quantizer) Quantize(ranges map[string]Range, o Options) ([]byte, error) {
	w := &qdqWriter{q: q, o: o, g: q.g.Clone(), from: map[string]string{}, levels: map[string]levels{}}
	w.g.Nodes = nil
	for _, s := range q.Tensors() {
		if err := w.range8(s, ranges); err != nil {
			return nil, fmt.Errorf("quantize: %w", err)
		}
	}
	if err := w.write(); err != nil {
		return nil, fmt.Errorf("quantize: %w", err)
	}
	w.g.Say(RecordKey, o.record())
	for _, key := range slices.Sorted(maps.Keys(o.Metadata)) {
		w.g.Say(key, o.Metadata[key])
	}
	b, err := w.g.Model().Bytes()
	if err != nil {
		return nil, fmt.Errorf("quantize: %w", err)
	}
	return b, nil
}

// qdqWriter writes the graph again with Q and DQ nodes.
type qdqWriter struct {
	q      *Quantizer
	o      Options
	g      *onnx.Graph
	from   map[string]string // tensor -> what its users take instead
	levels map[string]levels // of tensors
}

// levels are what the 256 numbers of 8 bits stand for: scale x (level - zero).
type levels struct {
	scale float32
	zero  float64 // 0 to 255
}

// of is the level of a value.
func (l levels) of(v float32) float64 {
	return min(max(math.RoundToEven(float64(v)/float64(l.scale))+l.zero, 0), 255)
}

// range8 makes the scale and zero point of a tensor. The range always holds 0,
// which is then exact: what pads a convolution is.
func (w *qdqWriter) range8(s string, ranges map[string]Range) error {
	r, ok := ranges[s]
	if !ok {
		return fmt.Errorf("tensor %q has no range", s)
	}
	lo, hi := min(float64(r.Min), 0), max(float64(r.Max), 0)
	if math.IsNaN(lo+hi) || math.IsInf(hi-lo, 0) {
		return fmt.Errorf("tensor %q lies between %v and %v", s, r.Min, r.Max)
	}
	l := levels{scale: float32((hi - lo) / 255)}
	if !(l.scale >= math.SmallestNonzeroFloat32*(1<<23)) { // nothing but zeros
		l.scale = 1
	}
	l.zero = min(max(math.RoundToEven(-lo/float64(l.scale)), 0), 255)
	kind, raw := onnxpb.Tensor_UINT8, byte(l.zero)
	if w.o.Signed {
		kind, raw = onnxpb.Tensor_INT8, byte(int8(l.zero-128))
	}
	w.levels[s] = l
	w.g.Put(s+".q.scale", onnxpb.Tensor_FLOAT, nil, onnx.FloatBytes([]float32{l.scale}))
	w.g.Put(s+".q.zero", kind, nil, []byte{raw})
	return nil
}

func (w *qdqWriter) write() error {
	for _, s := range w.g.Inputs {
		w.pair(s)
	}
	users := w.q.g.Users()
	for _, n := range w.q.g.Nodes {
		c := proto.CloneOf(n)
		for i, s := range c.Inputs {
			if d, ok := w.from[s]; ok {
				c.Inputs[i] = d
			}
		}
		if w.q.int8[n] && weighted[n.GetOp()] {
			if err := w.weights(n, c); err != nil {
				return err
			}
		}
		if out := w.q.result(n, users); w.q.int8[n] && out != n.Outputs[0] && w.q.is[out] && !w.q.g.IsOutput(out) && w.bounds(users[n.Outputs[0]][0]) {
			c.Outputs[0] = out // its bounds are those of the range
			w.from[n.Outputs[0]] = out
		} else if d, ok := w.from[onnx.FirstInput(n)]; ok && w.q.bounded(n) && d == n.Outputs[0] {
			w.pair(n.Outputs[0])
			continue
		}
		w.g.Nodes = append(w.g.Nodes, c)
		for _, s := range n.Outputs {
			if c.Outputs[0] == s || len(n.Outputs) > 1 {
				w.pair(s)
			}
		}
	}
	return nil
}

// bounds says whether quantising what comes out of a Relu or a Clip takes all that it
// bounds to the same levels.
func (w *qdqWriter) bounds(n *onnxpb.Node) bool {
	lo, hi, _ := fold.Bounds(w.q.g, n)
	l := w.levels[w.q.root(n.Outputs[0])]
	return l.of(lo) == 0 && l.of(hi) == 255
}

// pair writes Q and DQ behind a tensor of 8 bits; its users take the latter.
func (w *qdqWriter) pair(s string) {
	if !w.q.is[s] {
		return
	}
	by := []string{w.q.root(s) + ".q.scale", w.q.root(s) + ".q.zero"}
	w.g.Nodes = append(w.g.Nodes,
		onnx.Node("QuantizeLinear", s+".q", append([]string{s}, by...), s+".q"),
		onnx.Node("DequantizeLinear", s+".dq", append([]string{s + ".q"}, by...), s+".dq"))
	w.from[s] = s + ".dq"
}

// weights writes a node's weight and bias as integers.
func (w *qdqWriter) weights(n, c *onnxpb.Node) error {
	values, shape, _, err := w.q.weightOf(n)
	if err != nil {
		return err
	}
	axis, most := channelAxis(n), float64(int(1)<<(w.o.WeightBits()-1)-1)
	ints, scales := quantizeWeight(values, shape, axis, most)
	base := n.GetName()
	if base == "" {
		base = n.Outputs[0]
	}
	name := base + ".weight.q"
	w.g.Put(name, onnxpb.Tensor_INT8, shape, ints)
	w.dequantize(name, axis, onnxpb.Tensor_INT8, 1, scales)
	c.Inputs[1] = name + ".dq"
	bias, err := w.bias(n, len(scales), w.o.Means.shifts(n, values, shape, ints, scales))
	if bias == nil || err != nil {
		return err
	}
	raw := make([]byte, 0, 4*len(bias))
	both := make([]float32, len(bias))
	for i, b := range bias {
		both[i] = w.levels[w.q.root(n.Inputs[0])].scale * scales[i]
		v := math.RoundToEven(float64(b) / float64(both[i]))
		raw = binary.LittleEndian.AppendUint32(raw, uint32(int32(min(max(v, math.MinInt32), math.MaxInt32))))
	}
	name = base + ".bias.q"
	w.g.Put(name, onnxpb.Tensor_INT32, []int{len(bias)}, raw)
	w.dequantize(name, 0, onnxpb.Tensor_INT32, 4, both)
	c.Inputs = append(c.Inputs[:2:2], name+".dq")
	return nil
}

// bias is a node's bias without the shifts of its outputs, of which there may be none; nil
// where it has no bias then.
func (w *qdqWriter) bias(n *onnxpb.Node, channels int, shifts []float64) (bias []float32, err error) {
	if len(n.Inputs) > 2 && n.Inputs[2] != "" {
		if bias, _, _, err = w.q.g.Floats(n.Inputs[2]); err != nil {
			return nil, err
		}
	}
	if bias == nil && shifts != nil {
		bias = make([]float32, channels)
	}
	for i, s := range shifts {
		bias[i] = float32(float64(bias[i]) - s)
	}
	return bias, nil
}

// dequantize writes the DQ of an initializer of a type of size bytes. The zero
// points are all 0, and spelt out: ONNX Runtime's QGemm wants them.
func (w *qdqWriter) dequantize(name string, axis int, kind onnxpb.Tensor_DataType, size int, scales []float32) {
	dims := []int{len(scales)}
	w.g.Put(name+".scale", onnxpb.Tensor_FLOAT, dims, onnx.FloatBytes(scales))
	w.g.Put(name+".zero", kind, dims, make([]byte, size*len(scales)))
	w.g.Nodes = append(w.g.Nodes, onnx.Node("DequantizeLinear", name+".dq", []string{name, name + ".scale", name + ".zero"}, name+".dq", onnx.Int("axis", int64(axis))))
}

// quantizeWeight makes int8 of a weight, -most to most, with a scale for each
// place along axis.
func quantizeWeight(values []float32, shape []int, axis int, most float64) (ints []byte, scales []float32) {
	inner := 1
	for _, d := range shape[axis+1:] {
		inner *= d
	}
	channel := func(i int) int { return i / inner % shape[axis] }
	scales = make([]float32, shape[axis])
	for i, v := range values {
		c := channel(i)
		scales[c] = max(scales[c], float32(math.Abs(float64(v))))
	}
	for c := range scales {
		if scales[c] = float32(float64(scales[c]) / most); scales[c] < 1e-30 {
			scales[c] = 1
		}
	}
	ints = make([]byte, len(values))
	for i, v := range values {
		q := math.RoundToEven(float64(v) / float64(scales[channel(i)]))
		ints[i] = byte(int8(min(max(q, -most), most)))
	}
	return ints, scales
}
