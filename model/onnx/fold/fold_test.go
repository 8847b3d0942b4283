package fold

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	ort "github.com/yalue/onnxruntime_go"
	"google.golang.org/protobuf/proto"

	"github.com/synshard/synshard/internal/native/nativetest"
	"github.com/synshard/synshard/internal/onnxpb"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/onnx"
)

// node is an operator, its inputs separated by spaces, and the one output.
func node(op, inputs, output string, attributes ...*onnxpb.Attribute) *onnxpb.Node {
	return onnx.Node(op, output, strings.Split(inputs, " "), output, attributes...)
}

// text is an attribute of a string.
func text(name, value string) *onnxpb.Attribute {
	return &onnxpb.Attribute{Name: &name, S: []byte(value), Kind: onnxpb.Attribute_STRING.Enum()}
}

// holder is a Constant of integers.
func holder(output string, values ...int64) *onnxpb.Node {
	return onnx.Node("Constant", output, nil, output, onnx.Ints("value_ints", values...))
}

// graph is a model from x [2, 3, 5, 5] to y with the constants that the patterns of
// these tests name.
func graph(t testing.TB, nodes ...*onnxpb.Node) *onnx.Graph {
	t.Helper()
	kind := proto.Int32(int32(onnxpb.Tensor_FLOAT))
	value := func(name string, dims ...int64) []*onnxpb.Value {
		shape := &onnxpb.Shape{}
		for _, d := range dims {
			shape.Dims = append(shape.Dims, &onnxpb.Shape_Dimension{Value: proto.Int64(d)})
		}
		if dims == nil {
			shape = nil
		}
		return []*onnxpb.Value{{Name: proto.String(name), Type: &onnxpb.Type{Tensor: &onnxpb.Type_TensorType{Element: kind, Shape: shape}}}}
	}
	g := &onnxpb.Graph{Name: proto.String("g"), Inputs: value("x", 2, 3, 5, 5), Outputs: value("y"), Nodes: nodes}
	b, err := proto.Marshal(&onnxpb.Model{IrVersion: proto.Int64(8), Graph: g, OpsetImport: []*onnxpb.OperatorSet{{Version: proto.Int64(17)}}})
	if err != nil {
		t.Fatal(err)
	}
	m, err := onnx.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	out, err := m.Graph()
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	put := func(name string, shape ...int) {
		values := make([]float32, model.Elements(shape))
		for i := range values {
			values[i] = rng.Float32() + 0.25 // for variances and divisors too
		}
		out.Put(name, onnxpb.Tensor_FLOAT, shape, onnx.FloatBytes(values))
	}
	put("w", 4, 3, 3, 3)
	put("v", 2, 4, 1, 1)
	put("b", 4)
	put("gamma", 4)
	put("beta", 4)
	put("mean", 4)
	put("variance", 4)
	put("channels", 4, 1, 1)
	put("row", 3)
	for name, v := range map[string]float32{"0": 0, "1": 1, "2": 2, "6": 6, "half": 0.5, "minus": -1} {
		out.Put(name, onnxpb.Tensor_FLOAT, nil, onnx.FloatBytes([]float32{v}))
	}
	for name, v := range map[string][]int64{"around": {0, 0, 1, 2, 0, 0, 0, 1}, "deep": {0, 1, 0, 0, 0, 0, 0, 0}, "cut": {0, 0, -1, 0, 0, 0, 0, 0}, "first": {0}, "last": {-1},
		"end": {math.MaxInt64}, "pairs": {-1, 2}, "eight": {8}, "uno": {1}, "back": {-1}, "far": {math.MinInt64}, "four": {1, 2, 3, 4}} {
		out.PutConstant(named(name, integers([]int{len(v)}, v)))
	}
	return out
}

// rewriting is a graph and the operators that are left of it.
type rewriting struct {
	nodes []*onnxpb.Node
	want  string
}

