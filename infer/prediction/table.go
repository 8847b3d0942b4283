package prediction

import (
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/synshard/synshard/internal/arrowipc"
	"github.com/synshard/synshard/internal/parquet"
)

// table is a file of columns, whatever container holds it.
type table interface {
	metadata() metadata
	columns() []column
	groups() int
	rows(group int) int
	// each gives a column of a group to a sink. Damage is ErrFormat.
	each(group int, c column, to sink) error
}

// column is a column of a table that predictions could hold: text, integers or
// numbers, or a list of them.
type column struct {
	name string
	kind kind
	at   int // in the container
}

// openTable opens an Arrow file, an Arrow stream or a Parquet file.
func openTable(in io.ReaderAt, size int64, f Format) (table, error) {
	if f == Parquet {
		p, err := parquet.Open(in, size)
		if err != nil {
			return nil, damaged(err)
		}
		return parquetTable{p}, nil
	}
	a, err := arrowipc.Open(in, size)
	if err != nil {
		return nil, damaged(err)
	}
	if !a.Ended {
		return nil, formatf("it is cut short: the stream has no end")
	}
	return arrowTable{a}, nil
}

// damaged makes errors over what a container holds ErrFormat.
func damaged(err error) error {
	for _, is := range []error{arrowipc.ErrCorrupt, arrowipc.ErrUnsupported, parquet.ErrCorrupt, parquet.ErrKind} {
		if errors.Is(err, is) {
			return fmt.Errorf("%w: %w", ErrFormat, err)
		}
	}
	return err
}

// arrowTable is an Arrow file or stream. A group is a record batch.
type arrowTable struct{ f *arrowipc.File }

func (t arrowTable) groups() int        { return len(t.f.Batches()) }
func (t arrowTable) rows(group int) int { return int(t.f.Batches()[group].Rows) }

func (t arrowTable) metadata() metadata { return t.f.Schema().Metadata().ToMap() }

func (t arrowTable) columns() (out []column) {
	for i, f := range t.f.Schema().Fields() {
		if k := arrowKind(f.Type); k != kindOther {
			out = append(out, column{f.Name, kindOf(f.Name, k), i})
		}
	}
	return out
}

func (t arrowTable) each(group int, c column, to sink) error {
	values, _, err := t.f.Leaf(group, c.at)
	if err != nil {
		return damaged(err)
	}
	if err := eachValue(values, c.kind, to); err != nil {
		return formatf("column %s: %w", c.name, err)
	}
	return nil
}

// some gives a column's values in some rows of a group, in their order.
func (t arrowTable) some(group int, rows []int, c column, to sink) error {
	values, _, err := t.f.Leaf(group, c.at)
	if err != nil {
		return damaged(err)
	}
	for _, row := range rows {
		if err := eachValue(array.NewSlice(values, int64(row), int64(row)+1), c.kind, to); err != nil {
			return err
		}
	}
	return nil
}

// parquetTable is a Parquet file. A group is a row group.
type parquetTable struct{ f *parquet.File }

func (t parquetTable) groups() int        { return t.f.Groups() }
func (t parquetTable) rows(group int) int { return int(t.f.GroupRows(group)) }

func (t parquetTable) metadata() metadata {
	md := metadata{}
	for _, k := range t.f.Keys() {
		md[k], _ = t.f.Metadata(k)
	}
	return md
}

var parquetKinds = map[parquet.Kind]kind{parquet.Bytes: kindText, parquet.Int: kindInt, parquet.Float: kindFloat}

func (t parquetTable) columns() (out []column) {
	for i, c := range t.f.Columns() {
		if k := parquetKinds[c.Kind]; k != kindOther && (c.List || len(c.Path) == 1) {
			out = append(out, column{c.Path[0], kindOf(c.Path[0], k), i})
		}
	}
	return out
}

func (t parquetTable) each(group int, c column, to sink) error {
	at := t.f.Columns()[c.at]
	var err error
	switch c.kind {
	case kindText:
		err = t.f.Strings(group, at, to.strings)
	case kindInt:
		err = t.f.Ints(group, at, to.ints)
	case kindFloat:
		err = t.f.Floats(group, at, to.floats)
	}
	return damaged(err)
}
