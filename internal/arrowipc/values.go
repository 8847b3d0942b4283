package arrowipc

import (
	"strings"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
)

// Bytes is row i of a column of text or bytes of any kind, dictionaries
// included: bytes are a slice of the column's, text is a copy. ok is false where it is null, where
// a is nil and where the column is of another kind.
func Bytes(a arrow.Array, i int) (b []byte, ok bool) {
	if a == nil || a.IsNull(i) {
		return nil, false
	}
	switch a := a.(type) {
	case *array.Binary:
		return a.Value(i), true
	case *array.LargeBinary:
		return a.Value(i), true
	case *array.BinaryView:
		return a.Value(i), true
	case *array.FixedSizeBinary:
		return a.Value(i), true
	case *array.String:
		return []byte(a.Value(i)), true
	case *array.LargeString:
		return []byte(a.Value(i)), true
	case *array.StringView:
		return []byte(a.Value(i)), true
	case *array.Dictionary:
		return Bytes(a.Dictionary(), a.GetValueIndex(i))
	}
	return nil, false
}

// textOf is row i of a column of text of any kind, dictionaries included, a copy.
// ok is as that of Bytes, and false for bytes that are no text.
func textOf(a arrow.Array, i int) (s string, ok bool) {
	if a == nil || a.IsNull(i) {
		return "", false
	}
	switch a := a.(type) {
	case *array.String:
		return strings.Clone(a.Value(i)), true
	case *array.LargeString:
		return strings.Clone(a.Value(i)), true
	case *array.StringView:
		return strings.Clone(a.Value(i)), true
	case *array.Dictionary:
		return textOf(a.Dictionary(), a.GetValueIndex(i))
	}
	return "", false
}

// Int is row i of a column of integers of any width, dictionaries included. ok
// is false where it is null, beyond an int64, where a is nil and where the
// column is of another kind.
func Int(a arrow.Array, i int) (v int64, ok bool) {
	if a == nil || a.IsNull(i) {
		return 0, false
	}
	switch a := a.(type) {
	case *array.Int8:
		return int64(a.Value(i)), true
	case *array.Int16:
		return int64(a.Value(i)), true
	case *array.Int32:
		return int64(a.Value(i)), true
	case *array.Int64:
		return a.Value(i), true
	case *array.Uint8:
		return int64(a.Value(i)), true
	case *array.Uint16:
		return int64(a.Value(i)), true
	case *array.Uint32:
		return int64(a.Value(i)), true
	case *array.Uint64:
		return int64(a.Value(i)), a.Value(i) < 1<<63
	case *array.Dictionary:
		return Int(a.Dictionary(), a.GetValueIndex(i))
	}
	return 0, false
}
