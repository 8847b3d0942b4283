package shard

import (
	"errors"
	"slices"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/synshard/synshard/internal/arrowipc"
)

// checkFile wants an Arrow file with exactly these columns, as this package
// writes them.
func checkFile(f *arrowipc.File, fields []arrow.Field) error {
	if f.Stream {
		return corruptf("it does not begin as an Arrow file")
	}
	have := f.Schema().Fields()
	if len(have) != len(fields) {
		return corruptf("%d columns, want %d", len(have), len(fields))
	}
	for i, want := range fields {
		if have[i].Name != want.Name || !arrow.TypeEqual(have[i].Type, want.Type) {
			return corruptf("column %d is %s %s, want %s %s", i, have[i].Name, have[i].Type, want.Name, want.Type)
		}
	}
	return nil
}

// asCorrupt makes what arrowipc does not read into damage: the format has none
// of it.
func asCorrupt(err error) error {
	if errors.Is(err, arrowipc.ErrUnsupported) {
		return corruptf("%v", err)
	}
	return err
}

// decodeFile decodes every batch of a file that is in memory; the columns are
// slices of it.
func decodeFile(b []byte, fields []arrow.Field) ([]arrow.Record, error) {
	f, err := arrowipc.OpenBytes(b)
	if err == nil {
		err = checkFile(f, fields)
	}
	if err != nil {
		return nil, asCorrupt(err)
	}
	out := make([]arrow.Record, len(f.Batches()))
	for k := range out {
		if out[k], err = f.Record(k, nil); err != nil {
			return nil, asCorrupt(err)
		}
	}
	return out, nil
}

// rowColumns are the columns that shards and index share, by name. Their types
// have been checked with the file's schema.
type rowColumns struct {
	label         *array.Int64
	synset        *array.String
	id            *array.Int32
	width, height *array.Int32
	format, mode  *array.String
	sha           *array.FixedSizeBinary
	objects       *array.List
	object        struct {
		synset                 *array.String
		xMin, yMin, xMax, yMax *array.Int32
	}
}

// newRowColumns takes the columns of rowFields, in their order.
func newRowColumns(c []arrow.Array) rowColumns {
	r := rowColumns{
		label: c[0].(*array.Int64), synset: c[1].(*array.String), id: c[2].(*array.Int32),
		width: c[3].(*array.Int32), height: c[4].(*array.Int32),
		format: c[5].(*array.String), mode: c[6].(*array.String),
		sha: c[7].(*array.FixedSizeBinary), objects: c[8].(*array.List),
	}
	o := r.objects.ListValues().(*array.Struct)
	r.object.synset = o.Field(0).(*array.String)
	for i, p := range []**array.Int32{&r.object.xMin, &r.object.yMin, &r.object.xMax, &r.object.yMax} {
		*p = o.Field(i + 1).(*array.Int32)
	}
	return r
}

// str is row i of a column of text, a copy; "" where it is null.
func str(c *array.String, i int) string {
	if c.IsNull(i) {
		return ""
	}
	return strings.Clone(c.Value(i))
}

// strs is row i of a column of lists of text, copies.
func strs(c *array.List, i int) []string {
	if c.IsNull(i) {
		return nil
	}
	from, to := c.ValueOffsets(i)
	out := make([]string, 0, to-from)
	for k := from; k < to; k++ {
		out = append(out, str(c.ListValues().(*array.String), int(k)))
	}
	return out
}

// i32 is row i of a column of numbers, 0 where it is null.
func i32(c *array.Int32, i int) int32 {
	if c.IsNull(i) {
		return 0
	}
	return c.Value(i)
}

func (c *rowColumns) labelAt(i int) int64 {
	if c.label.IsNull(i) {
		return -1
	}
	return c.label.Value(i)
}

// fill reads row i, copying all of it.
func (c *rowColumns) fill(r *Row, i int) {
	r.Label = c.labelAt(i)
	r.Synset = str(c.synset, i)
	r.ILSVRC2012ID = i32(c.id, i)
	r.Width, r.Height = i32(c.width, i), i32(c.height, i)
	r.Format, r.Mode = word(c.format, i), word(c.mode, i)
	copy(r.SHA256[:], c.sha.Value(i))
	r.Objects = nil
	if c.objects.IsNull(i) {
		return
	}
	from, to := c.objects.ValueOffsets(i)
	for k := int(from); k < int(to); k++ {
		o := &c.object
		r.Objects = append(r.Objects, Object{str(o.synset, k), i32(o.xMin, k), i32(o.yMin, k), i32(o.xMax, k), i32(o.yMax, k)})
	}
}

// words are the commonest formats and modes: they need not be copied.
var words = []string{"JPEG", "PNG", "RGB", "L"}

func word(c *array.String, i int) string {
	if c.IsNull(i) {
		return ""
	}
	if k := slices.Index(words, c.Value(i)); k >= 0 {
		return words[k]
	}
	return strings.Clone(c.Value(i))
}
