package model

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/x448/float16"
)

// Tensor is a named array: little-endian, row-major.
type Tensor struct {
	Name  string // unique among those it is with
	DType string // as safetensors names them: F32, F16, BF16, I64, U8, ...
	Shape []int  // nil: a single number
	Data  []byte // ElementSize(DType) bytes an element
}

// ErrFormat marks a file of weights, or an ONNX file, that is not what its
// format says.
var ErrFormat = errors.New("malformed")

// sizes of the element types that can be stored, in bytes.
var dtypeSize = map[string]int{"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}

// ElementSize is the size in bytes of an element of a type as Tensor.DType
// names it; 0: no such type.
func ElementSize(dtype string) int { return dtypeSize[dtype] }

// NewTensor makes an F32 tensor of values.
func NewTensor(name string, shape []int, values []float32) Tensor {
	data := make([]byte, 4*len(values))
	for i, v := range values {
		binary.LittleEndian.PutUint32(data[4*i:], math.Float32bits(v))
	}
	return Tensor{name, "F32", slices.Clone(shape), data}
}

// Floats gives the elements of a floating-point tensor as float32, rounded to the
// nearest. Another type, or another number of bytes than the shape has, is an
// error.
func (t Tensor) Floats() ([]float32, error) {
	n := Elements(t.Shape)
	size, ok := dtypeSize[t.DType]
	if !ok || len(t.Data) != n*size {
		return nil, fmt.Errorf("tensor %s: %s%v in %d bytes", t.Name, t.DType, t.Shape, len(t.Data))
	}
	out := make([]float32, n)
	for i := range out {
		switch b := t.Data[i*size:]; t.DType {
		case "F32":
			out[i] = math.Float32frombits(binary.LittleEndian.Uint32(b))
		case "F64":
			out[i] = float32(math.Float64frombits(binary.LittleEndian.Uint64(b)))
		case "BF16":
			out[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(b)) << 16)
		case "F16":
			out[i] = float16.Frombits(binary.LittleEndian.Uint16(b)).Float32()
		default:
			return nil, fmt.Errorf("tensor %s: %s is not a floating-point type", t.Name, t.DType)
		}
	}
	return out, nil
}

// Integers gives the elements of a tensor of I64 or I32; ok is false for every other type.
func (t Tensor) Integers() (v []int64, ok bool) {
	if t.DType != "I64" && t.DType != "I32" {
		return nil, false
	}
	v = make([]int64, Elements(t.Shape))
	for i := range v {
		if t.DType == "I64" {
			v[i] = int64(binary.LittleEndian.Uint64(t.Data[8*i:]))
		} else {
			v[i] = int64(int32(binary.LittleEndian.Uint32(t.Data[4*i:])))
		}
	}
	return v, true
}

// ByName indexes tensors by their names; of equal names the last counts.
func ByName(tensors []Tensor) map[string]Tensor {
	m := make(map[string]Tensor, len(tensors))
	for _, t := range tensors {
		m[t.Name] = t
	}
	return m
}

// Match checks that tensors holds every parameter of the network, in its
// shape, and gives them as float32 by name. Other tensors are passed over.
func (n *Network) Match(tensors []Tensor) (map[string][]float32, error) {
	have := ByName(tensors)
	out := map[string][]float32{}
	for _, p := range n.Params() {
		t, ok := have[p.Name]
		if !ok {
			return nil, fmt.Errorf("model %s: the weights lack %s", n.Name, p.Name)
		}
		if !slices.Equal(t.Shape, p.Shape) {
			return nil, fmt.Errorf("model %s: %s has shape %v, want %v", n.Name, p.Name, t.Shape, p.Shape)
		}
		values, err := t.Floats()
		if err != nil {
			return nil, fmt.Errorf("model %s: %w", n.Name, err)
		}
		out[p.Name] = values
	}
	return out, nil
}
