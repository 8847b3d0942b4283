// Package parquet reads columns of other people's Parquet files, one
// column of one row group at a time, in the caller's goroutine, and writes
// records of ours.
//
// It stands on the column readers of arrow-go, beneath its reader of Arrow
// records: that one works in goroutines of its own, where a panic over damaged
// data ends the process. Here damage of any kind is an error that matches
// ErrCorrupt, and no damaged length takes more than maxPage bytes at once. All
// of Parquet's codecs and encodings are read.
package parquet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"

	arrow "github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/schema"
	"github.com/x448/float16"
)

// ErrCorrupt marks a file that is damaged, or is no Parquet file.
var ErrCorrupt = errors.New("parquet data corrupt")

// ErrKind marks a column that holds values of another kind than asked for.
var ErrKind = errors.New("column of another kind")

// maxPage bounds the bytes of one page, packed and unpacked, and of one value.
// Pages of a small file are bounded by a thousand times its bytes.
const maxPage = 1 << 30

// Kind is what the values of a column are, whatever their width.
type Kind string

// The kinds of values.
const (
	Bytes  Kind = "bytes"  // binary and strings
	Int    Kind = "int"    // integers of any width, signed or not
	Float  Kind = "float"  // of 2, 4 or 8 bytes
	Bool   Kind = "bool"   //
	Others Kind = "others" // what is not read here: decimals, timestamps of 12 bytes, UUIDs
)

// Column is one leaf of a file's schema.
type Column struct {
	// Path is the names from the root to the leaf: {"image", "bytes"} of a
	// struct, {"pred_prob", "list", "element"} of a list.
	Path []string
	// Kind says which of Strings, Ints and Floats reads it.
	Kind Kind
	// List says that a row holds any number of values, of one list; deeper
	// lists are Others.
	List bool

	at       int // among the leaves
	unsigned bool
	defined  int16 // the definition level of a value that is there
}

// File is an open Parquet file. One column may be read at a time.
type File struct {
	r       *file.Reader
	columns []Column
}

// Open reads a file's schema and metadata.
func Open(r io.ReaderAt, size int64) (*File, error) {
	f := &File{}
	err := guard(func() (err error) {
		props := arrow.NewReaderProperties(nil)
		props.BufferedStreamEnabled = true
		props.MaxCompressedPageSize, props.MaxUncompressedPageSize = min(maxPage, size), min(maxPage, 1000*size+1<<24)
		if err := checkSchema(r, size); err != nil {
			return err
		}
		if f.r, err = file.NewParquetReader(io.NewSectionReader(r, 0, size), file.WithReadProps(props)); err != nil {
			return err
		}
		s := f.r.MetaData().Schema
		for i := range s.NumColumns() {
			f.columns = append(f.columns, column(i, s.Column(i)))
		}
		total := int64(0)
		for g := range f.Groups() {
			if n, size := f.GroupRows(g), f.GroupBytes(g); n < 0 || n > math.MaxInt32 || size < 0 {
				return fmt.Errorf("row group %d of %d rows and %d bytes", g, n, size)
			}
			total += f.GroupRows(g)
		}
		if total != f.Rows() {
			return fmt.Errorf("%d rows in its groups, %d are announced", total, f.Rows())
		}
		return nil
	}, new(bool))
	if err != nil {
		return nil, err
	}
	return f, nil
}

func column(at int, c *schema.Column) Column {
	out := Column{Path: c.ColumnPath(), Kind: Others, List: c.MaxRepetitionLevel() == 1, at: at, defined: c.MaxDefinitionLevel()}
	switch c.PhysicalType() {
	case arrow.Types.ByteArray:
		out.Kind = Bytes
	case arrow.Types.FixedLenByteArray:
		if _, half := c.LogicalType().(schema.Float16LogicalType); half {
			out.Kind = Float
		}
	case arrow.Types.Int32, arrow.Types.Int64:
		out.Kind = Int
		switch t := c.LogicalType().(type) {
		case interface{ IsSigned() bool }:
			out.unsigned = !t.IsSigned()
		case interface{ Scale() int32 }: // a decimal
			out.Kind = Others
		}
	case arrow.Types.Float, arrow.Types.Double:
		out.Kind = Float
	case arrow.Types.Boolean:
		out.Kind = Bool
	}
	if c.MaxRepetitionLevel() > 1 {
		out.Kind, out.List = Others, false
	}
	return out
}

// Columns are the leaves of the schema, in its order.
func (f *File) Columns() []Column { return f.columns }

