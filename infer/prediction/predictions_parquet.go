package prediction

import (
	"fmt"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/parquet/file"
	"github.com/apache/arrow/go/v15/parquet/schema"
)

// parquet reads the leaves that measuring needs, a row group at a time, in this
// goroutine: Arrow's reader of Parquet uses others, where a panic over damage
// cannot be caught.
func (r *columnReader) parquet(in input) error {
	f, err := file.NewParquetReader(in)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	md := f.MetaData()
	spec := md.KeyValueMetadata().FindValue(KeySpec)
	if spec == nil {
		return fmt.Errorf("%w: no %s in its metadata, which has the model's classes", ErrFormat, KeySpec)
	}
	if err := r.p.said(*spec); err != nil {
		return err
	}
	leaves := map[string]int{}
	for i := range md.Schema.NumColumns() {
		leaves[md.Schema.Column(i).ColumnPath()[0]] = i
	}
	for g := range f.NumRowGroups() {
		if err := r.group(f, g, leaves); err != nil {
			return fmt.Errorf("%w: row group %d: %w", ErrFormat, g, err)
		}
	}
	return nil
}

// group reads a row group.
func (r *columnReader) group(f *file.Reader, g int, leaves map[string]int) error {
	rows := f.MetaData().RowGroup(g).NumRows()
	paths, err := leafOf[*file.ByteArrayColumnChunkReader](f, g, leaves, "path")
	if err != nil {
		return err
	}
	label, err := leafOf[*file.Int64ColumnChunkReader](f, g, leaves, "label")
	if err != nil {
		return err
	}
	names, err := ParquetBytes(paths, "path", rows)
	if err != nil {
		return err
	}
	defer names.Release()
	truths, err := ParquetInts(label, rows)
	if err != nil {
		return err
	}
	defer truths.Release()
	tops, err := listsOf[int64, *file.Int64ColumnChunkReader](f, g, leaves, "pred_label", rows)
	if err != nil {
		return err
	}
	probs, err := listsOf[float32, *file.Float32ColumnChunkReader](f, g, leaves, "pred_prob", rows)
	if err != nil {
		return err
	}
	var all *lists[float32]
	if _, ok := leaves["probabilities"]; ok {
		if all, err = listsOf[float32, *file.Float32ColumnChunkReader](f, g, leaves, "probabilities", rows); err != nil {
			return err
		}
	}
	for i := range int(rows) {
		row := predicted{path: names.(*array.LargeString).Value(i), label: -1, labels: tops.at(i), probs: probs.at(i)}
		if t := truths.(*array.Int64); t.IsValid(i) {
			row.label = t.Value(i)
		}
		if all != nil {
			row.all = all.at(i)
		}
		if err := r.p.addText(row); err != nil {
			return err
		}
	}
	return nil
}

// leafOf opens a leaf of a row group that must be of one type.
func leafOf[C file.ColumnChunkReader](f *file.Reader, g int, leaves map[string]int, name string) (c C, err error) {
	at, ok := leaves[name]
	if !ok {
		return c, fmt.Errorf("no column %s", name)
	}
	chunk, err := f.RowGroup(g).Column(at)
	if err != nil {
		return c, fmt.Errorf("column %s: %w", name, err)
	}
	c, ok = chunk.(C)
	if !ok {
		return c, fmt.Errorf("column %s is of another type", name)
	}
	return c, nil
}

// lists is a column of lists: row i is values[ends[i-1]:ends[i]], nil where it
// is null or empty.
type lists[T any] struct {
	values []T
	ends   []int
}

func (l *lists[T]) at(i int) []T {
	from := 0
	if i > 0 {
		from = l.ends[i-1]
	}
	if from == l.ends[i] {
		return nil
	}
	return l.values[from:l.ends[i]]
}

// listsOf reads a column of lists. A row begins where the repetition level is 0;
// a value is there where the definition level is the greatest.
func listsOf[T arrow.NumericType, C interface {
	file.ColumnChunkReader
	Descriptor() *schema.Column
	ReadBatch(int64, []T, []int16, []int16) (int64, int, error)
}](f *file.Reader, g int, leaves map[string]int, name string, rows int64) (*lists[T], error) {
	c, err := leafOf[C](f, g, leaves, name)
	if err != nil {
		return nil, err
	}
	if c.Descriptor().MaxRepetitionLevel() != 1 {
		return nil, fmt.Errorf("column %s is no list", name)
	}
	defined := c.Descriptor().MaxDefinitionLevel()
	const n = 1024
	var values [n]T
	var def, rep [n]int16
	out := &lists[T]{}
	for {
		levels, _, err := c.ReadBatch(n, values[:], def[:], rep[:])
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", name, err)
		}
		if levels == 0 {
			break
		}
		next := 0
		for i := range levels {
			if rep[i] == 0 {
				out.ends = append(out.ends, len(out.values))
			}
			if len(out.ends) == 0 {
				return nil, fmt.Errorf("column %s begins within a row", name)
			}
			if def[i] == defined {
				out.values = append(out.values, values[next])
				next++
				out.ends[len(out.ends)-1] = len(out.values)
			}
		}
	}
	if len(out.ends) != int(rows) {
		return nil, fmt.Errorf("column %s has %d of %d rows", name, len(out.ends), rows)
	}
	return out, nil
}
