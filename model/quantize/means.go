package quantize

import (
	"fmt"
	"maps"
	"slices"

	"github.com/synshard/synshard/internal/onnxpb"
	"github.com/synshard/synshard/model/onnx"
)

// Means are averages of each channel that a Conv or a Gemm of 8 bits takes, in fp32 and as its
// range cuts it. By them Quantize moves biases, so that what comes out is on average what it is
// in fp32, although weights are rounded and values cut (Nagel et al., "Data-Free Quantization
// Through Weight Equalization and Bias Correction", arXiv:1906.04721, here with values seen).
// At the edges, where a convolution takes zeros besides, it is an approximation.
//
// They are for one goroutine.
type Means struct {
	of    map[string]*channelMeans
	batch int
}

// channelMeans are sums of one tensor's channels.
type channelMeans struct {
	low, high  float32 // what 8 bits reach
	last       bool    // channels are the last dimension; else the second
	n          float64 // values a channel
	exact, cut []float64
}

// Means begins averages for the ranges that Quantize is to be given. batch is how many images
// each batch will be of.
func (q *Quantizer) Means(ranges map[string]Range, batch int) (*Means, error) {
	m := &Means{map[string]*channelMeans{}, batch}
	for _, n := range q.g.Nodes {
		if !q.int8[n] || n.GetOp() != "Conv" && n.GetOp() != "Gemm" {
			continue
		}
		_, shape, _, err := q.weightOf(n)
		if err != nil {
			return nil, fmt.Errorf("quantize: %w", err)
		}
		r, ok := ranges[q.root(n.Inputs[0])]
		if !ok {
			return nil, fmt.Errorf("quantize: tensor %q has no range", q.root(n.Inputs[0]))
		}
		groups := groupsOf(n)
		if groups < 1 || shape[0]%groups != 0 || shape[0]*shape[1] == 0 {
			return nil, fmt.Errorf("quantize: node %q has a weight of %v in %d groups", n.GetName(), shape, groups)
		}
		channels := groups * shape[1-channelAxis(n)]
		if c := m.of[n.Inputs[0]]; c != nil && len(c.exact) != channels {
			return nil, fmt.Errorf("quantize: tensor %q has %d channels, and %d for node %q", n.Inputs[0], len(c.exact), channels, n.GetName())
		}
		m.of[n.Inputs[0]] = &channelMeans{low: min(r.Min, 0), high: max(r.Max, 0), last: n.GetOp() == "Gemm",
			exact: make([]float64, channels), cut: make([]float64, channels)}
	}
	return m, nil
}

// groupsOf is among how many groups a node's channels are divided.
func groupsOf(n *onnxpb.Node) int {
	if n.GetOp() == "Conv" {
		return int(onnx.Number(n, "group", 1))
	}
	return 1
}

// Tensors are the names of those whose values See wants.
func (m *Means) Tensors() []string { return slices.Sorted(maps.Keys(m.of)) }

// See takes a tensor's values of one batch.
func (m *Means) See(tensor string, values []float32) error {
	c := m.of[tensor]
	plane := 1
	if !c.last {
		plane = len(values) / (m.batch * len(c.exact))
	}
	if plane == 0 || len(values)%(plane*len(c.exact)) != 0 {
		return fmt.Errorf("calibrate: tensor %q has %d values of %d channels", tensor, len(values), len(c.exact))
	}
	for i := 0; i < len(values); i += plane {
		exact, cut := 0.0, 0.0
		for _, v := range values[i : i+plane] {
			exact += float64(v)
			cut += float64(min(max(v, c.low), c.high))
		}
		at := i / plane % len(c.exact)
		c.exact[at] += exact
		c.cut[at] += cut
	}
	c.n += float64(len(values) / len(c.exact))
	return nil
}

// shifts are by how much what comes out of a node is more than in fp32, a number for each
// output channel, with its weight as integers and their scales; nil where nothing was seen.
func (m *Means) shifts(n *onnxpb.Node, values []float32, shape []int, ints []byte, scales []float32) []float64 {
	if m == nil || m.of[n.Inputs[0]] == nil || m.of[n.Inputs[0]].n == 0 {
		return nil
	}
	c, out := m.of[n.Inputs[0]], make([]float64, len(scales))
	each := len(values) / (shape[0] * shape[1]) // of one channel for one other
	together := len(scales) / groupsOf(n)       // output channels of a group
	for i, v := range values {
		to, from := i/each/shape[1], i/each%shape[1]
		if channelAxis(n) == 1 {
			to, from = from, to
		}
		from += to / together * shape[1]
		out[to] += float64(int8(ints[i]))*float64(scales[to])*c.cut[from]/c.n - float64(v)*c.exact[from]/c.n
	}
	return out
}