// Metadata gives a value of the file's own key-value metadata.
func (f *File) Metadata(key string) (value string, ok bool) {
	v := f.r.MetaData().KeyValueMetadata().FindValue(key)
	if v == nil {
		return "", false
	}
	return *v, true
}

// Keys are the keys of the file's own metadata, in their order.
func (f *File) Keys() []string { return f.r.MetaData().KeyValueMetadata().Keys() }

// Rows is the number of rows of all groups.
func (f *File) Rows() int64 { return f.r.NumRows() }

// Groups is the number of row groups.
func (f *File) Groups() int { return f.r.NumRowGroups() }

// GroupRows is the number of rows of a group.
func (f *File) GroupRows(group int) int64 { return f.r.MetaData().RowGroup(group).NumRows() }

// GroupBytes is the bytes of a group's columns, unpacked.
func (f *File) GroupBytes(group int) int64 { return f.r.MetaData().RowGroup(group).TotalByteSize() }

// Strings calls each with the values of every row of a column of Bytes, in
// order: none where it is null, one, or those of a list, whose nulls are left
// out. Values and slice are good until each returns.
func (f *File) Strings(group int, c Column, each func(row int, values [][]byte) error) error {
	return read(f, group, c, each, func(chunk file.ColumnChunkReader) batch[[]byte] {
		r, ok := chunk.(*file.ByteArrayColumnChunkReader)
		if !ok {
			return nil
		}
		var values [batchSize]arrow.ByteArray
		return func(out [][]byte, def, rep []int16) (int64, int, error) {
			// Batches end early where images are large: their bytes are held.
			n, k, err := r.ReadBatch(int64(len(out)), values[:len(out)], def, rep)
			for i, v := range values[:k] {
				out[i] = v
			}
			return n, k, err
		}
	})
}

// Ints is Strings for integers. A column of Float is taken too, as data frames
// with holes write labels: 3.0 is 3, NaN is null, and any other fraction is
// ErrKind.
func (f *File) Ints(group int, c Column, each func(row int, values []int64) error) error {
	if c.Kind == Float {
		var ints []int64
		return f.Floats(group, c, func(row int, values []float64) error {
			ints = ints[:0]
			for _, v := range values {
				switch {
				case math.IsNaN(v):
				case v != math.Trunc(v) || math.Abs(v) > 1<<53:
					return fmt.Errorf("%w: row %d of %v is %v, not an integer", ErrKind, row, c.Path, v)
				default:
					ints = append(ints, int64(v))
				}
			}
			return each(row, ints)
		})
	}
	return read(f, group, c, each, func(chunk file.ColumnChunkReader) batch[int64] {
		switch r := chunk.(type) {
		case *file.Int64ColumnChunkReader:
			if c.Kind == Int {
				return func(out []int64, def, rep []int16) (int64, int, error) {
					n, k, err := r.ReadBatch(int64(len(out)), out, def, rep)
					for _, v := range out[:k] {
						if c.unsigned && v < 0 {
							return n, k, fmt.Errorf("%w: %v has %d, which is beyond 63 bits", ErrKind, c.Path, uint64(v))
						}
					}
					return n, k, err
				}
			}
		case *file.Int32ColumnChunkReader:
			if c.Kind == Int {
				var values [batchSize]int32
				return func(out []int64, def, rep []int16) (int64, int, error) {
					n, k, err := r.ReadBatch(int64(len(out)), values[:len(out)], def, rep)
					for i, v := range values[:k] {
						if out[i] = int64(v); c.unsigned {
							out[i] = int64(uint32(v))
						}
					}
					return n, k, err
				}
			}
		}
		return nil
	})
}

// Floats is Strings for numbers of 2, 4 or 8 bytes.
func (f *File) Floats(group int, c Column, each func(row int, values []float64) error) error {
	return read(f, group, c, each, func(chunk file.ColumnChunkReader) batch[float64] {
		switch r := chunk.(type) {
		case *file.Float64ColumnChunkReader:
			return func(out []float64, def, rep []int16) (int64, int, error) {
				return r.ReadBatch(int64(len(out)), out, def, rep)
			}
		case *file.Float32ColumnChunkReader:
			var values [batchSize]float32
			return func(out []float64, def, rep []int16) (int64, int, error) {
				n, k, err := r.ReadBatch(int64(len(out)), values[:len(out)], def, rep)
				for i, v := range values[:k] {
					out[i] = float64(v)
				}
				return n, k, err
			}
		case *file.FixedLenByteArrayColumnChunkReader:
			if c.Kind == Float {
				var values [batchSize]arrow.FixedLenByteArray
				return func(out []float64, def, rep []int16) (int64, int, error) {
					n, k, err := r.ReadBatch(int64(len(out)), values[:len(out)], def, rep)
					for i, v := range values[:k] {
						out[i] = float64(float16.Frombits(binary.LittleEndian.Uint16(v)).Float32()) // Arrow's own takes those below 2^-14 for far smaller ones
					}
					return n, k, err
				}
			}
		}
		return nil
	})
}

