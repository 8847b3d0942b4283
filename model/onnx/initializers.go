package onnx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"

	"github.com/synshard/synshard/internal/onnxpb"
	"github.com/synshard/synshard/internal/regular"
	"github.com/synshard/synshard/model"
)

// elementTypes maps ONNX's element types to those that weights have.
var elementTypes = map[onnxpb.Tensor_DataType]string{
	onnxpb.Tensor_FLOAT: "F32", onnxpb.Tensor_UINT8: "U8", onnxpb.Tensor_INT8: "I8", onnxpb.Tensor_INT16: "I16", onnxpb.Tensor_INT32: "I32",
	onnxpb.Tensor_INT64: "I64", onnxpb.Tensor_BOOL: "BOOL", onnxpb.Tensor_FLOAT16: "F16", onnxpb.Tensor_DOUBLE: "F64", onnxpb.Tensor_BFLOAT16: "BF16",
}

// maxTensor bounds an initializer, in bytes.
const maxTensor = 1 << 34

// ReadWeights reads the initializers of the model in the file at path, those
// in files beside it too, and its metadata. A tensor of a type that no weight
// has is an error.
func ReadWeights(path string) ([]model.Tensor, map[string]string, error) {
	m, err := ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	if _, err := m.Info(); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	tensors, err := m.Weights()
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return tensors, m.metadata(), nil
}

// Weights gives all initializers, in files beside the model too. A tensor of a type that no weight
// has is an error.
func (m *Model) Weights() ([]model.Tensor, error) {
	var out []model.Tensor
	for _, t := range m.pb.GetGraph().GetInitializers() {
		x, err := m.weight(t)
		if err != nil {
			return nil, fmt.Errorf("initializer %q: %w", t.GetName(), err)
		}
		out = append(out, x)
	}
	return out, nil
}

// weight gives an initializer's elements, wherever they lie: as raw bytes, in
// the field of their type, or in another file.
func (m *Model) weight(t *onnxpb.Tensor) (model.Tensor, error) {
	x := model.Tensor{Name: t.GetName(), DType: elementTypes[onnxpb.Tensor_DataType(t.GetDataType())]}
	size := int64(model.ElementSize(x.DType))
	if size == 0 {
		return x, fmt.Errorf("type %d is not one that weights have", t.GetDataType())
	}
	n := size
	for _, d := range t.GetDims() {
		if d < 0 || d > 0 && n > maxTensor/d {
			return x, fmt.Errorf("%w: shape %v", model.ErrFormat, t.GetDims())
		}
		n *= d
		x.Shape = append(x.Shape, int(d))
	}
	var err error
	switch {
	case t.GetLocation() == onnxpb.Tensor_EXTERNAL:
		x.Data, err = m.readExternal(t, n)
	case len(t.GetRawData()) > 0:
		x.Data = t.GetRawData()
	default:
		x.Data = typedData(t, x.DType)
	}
	if err != nil {
		return x, err
	}
	if int64(len(x.Data)) != n {
		return x, fmt.Errorf("%w: %s%v in %d bytes", model.ErrFormat, x.DType, x.Shape, len(x.Data))
	}
	return x, nil
}

// typedData makes little-endian bytes of the field that has the elements where
// there are no raw bytes.
func typedData(t *onnxpb.Tensor, dtype string) []byte {
	var b []byte
	switch dtype {
	case "F32":
		b = FloatBytes(t.GetFloatData())
	case "F64":
		for _, v := range t.GetDoubleData() {
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
		}
	case "I64":
		for _, v := range t.GetInt64Data() {
			b = binary.LittleEndian.AppendUint64(b, uint64(v))
		}
	default: // the narrower types, 16-bit floats as their bits
		for _, v := range t.GetInt32Data() {
			b = binary.LittleEndian.AppendUint32(b, uint32(v))[:len(b)+model.ElementSize(dtype)]
		}
	}
	return b
}

// readExternal reads n bytes of a tensor from the file that it names.
func (m *Model) readExternal(t *onnxpb.Tensor, n int64) ([]byte, error) {
	if m.dir == "" {
		return nil, errors.New("its data lie in another file, and the model was not read from one")
	}
	p, err := m.place(t)
	if err != nil {
		return nil, err
	}
	f, info, err := regular.Open(p.path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if p.length >= 0 && p.length != n || p.offset > info.Size() || n > info.Size()-p.offset {
		return nil, fmt.Errorf("%w: %d bytes at %d of %s, which has %d", model.ErrFormat, n, p.offset, p.path, info.Size())
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(io.NewSectionReader(f, p.offset, n), b); err != nil {
		return nil, fmt.Errorf("%s: %w", p.path, err)
	}
	return b, nil
}

// number64 reads a count of bytes.
func number64(s string) (int64, error) {
	v, err := strconv.ParseInt(s, 10, 64)
	if err == nil && v < 0 {
		return 0, strconv.ErrRange
	}
	return v, err
}
