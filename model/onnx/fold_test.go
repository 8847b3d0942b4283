package onnx

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/internal/onnxpb"
)

// small is a graph x -> w*x, of a convolution and the nodes given after it.
func small(w []float32, after ...*onnxpb.Node) *Graph {
	m := &Model{pb: &onnxpb.Model{Graph: &onnxpb.Graph{
		Nodes:        append([]*onnxpb.Node{Node("Conv", "c", []string{"x", "w"}, "c")}, after...),
		Inputs:       []*onnxpb.Value{value("x", onnxpb.Tensor_FLOAT, "N", len(w), 1, 1)},
		Outputs:      []*onnxpb.Value{value("y", onnxpb.Tensor_FLOAT, "N", len(w), 1, 1)},
		Initializers: []*onnxpb.Tensor{tensor("w", onnxpb.Tensor_FLOAT, []int{len(w), 1, 1, 1}, FloatBytes(w))},
	}}}
	g, err := m.Graph()
	if err != nil {
		panic(err)
	}
	return g
}

func TestFoldBatchNorm(t *testing.T) {
	g := small([]float32{3, 5}, Node("BatchNormalization", "b", []string{"c", "gamma", "beta", "mean", "var"}, "y", float("epsilon", 1)))
	for i, s := range []string{"gamma", "beta", "mean", "var"} {
		g.Put(s, onnxpb.Tensor_FLOAT, []int{2}, FloatBytes([][]float32{{2, 4}, {1, 7}, {0.5, 1}, {3, 15}}[i]))
	}
	if err := g.FoldBatchNorm(); err != nil {
		t.Fatal(err)
	}
	if len(g.Nodes) != 1 {
		t.Fatalf("%d nodes", len(g.Nodes))
	}
	if diff := cmp.Diff([]string{"y"}, g.Nodes[0].GetOutputs()); diff != "" {
		t.Error(diff)
	}
	// w = 3*2/2, 5*4/4; b = -0.5*2/2+1, -1*4/4+7
	for i, want := range [][]float32{{3, 5}, {0.5, 6}} {
		got, _, _, err := g.Floats(g.Nodes[0].GetInputs()[1+i])
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("constant %d: %v\n%s", i, err, diff)
		}
	}
}

// TestFoldLeaves: a batch norm stays where folding would change what something
// else takes.
func TestFoldLeaves(t *testing.T) {
	bn := func(in string) *onnxpb.Node {
		return Node("BatchNormalization", "b", []string{in, "k", "k", "k", "k"}, "y")
	}
	for name, g := range map[string]*Graph{
		"the convolution has another user": small([]float32{3, 5}, bn("c"), Node("Relu", "r", []string{"c"}, "r")),
		"the weight has another user":      small([]float32{3, 5}, bn("c"), Node("Relu", "r", []string{"w"}, "r")),
		"no convolution":                   small([]float32{3, 5}, Node("Relu", "r", []string{"c"}, "r"), bn("r")),
	} {
		g.Put("k", onnxpb.Tensor_FLOAT, []int{2}, FloatBytes([]float32{1, 1}))
		before := len(g.Nodes)
		if err := g.FoldBatchNorm(); err != nil || len(g.Nodes) != before {
			t.Errorf("%s: %d nodes, %v", name, len(g.Nodes), err)
		}
	}
	g := small([]float32{3, 5}, bn("c"))
	g.Put("k", onnxpb.Tensor_FLOAT, []int{3}, FloatBytes([]float32{1, 1, 1}))
	if err := g.FoldBatchNorm(); err == nil {
		t.Error("three constants for two channels are folded")
	}
}

func TestDropIdentities(t *testing.T) {
	g := small([]float32{3}, Node("Identity", "i", []string{"c"}, "i"), Node("Identity", "j", []string{"i"}, "j"), Node("Relu", "r", []string{"j"}, "r"), Node("Identity", "o", []string{"r"}, "y"))
	g.DropIdentities()
	var got []string
	for _, n := range g.Nodes {
		got = append(got, n.GetName()+" of "+FirstInput(n))
	}
	if diff := cmp.Diff([]string{"c of x", "r of c", "o of r"}, got); diff != "" {
		t.Error(diff)
	}
}
