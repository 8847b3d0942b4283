package infer

import (
	"context"
	"fmt"
	"os"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/apache/arrow/go/v15/parquet/file"
	"github.com/apache/arrow/go/v15/parquet/pqarrow"

	"synshard/shard"
)

// openParquet opens a Parquet file. A group of rows is its row group.
func openParquet(ctx context.Context, p string, o *OpenOptions) (source, error) {
	f, err := os.Open(p)
	if err != nil {
		return nil, err
	}
	c := &columns{name: p, known: o.Known, names: map[int]*names{}}
	var r *file.Reader
	var a *pqarrow.FileReader
	var leaves []int
	err = guarded(func() error {
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
		if a, err = pqarrow.NewFileReader(r, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator); err != nil {
			return err
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
		err = guarded(func() error {
			t, err := a.RowGroup(g).ReadTable(ctx, leaves)
			if err != nil {
				return fmt.Errorf("%w: row group %d: %w", shard.ErrCorrupt, g, err)
			}
			defer t.Release()
			each := array.NewTableReader(t, 0)
			defer each.Release()
			for each.Next() {
				rec := each.Record()
				rec.Retain()
				records = append(records, rec)
			}
			return each.Err()
		})
		return records, err
	}
	return c, nil
}

// wanted lists the leaves of the columns that matter: no others are read.
func wanted(r *file.Reader) ([]int, error) {
	var leaves []int
	s := r.MetaData().Schema
	for i := range s.NumColumns() {
		switch s.ColumnRoot(i).Name() {
		case "image", "bytes", "image_bytes", "jpg", "jpeg", "path", "file_name", "filename", "synset", "label", "cls":
			leaves = append(leaves, i)
		}
	}
	if len(leaves) == 0 {
		return nil, errNoPictures
	}
	return leaves, nil
}
