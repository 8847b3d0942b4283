// Package mat5 reads and writes MATLAB's MAT-files of level 5 as far as tables
// of text and numbers need it, after "MAT-File Format" of The MathWorks: what
// ILSVRC2012's development kit has its synsets in. Reading checks every bound.
package mat5

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
)

// ErrMalformed marks a file that is not a MAT-file of level 5, or a damaged one.
var ErrMalformed = errors.New("malformed MAT-file")

// Bounds of what is read of a file: the development kit's own has some thousand
// arrays and a few hundred kilobytes.
const (
	maxElement = 1 << 28 // bytes that compressed elements hold in all, and elements of one array
	maxValues  = 1 << 24 // numbers, characters and dimensions in all
	perArray   = 16      // of which an array itself counts for so many
)

// Array is a MATLAB array: text, numbers, or a struct array. What a cell array
// holds is passed over.
type Array struct {
	Dims    []int              // rows, columns, ...
	Text    string             // of a character array
	Numbers []float64          // of a numeric array, column by column
	Fields  map[string][]Array // of a struct array: by field, an array per element
}

// Number is the first number of a, or otherwise where there is none that is
// finite and below 2^31.
func (a Array) Number(otherwise float64) float64 {
	if len(a.Numbers) == 0 || math.IsNaN(a.Numbers[0]) || math.Abs(a.Numbers[0]) > 1<<31 {
		return otherwise
	}
	return a.Numbers[0]
}

func matf(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}

// Read reads every variable of a file, by its name.
func Read(b []byte) (map[string]Array, error) {
	if len(b) < 128 || !bytes.HasPrefix(b, []byte("MATLAB 5.0 MAT-file")) {
		return nil, matf("no header of version 5")
	}
	var order binary.ByteOrder = binary.LittleEndian
	if string(b[126:128]) == "MI" {
		order = binary.BigEndian
	} else if string(b[126:128]) != "IM" {
		return nil, matf("byte order %q", b[126:128])
	}
	vars := map[string]Array{}
	r := &matReader{b: b[128:], budget: &budget{order, maxElement, maxValues}}
	for len(r.b) > 0 {
		kind, data, err := r.element()
		if err != nil {
			return nil, err
		}
		if kind == miCOMPRESSED {
			if kind, data, err = r.inflate(data); err != nil {
				return nil, err
			}
		}
		if kind != miMATRIX {
			continue
		}
		name, a, err := (&matReader{data, r.budget}).matrix(0)
		if err != nil {
			return nil, err
		}
		vars[name] = a
	}
	return vars, nil
}

func (r *matReader) inflate(b []byte) (int, []byte, error) {
	z, err := zlib.NewReader(bytes.NewReader(b))
	if err != nil {
		return 0, nil, matf("compressed element: %v", err)
	}
	defer z.Close()
	plain, err := io.ReadAll(io.LimitReader(z, int64(r.bytes)+1))
	if err != nil || len(plain) > r.bytes {
		return 0, nil, matf("compressed element: %v, %d bytes", err, len(plain))
	}
	r.bytes -= len(plain)
	return (&matReader{plain, r.budget}).element()
}

// matReader takes data elements from the front of b.
type matReader struct {
	b []byte
	*budget
}

// budget is what is known of a file, and what may yet come of it.
type budget struct {
	order  binary.ByteOrder
	bytes  int // inflated
	values int
}

// spend takes n values from the budget.
func (b *budget) spend(n int) error {
	if n > b.values {
		return matf("more than %d values", maxValues)
	}
	b.values -= n
	return nil
}

// element takes one data element: its type and its bytes.
func (r *matReader) element() (int, []byte, error) {
	if len(r.b) < 8 {
		return 0, nil, matf("%d bytes where an element should begin", len(r.b))
	}
	word := r.order.Uint32(r.b)
	if small := word >> 16; small != 0 { // type and size share a word, up to 4 bytes follow
		if small > 4 {
			return 0, nil, matf("small element of %d bytes", small)
		}
		data := r.b[4 : 4+small]
		r.b = r.b[8:]
		return int(word & 0xffff), data, nil
	}
	n := uint64(r.order.Uint32(r.b[4:]))
	if n > uint64(len(r.b)-8) {
		return 0, nil, matf("element of %d bytes in %d", n, len(r.b)-8)
	}
	data := r.b[8 : 8+n]
	next := 8 + n
	if word != miCOMPRESSED { // compressed elements are not padded
		next = min((next+7)&^7, uint64(len(r.b)))
	}
	r.b = r.b[next:]
	return int(word), data, nil
}

