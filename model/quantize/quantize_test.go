package quantize

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/internal/onnxpb"
	"github.com/synshard/synshard/internal/raced"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/modeltest"
	"github.com/synshard/synshard/model/onnx"
)

// smallONNX writes ResNet-50 for four classes as an ONNX model of random weights.
func smallONNX(t testing.TB, name string) []byte {
	t.Helper()
	n := modeltest.Network(t, name, model.Options{Classes: 4, Dropout: -1})
	var weights []model.Tensor
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
		weights = append(weights, model.NewTensor(p.Name, p.Shape, v))
	}
	var b bytes.Buffer
	spec := model.Spec{Model: name, InputSize: n.Input, Resize: n.Input, Interpolation: "bilinear", Std: [3]float64{1, 1, 1}, Classes: []string{"a", "b", "c", "d"}}
	if err := onnx.Write(&b, n, weights, spec); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestQuantizePlacesPairs(t *testing.T) {
	if testing.Short() {
		t.Skip("takes its time under the race detector, and has no goroutines")
	}
	q, err := New(smallONNX(t, "resnet50"))
	if err != nil {
		t.Fatal(err)
	}
	ranges := map[string]Range{}
	for _, s := range q.Tensors() {
		ranges[s] = Range{0, 1}
	}
	out, err := q.Quantize(ranges, Options{ReduceRange: true, Calibration: "by hand"})
	if err != nil {
		t.Fatal(err)
	}
	g, err := graphOf(out)
	if err != nil {
		t.Fatal(err)
	}
	made := map[string]*onnxpb.Node{}
	ops := map[string]int{}
	for _, n := range g.Nodes {
		ops[n.GetOp()]++
		for _, s := range n.Inputs {
			if made[s] == nil && g.Initializer(s) == nil && s != "image" {
				t.Fatalf("node %s takes %q before it is made", n.GetName(), s)
			}
		}
		if n.GetOp() == "Conv" || n.GetOp() == "Gemm" || n.GetOp() == "Add" && made[n.Inputs[0]].GetOp() == "DequantizeLinear" {
			for _, s := range n.Inputs {
				if made[s] == nil || made[s].GetOp() != "DequantizeLinear" {
					t.Errorf("%s takes %q, which is not of 8 bits", n.GetName(), s)
				}
			}
		}
		for _, s := range n.Outputs {
			made[s] = n
		}
	}
	// Every Relu follows a convolution or a sum of 8 bits: the bound does its work.
	if diff := cmp.Diff(map[string]int{"Conv": 53, "Relu": 0, "Gemm": 1}, map[string]int{"Conv": ops["Conv"], "Relu": ops["Relu"], "Gemm": ops["Gemm"]}); diff != "" {
		t.Error(diff)
	}
	m, err := onnx.Parse(out)
	if err != nil {
		t.Fatal(err)
	}
	info, err := m.Info()
	if err != nil || info.Metadata[model.SpecKey] == "" || len(info.Outputs) != 2 {
		t.Errorf("%+v, %v: the spec or an output is gone", info, err)
	}
	if got, want := info.Metadata[RecordKey], `{"activations":"uint8","weight_bits":7,"calibration":"by hand"}`; got != want {
		t.Errorf("it says %s, want %s", got, want)
	}
	again, err := q.Quantize(ranges, Options{ReduceRange: true, Calibration: "by hand"})
	if err != nil || !bytes.Equal(out, again) {
		t.Errorf("a second time: other bytes, %v", err)
	}
	if _, err := New(out); err == nil || !strings.Contains(err.Error(), "quantised already") {
		t.Errorf("twice: %v", err)
	}
	delete(ranges, q.Tensors()[0])
	if _, err := q.Quantize(ranges, Options{}); err == nil || !strings.Contains(err.Error(), "no range") {
		t.Errorf("without a range: %v", err)
	}
}

func TestQuantizeWeightByChannel(t *testing.T) {
	ints, scales := quantizeWeight([]float32{1, -2, 0.5, 0, 0, 0, 100, 50, -127}, []int{3, 3}, 0, 127)
	var got []int8
	for _, b := range ints {
		got = append(got, int8(b))
	}
	if diff := cmp.Diff([]int8{64, -127, 32, 0, 0, 0, 100, 50, -127}, got); diff != "" { // 63.5 and 31.75
		t.Error(diff)
	}
	if diff := cmp.Diff([]float32{2.0 / 127, 1, 1}, scales); diff != "" {
		t.Errorf("scales (-want +got)\n%s", diff)
	}
	_, columns := quantizeWeight([]float32{1, 10, -2, 20}, []int{2, 2}, 1, 63)
	if diff := cmp.Diff([]float32{2.0 / 63, 20.0 / 63}, columns); diff != "" {
		t.Errorf("scales of columns (-want +got)\n%s", diff)
	}
}

