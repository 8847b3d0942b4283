package arrowipc

import (
	"errors"
	"fmt"
	"math/bits"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
)

// Record reads record batch i: the columns of the schema of these numbers, in
// this order, or all where columns is nil. Its memory is Go's: it need not be
// released.
func (f *File) Record(i int, columns []int) (arrow.Record, error) { return f.RecordIn(nil, i, columns) }

// RecordIn is Record into a buffer that is used again: *buf grows as it must,
// and the record is good until the next call with it.
func (f *File) RecordIn(buf *[]byte, i int, columns []int) (rec arrow.Record, err error) {
	if i < 0 || i >= len(f.batches) {
		return nil, fmt.Errorf("record batch %d of %d", i, len(f.batches))
	}
	if columns == nil {
		columns = make([]int, len(f.fields))
		for k := range columns {
			columns[k] = k
		}
	}
	b := f.batches[i]
	err = guard(func() error {
		d, err := f.decoder(b, headBatch, i, buf)
		if err != nil {
			return err
		}
		if rows := d.head.i64(0); rows != b.Rows {
			return corruptf("%d rows where there were %d", rows, b.Rows)
		}
		rec, err = f.record(d, int(b.Rows), columns)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("record batch %d: %w", i, err)
	}
	return rec, nil
}

// decoder reads head and body of a batch or of a dictionary.
func (f *File) decoder(b Batch, kind byte, number int, buf *[]byte) (*decoder, error) {
	d, err := f.head(b, kind, number)
	if err == nil {
		d.body, err = f.bytes(b.Body, b.Size, buf)
	}
	return d, err
}

// head reads the head of a batch or of a dictionary.
func (f *File) head(b Batch, kind byte, number int) (*decoder, error) {
	m, err := f.message(b.At, b.Body)
	if err != nil {
		return nil, err
	}
	head, ok := m.head, m.kind == kind && m.body == b.Size
	if ok && kind == headDictionary {
		head, ok = m.head.sub(1)
	}
	if !ok {
		return nil, corruptf("the message at %d is not a %s of %d bytes", b.At, headNames[kind], b.Size)
	}
	return newDecoder(f, head, b, number)
}

func (f *File) record(d *decoder, rows int, columns []int) (arrow.Record, error) {
	wanted := make(map[int]arrow.Array, len(columns))
	for _, k := range columns {
		wanted[k] = nil
	}
	for k := range f.fields {
		var err error
		if _, ok := wanted[k]; !ok {
			err = d.skip(&f.fields[k])
		} else {
			var data *array.Data
			if data, err = d.column(&f.fields[k], rows); err == nil {
				wanted[k] = array.MakeFromData(data)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", f.fields[k].Name, err)
		}
	}
	fields, arrays := make([]arrow.Field, len(columns)), make([]arrow.Array, len(columns))
	for i, k := range columns {
		fields[i], arrays[i] = f.fields[k].Field, wanted[k]
	}
	md := f.schema.Metadata()
	return array.NewRecord(arrow.NewSchema(fields, &md), arrays, int64(rows)), nil
}

// Leaf reads one column of record batch i, and no bytes of others: the labels of
// a file of images, say. The column is named by its number and those of the
// children below it. valid says whether a row of the columns that it lies in is there.
func (f *File) Leaf(i int, path ...int) (leaf arrow.Array, valid func(row int) bool, err error) {
	if i < 0 || i >= len(f.batches) {
		return nil, nil, fmt.Errorf("record batch %d of %d", i, len(f.batches))
	}
	b := f.batches[i]
	valid = func(int) bool { return true }
	err = guard(func() error {
		d, err := f.head(b, headBatch, i)
		if err != nil {
			return err
		}
		fields := f.fields
		for depth, k := range path {
			if k < 0 || k >= len(fields) {
				return fmt.Errorf("no column %v", path)
			}
			for j := range k {
				if err := d.skip(&fields[j]); err != nil {
					return err
				}
			}
			if depth == len(path)-1 {
				data, err := d.column(&fields[k], int(b.Rows))
				if err == nil {
					leaf = array.MakeFromData(data)
				}
				return err
			}
			if fields[k].layout != layoutStruct {
				return fmt.Errorf("column %v is not a struct", path[:depth+1])
			}
			rows, nulls, err := d.node()
			if err == nil && rows != b.Rows {
				err = corruptf("%d rows, want %d", rows, b.Rows)
			}
			c := column{d: d, f: &fields[k], rows: int(b.Rows)}
			if err == nil {
				err = c.validity(nulls)
			}
			if err != nil {
				return err
			}
			if bits, above := c.buffers[0], valid; bits != nil {
				valid = func(row int) bool { return above(row) && bits.Bytes()[row/8]&(1<<(row%8)) != 0 }
			}
			fields = fields[k].kids
		}
		return errors.New("a column that is not of numbers")
	})
	if err != nil {
		return nil, nil, fmt.Errorf("record batch %d: %w", i, err)
	}
	return leaf, valid, nil
}

// DataAt is the place in the file at which the values of a column of record
// batch i begin: of text and bytes the bytes. The column is named by its number
// and those of the children below it. Compressed batches have no such place.
func (f *File) DataAt(i int, path ...int) (int64, error) {
	b := f.batches[i]
	m, err := f.message(b.At, b.Body)
	if err != nil {
		return 0, err
	}
	d, err := newDecoder(f, m.head, b, i)
	if err != nil {
		return 0, err
	}
	if d.unpack != nil {
		return 0, unsupportedf("places in a compressed record batch")
	}
	fields := f.fields
	var at int64
	for depth, k := range path {
		if k >= len(fields) {
			return 0, fmt.Errorf("no column %v", path)
		}
		for j := range k {
			if err := d.skip(&fields[j]); err != nil {
				return 0, err
			}
		}
		if _, _, err := d.node(); err != nil {
			return 0, err
		}
		n, err := d.count(&fields[k])
		for range n {
			if err == nil {
				at, _, err = d.place(b.Size)
			}
		}
		if err != nil {
			return 0, err
		}
		if depth < len(path)-1 {
			fields = fields[k].kids
		}
	}
	return b.Body + at, nil
}

// Vectors are where the rows of a column of fixed-size lists of numbers lie in the file,
// one behind the other.
type Vectors struct {
	At    int64 // of the first row
	Bytes int   // of a row
	valid []byte
}

// Valid says that a row of the batch is no null.
func (v *Vectors) Valid(row int) bool { return v.valid == nil || v.valid[row/8]&(1<<(row%8)) != 0 }

// Vectors finds the rows of a column of record batch i, so that some can be read without the
// others. ErrUnsupported: the column is of another type or has nulls within rows, or the batch is
// compressed, and Leaf reads it if anything does.
func (f *File) Vectors(i, column int) (v Vectors, err error) {
	b := f.batches[i]
	err = guard(func() error {
		d, err := f.head(b, headBatch, i)
		if err != nil {
			return err
		}
		for j := range column {
			if err := d.skip(&f.fields[j]); err != nil {
				return err
			}
		}
		v, err = d.vectors(&f.fields[column], int(b.Rows))
		return err
	})
	if err != nil {
		return v, fmt.Errorf("record batch %d: %w", i, err)
	}
	return v, nil
}

// dictionary is the values of a dictionary that came in one message.
type dictionary struct {
	place  Batch
	delta  bool // they follow those that were there
	before int  // number of the record batch before which it came: they hold from there on
	data   *array.Data
}

// maxDictionaries bounds how deep dictionaries of dictionaries may lie.
const maxDictionaries = 8

// dictionary gives the values that a column's numbers stand for in a batch.
func (f *File) dictionary(c *field, batch, depth int) (*array.Data, error) {
	f.mu.Lock()
	var list []*dictionary
	for _, d := range f.dictionaries[c.dictionary] {
		if d.before > batch {
			break
		}
		if !d.delta {
			list = list[:0]
		}
		list = append(list, d)
	}
	f.mu.Unlock()
	if depth >= maxDictionaries {
		return nil, corruptf("dictionaries of dictionaries")
	}
	var parts []arrow.Array
	for _, d := range list {
		data, err := f.dictionaryPart(d, c.values, batch, depth)
		if err != nil {
			return nil, fmt.Errorf("dictionary %d: %w", c.dictionary, err)
		}
		parts = append(parts, array.MakeFromData(data))
	}
	switch len(parts) {
	case 0: // no batch may need it: all its rows may be null
		none := array.MakeArrayOfNull(memory.DefaultAllocator, c.values.Type, 0)
		return none.Data().(*array.Data), nil
	case 1:
		return parts[0].Data().(*array.Data), nil
	}
	whole, err := array.Concatenate(parts, memory.DefaultAllocator)
	if err != nil {
		return nil, corruptf("dictionary %d: %v", c.dictionary, err)
	}
	return whole.Data().(*array.Data), nil
}

// dictionaryPart reads the values of one message, once.
func (f *File) dictionaryPart(d *dictionary, values *field, batch, depth int) (*array.Data, error) {
	f.mu.Lock()
	data := d.data
	f.mu.Unlock()
	if data != nil && arrow.TypeEqual(data.DataType(), values.Type) {
		return data, nil
	}
	in, err := f.decoder(d.place, headDictionary, batch, nil)
	if err != nil {
		return nil, err
	}
	in.depth = depth + 1
	if data, err = in.column(values, -1); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	d.data = data
	return data, nil
}

// ones counts the bits that are set among the first n.
func ones(b []byte, n int) (count int) {
	for _, v := range b[:n/8] {
		count += bits.OnesCount8(v)
	}
	if n%8 != 0 {
		count += bits.OnesCount8(b[n/8] & (1<<(n%8) - 1))
	}
	return count
}
