package shard

import (
	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
)

// rowReader reads what rowBuilder wrote. Strings that repeat are kept once.
type rowReader struct {
	label         *array.Int64
	synset        *array.String
	id            *array.Int32
	width, height *array.Int32
	format, mode  *array.String
	sha           *array.FixedSizeBinary
	objects       *array.List
	intern        map[string]string
}

func newRowReader(rec arrow.Record, first int, intern map[string]string) *rowReader {
	col := func(i int) arrow.Array { return rec.Column(first + i) }
	return &rowReader{
		label: col(0).(*array.Int64), synset: col(1).(*array.String), id: col(2).(*array.Int32),
		width: col(3).(*array.Int32), height: col(4).(*array.Int32), format: col(5).(*array.String), mode: col(6).(*array.String),
		sha: col(7).(*array.FixedSizeBinary), objects: col(8).(*array.List), intern: intern,
	}
}

// keep gives a copy of s that is shared with all equal ones.
func (r *rowReader) keep(s string) string {
	k, ok := r.intern[s]
	if !ok {
		k = string([]byte(s))
		r.intern[k] = k
	}
	return k
}

func (r *rowReader) read(i int, row *Row) {
	row.Label = -1
	if !r.label.IsNull(i) {
		row.Label = r.label.Value(i)
	}
	if !r.synset.IsNull(i) {
		row.Synset = r.keep(r.synset.Value(i))
	}
	if !r.id.IsNull(i) {
		row.ILSVRC2012ID = r.id.Value(i)
	}
	row.Width, row.Height = r.width.Value(i), r.height.Value(i)
	if !r.format.IsNull(i) {
		row.Format = r.keep(r.format.Value(i))
	}
	if !r.mode.IsNull(i) {
		row.Mode = r.keep(r.mode.Value(i))
	}
	copy(row.SHA256[:], r.sha.Value(i))
	if r.objects.IsNull(i) {
		return
	}
	box := r.objects.ListValues().(*array.Struct)
	from, to := r.objects.ValueOffsets(i)
	for j := int(from); j < int(to); j++ {
		at := func(k int) int32 { return box.Field(k).(*array.Int32).Value(j) }
		row.Objects = append(row.Objects, Object{r.keep(box.Field(0).(*array.String).Value(j)), at(1), at(2), at(3), at(4)})
	}
}
