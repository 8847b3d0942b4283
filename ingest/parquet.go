package ingest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/apache/arrow/go/v15/parquet/file"
	"github.com/apache/arrow/go/v15/parquet/pqarrow"
)

// parquetGroups makes pieces of Hugging Face's Parquet files, in their order:
// image struct<bytes, path> and label, an integer that is a place in the
// ClassLabel's names, or in names where the file has none that are classes.
// A row group is read at a time.
func (j *job) parquetGroups(paths, names []string) ([]group, error) {
	var groups []group
	for number, p := range paths {
		f, err := os.Open(p)
		if err != nil {
			return nil, err
		}
		j.files = append(j.files, f)
		have, counts, err := parquetHead(f)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p, err)
		}
		classes := names
		if len(classes) == 0 {
			classes = have
		}
		for from := 0; from < len(counts); {
			to, size := from, int64(0)
			for to < len(counts) && (to == from || size+counts[to] <= j.o.ShardBytes) {
				size += counts[to]
				to++
			}
			first, last := from, to
			groups = append(groups, group{split: j.o.Split, name: fmt.Sprintf("piece-%05d", len(groups)), from: p, bytes: size, classes: classes,
				each: func(ctx context.Context, emit func(item) error) error {
					for i := first; i < last; i++ {
						if err := parquetRows(ctx, f, i, fmt.Sprintf("row-%05d-%05d", number, i), classes, emit); err != nil {
							return fmt.Errorf("%s: row group %d: %w", p, i, err)
						}
					}
					return nil
				}})
			from = to
		}
	}
	return groups, nil
}

// guarded turns a panic of the Parquet reader, which a damaged file can cause,
// into an error.
func guarded(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("damaged Parquet: %v", r)
		}
	}()
	return f()
}

// section gives the reader a place of its own in the file.
func section(f *os.File) (*io.SectionReader, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return io.NewSectionReader(f, 0, info.Size()), nil
}

// parquetHead reads the names of the labels and the bytes of each row group.
func parquetHead(f *os.File) (names []string, sizes []int64, err error) {
	err = guarded(func() error {
		s, err := section(f)
		if err != nil {
			return err
		}
		r, err := file.NewParquetReader(s)
		if err != nil {
			return err
		}
		defer r.Close()
		for i := range r.NumRowGroups() {
			sizes = append(sizes, r.MetaData().RowGroup(i).TotalByteSize())
		}
		a, err := pqarrow.NewFileReader(r, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
		if err != nil {
			return err
		}
		schema, err := a.Schema()
		if err != nil {
			return err
		}
		text, ok := schema.Metadata().GetValue("huggingface")
		if v := r.MetaData().KeyValueMetadata().FindValue("huggingface"); !ok && v != nil {
			text = *v
		}
		names, err = featureNames(text)
		return err
	})
	return names, sizes, err
}

// featureNames finds the names of the labels in Hugging Face's metadata.
func featureNames(text string) ([]string, error) {
	if text == "" {
		return nil, nil
	}
	var v struct {
		Info struct {
			Features map[string]json.RawMessage `json:"features"`
		} `json:"info"`
	}
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return nil, fmt.Errorf("metadata huggingface: %w", err)
	}
	var label struct {
		Names []string `json:"names"`
	}
	if raw := v.Info.Features["label"]; raw != nil {
		if err := json.Unmarshal(raw, &label); err != nil {
			return nil, fmt.Errorf("metadata huggingface: label: %w", err)
		}
	}
	return label.Names, nil
}

// parquetRows emits the images of one row group. An image without a path is
// called after its place.
func parquetRows(ctx context.Context, f *os.File, i int, prefix string, names []string, emit func(item) error) error {
	var table arrow.Table
	err := guarded(func() error {
		s, err := section(f)
		if err != nil {
			return err
		}
		r, err := file.NewParquetReader(s)
		if err != nil {
			return err
		}
		defer r.Close()
		a, err := pqarrow.NewFileReader(r, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
		if err != nil {
			return err
		}
		table, err = a.RowGroup(i).ReadTable(ctx, allColumns(r.MetaData().Schema.NumColumns()))
		return err
	})
	if err != nil {
		return err
	}
	defer table.Release()
	t := array.NewTableReader(table, 0)
	defer t.Release()
	n := 0
	for t.Next() {
		if err := parquetRecord(t.Record(), prefix, &n, names, emit); err != nil {
			return err
		}
	}
	return t.Err()
}

func allColumns(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

func parquetRecord(rec arrow.Record, prefix string, n *int, names []string, emit func(item) error) error {
	column := func(name string) arrow.Array {
		if at := rec.Schema().FieldIndices(name); len(at) == 1 {
			return rec.Column(at[0])
		}
		return nil
	}
	image, ok := column("image").(*array.Struct)
	if !ok || image.NumField() < 2 {
		return fmt.Errorf("no column image of struct<bytes, path>")
	}
	var data, paths func(int) []byte
	for i, field := range image.DataType().(*arrow.StructType).Fields() {
		switch field.Name {
		case "bytes":
			data = bytesOf(image.Field(i))
		case "path":
			paths = bytesOf(image.Field(i))
		}
	}
	if data == nil {
		return fmt.Errorf("image.bytes is not binary")
	}
	label, err := labelsOf(column("label"))
	if err != nil {
		return err
	}
	for i := range int(rec.NumRows()) {
		it := item{name: fmt.Sprintf("%s-%05d", prefix, *n)}
		*n++
		if paths != nil {
			if p := paths(i); len(p) > 0 {
				it.name = string(p)
			}
		}
		if !image.IsNull(i) {
			it.b = append([]byte{}, data(i)...)
		}
		if l := label(i); l != "" {
			c, err := className(l, names)
			if err != nil {
				return err
			}
			it.synset = c
		}
		if err := emit(it); err != nil {
			return err
		}
	}
	return nil
}

// bytesOf reads binary or text of either width, nil where it is null; nil for
// other columns.
func bytesOf(col arrow.Array) func(int) []byte {
	var value func(int) []byte
	switch c := col.(type) {
	case *array.Binary:
		value = c.Value
	case *array.LargeBinary:
		value = c.Value
	case *array.String:
		value = func(i int) []byte { return []byte(c.Value(i)) }
	case *array.LargeString:
		value = func(i int) []byte { return []byte(c.Value(i)) }
	default:
		return nil
	}
	return func(i int) []byte {
		if col.IsNull(i) {
			return nil
		}
		return value(i)
	}
}

// labelsOf reads labels, numbers of any width or names; "" where there is
// none, which in Hugging Face's test sets is -1.
func labelsOf(col arrow.Array) (func(int) string, error) {
	if col == nil {
		return func(int) string { return "" }, nil
	}
	if arrow.IsInteger(col.DataType().ID()) {
		return func(i int) string {
			if v := col.ValueStr(i); col.IsValid(i) && v[0] != '-' {
				return v
			}
			return ""
		}, nil
	}
	if text := bytesOf(col); text != nil {
		return func(i int) string { return string(text(i)) }, nil
	}
	return nil, fmt.Errorf("labels of type %s are neither numbers nor names", col.DataType())
}
