package columns

import (
	"github.com/apache/arrow/go/v15/arrow"

	"github.com/synshard/synshard/internal/arrowipc"

	"github.com/synshard/synshard/source/entry"
)

// arrowFile is an Arrow file or stream as a rowFile. A group is a record batch.
type arrowFile struct {
	*arrowipc.File
	all []leaf
}

func openArrow(a entry.File) (rowFile, error) {
	f, err := arrowipc.Open(a, a.Size())
	if err != nil {
		return nil, err
	}
	r := &arrowFile{File: f}
	for i, field := range f.Schema().Fields() {
		r.add([]string{field.Name}, field.Type, i)
		if s, ok := field.Type.(*arrow.StructType); ok {
			for k, child := range s.Fields() {
				r.add([]string{field.Name, child.Name}, child.Type, i, k)
			}
		}
	}
	return r, nil
}

func (r *arrowFile) add(path []string, t arrow.DataType, place ...int) {
	r.all = append(r.all, leaf{path: path, kind: leafKindOf(t), place: place})
}

func leafKindOf(t arrow.DataType) leafKind {
	switch t := t.(type) {
	case *arrow.DictionaryType:
		return leafKindOf(t.ValueType)
	case *arrow.BinaryType, *arrow.LargeBinaryType, *arrow.BinaryViewType:
		return leafBytes
	case *arrow.StringType, *arrow.LargeStringType, *arrow.StringViewType:
		return leafText
	}
	if arrow.IsInteger(t.ID()) {
		return leafNumber
	}
	return leafOther
}

func (r *arrowFile) leaves() []leaf { return r.all }

func (r *arrowFile) groups() []int64 {
	var out []int64
	for _, b := range r.Batches() {
		out = append(out, b.Rows)
	}
	return out
}

func (r *arrowFile) metadata(key string) string { return r.Metadata(key) }

func (r *arrowFile) texts(group int, l *leaf, f func([]byte, bool) error) error {
	return eachValue(r, group, l, arrowipc.Bytes, f)
}

func (r *arrowFile) numbers(group int, l *leaf, f func(int64, bool) error) error {
	return eachValue(r, group, l, arrowipc.Int, f)
}

// eachValue hands f the values of a leaf in a group, each with whether there is one.
func eachValue[T any](r *arrowFile, group int, l *leaf, value func(arrow.Array, int) (T, bool), f func(T, bool) error) error {
	col, valid, err := r.Leaf(group, l.place...)
	if err != nil {
		return err
	}
	for i := range col.Len() {
		v, ok := value(col, i)
		if err := f(v, ok && valid(i)); err != nil {
			return err
		}
	}
	return nil
}

// again is the file itself, which many may read.
func (r *arrowFile) again() (rowFile, error) { return r, nil }