// folds are what Graph does.
var folds = map[string]rewriting{
	"batch norm": {[]*onnxpb.Node{node("Conv", "x w b", "c"), node("BatchNormalization", "c gamma beta mean variance", "y")}, "Conv"},
	"sums and products": {[]*onnxpb.Node{node("Conv", "x w", "c"), node("Mul", "c channels", "m"), node("Add", "half m", "a"), node("Sub", "channels a", "s"),
		node("Sub", "s 2", "t"), node("Div", "t channels", "y")}, "Conv"},
	"a row is no channel":      {[]*onnxpb.Node{node("Conv", "x w", "c"), node("Mul", "c row", "y")}, "Conv Mul"},
	"two users":                {[]*onnxpb.Node{node("Conv", "x w", "c"), node("Mul", "c 2", "m"), node("Add", "c m", "y")}, "Conv Mul Add"},
	"a shared weight":          {[]*onnxpb.Node{node("Conv", "x w", "c"), node("Mul", "c 2", "m"), node("Conv", "x w", "d"), node("Add", "d m", "y")}, "Conv Mul Conv Add"},
	"identities":               {[]*onnxpb.Node{node("Identity", "w", "w2"), node("Conv", "x w2", "c"), node("Dropout", "c", "d"), node("Mul", "d 2", "m"), node("Identity", "m", "y")}, "Conv Identity"},
	"ReLU6":                    {[]*onnxpb.Node{node("Conv", "x w", "c"), node("Relu", "c", "r"), node("Min", "r 6", "y")}, "Conv Clip"},
	"a constant first":         {[]*onnxpb.Node{node("Max", "0 x", "m"), node("Min", "6 m", "y")}, "Clip"},
	"Max alone":                {[]*onnxpb.Node{node("Max", "x 0", "y")}, "Relu"},
	"bounds without a meeting": {[]*onnxpb.Node{node("Clip", "x 1 2", "c"), node("Clip", "c minus half", "y")}, "Clip"},
	"bounds the other way":     {[]*onnxpb.Node{node("Clip", "x minus half", "c"), node("Clip", "c 1 2", "y")}, "Clip"},
	"a bound that is seen":     {[]*onnxpb.Node{node("Relu", "x", "r"), node("Clip", "r 0 6", "c"), node("Add", "r c", "y")}, "Relu Clip Add"},
	"Pad":                      {[]*onnxpb.Node{node("Pad", "x around", "p"), node("Conv", "p w b", "y", onnx.Ints("pads", 1, 0, 1, 0), onnx.Ints("strides", 2, 1))}, "Conv"},
	"Pad for two":              {[]*onnxpb.Node{node("Pad", "x around 0", "p"), node("Conv", "p w", "c"), node("Conv", "p w", "d"), node("Add", "c d", "y")}, "Conv Conv Add"},
	"Pad for a pool": {[]*onnxpb.Node{node("Pad", "x around", "p"), node("Conv", "p w", "c", onnx.Ints("strides", 3, 4)), node("MaxPool", "p", "m", onnx.Ints("kernel_shape", 6, 8)),
		node("ReduceSum", "m", "s", onnx.Int("keepdims", 0)), node("Add", "c s", "y")}, "Pad Conv MaxPool ReduceSum Add"},
	"Pad of ones":     {[]*onnxpb.Node{node("Pad", "x around 1", "p"), node("Conv", "p w", "y")}, "Pad Conv"},
	"Pad of edges":    {[]*onnxpb.Node{node("Pad", "x around", "p", text("mode", "edge")), node("Conv", "p w", "y")}, "Pad Conv"},
	"Pad that cuts":   {[]*onnxpb.Node{node("Pad", "x cut", "p"), node("Conv", "p w", "y")}, "Pad Conv"},
	"SAME":            {[]*onnxpb.Node{node("Pad", "x around", "p"), node("Conv", "p w", "y", text("auto_pad", "SAME_UPPER"))}, "Pad Conv"},
	"Pad of channels": {[]*onnxpb.Node{node("Pad", "x deep", "p"), node("Conv", "p v", "z"), node("Slice", "z first last last", "y")}, "Pad Conv Slice"},
	"PyTorch's Pad": {[]*onnxpb.Node{ // torch.onnx's amounts: from behind, turned and reversed by constants
		holder("given", 1, 2, 0, 1), holder("rest", 4), node("ConstantOfShape", "rest", "none", &onnxpb.Attribute{Name: proto.String("value"), Kind: onnxpb.Attribute_TENSOR.Enum(),
			Tensor: &onnxpb.Tensor{Dims: []int64{1}, DataType: proto.Int32(int32(onnxpb.Tensor_INT64)), RawData: make([]byte, 8)}}),
		node("Concat", "given none", "eights", onnx.Int("axis", 0)), node("Reshape", "eights pairs", "table"), node("Slice", "table last far first back", "turned"),
		node("Transpose", "turned", "columns", onnx.Ints("perm", 1, 0)), node("Reshape", "columns back", "flat"), node("Cast", "flat", "amounts", onnx.Int("to", 7)),
		node("Pad", "x amounts", "p"), node("Conv", "p w b", "c"), node("Clip", "c 0 6", "y"),
	}, "Conv Clip"},
	"arithmetic": {[]*onnxpb.Node{node("Shape", "w", "s"), node("Gather", "s first", "n", onnx.Int("axis", 0)), node("Gather", "four first", "one"), node("Mul", "n one", "p"), node("Sub", "p one", "q"), node("Add", "q q", "r"),
		node("Div", "r one", "d"), node("Squeeze", "d first", "e"), node("Unsqueeze", "e first", "f"), node("ConstantOfShape", "f", "z"), node("Add", "z half", "k"), node("Slice", "k first uno first", "u"),
		node("Squeeze", "u first", "h"), node("Conv", "x w", "c"), node("Mul", "c h", "y")}, "Conv"},
	"an operator unknown":     {[]*onnxpb.Node{node("Neg", "half", "h"), node("Conv", "x w", "c"), node("Mul", "c h", "y")}, "Neg Conv Mul"},
	"what does not fit":       {[]*onnxpb.Node{node("Conv", "x w", "c"), node("Relu", "c", "y")}, "Conv Relu"},
	"a constant as an output": {[]*onnxpb.Node{node("Add", "row row", "y")}, "Add"},
}

