package onnx

import (
	"fmt"
	"slices"

	"github.com/synshard/synshard/internal/onnxpb"
	"github.com/synshard/synshard/model"
)

// Value is an input or output of a model.
type Value struct {
	Name string  // as the graph has it
	Type string  // uint8, float, float16, ...; "" if it is no tensor, or of a type that is not listed
	Dims []int64 // -1: free
}

// Info is what a model says of itself.
type Info struct {
	Inputs, Outputs []Value           // inputs without those that are weights
	Metadata        map[string]string // metadata_props, by key
	Opset           int64             // of the default domain; 0: not said
	Producer        string            // the program that wrote it
}

var typeNames = map[onnxpb.Tensor_DataType]string{
	onnxpb.Tensor_FLOAT: "float", onnxpb.Tensor_UINT8: "uint8", onnxpb.Tensor_INT8: "int8", onnxpb.Tensor_UINT16: "uint16",
	onnxpb.Tensor_INT16: "int16", onnxpb.Tensor_INT32: "int32", onnxpb.Tensor_INT64: "int64", onnxpb.Tensor_BOOL: "bool",
	onnxpb.Tensor_FLOAT16: "float16", onnxpb.Tensor_DOUBLE: "double", onnxpb.Tensor_BFLOAT16: "bfloat16",
}

// Info gives what a model says of itself; a model without a graph that has
// inputs and outputs is model.ErrFormat.
func (m *Model) Info() (*Info, error) {
	info := &Info{Metadata: m.metadata(), Opset: m.opset(), Producer: m.pb.GetProducerName()}
	weights := map[string]bool{}
	for _, t := range m.pb.GetGraph().GetInitializers() {
		weights[t.GetName()] = true
	}
	for _, v := range m.pb.GetGraph().GetInputs() {
		if !weights[v.GetName()] {
			info.Inputs = append(info.Inputs, valueOf(v))
		}
	}
	for _, v := range m.pb.GetGraph().GetOutputs() {
		info.Outputs = append(info.Outputs, valueOf(v))
	}
	if len(info.Inputs) == 0 || len(info.Outputs) == 0 {
		return nil, fmt.Errorf("%w: not an ONNX model: no graph with inputs and outputs", model.ErrFormat)
	}
	return info, nil
}

func valueOf(v *onnxpb.Value) Value {
	t := v.GetType().GetTensor()
	out := Value{Name: v.GetName(), Type: typeNames[onnxpb.Tensor_DataType(t.GetElement())]}
	for _, d := range t.GetShape().GetDims() {
		size := int64(-1)
		if d.Value != nil {
			size = d.GetValue()
		}
		out.Dims = append(out.Dims, size)
	}
	return out
}

// inputNames are the graph's inputs that are no weights.
func (i *Info) inputNames() []string {
	var out []string
	for _, v := range i.Inputs {
		out = append(out, v.Name)
	}
	return slices.Clip(out)
}
