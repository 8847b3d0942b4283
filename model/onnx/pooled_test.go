package onnx

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/internal/onnxpb"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/modeltest"
)

// TestPooled reads the ends of classifiers as several exporters write them: two classes over
// three maps.
func TestPooled(t *testing.T) {
	byClass, byMap := []float32{1, 2, 3, 4, 5, 6}, []float32{1, 4, 2, 5, 3, 6}
	axes := tensor("axes", onnxpb.Tensor_INT64, []int{2}, binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, 1<<64-1), 1<<64-2))
	weights := func(v []float32, dims ...int) *onnxpb.Tensor {
		return tensor("w", onnxpb.Tensor_FLOAT, dims, FloatBytes(v))
	}
	pool := Node("GlobalAveragePool", "p", []string{"x"}, "p")
	for _, c := range []struct {
		name         string
		initializers []*onnxpb.Tensor
		nodes        []*onnxpb.Node
		refused      string
	}{
		{"gemm", []*onnxpb.Tensor{weights(byClass, 2, 3)}, []*onnxpb.Node{pool, Node("Flatten", "f", []string{"p"}, "f"),
			Node("Gemm", "g", []string{"f", "w", "b"}, "g", Int("transB", 1)), Node("Softmax", "s", []string{"g"}, "y")}, ""},
		{"gemm by map", []*onnxpb.Tensor{weights(byMap, 3, 2)}, []*onnxpb.Node{pool, Node("Squeeze", "f", []string{"p"}, "f"), Node("Dropout", "d", []string{"f"}, "d"),
			Node("Gemm", "g", []string{"d", "w"}, "y")}, ""},
		{"matmul, bias first", []*onnxpb.Tensor{weights(byMap, 3, 2)}, []*onnxpb.Node{Node("ReduceMean", "r", []string{"x"}, "r", Ints("axes", 3, 2)),
			Node("MatMul", "m", []string{"r", "w"}, "m"), Node("Add", "a", []string{"b", "m"}, "y")}, ""},
		{"axes as an input", []*onnxpb.Tensor{axes, weights(byClass, 2, 3)}, []*onnxpb.Node{Node("ReduceMean", "r", []string{"x", "axes"}, "r", Int("keepdims", 0)),
			Node("Gemm", "g", []string{"r", "w"}, "y", Int("transB", 1))}, ""},
		{"mean over channels", []*onnxpb.Tensor{weights(byClass, 2, 3)}, []*onnxpb.Node{Node("ReduceMean", "r", []string{"x"}, "r", Ints("axes", 1, 2)),
			Node("Gemm", "g", []string{"r", "w"}, "y", Int("transB", 1))}, "not over the mean of feature maps"},
		{"scaled", []*onnxpb.Tensor{weights(byClass, 2, 3)}, []*onnxpb.Node{pool, Node("Gemm", "g", []string{"p", "w"}, "y", float("alpha", 2), Int("transB", 1))}, "made by Gemm"},
		{"two layers", []*onnxpb.Tensor{weights(byClass, 2, 3)}, []*onnxpb.Node{pool, Node("Relu", "h", []string{"p"}, "h"), Node("Gemm", "g", []string{"h", "w"}, "y", Int("transB", 1))}, "what Relu makes"},
		{"weights made", nil, []*onnxpb.Node{pool, Node("Gemm", "g", []string{"p", "w"}, "y")}, "w is computed"},
		{"no maker", nil, []*onnxpb.Node{pool}, "made by no node"},
		{"itself", nil, []*onnxpb.Node{Node("Identity", "i", []string{"y"}, "y")}, "made by Identity"},
	} {
		m := &Model{pb: &onnxpb.Model{Graph: &onnxpb.Graph{Nodes: c.nodes, Initializers: c.initializers}}}
		got, err := m.Pooled("y")
		if c.refused != "" {
			if err == nil || !strings.Contains(err.Error(), c.refused) {
				t.Errorf("%s: %v, want %q", c.name, err, c.refused)
			}
			continue
		}
		if diff := cmp.Diff(&Pooled{Maps: "x", Channels: 3, Weights: byClass}, got); diff != "" || err != nil {
			t.Errorf("%s: %v\n%s", c.name, err, diff)
		}
	}
}

// TestPooledOfOurs: which of the networks that are written here end so.
func TestPooledOfOurs(t *testing.T) {
	got := map[string]bool{}
	for _, name := range model.Names() {
		n := modeltest.Network(t, name, model.Options{Classes: 4, Width: 0.125})
		spec := model.Spec{Model: name, InputSize: n.Input, Resize: n.Input, Interpolation: "bilinear", Std: [3]float64{1, 1, 1}, Classes: []string{"a", "b", "c", "d"}}
		var b bytes.Buffer
		if err := Write(&b, n, modeltest.Fill(n), spec); err != nil {
			t.Fatal(err)
		}
		m, err := Parse(b.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		p, err := m.Pooled("probabilities")
		if got[name] = err == nil; err == nil && p.Classes() != 4 {
			t.Errorf("%s: %d classes", name, p.Classes())
		}
	}
	want := map[string]bool{}
	for _, name := range model.Names() {
		want[name] = name != "alexnet" && !strings.HasPrefix(name, "vgg16")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("pooled (-want +got):\n%s", diff)
	}
}
