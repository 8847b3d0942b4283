package onnx

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/synshard/synshard/internal/onnxpb"
	"github.com/synshard/synshard/model"
)

// Two weights that differ by having been folded and unfolded lie within roundings of each other, as a share
// of the larger, or within smallest.
const (
	roundings = 1e-6
	smallest  = 1e-30
)

// Same is an error where m does not compute what other does: the same nodes on the same
// weights, each to within a few roundings.
func (m *Model) Same(other *Model) error {
	if m.saysMore() || other.saysMore() {
		return errors.New("it has functions, sparse constants or what is not known here")
	}
	if !proto.Equal(m.nodes(), other.nodes()) {
		return errors.New("its nodes are others")
	}
	mine, err := m.Weights()
	if err != nil {
		return err
	}
	others, err := other.Weights()
	if err != nil {
		return err
	}
	have, want := model.ByName(mine), model.ByName(others)
	if len(mine) != len(others) || len(have) != len(mine) {
		return fmt.Errorf("it has %d constants of %d names, and not %d", len(mine), len(have), len(others))
	}
	for _, t := range mine {
		if !alike(t, want[t.Name]) {
			return fmt.Errorf("its constant %q is another", t.Name)
		}
	}
	return nil
}

// saysMore says whether a model has what may change what its nodes and constants compute.
func (m *Model) saysMore() bool {
	g := m.pb.GetGraph()
	return len(m.pb.GetFunctions())+len(g.GetSparseInitializers())+len(m.pb.ProtoReflect().GetUnknown())+len(g.ProtoReflect().GetUnknown()) > 0
}

// nodes is the model without its constants, names and metadata.
func (m *Model) nodes() *onnxpb.Model {
	g := m.pb.GetGraph()
	return &onnxpb.Model{OpsetImport: m.pb.GetOpsetImport(), Graph: &onnxpb.Graph{Nodes: g.GetNodes(), Inputs: g.GetInputs(), Outputs: g.GetOutputs()}}
}

// alike says whether two tensors have the same shape and, but for roundings, the same values.
func alike(a, b model.Tensor) bool {
	if a.DType != b.DType || !slices.Equal(a.Shape, b.Shape) {
		return false
	}
	x, errX := a.Floats()
	y, errY := b.Floats()
	if errX != nil || errY != nil {
		return slices.Equal(a.Data, b.Data)
	}
	for i := range x {
		p, q := float64(x[i]), float64(y[i])
		if !(math.Abs(p-q) <= roundings*max(math.Abs(p), math.Abs(q))+smallest) {
			return false
		}
	}
	return true
}
