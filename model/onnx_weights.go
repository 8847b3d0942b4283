package model

import (
	"fmt"
	"math"
	"os"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// onnxDTypes maps TensorProto.DataType to the element types weights have.
var onnxDTypes = map[uint64]string{1: "F32", 2: "U8", 3: "I8", 6: "I32", 7: "I64", 10: "F16", 11: "F64", 16: "BF16"}

// ReadONNXWeights reads the initializers of the ONNX file at path and its
// metadata. Tensors of types no weight has, and tensors kept in other files,
// are errors.
func ReadONNXWeights(path string) ([]Tensor, map[string]string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	info, err := ParseONNXInfo(b)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: not an ONNX model: %w", path, err)
	}
	var out []Tensor
	err = fields(b, func(f protowire.Number, _ uint64, graph []byte) error {
		if f != 7 {
			return nil
		}
		return fields(graph, func(f protowire.Number, _ uint64, m []byte) error {
			if f != 5 {
				return nil
			}
			t, err := parseInitializer(m)
			out = append(out, t)
			return err
		})
	})
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return out, info.Metadata, nil
}

// parseInitializer reads a TensorProto: dims 1, data_type 2, float_data 4,
// name 8, raw_data 9, data_location 14.
func parseInitializer(b []byte) (Tensor, error) {
	var t Tensor
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
					return fmt.Errorf("%w: %w", ErrFormat, protowire.ParseError(n))
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
	t.DType = onnxDTypes[kind]
	if t.DType == "F32" && len(t.Data) == 0 {
		t.Data = slices.Clone(floats)
	}
	size := int64(dtypeSize[t.DType])
	n := size
	for _, d := range t.Shape {
		if d < 0 || d > 0 && n > maxWeights/int64(d) {
			return t, fmt.Errorf("initializer %q: %w: shape %v", t.Name, ErrFormat, t.Shape)
		}
		n *= int64(d)
	}
	switch {
	case external:
		return t, fmt.Errorf("initializer %q lies in another file; save the model with its weights inside", t.Name)
	case size == 0:
		return t, fmt.Errorf("initializer %q: type %d is none of weights", t.Name, kind)
	case int64(len(t.Data)) != n:
		return t, fmt.Errorf("initializer %q: %w: %s%v in %d bytes", t.Name, ErrFormat, t.DType, t.Shape, len(t.Data))
	}
	return t, nil
}

// Unfold gives a network's tensors where a convolution has taken up the batch
// norm behind it, as in files for prediction: the convolution keeps the folded
// weight, and the batch norm becomes the shift alone (mean 0, variance 1,
// scale sqrt(1+eps)), or nothing where the convolution has a bias of its own.
// The network then predicts as the file does. Tensors of an unfolded network
// come back as they are.
func (n *Network) Unfold(tensors []Tensor) []Tensor {
	have := ByName(tensors)
	out := slices.Clone(tensors)
	for _, node := range n.Nodes {
		if node.Op != BatchNorm || n.Nodes[node.Inputs[0]].Op != Conv {
			continue
		}
		conv := n.Nodes[node.Inputs[0]]
		shift, folded := have[conv.Name+".bias"]
		if _, own := have[node.Name+".weight"]; own || !folded {
			continue
		}
		one, scale, c := make([]float32, conv.Out), make([]float32, conv.Out), []int{conv.Out}
		for i := range one {
			one[i], scale[i] = 1, float32(math.Sqrt(1+node.Eps))
		}
		if conv.Bias {
			shift = NewTensor("", c, make([]float32, conv.Out))
		} else {
			out = slices.DeleteFunc(out, func(t Tensor) bool { return t.Name == conv.Name+".bias" })
		}
		shift.Name = node.Name + ".bias"
		out = append(out, shift, NewTensor(node.Name+".weight", c, scale),
			NewTensor(node.Name+".running_mean", c, make([]float32, conv.Out)), NewTensor(node.Name+".running_var", c, one))
	}
	return out
}
