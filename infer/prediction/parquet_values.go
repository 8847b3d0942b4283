package prediction

import (
	"fmt"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/file"
)

func ParquetBytes(c *file.ByteArrayColumnChunkReader, what string, rows int64) (arrow.Array, error) {
	t := arrow.DataType(arrow.BinaryTypes.LargeBinary)
	if what != "image" {
		t = arrow.BinaryTypes.LargeString
	}
	b := array.NewBuilder(memory.DefaultAllocator, t)
	defer b.Release()
	var value [1]parquet.ByteArray
	var def [1]int16
	for range rows { // a value at a time: it is good until the next page
		n, read, err := c.ReadBatch(1, value[:], def[:], nil)
		switch {
		case err != nil || n != 1:
			return nil, fmt.Errorf("%d of %d rows (%v)", b.Len(), rows, err)
		case read == 0:
			b.AppendNull()
		case what == "image":
			b.(*array.BinaryBuilder).Append(value[0])
		default:
			b.(*array.LargeStringBuilder).Append(string(value[0]))
		}
	}
	return b.NewArray(), nil
}

func ParquetInts(c *file.Int64ColumnChunkReader, rows int64) (arrow.Array, error) {
	b := array.NewInt64Builder(memory.DefaultAllocator)
	defer b.Release()
	var value [1]int64
	var def [1]int16
	for range rows {
		n, read, err := c.ReadBatch(1, value[:], def[:], nil)
		switch {
		case err != nil || n != 1:
			return nil, fmt.Errorf("%d of %d rows (%v)", b.Len(), rows, err)
		case read == 0:
			b.AppendNull()
		default:
			b.Append(value[0])
		}
	}
	return b.NewArray(), nil
}