// TestGraph holds what is left to the operators that are expected, and its output to that
// of the graph as it was, in ONNX Runtime.
func TestGraph(t *testing.T) {
	for name, c := range folds {
		t.Run(name, func(t *testing.T) {
			g := graph(t, copies(c.nodes)...)
			before := bytesOf(t, g)
			if err := Graph(g); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, ops(g)); diff != "" {
				t.Errorf("what is left (-want +got)\n%s", diff)
			}
			same(t, before, bytesOf(t, g))
		})
	}
}

// depthwises are what Depthwise does.
var depthwises = map[string]rewriting{
	"pool": {[]*onnxpb.Node{node("Conv", "x w b", "c"), node("AveragePool", "c", "y", onnx.Ints("kernel_shape", 3, 2), onnx.Ints("strides", 2, 1))}, "Conv Conv"},
	"pool with padding": {[]*onnxpb.Node{node("Conv", "x w b", "c"), node("Relu", "c", "r"),
		node("AveragePool", "r", "y", onnx.Ints("kernel_shape", 3, 3), onnx.Ints("pads", 1, 0, 1, 1), onnx.Int("count_include_pad", 1))}, "Conv Relu Conv"},
	"pool without its padding": {[]*onnxpb.Node{node("Conv", "x w b", "c"), node("AveragePool", "c", "y", onnx.Ints("kernel_shape", 3, 3), onnx.Ints("pads", 1, 1, 1, 1))}, "Conv AveragePool"},
	"pool that rounds up":      {[]*onnxpb.Node{node("Conv", "x w b", "c"), node("AveragePool", "c", "y", onnx.Ints("kernel_shape", 2, 2), onnx.Ints("strides", 2, 2), onnx.Int("ceil_mode", 1))}, "Conv AveragePool"},
	"pool that pads itself":    {[]*onnxpb.Node{node("Conv", "x w b", "c"), node("AveragePool", "c", "y", onnx.Ints("kernel_shape", 2, 2), text("auto_pad", "SAME_UPPER"))}, "Conv AveragePool"},
	"pool of the input":        {[]*onnxpb.Node{node("AveragePool", "x", "y", onnx.Ints("kernel_shape", 2, 2))}, "AveragePool"},
	"pool of branches": {[]*onnxpb.Node{node("Conv", "x w", "c"), node("Sigmoid", "c", "s"), node("Concat", "c s", "d", onnx.Int("axis", 1)),
		node("AveragePool", "d", "y", onnx.Ints("kernel_shape", 2, 2))}, "Conv Sigmoid Concat Conv"},
	"HardSwish":        {[]*onnxpb.Node{node("Conv", "x w b", "c"), node("HardSwish", "c", "y")}, "Conv Conv Clip Mul"},
	"HardSigmoid":      {[]*onnxpb.Node{node("Conv", "x w b", "c"), node("HardSigmoid", "c", "y")}, "Conv Conv Clip"},
	"HardSigmoid said": {[]*onnxpb.Node{node("Conv", "x w b", "c"), node("HardSigmoid", "c", "y", decimal("alpha", 1.0/6), decimal("beta", 0.25))}, "Conv Conv Clip"},
	"a gate": {[]*onnxpb.Node{node("Conv", "x w b", "c"), node("ReduceMean", "c", "m", onnx.Ints("axes", -1, 2)), node("HardSigmoid", "m", "g"), node("Mul", "c g", "p"),
		node("AveragePool", "p", "y", onnx.Ints("kernel_shape", 2, 2))}, "Conv GlobalAveragePool Conv Clip Mul Conv"},
	"a mean without its plane":  {[]*onnxpb.Node{node("Conv", "x w b", "c"), node("ReduceMean", "c", "y", onnx.Ints("axes", 2, 3), onnx.Int("keepdims", 0))}, "Conv ReduceMean"},
	"a mean over channels, too": {[]*onnxpb.Node{node("Conv", "x w b", "c"), node("ReduceMean", "c", "y", onnx.Ints("axes", 1, 2, 3))}, "Conv ReduceMean"},
}

