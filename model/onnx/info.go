package onnx

import (
	"fmt"
	"os"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/synshard/synshard/model"
)

// Value is an input or output of an ONNX model.
type Value struct {
	Name string
	Type string  // uint8, float, float16, ...; "" if not a tensor
	Dims []int64 // -1: free
}

// Info is what an ONNX file says of itself.
type Info struct {
	Inputs, Outputs []Value // inputs without those that are weights
	Metadata        map[string]string
	Opset           int64
	Producer        string
}

// typeNames names TensorProto.DataType.
var typeNames = map[uint64]string{1: "float", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 9: "bool", 10: "float16", 11: "double", 16: "bfloat16"}

// ReadInfo reads what the file at path says of itself, not its weights.
func ReadInfo(path string) (*Info, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	info, err := ParseInfo(b)
	if err != nil {
		return nil, fmt.Errorf("%s: not an ONNX model: %w", path, err)
	}
	return info, nil
}

// ParseInfo is ReadInfo for bytes.
func ParseInfo(b []byte) (*Info, error) {
	info := &Info{Metadata: map[string]string{}}
	graphs := 0
	err := fields(b, func(f protowire.Number, v uint64, m []byte) error {
		switch f {
		case 2:
			info.Producer = string(m)
		case 7:
			graphs++
			return info.graph(m)
		case 8:
			return fields(m, func(f protowire.Number, v uint64, domain []byte) error {
				if f == 2 {
					info.Opset = max(info.Opset, int64(v))
				}
				return nil
			})
		case 14:
			var k, val string
			err := fields(m, func(f protowire.Number, _ uint64, s []byte) error {
				if f == 1 {
					k = string(s)
				} else if f == 2 {
					val = string(s)
				}
				return nil
			})
			info.Metadata[k] = val
			return err
		}
		return nil
	})
	if err == nil && (graphs != 1 || len(info.Inputs) == 0 || len(info.Outputs) == 0) {
		err = fmt.Errorf("%w: no graph with inputs and outputs", model.ErrFormat)
	}
	return info, err
}

func (info *Info) graph(b []byte) error {
	weights := map[string]bool{}
	err := fields(b, func(f protowire.Number, _ uint64, m []byte) error {
		switch f {
		case 5: // initializer
			return fields(m, func(f protowire.Number, _ uint64, s []byte) error {
				if f == 8 {
					weights[string(s)] = true
				}
				return nil
			})
		case 11, 12:
			v, err := parseValue(m)
			if f == 11 {
				info.Inputs = append(info.Inputs, v)
			} else {
				info.Outputs = append(info.Outputs, v)
			}
			return err
		}
		return nil
	})
	kept := info.Inputs[:0]
	for _, v := range info.Inputs {
		if !weights[v.Name] {
			kept = append(kept, v)
		}
	}
	info.Inputs = kept
	return err
}

func parseValue(b []byte) (Value, error) {
	var v Value
	err := fields(b, func(f protowire.Number, _ uint64, m []byte) error {
		switch f {
		case 1:
			v.Name = string(m)
		case 2: // type
			return fields(m, func(f protowire.Number, _ uint64, tensor []byte) error {
				if f != 1 {
					return nil
				}
				return fields(tensor, func(f protowire.Number, kind uint64, shape []byte) error {
					if f == 1 {
						v.Type = typeNames[kind]
					} else if f == 2 {
						return v.shape(shape)
					}
					return nil
				})
			})
		}
		return nil
	})
	return v, err
}

func (v *Value) shape(b []byte) error {
	return fields(b, func(f protowire.Number, _ uint64, dim []byte) error {
		if f != 1 {
			return nil
		}
		d := int64(-1)
		err := fields(dim, func(f protowire.Number, n uint64, _ []byte) error {
			if f == 1 {
				d = int64(n)
			}
			return nil
		})
		v.Dims = append(v.Dims, d)
		return err
	})
}

// fields calls f for each field of a message: v for numbers, m for bytes.
func fields(b []byte, f func(field protowire.Number, v uint64, m []byte) error) error {
	for len(b) > 0 {
		field, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return fmt.Errorf("%w: %w", model.ErrFormat, protowire.ParseError(n))
		}
		b = b[n:]
		var v uint64
		var m []byte
		switch kind {
		case protowire.VarintType:
			v, n = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			m, n = protowire.ConsumeBytes(b)
		default:
			n = protowire.ConsumeFieldValue(field, kind, b)
		}
		if n < 0 {
			return fmt.Errorf("%w: %w", model.ErrFormat, protowire.ParseError(n))
		}
		b = b[n:]
		if err := f(field, v, m); err != nil {
			return err
		}
	}
	return nil
}