func TestCalibrator(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	values := make([]float32, 200_000)
	for i := range values {
		values[i] = float32(rng.NormFloat64())
	}
	values[0], values[1] = 60, -40
	if err := (&Calibrator{Method: "percentile", Percentile: math.NaN()}).Check(); err == nil {
		t.Error("a percentile of NaN passes")
	}
	got := map[string]Range{}
	for _, method := range Calibrations {
		c := Calibrator{Method: method, Percentile: 99}
		for _, pass := range c.Passes() {
			for _, half := range [][]float32{values[:1000], values[1000:]} {
				if err := pass("x", half); err != nil {
					t.Fatal(err)
				}
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
	if err := c.see("y", []float32{1, float32(math.NaN())}); err == nil {
		t.Error("NaN: no error")
	}
	if err := c.see("y", []float32{float32(math.Inf(-1)), 0}); err == nil {
		t.Error("-Inf: no error")
	}
}

func TestQuantizerRefuses(t *testing.T) {
	raced.Skip(t, "one goroutine does it all")
	good := smallONNX(t, "alexnet")
	for _, c := range []struct {
		name, want string
		b          []byte
	}{
		{"nothing", "no graph", nil},
		{"text", "quantize", []byte("not a model at all")},
		{"cut", "quantize", good[:len(good)/2]},
		{"no nodes", "no graph with nodes", tiny(t, 17, "")},
		{"old", "opset 12", tiny(t, 12, "y")},
	} {
		_, err := New(c.b)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// tiny is a model of one convolution, x to a tensor of that name; "" leaves the
// node out.
func tiny(t testing.TB, opset int64, output string) []byte {
	t.Helper()
	value := func(name string) []*onnxpb.Value { return []*onnxpb.Value{{Name: proto.String(name)}} }
	g := &onnxpb.Graph{Inputs: value("x"), Outputs: value("y"), Initializers: []*onnxpb.Tensor{{Name: proto.String("w"), Dims: []int64{1, 1, 1, 1},
		DataType: proto.Int32(int32(onnxpb.Tensor_FLOAT)), RawData: onnx.FloatBytes([]float32{2})}}}
	if output != "" {
		g.Nodes = []*onnxpb.Node{onnx.Node("Conv", "c", []string{"x", "w"}, output)}
	}
	b, err := proto.Marshal(&onnxpb.Model{Graph: g, OpsetImport: []*onnxpb.OperatorSet{{Version: proto.Int64(opset)}}})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// graphOf takes the model in b apart.
func graphOf(b []byte) (*onnx.Graph, error) {
	m, err := onnx.Parse(b)
	if err != nil {
		return nil, err
	}
	return m.Graph()
}

// quantizer is of a graph that was changed.
func quantizer(t testing.TB, g *onnx.Graph) *Quantizer {
	t.Helper()
	b, err := g.Model().Bytes()
	if err != nil {
		t.Fatal(err)
	}
	q, err := New(b)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func FuzzQuantizer(f *testing.F) {
	f.Add(tiny(f, 17, "y"))
	f.Add(tiny(f, 17, "x"))
	f.Fuzz(func(t *testing.T, b []byte) {
		q, err := New(b)
		if err != nil {
			return
		}
		ranges := map[string]Range{}
		for _, s := range q.Tensors() {
			ranges[s] = Range{-1, 1}
		}
		m, err := q.Means(ranges, 1)
		if err != nil {
			return
		}
		for _, s := range m.Tensors() {
			_ = m.See(s, make([]float32, 12)) // an error where channels are others
		}
		out, err := q.Quantize(ranges, Options{Means: m})
		if err != nil {
			return
		}
		if _, err := graphOf(out); err != nil && errors.Is(err, model.ErrFormat) {
			t.Errorf("what was written cannot be read: %v", err)
		}
	})
}

// TestQuantizeTakesBounds: a Clip is what 8 bits saturate at where the range ends within it,
// and stays where values between its bound and the range's would be seen.
func TestQuantizeTakesBounds(t *testing.T) {
	g, err := graphOf(tiny(t, 17, "c"))
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range map[string]float32{"0": 0, "2": 2, "6": 6} {
		g.Put(name, onnxpb.Tensor_FLOAT, nil, onnx.FloatBytes([]float32{v}))
	}
	g.Nodes = append(g.Nodes, onnx.Node("Relu", "r", []string{"c"}, "r"), onnx.Node("Min", "m", []string{"r", "6"}, "m"), onnx.Node("Conv", "d", []string{"m", "w"}, "y"))
	q := quantizer(t, g)
	if diff := cmp.Diff([]string{"x", "m", "y"}, q.Tensors()); diff != "" {
		t.Errorf("tensors of 8 bits\n%s", diff)
	}
	for _, c := range []struct {
		r       Range
		signed  bool
		clipped bool
	}{{Range{0, 6}, false, false}, {Range{0, 4}, true, false}, {Range{0, 9}, false, true}, {Range{-1, 6}, false, true}} {
		out, err := q.Quantize(map[string]Range{"x": {-1, 1}, "m": c.r, "y": {-9, 9}}, Options{Signed: c.signed})
		if err != nil {
			t.Fatal(err)
		}
		g, err := graphOf(out)
		if err != nil {
			t.Fatal(err)
		}
		if got := slices.ContainsFunc(g.Nodes, func(n *onnxpb.Node) bool { return n.GetOp() == "Clip" }); got != c.clipped {
			t.Errorf("%v: Clip stays: %v", c.r, got)
		}
	}
}

// TestMeansMoveBiases: what comes out is on average what it is in fp32. Of two channels the
// first is cut from (0, 3) to (0, 1), and the second's weight, 0.3, becomes 19/63.
func TestMeansMoveBiases(t *testing.T) {
	g, err := graphOf(tiny(t, 17, "y"))
	if err != nil {
		t.Fatal(err)
	}
	g.Put("w", onnxpb.Tensor_FLOAT, []int{1, 2, 1, 1}, onnx.FloatBytes([]float32{1, 0.3}))
	q := quantizer(t, g)
	ranges := map[string]Range{"x": {0, 1}, "y": {0, 2}}
	m, err := q.Means(ranges, 2)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // batches of two images of two channels of two places
		if err := m.See("x", []float32{0, 3, 0.5, 0.5, 0, 3, 0.25, 0.75}); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.See("x", make([]float32, 7)); err == nil {
		t.Error("7 values of 2 channels: no error")
	}
	for _, c := range []struct {
		means *Means
		want  []int32
	}{{nil, nil}, {m, []int32{int32(math.RoundToEven((1 - 0.5*(19.0/63-0.3)) * 63 * 255))}}} {
		out, err := q.Quantize(ranges, Options{ReduceRange: true, Means: c.means})
		if err != nil {
			t.Fatal(err)
		}
		g, err := graphOf(out)
		if err != nil {
			t.Fatal(err)
		}
		x, _, err := g.Constant("c.bias.q")
		if err != nil {
			t.Fatal(err)
		}
		var got []int32
		if v, ok := x.Integers(); ok && x.Shape != nil {
			got = []int32{int32(v[0])}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("bias (-want +got)\n%s", diff)
		}
	}
	if _, err := q.Means(map[string]Range{"y": {0, 2}}, 1); err == nil {
		t.Error("a tensor without a range: no error")
	}
}

// TestMeansOfGroups: a channel of a convolution by groups is moved by its own group's means.
func TestMeansOfGroups(t *testing.T) {
	g, err := graphOf(tiny(t, 17, "y"))
	if err != nil {
		t.Fatal(err)
	}
	g.Put("w", onnxpb.Tensor_FLOAT, []int{2, 1, 1, 1}, onnx.FloatBytes([]float32{1, 2}))
	g.Nodes[0].Attributes = append(g.Nodes[0].Attributes, onnx.Int("group", 2))
	q := quantizer(t, g)
	m, err := q.Means(map[string]Range{"x": {0, 1}, "y": {0, 2}}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.See("x", []float32{0, 1, 2, 2}); err != nil { // the second is cut from 2 to 1
		t.Fatal(err)
	}
	got := m.shifts(g.Nodes[0], []float32{1, 2}, []int{2, 1, 1, 1}, []byte{63, 63}, []float32{1.0 / 63, 2.0 / 63})
	if len(got) != 2 || math.Abs(got[0]) > 1e-6 || math.Abs(got[1]+2) > 1e-6 {
		t.Errorf("shifts %v, want 0 and -2", got)
	}
}

// TestQuantizeThroughIdentities: exporters put an Identity before weights that
// operators share; the same tensors are of 8 bits as without.
func TestQuantizeThroughIdentities(t *testing.T) {
	raced.Skip(t, "one goroutine does it all")
	plain := smallONNX(t, "alexnet")
	g, err := graphOf(plain)
	if err != nil {
		t.Fatal(err)
	}
	var nodes []*onnxpb.Node
	for _, n := range g.Nodes {
		for i, s := range n.Inputs {
			if i == 0 || g.Initializer(s) == nil {
				continue
			}
			nodes, n.Inputs[i] = append(nodes, onnx.Node("Identity", s+".id", []string{s}, s+".id")), s+".id"
		}
		nodes = append(nodes, n)
	}
	g.Nodes = nodes
	want, err := New(plain)
	if err != nil {
		t.Fatal(err)
	}
	through, err := g.Model().Bytes()
	if err != nil {
		t.Fatal(err)
	}
	got, err := New(through)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := strings.Join(want.Tensors(), " "), strings.Join(got.Tensors(), " "); a != b || len(want.Tensors()) < 8 {
		t.Errorf("with identities %s, without %s", b, a)
	}
}