// decimal is an attribute of one float.
func decimal(name string, v float32) *onnxpb.Attribute {
	return &onnxpb.Attribute{Name: &name, F: &v, Kind: onnxpb.Attribute_FLOAT.Enum()}
}

// TestDepthwise holds what is left to the operators that are expected, and its output to that
// of the graph as it was, in ONNX Runtime.
func TestDepthwise(t *testing.T) {
	for name, c := range depthwises {
		t.Run(name, func(t *testing.T) {
			g := graph(t, copies(c.nodes)...)
			before := bytesOf(t, g)
			Depthwise(g)
			if diff := cmp.Diff(c.want, ops(g)); diff != "" {
				t.Errorf("what is left (-want +got)\n%s", diff)
			}
			same(t, before, bytesOf(t, g))
		})
	}
}

// TestDepthwiseMeanByInput: from opset 18 on a mean's axes are an input.
func TestDepthwiseMeanByInput(t *testing.T) {
	g := graph(t, node("Conv", "x w b", "c"), node("ReduceMean", "c axes", "y"))
	g.PutConstant(named("axes", integers([]int{2}, []int64{3, -2})))
	Depthwise(g)
	if got := ops(g); got != "Conv GlobalAveragePool" {
		t.Errorf("%s is left", got)
	}
}

// ops are a graph's operators.
func ops(g *onnx.Graph) string {
	var all []string
	for _, n := range g.Nodes {
		all = append(all, n.GetOp())
	}
	return strings.Join(all, " ")
}

