package shard

import (
	"fmt"
	"path/filepath"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
)

// WriteClasses writes the class table and gives its sha256, in hex.
func WriteClasses(dir string, classes []Class) (string, error) {
	path := filepath.Join(dir, ClassesName)
	b := array.NewRecordBuilder(memory.DefaultAllocator, plainSchema("classes", classFields))
	defer b.Release()
	strings := func(i int, values []string) {
		list := b.Field(i).(*array.ListBuilder)
		list.Append(true)
		for _, v := range values {
			list.ValueBuilder().(*array.StringBuilder).Append(v)
		}
	}
	for _, c := range classes {
		b.Field(0).(*array.Int64Builder).Append(int64(c.Label))
		b.Field(1).(*array.StringBuilder).Append(c.Synset)
		number(b.Field(2).(*array.Int32Builder), c.ILSVRC2012ID)
		strings(3, c.Words)
		b.Field(4).(*array.StringBuilder).Append(c.Gloss)
		strings(5, c.Path)
	}
	rec := b.NewRecord()
	defer rec.Release()
	out, err := createArrow(path, rec.Schema(), nil)
	if err == nil {
		if err = out.write(rec); err == nil {
			err = out.commit(rec.Schema(), 1)
		} else {
			out.f.Abort()
		}
	}
	if err != nil {
		return "", fmt.Errorf("write classes: %w", err)
	}
	return fileSHA256(path)
}

func readClasses(dir, sum string) ([]Class, error) {
	path := filepath.Join(dir, ClassesName)
	b, err := readChecked(path, sum)
	if err != nil {
		return nil, err
	}
	strings := func(a arrow.Array, i int) []string {
		list := a.(*array.List)
		values := list.ListValues().(*array.String)
		from, to := list.ValueOffsets(i)
		var out []string
		for j := int(from); j < int(to); j++ {
			out = append(out, string([]byte(values.Value(j))))
		}
		return out
	}
	var classes []Class
	err = eachRecord(b, classFields, func(rec arrow.Record) error {
		for i := range int(rec.NumRows()) {
			c := Class{
				Label: int(rec.Column(0).(*array.Int64).Value(i)), Synset: string([]byte(rec.Column(1).(*array.String).Value(i))),
				Words: strings(rec.Column(3), i), Gloss: string([]byte(rec.Column(4).(*array.String).Value(i))), Path: strings(rec.Column(5), i),
			}
			if id := rec.Column(2).(*array.Int32); !id.IsNull(i) {
				c.ILSVRC2012ID = id.Value(i)
			}
			if c.Label != len(classes) || c.Label > 0 && c.Synset <= classes[c.Label-1].Synset {
				return corruptf("class %d (%s) is out of order", c.Label, c.Synset)
			}
			classes = append(classes, c)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return classes, nil
}
