package onnx

import "testing"

func TestFoldBatchNorm(t *testing.T) {
	g := &Graph{Weights: map[string][]byte{}, Outputs: map[string]bool{"y": true}, Inputs: []string{"x"}}
	g.Put("w", Float, []int{2, 1, 1, 1}, FloatBytes([]float32{3, 5}))
	for i, s := range []string{"gamma", "beta", "mean", "var"} {
		g.Put(s, Float, []int{2}, FloatBytes([][]float32{{2, 4}, {1, 7}, {0.5, 1}, {3, 15}}[i]))
	}
	g.Nodes = []*Node{
		{Op: "Conv", Name: "c", In: []string{"x", "w"}, Out: []string{"c"}},
		{Op: "BatchNormalization", Name: "b", In: []string{"c", "gamma", "beta", "mean", "var"}, Out: []string{"y"}, Attrs: [][]byte{AttrFloat("epsilon", 1)}},
	}
	if err := g.FoldBatchNorm(); err != nil {
		t.Fatal(err)
	}
	if len(g.Nodes) != 1 || g.Nodes[0].Out[0] != "y" {
		t.Fatalf("%d nodes", len(g.Nodes))
	}
	w, _, _, _ := g.Weight(g.Nodes[0].In[1])
	b, _, _, _ := g.Weight(g.Nodes[0].In[2])
	// w = 3*2/2, 5*4/4; b = -0.5*2/2+1, -1*4/4+7
	if w[0] != 3 || w[1] != 5 || b[0] != 0.5 || b[1] != 6 {
		t.Errorf("weight %v, bias %v", w, b)
	}
}