// TestPassesAlone: a pass on its own, too, leaves what a graph computes.
func TestPassesAlone(t *testing.T) {
	for name, c := range folds {
		for _, p := range Passes {
			t.Run(name+"/"+p.Name, func(t *testing.T) {
				g := graph(t, copies(c.nodes)...)
				before := bytesOf(t, g)
				if err := p.Run(g); err != nil {
					t.Fatal(err)
				}
				same(t, before, bytesOf(t, g))
			})
		}
	}
}

// copies are for a graph that rewrites its nodes.
func copies(nodes []*onnxpb.Node) (out []*onnxpb.Node) {
	for _, n := range nodes {
		out = append(out, proto.CloneOf(n))
	}
	return out
}

func bytesOf(t *testing.T, g *onnx.Graph) []byte {
	t.Helper()
	b, err := g.Model().Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// same holds two models' outputs on drawn images equal, but for rounding.
func same(t *testing.T, a, b []byte) {
	t.Helper()
	p, q := compute32(t, a), compute32(t, b)
	if len(p) != len(q) || len(p) == 0 {
		t.Fatalf("%d numbers, and %d folded", len(p), len(q))
	}
	for i := range p {
		if d := math.Abs(float64(p[i] - q[i])); !(d <= 1e-4*(1+math.Abs(float64(p[i])))) {
			t.Fatalf("number %d is %v, and %v folded", i, p[i], q[i])
		}
	}
}

// compute32 runs a model from x to y.
func compute32(t *testing.T, b []byte) []float32 {
	t.Helper()
	lib := nativetest.ORT(t)
	if !ort.IsInitialized() {
		ort.SetSharedLibraryPath(lib)
		if err := ort.InitializeEnvironment(); err != nil {
			t.Fatal(err)
		}
	}
	rng := rand.New(rand.NewPCG(3, 4))
	values := make([]float32, 2*3*5*5)
	for i := range values {
		values[i] = 4 * float32(rng.NormFloat64())
	}
	x, err := ort.NewTensor(ort.NewShape(2, 3, 5, 5), values)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Destroy()
	s, err := ort.NewDynamicAdvancedSessionWithONNXData(b, []string{"x"}, []string{"y"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Destroy()
	out := []ort.Value{nil}
	if err := s.Run([]ort.Value{x}, out); err != nil {
		t.Fatal(err)
	}
	defer out[0].Destroy()
	return slices.Clone(out[0].(*ort.Tensor[float32]).GetData())
}

// TestGraphRefuses: constants that are not what the graph says are an error.
func TestGraphRefuses(t *testing.T) {
	g := graph(t, node("Conv", "x w", "c"), node("BatchNormalization", "c gamma beta mean row", "y"))
	if err := Graph(g); err == nil || !strings.Contains(err.Error(), "3 values for 4 channels") {
		t.Errorf("three variances for four channels: %v", err)
	}
	g = graph(t, node("Relu", "short", "r"), node("Add", "x r", "y"))
	g.Put("short", onnxpb.Tensor_FLOAT, []int{3}, make([]byte, 8))
	g.Nodes = append(g.Nodes, node("Neg", "short", "z"))
	if err := Graph(g); err == nil || !strings.Contains(err.Error(), "in 8 bytes") {
		t.Errorf("three numbers in 8 bytes: %v", err)
	}
}

// FuzzGraph: whatever the graph, passes end, and what they leave can be written and read.
func FuzzGraph(f *testing.F) {
	for _, cases := range []map[string]rewriting{folds, depthwises} {
		for _, c := range cases {
			b, err := graph(f, copies(c.nodes)...).Model().Bytes()
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := onnx.Parse(b)
		if err != nil {
			return
		}
		g, err := m.Graph()
		if err != nil || Graph(g) != nil {
			return
		}
		Depthwise(g)
		if b, err = g.Model().Bytes(); err != nil {
			t.Fatal(err)
		}
		if m, err = onnx.Parse(b); err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		if _, err := m.Graph(); err != nil && len(g.Nodes) > 0 {
			t.Fatalf("what was written is no graph: %v", err)
		}
	})
}
