package onnx

import (
	"encoding/binary"
	"math"

	"google.golang.org/protobuf/proto"

	"github.com/synshard/synshard/internal/onnxpb"
)

// Node makes a node of the default domain with one output.
func Node(op, name string, inputs []string, output string, attributes ...*onnxpb.Attribute) *onnxpb.Node {
	return &onnxpb.Node{Op: proto.String(op), Name: proto.String(name), Inputs: inputs, Outputs: []string{output}, Attributes: attributes}
}

// Int is an attribute of one integer.
func Int(name string, v int64) *onnxpb.Attribute {
	return &onnxpb.Attribute{Name: proto.String(name), I: proto.Int64(v), Kind: onnxpb.Attribute_INT.Enum()}
}

// Ints is an attribute of several integers.
func Ints(name string, vs ...int64) *onnxpb.Attribute {
	return &onnxpb.Attribute{Name: proto.String(name), Ints: vs, Kind: onnxpb.Attribute_INTS.Enum()}
}

// float is an attribute of one float32.
func float(name string, v float64) *onnxpb.Attribute {
	return &onnxpb.Attribute{Name: proto.String(name), F: proto.Float32(float32(v)), Kind: onnxpb.Attribute_FLOAT.Enum()}
}

// Attribute gives a node's attribute of that name, or nil.
func Attribute(n *onnxpb.Node, name string) *onnxpb.Attribute {
	for _, a := range n.GetAttributes() {
		if a.GetName() == name {
			return a
		}
	}
	return nil
}

// Number gives a node's attribute of that name, an integer or a float, or
// missing where it has none.
func Number(n *onnxpb.Node, name string, missing float64) float64 {
	for _, a := range n.GetAttributes() {
		switch {
		case a.GetName() != name:
		case a.F != nil:
			return float64(a.GetF())
		case a.I != nil:
			return float64(a.GetI())
		}
	}
	return missing
}

// tensor makes an initializer of raw data, little-endian.
func tensor(name string, kind onnxpb.Tensor_DataType, dims []int, raw []byte) *onnxpb.Tensor {
	t := &onnxpb.Tensor{Name: proto.String(name), DataType: proto.Int32(int32(kind)), RawData: raw}
	for _, d := range dims {
		t.Dims = append(t.Dims, int64(d))
	}
	return t
}

// FloatBytes are the raw data of a float32 tensor.
func FloatBytes(values []float32) []byte {
	b := make([]byte, 0, 4*len(values))
	for _, v := range values {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
}

// value declares an input or output whose first dimension is free.
func value(name string, kind onnxpb.Tensor_DataType, free string, dims ...int) *onnxpb.Value {
	shape := &onnxpb.Shape{Dims: []*onnxpb.Shape_Dimension{{Param: proto.String(free)}}}
	for _, d := range dims {
		shape.Dims = append(shape.Dims, &onnxpb.Shape_Dimension{Value: proto.Int64(int64(d))})
	}
	return &onnxpb.Value{Name: proto.String(name), Type: &onnxpb.Type{Tensor: &onnxpb.Type_TensorType{Element: proto.Int32(int32(kind)), Shape: shape}}}
}