// matrix reads the body of a matrix element.
func (r *matReader) matrix(depth int) (name string, a Array, err error) {
	if len(r.b) == 0 { // an empty array may have no body
		return "", a, nil
	}
	if depth > 8 {
		return "", a, matf("arrays nested more than 8 deep")
	}
	_, flags, err := r.element()
	if err != nil || len(flags) < 4 {
		return "", a, matf("array flags: %v", err)
	}
	class := r.order.Uint32(flags) & 0xff
	_, dims, err := r.element()
	if err != nil {
		return "", a, err
	}
	if err := r.spend(perArray + len(dims)/4); err != nil {
		return "", a, err
	}
	count := 1
	for i := 0; i+4 <= len(dims); i += 4 {
		d := int(int32(r.order.Uint32(dims[i:])))
		if d < 0 || d > maxElement || count > maxElement/max(d, 1) {
			return "", a, matf("dimension %d", d)
		}
		count *= d
		a.Dims = append(a.Dims, d)
	}
	_, raw, err := r.element()
	if err != nil {
		return "", a, err
	}
	name = string(raw)
	switch class {
	case mxStruct:
		err = r.structs(&a, count, depth)
	case mxCell:
	default:
		err = r.values(&a, class == mxChar)
	}
	return name, a, err
}

// structs reads field names and then the elements, field by field of each.
func (r *matReader) structs(a *Array, count, depth int) error {
	_, size, err := r.element()
	if err != nil || len(size) < 4 {
		return matf("field name length: %v", err)
	}
	width := int(int32(r.order.Uint32(size)))
	_, raw, err := r.element()
	if err != nil || width < 1 || width > 1024 || len(raw)%width != 0 {
		return matf("field names of %d bytes in %d: %v", width, len(raw), err)
	}
	var names []string
	for ; len(raw) > 0; raw = raw[width:] {
		n, _, _ := strings.Cut(string(raw[:width]), "\x00")
		names = append(names, n)
	}
	a.Fields = map[string][]Array{}
	if len(names) == 0 {
		return nil
	}
	for range count {
		for _, n := range names {
			kind, data, err := r.element()
			if err != nil {
				return err
			}
			if kind != miMATRIX {
				return matf("field %s is an element of type %d", n, kind)
			}
			_, v, err := (&matReader{data, r.budget}).matrix(depth + 1)
			if err != nil {
				return err
			}
			a.Fields[n] = append(a.Fields[n], v)
		}
	}
	return nil
}

// values reads the real part of a numeric or character array.
func (r *matReader) values(a *Array, text bool) error {
	if len(r.b) == 0 {
		return nil
	}
	kind, data, err := r.element()
	if err != nil {
		return err
	}
	size := map[int]int{1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8, 16: 1, 17: 2, 18: 4}[kind]
	if size == 0 || len(data)%size != 0 {
		return matf("%d bytes of values of type %d", len(data), kind)
	}
	if err := r.spend(len(data) / size); err != nil {
		return err
	}
	var sb strings.Builder
	for ; len(data) > 0; data = data[size:] {
		v := r.value(kind, data)
		if text {
			if kind == 16 {
				sb.WriteByte(data[0])
			} else {
				sb.WriteRune(rune(v))
			}
			continue
		}
		a.Numbers = append(a.Numbers, v)
	}
	a.Text = sb.String()
	return nil
}

func (r *matReader) value(kind int, b []byte) float64 {
	switch kind {
	case 1:
		return float64(int8(b[0]))
	case 2, 16:
		return float64(b[0])
	case 3:
		return float64(int16(r.order.Uint16(b)))
	case 4, 17:
		return float64(r.order.Uint16(b))
	case 5:
		return float64(int32(r.order.Uint32(b)))
	case 6, 18:
		return float64(r.order.Uint32(b))
	case 7:
		return float64(math.Float32frombits(r.order.Uint32(b)))
	case 9:
		return math.Float64frombits(r.order.Uint64(b))
	case 12:
		return float64(int64(r.order.Uint64(b)))
	}
	return float64(r.order.Uint64(b))
}
