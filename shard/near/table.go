package near

import (
	"io"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/synshard/synshard/infer/prediction/encode"
	"github.com/synshard/synshard/internal/utf8name"
)

var tableFields = []arrow.Field{
	{Name: "group", Type: arrow.PrimitiveTypes.Int64},
	{Name: "labels_differ", Type: arrow.PrimitiveTypes.Int64},
	{Name: "splits_differ", Type: arrow.PrimitiveTypes.Int64},
	{Name: "dataset", Type: arrow.BinaryTypes.String},
	{Name: "split", Type: arrow.BinaryTypes.String},
	{Name: "path", Type: arrow.BinaryTypes.String},
	{Name: "label", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
	{Name: "synset", Type: arrow.BinaryTypes.String, Nullable: true},
	{Name: "distance", Type: arrow.PrimitiveTypes.Int64},
}

// Write writes the groups as a table, a row an image: the number of its group, from 0, whether
// labels and splits differ in it (0 or 1), and the image.
func Write(w io.Writer, format encode.Format, groups []Group) error {
	schema := arrow.NewSchema(tableFields, nil)
	out, err := encode.New(format, w, schema)
	if err != nil {
		return err
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	for k := range groups {
		for _, im := range groups[k].Images {
			appendRow(b, int64(k), &groups[k], im)
		}
	}
	rec := b.NewRecord()
	defer rec.Release()
	if err := out.Write(rec); err != nil {
		return err
	}
	return out.Close()
}

func appendRow(b *array.RecordBuilder, k int64, g *Group, im Image) {
	number := func(column int, v int64) { b.Field(column).(*array.Int64Builder).Append(v) }
	text := func(column int, v string) { b.Field(column).(*array.StringBuilder).Append(utf8name.Ensure(v)) }
	number(0, k)
	number(1, asNumber(g.LabelsDiffer))
	number(2, asNumber(g.SplitsDiffer))
	text(3, im.Dataset)
	text(4, im.Split)
	text(5, im.Path)
	if im.Label < 0 {
		b.Field(6).AppendNull()
	} else {
		number(6, im.Label)
	}
	if im.Synset == "" {
		b.Field(7).AppendNull()
	} else {
		text(7, im.Synset)
	}
	number(8, int64(im.Distance))
}

func asNumber(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
