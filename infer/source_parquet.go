package infer

import (
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/parquet/file"

	"github.com/synshard/synshard/infer/prediction"
	"github.com/synshard/synshard/shard"
)

// openParquet opens a Parquet file. A group of rows is its row group.
func openParquet(p string, o *OpenOptions) (source, error) {
	f, err := os.Open(p)
	if err != nil {
		return nil, err
	}
	c := &columns{name: p, known: o.Known, names: map[int]*names{}}
	var r *file.Reader
	var leaves map[string]int
	err = prediction.Guarded(func() error {
		var err error
		if r, err = file.NewParquetReader(f); err != nil {
			return fmt.Errorf("%w: %w", shard.ErrCorrupt, err)
		}
		for i := range r.NumRowGroups() {
			c.starts = append(c.starts, c.n)
			c.n += int(r.MetaData().RowGroup(i).NumRows())
		}
		if v := r.MetaData().KeyValueMetadata().FindValue("huggingface"); v != nil {
			c.labels = labelNames(*v)
		}
		leaves, err = wanted(r)
		return err
	})
	if err != nil {
		f.Close()
		return nil, err
	}
	c.close = f.Close
	c.load = func(g int) (records []arrow.Record, err error) {
		err = prediction.Guarded(func() error {
			rec, err := parquetGroup(r, g, leaves)
			if err != nil {
				return fmt.Errorf("%w: row group %d: %w", shard.ErrCorrupt, g, err)
			}
			records = append(records, rec)
			return nil
		})
		return records, err
	}
	return c, nil
}

// parquetColumns are the leaves that matter and what they are called as columns
// of plain values.
var parquetColumns = map[string]string{
	"image.bytes": "image", "image.path": "path", "image": "image", "bytes": "image", "image_bytes": "image", "jpg": "image", "jpeg": "image",
	"path": "path", "file_name": "path", "filename": "path", "synset": "synset", "label": "label", "cls": "label",
}

// wanted gives the leaves by what they are.
func wanted(r *file.Reader) (map[string]int, error) {
	leaves := map[string]int{}
	s := r.MetaData().Schema
	for i := range s.NumColumns() {
		what, ok := parquetColumns[s.Column(i).Path()]
		if _, twice := leaves[what]; ok && !twice && s.Column(i).MaxRepetitionLevel() == 0 {
			leaves[what] = i
		}
	}
	if _, ok := leaves["image"]; !ok {
		return nil, errNoImages
	}
	return leaves, nil
}

// parquetGroup reads the leaves of a row group, in this goroutine: pqarrow reads
// structs in others, where a panic over damage cannot be caught.
func parquetGroup(r *file.Reader, g int, leaves map[string]int) (arrow.Record, error) {
	rows := r.MetaData().RowGroup(g).NumRows()
	var fields []arrow.Field
	var columns []arrow.Array
	defer func() {
		for _, c := range columns {
			c.Release()
		}
	}()
	for _, what := range slices.Sorted(maps.Keys(leaves)) {
		chunk, err := r.RowGroup(g).Column(leaves[what])
		if err != nil {
			return nil, err
		}
		var column arrow.Array
		switch c := chunk.(type) {
		case *file.ByteArrayColumnChunkReader:
			column, err = prediction.ParquetBytes(c, what, rows)
		case *file.Int64ColumnChunkReader:
			column, err = prediction.ParquetInts(c, rows)
		default:
			continue // no type that this column has
		}
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", what, err)
		}
		fields, columns = append(fields, arrow.Field{Name: what, Type: column.DataType(), Nullable: true}), append(columns, column)
	}
	return array.NewRecord(arrow.NewSchema(fields, nil), columns, rows), nil
}