// batchSize is how many values are asked for at a time: few, because the
// values of a batch of images are all held.
const batchSize = 64

// batch reads at most len(out) values with their levels: n levels, and k
// values that are there.
type batch[T any] func(out []T, def, rep []int16) (n int64, k int, err error)

// read goes through a column of a group.
func read[T any](f *File, group int, c Column, each func(row int, values []T) error, open func(file.ColumnChunkReader) batch[T]) error {
	rows := assembly[T]{column: c, want: int(f.GroupRows(group)), each: each}
	err := guard(func() error {
		chunk, err := f.r.RowGroup(group).Column(c.at)
		if err != nil {
			return err
		}
		defer chunk.Close()
		next := open(chunk)
		if next == nil {
			rows.failed = fmt.Errorf("%w: %v holds %s (%s)", ErrKind, c.Path, c.Kind, chunk.Type())
			return nil
		}
		var values [batchSize]T
		var def, rep [batchSize]int16
		for {
			n, k, err := next(values[:], def[:], rep[:])
			if err != nil {
				return err
			}
			if n == 0 {
				if err := chunk.Err(); err != nil {
					return err
				}
				return rows.end()
			}
			if err := rows.add(def[:n], rep[:n], values[:k]); err != nil {
				return err
			}
		}
	}, &rows.calling)
	switch {
	case rows.failed != nil:
		return rows.failed
	case err != nil:
		return fmt.Errorf("row group %d, column %v: %w", group, c.Path, err)
	}
	return nil
}

// assembly puts the values of a column together into rows. A row begins where the
// repetition level is 0; a value is there where the definition level is the
// greatest.
type assembly[T any] struct {
	column Column
	want   int // rows
	each   func(row int, values []T) error

	rows    int   // begun
	row     []T   // the values so far of the one begun last
	failed  error // of each: not the file's
	calling bool  // each, whose panics are not the file's either
}

// give gives the row begun last, which is whole, to each.
func (a *assembly[T]) give() error {
	if a.rows > a.want {
		return fmt.Errorf("more than %d rows", a.want)
	}
	a.calling = true
	a.failed = a.each(a.rows-1, a.row)
	if a.calling = false; a.failed != nil {
		return errStop
	}
	a.row = a.row[:0]
	return nil
}

// add takes the levels of a batch, and the values that are there.
func (a *assembly[T]) add(def, rep []int16, values []T) error {
	at, list := 0, a.column.List
	for i := range def {
		if !list || rep[i] == 0 {
			if a.rows > 0 && list {
				if err := a.give(); err != nil {
					return err
				}
			}
			a.rows++
		}
		if a.rows == 0 {
			return errors.New("it begins within a row")
		}
		if a.column.defined == 0 || def[i] == a.column.defined {
			if at == len(values) {
				return fmt.Errorf("%d values where more are announced", at)
			}
			a.row = append(a.row, values[at])
			at++
		}
		if !list {
			if err := a.give(); err != nil {
				return err
			}
		}
	}
	if list { // what is not given yet must not lie in the batch's memory
		a.row = detach(a.row)
	}
	return nil
}

// end gives the last row of lists, and wants all rows to have come.
func (a *assembly[T]) end() error {
	if a.column.List && a.rows > 0 {
		if err := a.give(); err != nil {
			return err
		}
	}
	if a.rows != a.want {
		return fmt.Errorf("%d rows of %d", a.rows, a.want)
	}
	return nil
}

var errStop = errors.New("stop")

// detach copies values that lie in memory of the reader's.
func detach[T any](row []T) []T {
	if v, ok := any(row).([][]byte); ok {
		for i := range v {
			v[i] = append([]byte(nil), v[i]...)
		}
	}
	return row
}

// panicText is what a panic of the reader tells of a file: one of Go's run time tells
// of the reader's code alone.
func panicText(p any) string {
	if _, ok := p.(runtime.Error); ok {
		return "its lengths and what is there do not fit"
	}
	return fmt.Sprint(p)
}

// guard makes errors and panics of the reader ErrCorrupt, but for panics while
// calling is true.
func guard(f func() error, calling *bool) (err error) {
	defer func() {
		if *calling {
			return
		}
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %s", ErrCorrupt, panicText(p))
		}
	}()
	if err = f(); err != nil && !errors.Is(err, ErrKind) {
		err = fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return err
}
