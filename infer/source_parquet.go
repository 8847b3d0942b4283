package infer

import (
	"os"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/synshard/synshard/internal/parquet"
)

// parquetColumns are the leaves that matter and what they are called as columns
// of plain values.
var parquetColumns = map[string]string{
	"image.bytes": "image", "image.path": "path", "image": "image", "bytes": "image", "image_bytes": "image", "jpg": "image", "jpeg": "image",
	"path": "path", "file_name": "path", "filename": "path", "synset": "synset", "label": "label", "cls": "label",
}

// openParquet opens a Parquet file. A group of rows is its row group.
func openParquet(p string, o *OpenOptions) (source, error) {
	f, err := os.Open(p)
	if err != nil {
		return nil, err
	}
	c := &columns{name: p, known: o.Known, names: map[int]*names{}, close: f.Close}
	info, err := f.Stat()
	var r *parquet.File
	if err == nil {
		r, err = parquet.Open(f, info.Size())
	}
	leaves := map[string]parquet.Column{}
	if err == nil {
		for g := range r.Groups() {
			c.starts = append(c.starts, c.n)
			c.n += int(r.GroupRows(g))
		}
		text, _ := r.Metadata("huggingface")
		c.labels = labelNames(text)
		for _, leaf := range r.Columns() {
			what, ok := parquetColumns[strings.Join(leaf.Path, ".")]
			if _, twice := leaves[what]; ok && !twice && !leaf.List && (leaf.Kind == parquet.Bytes || leaf.Kind == parquet.Int && what == "label") {
				leaves[what] = leaf
			}
		}
		if _, ok := leaves["image"]; !ok {
			err = errNoImages
		}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	c.load = func(g int) ([]arrow.Record, error) {
		rec, err := parquetGroup(r, g, leaves)
		return []arrow.Record{rec}, err
	}
	return c, nil
}

// parquetGroup reads the leaves of a row group.
func parquetGroup(r *parquet.File, g int, leaves map[string]parquet.Column) (arrow.Record, error) {
	var fields []arrow.Field
	var columns []arrow.Array
	for what, leaf := range leaves {
		t := arrow.DataType(arrow.BinaryTypes.LargeString)
		switch {
		case what == "image":
			t = arrow.BinaryTypes.LargeBinary
		case leaf.Kind == parquet.Int:
			t = arrow.PrimitiveTypes.Int64
		}
		b := array.NewBuilder(memory.DefaultAllocator, t)
		defer b.Release()
		var err error
		if ints, ok := b.(*array.Int64Builder); ok {
			err = r.Ints(g, leaf, func(_ int, v []int64) error {
				if len(v) == 0 {
					ints.AppendNull()
				} else {
					ints.Append(v[0])
				}
				return nil
			})
		} else {
			err = r.Strings(g, leaf, func(_ int, v [][]byte) error {
				switch {
				case len(v) == 0:
					b.AppendNull()
				case what == "image":
					b.(*array.BinaryBuilder).Append(v[0])
				default:
					b.(*array.LargeStringBuilder).Append(string(v[0]))
				}
				return nil
			})
		}
		if err != nil {
			return nil, err
		}
		fields, columns = append(fields, arrow.Field{Name: what, Type: t, Nullable: true}), append(columns, b.NewArray())
	}
	return array.NewRecord(arrow.NewSchema(fields, nil), columns, r.GroupRows(g)), nil
}
