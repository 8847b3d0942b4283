package encode

import (
	"io"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/synshard/synshard/internal/parquet"
)

// parquetEncoder writes Parquet, a row group a record.
type parquetEncoder struct {
	out    *parquet.Writer
	schema *arrow.Schema
}

func newParquet(w io.Writer, schema *arrow.Schema) (Encoder, error) {
	schema = ragged(schema)
	out, err := parquet.NewWriter(w, schema, parquet.WriterOptions{Zstd: true, Stats: true})
	return &parquetEncoder{out, schema}, err
}

func (e *parquetEncoder) Write(rec arrow.Record) error {
	rec, err := raggedRecord(e.schema, rec)
	if err != nil {
		return err
	}
	defer rec.Release()
	return e.out.Write(rec)
}

func (e *parquetEncoder) Close() error { return e.out.Close() }

// ragged gives a schema whose lists of fixed size are lists of any: Parquet has
// no others, and this writer of it takes no null where values lie beneath.
func ragged(s *arrow.Schema) *arrow.Schema {
	fields := append([]arrow.Field{}, s.Fields()...)
	for i, f := range fields {
		if t, ok := f.Type.(*arrow.FixedSizeListType); ok {
			fields[i].Type = arrow.ListOfField(t.ElemField())
		}
	}
	md := s.Metadata()
	return arrow.NewSchema(fields, &md)
}

// raggedRecord gives a record the schema that ragged made of its own.
func raggedRecord(s *arrow.Schema, rec arrow.Record) (arrow.Record, error) {
	columns := make([]arrow.Array, rec.NumCols())
	for i, c := range rec.Columns() {
		list, ok := c.(*array.FixedSizeList)
		if !ok {
			c.Retain()
			columns[i] = c
			continue
		}
		var err error
		if columns[i], err = raggedList(s.Field(i).Type, list); err != nil {
			return nil, err
		}
	}
	defer func() {
		for _, c := range columns {
			c.Release()
		}
	}()
	return array.NewRecord(s, columns, rec.NumRows()), nil
}

// raggedList leaves the values of nulls out.
func raggedList(t arrow.DataType, list *array.FixedSizeList) (arrow.Array, error) {
	offsets := array.NewInt32Builder(memory.DefaultAllocator)
	defer offsets.Release()
	offsets.Append(0)
	valid := make([]byte, (list.Len()+7)/8)
	pieces := []arrow.Array{array.NewSlice(list.ListValues(), 0, 0)}
	at, run := int32(0), 0 // run: first of the valid rows that lie together
	cut := func(to int) {
		if run < to {
			from, _ := list.ValueOffsets(run)
			_, end := list.ValueOffsets(to - 1)
			pieces = append(pieces, array.NewSlice(list.ListValues(), from, end))
		}
		run = to + 1
	}
	for i := range list.Len() {
		if list.IsValid(i) {
			from, to := list.ValueOffsets(i)
			at += int32(to - from)
			valid[i/8] |= 1 << (i % 8)
		} else {
			cut(i)
		}
		offsets.Append(at)
	}
	cut(list.Len())
	values, err := array.Concatenate(pieces, memory.DefaultAllocator)
	for _, p := range pieces {
		p.Release()
	}
	if err != nil {
		return nil, err
	}
	defer values.Release()
	places := offsets.NewInt32Array()
	defer places.Release()
	data := array.NewData(t, list.Len(), []*memory.Buffer{memory.NewBufferBytes(valid), places.Data().Buffers()[1]}, []arrow.ArrayData{values.Data()}, list.NullN(), 0)
	defer data.Release()
	return array.NewListData(data), nil
}
