package prediction

import (
	"fmt"
	"math"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/synshard/synshard/infer/prediction/encode"
	"github.com/synshard/synshard/internal/arrowipc"
)

// kind is what the values of a column are, however wide they are stored.
type kind int

const (
	kindOther kind = iota // what predictions never hold
	kindText
	kindInt
	kindFloat
)

// kindOf is how a column is read: labels are integers also where a data frame
// with holes made them numbers.
func kindOf(name string, stored kind) kind {
	if stored == kindFloat && (name == "label" || name == "pred_label") {
		return kindInt
	}
	return stored
}

// sink takes the values of a column, row by row: none where a row is null, one, or
// those of a list. What it gets is good until it returns.
type sink interface {
	strings(row int, values [][]byte) error
	ints(row int, values []int64) error
	floats(row int, values []float64) error
}

// arrowKind is the kind of a column of Arrow, or of its lists' values.
func arrowKind(t arrow.DataType) kind {
	switch t := t.(type) {
	case arrow.ListLikeType:
		if _, twice := t.Elem().(arrow.ListLikeType); !twice {
			return arrowKind(t.Elem())
		}
	case *arrow.DictionaryType:
		return arrowKind(t.ValueType)
	case *arrow.StringType, *arrow.LargeStringType, *arrow.StringViewType:
		return kindText
	case *arrow.Float16Type, *arrow.Float32Type, *arrow.Float64Type:
		return kindFloat
	}
	if arrow.IsInteger(t.ID()) {
		return kindInt
	}
	return kindOther
}

// eachValue gives a column of Arrow to a sink, as values of a kind.
func eachValue(a arrow.Array, k kind, to sink) error {
	values, list := a, array.ListLike(nil)
	if l, ok := a.(array.ListLike); ok {
		values, list = l.ListValues(), l
	}
	var ints []int64
	var floats []float64
	var texts [][]byte
	for row := range a.Len() {
		from, end := int64(row), int64(row)+1
		if a.IsNull(row) {
			end = from
		} else if list != nil {
			from, end = list.ValueOffsets(row)
		}
		var err error
		switch k {
		case kindText:
			texts = appendTexts(texts[:0], values, from, end)
			err = to.strings(row, texts)
		case kindInt:
			if ints, err = appendInts(ints[:0], values, from, end); err == nil {
				err = to.ints(row, ints)
			}
		case kindFloat:
			floats = appendNumbers(floats[:0], values, from, end)
			err = to.floats(row, floats)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// appendTexts adds the texts [from, end) that are there.
func appendTexts(out [][]byte, a arrow.Array, from, end int64) [][]byte {
	if v, ok := a.(*array.String); ok && v.NullN() == 0 {
		b, offsets := v.ValueBytes(), v.ValueOffsets()
		for i := from; i < end; i++ {
			out = append(out, b[offsets[i]-offsets[0]:offsets[i+1]-offsets[0]])
		}
		return out
	}
	for i := from; i < end; i++ {
		if b, ok := arrowipc.Bytes(a, int(i)); ok {
			out = append(out, b)
		}
	}
	return out
}

// appendInts adds the values [from, end) that are there. Of numbers the whole ones are
// taken, and NaN is no value.
func appendInts(out []int64, a arrow.Array, from, end int64) ([]int64, error) {
	if v, ok := a.(*array.Int64); ok && v.NullN() == 0 {
		return append(out, v.Int64Values()[from:end]...), nil
	}
	if arrowKind(a.DataType()) == kindFloat {
		for _, v := range appendNumbers(nil, a, from, end) {
			if math.IsNaN(v) {
				continue
			}
			if v != math.Trunc(v) || math.Abs(v) > 1<<53 {
				return out, fmt.Errorf("%v where an integer is wanted", v)
			}
			out = append(out, int64(v))
		}
		return out, nil
	}
	for i := int(from); i < int(end); i++ {
		if v, ok := arrowipc.Int(a, i); ok {
			out = append(out, v)
		} else if a.IsValid(i) {
			return out, fmt.Errorf("%s where an integer is wanted", a.DataType())
		}
	}
	return out, nil
}

// appendNumbers adds the numbers [from, end) that are there.
func appendNumbers(out []float64, a arrow.Array, from, end int64) []float64 {
	if v, ok := a.(*array.Float32); ok && v.NullN() == 0 {
		for _, x := range v.Float32Values()[from:end] {
			out = append(out, float64(x))
		}
		return out
	}
	if v, ok := a.(*array.Float16); ok && v.NullN() == 0 {
		halves := encode.Halves()
		for _, x := range v.Values()[from:end] {
			out = append(out, float64(halves[x.Uint16()]))
		}
		return out
	}
	for i := int(from); i < int(end); i++ {
		if a.IsNull(i) {
			continue
		}
		switch a := a.(type) {
		case *array.Float32:
			out = append(out, float64(a.Value(i)))
		case *array.Float64:
			out = append(out, a.Value(i))
		case *array.Float16:
			out = append(out, float64(encode.FromHalf(a.Value(i).Uint16())))
		}
	}
	return out
}
