package model

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// smallONNX writes ResNet-50 for four classes as an ONNX model of random weights.
func smallONNX(t testing.TB, name string) []byte {
	t.Helper()
	n, err := New(name, Options{Classes: 4, Dropout: -1})
	if err != nil {
		t.Fatal(err)
	}
	var weights []Tensor
	rng := rand.New(rand.NewPCG(1, 2))
	for _, p := range n.Params() {
		size := 1
		for _, d := range p.Shape {
			size *= d
		}
		v := make([]float32, size)
		for i := range v {
			v[i] = rng.Float32() + 0.1
		}
		weights = append(weights, NewTensor(p.Name, p.Shape, v))
	}
	var b bytes.Buffer
	spec := Spec{Model: name, InputSize: n.Input, Resize: n.Input, Interpolation: "bilinear", Std: [3]float64{1, 1, 1}, Classes: []string{"a", "b", "c", "d"}}
	if err := WriteONNX(&b, n, weights, spec); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestQuantizePlacesPairs(t *testing.T) {
	if testing.Short() {
		t.Skip("takes its time under the race detector, and has no goroutines")
	}
	q, err := NewQuantizer(smallONNX(t, "resnet50"))
	if err != nil {
		t.Fatal(err)
	}
	ranges := map[string]Range{}
	for _, s := range q.Tensors() {
		ranges[s] = Range{0, 1}
	}
	out, err := q.Quantize(ranges, QuantizeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	g, err := parseONNXGraph(out)
	if err != nil {
		t.Fatal(err)
	}
	made := map[string]*onnxNode{}
	ops := map[string]int{}
	for _, n := range g.nodes {
		ops[n.op]++
		for _, s := range n.in {
			if made[s] == nil && g.weights[s] == nil && s != "image" {
				t.Fatalf("node %s takes %q before it is made", n.name, s)
			}
		}
		if n.op == "Conv" || n.op == "Gemm" || n.op == "Add" && made[n.in[0]].op == "DequantizeLinear" {
			for _, s := range n.in {
				if made[s] == nil || made[s].op != "DequantizeLinear" {
					t.Errorf("%s takes %q, which is not of 8 bits", n.name, s)
				}
			}
		}
		for _, s := range n.out {
			made[s] = n
		}
	}
	// Every Relu follows a convolution or a sum of 8 bits: the bound does its work.
	if ops["Conv"] != 53 || ops["Relu"] != 0 || ops["Gemm"] != 1 {
		t.Errorf("operators %v", ops)
	}
	info, err := ParseONNXInfo(out)
	if err != nil || info.Metadata[SpecKey] == "" || len(info.Outputs) != 2 {
		t.Errorf("%+v, %v: the spec or an output is gone", info, err)
	}
	again, err := q.Quantize(ranges, QuantizeOptions{})
	if err != nil || !bytes.Equal(out, again) {
		t.Errorf("a second time: other bytes, %v", err)
	}
	if _, err := NewQuantizer(out); err == nil || !strings.Contains(err.Error(), "quantised already") {
		t.Errorf("twice: %v", err)
	}
	delete(ranges, q.Tensors()[0])
	if _, err := q.Quantize(ranges, QuantizeOptions{}); err == nil || !strings.Contains(err.Error(), "no range") {
		t.Errorf("without a range: %v", err)
	}
}

func TestQuantizeWeightByChannel(t *testing.T) {
	ints, scales := quantizeWeight([]float32{1, -2, 0.5, 0, 0, 0, 100, 50, -127}, []int{3, 3}, 0, 127)
	want := []int8{64, -127, 32, 0, 0, 0, 100, 50, -127} // 63.5 and 31.75
	for i := range want {
		if int8(ints[i]) != want[i] {
			t.Errorf("value %d: %d, want %d", i, int8(ints[i]), want[i])
		}
	}
	if scales[0] != float32(2.0/127) || scales[1] != 1 || scales[2] != 1 {
		t.Errorf("scales %v", scales)
	}
	_, columns := quantizeWeight([]float32{1, 10, -2, 20}, []int{2, 2}, 1, 63)
	if columns[0] != float32(2.0/63) || columns[1] != float32(20.0/63) {
		t.Errorf("scales of columns %v", columns)
	}
}

func TestCalibrator(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	values := make([]float32, 200_000)
	for i := range values {
		values[i] = float32(rng.NormFloat64())
	}
	values[0], values[1] = 60, -40
	got := map[string]Range{}
	for _, method := range Calibrations {
		c := Calibrator{Method: method, Percentile: 99}
		for _, half := range [][]float32{values[:1000], values[1000:]} {
			if err := c.See("x", half); err != nil {
				t.Fatal(err)
			}
		}
		if c.Counts() {
			if err := c.Count("x", values); err != nil {
				t.Fatal(err)
			}
		}
		got[method] = c.Ranges()["x"]
	}
	if got["minmax"] != (Range{-40, 60}) {
		t.Errorf("minmax %v", got["minmax"])
	}
	// 99 % of a normal distribution lie within 2.576.
	if r := got["percentile"]; math.Abs(float64(r.Max)-2.576) > 0.1 || math.Abs(float64(r.Min)+2.576) > 0.1 {
		t.Errorf("percentile %v", r)
	}
	if r := got["entropy"]; r.Max < 2.5 || r.Max > 10 || r.Min != -r.Max {
		t.Errorf("entropy %v: want the two far values cut off", r)
	}
	c := Calibrator{Method: "minmax"}
	if err := c.See("y", []float32{1, float32(math.NaN())}); err == nil {
		t.Error("NaN: no error")
	}
	if err := c.See("y", []float32{float32(math.Inf(-1)), 0}); err == nil {
		t.Error("-Inf: no error")
	}
}

func TestFoldBatchNorm(t *testing.T) {
	g := &onnxGraph{weights: map[string][]byte{}, outputs: map[string]bool{"y": true}, inputs: []string{"x"}}
	g.put("w", onnxFloat, []int{2, 1, 1, 1}, floatBytes([]float32{3, 5}))
	for i, s := range []string{"gamma", "beta", "mean", "var"} {
		g.put(s, onnxFloat, []int{2}, floatBytes([][]float32{{2, 4}, {1, 7}, {0.5, 1}, {3, 15}}[i]))
	}
	g.nodes = []*onnxNode{
		{op: "Conv", name: "c", in: []string{"x", "w"}, out: []string{"c"}},
		{op: "BatchNormalization", name: "b", in: []string{"c", "gamma", "beta", "mean", "var"}, out: []string{"y"}, attrs: [][]byte{attrFloat("epsilon", 1)}},
	}
	if err := g.foldBatchNorm(); err != nil {
		t.Fatal(err)
	}
	if len(g.nodes) != 1 || g.nodes[0].out[0] != "y" {
		t.Fatalf("%d nodes", len(g.nodes))
	}
	w, _, _, _ := g.weight(g.nodes[0].in[1])
	b, _, _, _ := g.weight(g.nodes[0].in[2])
	// w = 3*2/2, 5*4/4; b = -0.5*2/2+1, -1*4/4+7
	if w[0] != 3 || w[1] != 5 || b[0] != 0.5 || b[1] != 6 {
		t.Errorf("weight %v, bias %v", w, b)
	}
}

func TestQuantizerRefuses(t *testing.T) {
	good := smallONNX(t, "alexnet")
	for _, c := range []struct {
		name, want string
		b          []byte
	}{
		{"nothing", "no graph", nil},
		{"text", "quantize", []byte("not a model at all")},
		{"cut", "quantize", good[:len(good)/2]},
		{"two graphs", "no graph with nodes", append(bytes.Clone(good), appendMessage(nil, 7, nil)...)},
		{"old", "opset 12", protowire.AppendBytes(protowire.AppendTag(bytes.Clone(good), 8, protowire.BytesType), binary.AppendUvarint([]byte{16}, 12))},
	} {
		_, err := NewQuantizer(c.b)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func FuzzQuantizer(f *testing.F) {
	g := &onnxGraph{weights: map[string][]byte{}, outputs: map[string]bool{"y": true}, opset: 17}
	g.put("w", onnxFloat, []int{1, 1, 1, 1}, floatBytes([]float32{2}))
	g.nodes = []*onnxNode{{op: "Conv", name: "c", in: []string{"x", "w"}, out: []string{"y"}}}
	g.head = appendMessage(nil, 8, []byte{16, 17})
	g.rest = appendMessage(appendMessage(nil, 11, appendString(nil, 1, "x")), 12, appendString(nil, 1, "y"))
	f.Add(g.bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		q, err := NewQuantizer(b)
		if err != nil {
			return
		}
		ranges := map[string]Range{}
		for _, s := range q.Tensors() {
			ranges[s] = Range{-1, 1}
		}
		out, err := q.Quantize(ranges, QuantizeOptions{})
		if err != nil {
			return
		}
		if _, err := parseONNXGraph(out); err != nil && errors.Is(err, ErrFormat) {
			t.Errorf("what was written cannot be read: %v", err)
		}
	})
}

// TestQuantizeThroughIdentities: exporters put an Identity before weights that
// operators share; the same tensors are of 8 bits as without.
func TestQuantizeThroughIdentities(t *testing.T) {
	plain := smallONNX(t, "alexnet")
	g, err := parseONNXGraph(plain)
	if err != nil {
		t.Fatal(err)
	}
	var nodes []*onnxNode
	for _, n := range g.nodes {
		for i, s := range n.in {
			if i == 0 || g.weights[s] == nil {
				continue
			}
			id := &onnxNode{op: "Identity", name: s + ".id", in: []string{s}, out: []string{s + ".id"}}
			nodes, n.in[i] = append(nodes, id), s+".id"
		}
		nodes = append(nodes, n)
	}
	g.nodes = nodes
	want, err := NewQuantizer(plain)
	if err != nil {
		t.Fatal(err)
	}
	got, err := NewQuantizer(g.bytes())
	if err != nil {
		t.Fatal(err)
	}
	if a, b := strings.Join(want.Tensors(), " "), strings.Join(got.Tensors(), " "); a != b || len(want.Tensors()) < 8 {
		t.Errorf("with identities %s, without %s", b, a)
	}
}
