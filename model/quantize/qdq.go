package quantize

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/synshard/synshard/model/onnx"
)

// Quantize gives the model of 8 bits, metadata and outputs as they were. It can
// be called again with other ranges.
func (q *Quantizer) Quantize(ranges map[string]Range, o Options) ([]byte, error) {
	w := &qdqWriter{q: q, o: o, from: map[string]string{}, scale: map[string]float32{}}
	w.g = *q.g
	w.g.Nodes, w.g.Weights, w.g.Order = nil, map[string][]byte{}, append([]string{}, q.g.Order...)
	for k, v := range q.g.Weights {
		w.g.Weights[k] = v
	}
	for _, s := range q.Tensors() {
		if err := w.range8(s, ranges); err != nil {
			return nil, fmt.Errorf("quantize: %w", err)
		}
	}
	if err := w.write(); err != nil {
		return nil, fmt.Errorf("quantize: %w", err)
	}
	return w.g.Bytes(), nil
}

// qdqWriter writes the graph again with Q and DQ nodes.
type qdqWriter struct {
	q     *Quantizer
	o     Options
	g     onnx.Graph
	from  map[string]string  // tensor -> what its users take instead
	scale map[string]float32 // of tensors
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
	scale := float32((hi - lo) / 255)
	if !(scale >= math.SmallestNonzeroFloat32*(1<<23)) { // nothing but zeros
		scale = 1
	}
	zero := min(max(math.RoundToEven(-lo/float64(scale)), 0), 255)
	kind, raw := uint64(onnx.Uint8), byte(zero)
	if w.o.Signed {
		kind, raw = 3, byte(int8(zero-128))
	}
	w.scale[s] = scale
	w.g.Put(s+".q.scale", onnx.Float, nil, onnx.FloatBytes([]float32{scale}))
	w.g.Put(s+".q.zero", kind, nil, []byte{raw})
	return nil
}

func (w *qdqWriter) write() error {
	for _, s := range w.g.Inputs {
		w.pair(s)
	}
	users := w.q.g.Users()
	for _, n := range w.q.g.Nodes {
		c := *n
		c.In, c.Out = append([]string{}, n.In...), append([]string{}, n.Out...)
		for i, s := range c.In {
			if d, ok := w.from[s]; ok {
				c.In[i] = d
			}
		}
		if w.q.int8[n] && weighted[n.Op] {
			if err := w.weights(n, &c); err != nil {
				return err
			}
		}
		if out := w.q.result(n, users); w.q.int8[n] && out != n.Out[0] && w.q.is[out] && !w.q.g.Outputs[out] && w.clipsAtZero(out) {
			c.Out[0] = out // the Relu is the lower bound of the range
			w.from[n.Out[0]] = out
		} else if d, ok := w.from[n.First()]; n.Op == "Relu" && ok && d == n.Out[0] {
			w.pair(n.Out[0])
			continue
		}
		w.g.Nodes = append(w.g.Nodes, &c)
		for _, s := range n.Out {
			if c.Out[0] == s || len(n.Out) > 1 {
				w.pair(s)
			}
		}
	}
	return nil
}

// clipsAtZero says whether quantising a tensor takes all below 0 to 0.
func (w *qdqWriter) clipsAtZero(s string) bool {
	t, err := onnx.ParseInitializer(w.g.Weights[w.q.root(s)+".q.zero"])
	return err == nil && (w.o.Signed && int8(t.Data[0]) == -128 || !w.o.Signed && t.Data[0] == 0)
}

// pair writes Q and DQ behind a tensor of 8 bits; its users take the latter.
func (w *qdqWriter) pair(s string) {
	if !w.q.is[s] {
		return
	}
	by := []string{w.q.root(s) + ".q.scale", w.q.root(s) + ".q.zero"}
	w.g.Nodes = append(w.g.Nodes,
		&onnx.Node{Op: "QuantizeLinear", Name: s + ".q", In: append([]string{s}, by...), Out: []string{s + ".q"}},
		&onnx.Node{Op: "DequantizeLinear", Name: s + ".dq", In: append([]string{s + ".q"}, by...), Out: []string{s + ".dq"}})
	w.from[s] = s + ".dq"
}

// weights writes a node's weight and bias as integers.
func (w *qdqWriter) weights(n, c *onnx.Node) error {
	values, shape, _, err := w.q.weightOf(n)
	if err != nil {
		return err
	}
	axis, most := channelAxis(n), 127.0
	if w.o.ReduceRange {
		most = 63
	}
	ints, scales := quantizeWeight(values, shape, axis, most)
	base := n.Name
	if base == "" {
		base = n.Out[0]
	}
	name := base + ".weight.q"
	w.g.Put(name, 3, shape, ints)
	w.dequantize(name, axis, 3, 1, scales)
	c.In[1] = name + ".dq"
	if len(n.In) < 3 || n.In[2] == "" {
		return nil
	}
	bias, _, _, err := w.q.g.Weight(n.In[2])
	if err != nil {
		return err
	}
	raw := make([]byte, 0, 4*len(bias))
	both := make([]float32, len(bias))
	for i, b := range bias {
		both[i] = w.scale[w.q.root(n.In[0])] * scales[i]
		v := math.RoundToEven(float64(b) / float64(both[i]))
		raw = binary.LittleEndian.AppendUint32(raw, uint32(int32(min(max(v, math.MinInt32), math.MaxInt32))))
	}
	name = base + ".bias.q"
	w.g.Put(name, 6, []int{len(bias)}, raw)
	w.dequantize(name, 0, 6, 4, both)
	c.In[2] = name + ".dq"
	return nil
}

// dequantize writes the DQ of an initializer of a type of size bytes. The zero
// points are all 0, and spelt Out: ONNX Runtime's QGemm wants them.
func (w *qdqWriter) dequantize(name string, axis int, kind uint64, size int, scales []float32) {
	dims := []int{len(scales)}
	w.g.Put(name+".scale", onnx.Float, dims, onnx.FloatBytes(scales))
	w.g.Put(name+".zero", kind, dims, make([]byte, size*len(scales)))
	w.g.Nodes = append(w.g.Nodes, &onnx.Node{Op: "DequantizeLinear", Name: name + ".dq", In: []string{name, name + ".scale", name + ".zero"},
		Out: []string{name + ".dq"}, Attrs: [][]byte{onnx.AttrInt("axis", int64(axis))}})
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
