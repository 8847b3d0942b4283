package onnx

import (
	"fmt"
	"os"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/synshard/synshard/model"
)

// elementTypes maps TensorProto.DataType to the element types weights have.
var elementTypes = map[uint64]string{1: "F32", 2: "U8", 3: "I8", 6: "I32", 7: "I64", 10: "F16", 11: "F64", 16: "BF16"}

// maxTensor bounds an initializer, in bytes.
const maxTensor = 1 << 34

// ReadWeights reads the initializers of the ONNX file at path and its
// metadata. Tensors of types no weight has, and tensors kept in other files,
// are errors.
func ReadWeights(path string) ([]model.Tensor, map[string]string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	info, err := ParseInfo(b)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: not an ONNX model: %w", path, err)
	}
	var out []model.Tensor
	err = fields(b, func(f protowire.Number, _ uint64, graph []byte) error {
		if f != 7 {
			return nil
		}
		return fields(graph, func(f protowire.Number, _ uint64, m []byte) error {
			if f != 5 {
				return nil
			}
			t, err := ParseInitializer(m)
			out = append(out, t)
			return err
		})
	})
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return out, info.Metadata, nil
}

// ParseInitializer reads a TensorProto: dims 1, data_type 2, float_data 4,
// name 8, raw_data 9, data_location 14.
func ParseInitializer(b []byte) (model.Tensor, error) {
	var t model.Tensor
	var kind uint64
	var floats []byte
	external := false
	err := fields(b, func(f protowire.Number, v uint64, m []byte) error {
		switch f {
		case 1:
			if m == nil {
				t.Shape = append(t.Shape, int(v))
				return nil
			}
			for len(m) > 0 {
				d, n := protowire.ConsumeVarint(m)
				if n < 0 {
					return fmt.Errorf("%w: %w", model.ErrFormat, protowire.ParseError(n))
				}
				t.Shape, m = append(t.Shape, int(d)), m[n:]
			}
		case 2:
			kind = v
		case 4:
			floats = m
		case 8:
			t.Name = string(m)
		case 9:
			t.Data = slices.Clone(m)
		case 14:
			external = v == 1
		}
		return nil
	})
	if err != nil {
		return t, err
	}
	t.DType = elementTypes[kind]
	if t.DType == "F32" && len(t.Data) == 0 {
		t.Data = slices.Clone(floats)
	}
	size := int64(model.ElementSize(t.DType))
	n := size
	for _, d := range t.Shape {
		if d < 0 || d > 0 && n > maxTensor/int64(d) {
			return t, fmt.Errorf("initializer %q: %w: shape %v", t.Name, model.ErrFormat, t.Shape)
		}
		n *= int64(d)
	}
	switch {
	case external:
		return t, fmt.Errorf("initializer %q lies in another file; save the model with its weights inside", t.Name)
	case size == 0:
		return t, fmt.Errorf("initializer %q: type %d is none of weights", t.Name, kind)
	case int64(len(t.Data)) != n:
		return t, fmt.Errorf("initializer %q: %w: %s%v in %d bytes", t.Name, model.ErrFormat, t.DType, t.Shape, len(t.Data))
	}
	return t, nil
}
