package mat5

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"math"
)

// Data types and array classes of the format.
const (
	miINT8, miUINT8, miINT32, miUINT32 = 1, 2, 5, 6
	miUINT16, miDOUBLE, miMATRIX       = 4, 9, 14
	miCOMPRESSED, miUTF8               = 15, 16
	mxCell, mxStruct, mxChar, mxDouble = 1, 2, 4, 6
)

// Field is a field of a struct: its value is a string, a float64 (a 1x1
// matrix) or a []float64 (a row; empty is 0x0).
type Field struct {
	Name  string // at most 31 bytes
	Value any    // of one of the three
}

// Write gives a MAT-file with one variable, an n by 1 struct array,
// compressed as MATLAB 7 saves it. Every
// element has the same fields.
func Write(variable string, elements [][]Field) ([]byte, error) {
	array, err := matStructs(variable, elements)
	if err != nil {
		return nil, fmt.Errorf("mat: variable %s: %w", variable, err)
	}
	var packed bytes.Buffer
	z := zlib.NewWriter(&packed)
	if _, err := z.Write(array); err != nil {
		return nil, fmt.Errorf("mat: compress: %w", err)
	}
	if err := z.Close(); err != nil {
		return nil, fmt.Errorf("mat: compress: %w", err)
	}
	header := bytes.Repeat([]byte{' '}, 116)
	copy(header, "MATLAB 5.0 MAT-file, Platform: GLNXA64, Created on: Tue May  8 12:00:00 2012")
	header = append(header, make([]byte, 8)...) // no subsystem data
	header = binary.LittleEndian.AppendUint16(header, 0x0100)
	header = append(header, 'I', 'M')
	header = binary.LittleEndian.AppendUint32(header, miCOMPRESSED)
	header = binary.LittleEndian.AppendUint32(header, uint32(packed.Len()))
	return append(header, packed.Bytes()...), nil
}

func matStructs(name string, elements [][]Field) ([]byte, error) {
	const nameLength = 32 // bytes a field name takes, its NUL included
	var body []byte
	body = matPreamble(body, mxStruct, len(elements), 1, name)
	body = matData(body, miINT32, binary.LittleEndian.AppendUint32(nil, nameLength))
	var names []byte
	if len(elements) > 0 {
		for _, f := range elements[0] {
			if len(f.Name) >= nameLength {
				return nil, fmt.Errorf("field name %q is longer than %d bytes", f.Name, nameLength-1)
			}
			names = append(names, f.Name...)
			names = append(names, make([]byte, nameLength-len(f.Name))...)
		}
	}
	body = matData(body, miINT8, names)
	for i, e := range elements {
		for _, f := range e {
			value, err := matValue(f.Value)
			if err != nil {
				return nil, fmt.Errorf("element %d, field %s: %w", i, f.Name, err)
			}
			body = append(body, value...)
		}
	}
	return matMatrix(body), nil
}

func matValue(v any) ([]byte, error) {
	switch v := v.(type) {
	case string:
		return matMatrix(matData(matPreamble(nil, mxChar, min(len(v), 1), len(v), ""), miUTF8, []byte(v))), nil
	case float64:
		return matNumbers([]float64{v}), nil
	case []float64:
		return matNumbers(v), nil
	}
	return nil, fmt.Errorf("a %T cannot be written", v)
}

// matNumbers writes a row of doubles in the smallest type that holds them, as
// MATLAB does.
func matNumbers(v []float64) []byte {
	body := matPreamble(nil, mxDouble, min(len(v), 1), len(v), "")
	kind := uint32(miUINT8)
	for _, x := range v {
		switch {
		case x != math.Trunc(x) || x < 0 || x > math.MaxUint16:
			kind = miDOUBLE
		case x > math.MaxUint8 && kind == miUINT8:
			kind = miUINT16
		}
	}
	var data []byte
	for _, x := range v {
		switch kind {
		case miUINT8:
			data = append(data, uint8(x))
		case miUINT16:
			data = binary.LittleEndian.AppendUint16(data, uint16(x))
		default:
			data = binary.LittleEndian.AppendUint64(data, math.Float64bits(x))
		}
	}
	return matMatrix(matData(body, kind, data))
}

// matPreamble appends what every array begins with: class, dimensions, name.
func matPreamble(b []byte, class uint32, rows, cols int, name string) []byte {
	var flags, dims []byte
	flags = binary.LittleEndian.AppendUint32(flags, class)
	flags = binary.LittleEndian.AppendUint32(flags, 0)
	dims = binary.LittleEndian.AppendUint32(dims, uint32(rows))
	dims = binary.LittleEndian.AppendUint32(dims, uint32(cols))
	b = matData(b, miUINT32, flags)
	b = matData(b, miINT32, dims)
	return matData(b, miINT8, []byte(name))
}

// matData appends one data element: short ones in eight bytes with their tag,
// longer ones padded to a multiple of eight.
func matData(b []byte, kind uint32, data []byte) []byte {
	if n := len(data); n > 0 && n <= 4 {
		b = binary.LittleEndian.AppendUint32(b, uint32(n)<<16|kind)
		b = append(b, data...)
		return append(b, make([]byte, 4-n)...)
	}
	b = binary.LittleEndian.AppendUint32(b, kind)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(data)))
	b = append(b, data...)
	return append(b, make([]byte, (8-len(data)%8)%8)...)
}

func matMatrix(body []byte) []byte {
	out := binary.LittleEndian.AppendUint32(nil, miMATRIX)
	out = binary.LittleEndian.AppendUint32(out, uint32(len(body)))
	return append(out, body...)
}
