package encode

import (
	"encoding/csv"
	"fmt"
	"io"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
)

// csvEncoder writes a head and a line a row (RFC 4180, LF). A list becomes a
// column for each of its places: pred_synset_1, the most probable, to
// pred_synset_k, and embedding_0 on, by the place in the list. Null is empty.
type csvEncoder struct {
	w      io.Writer
	schema *arrow.Schema
	comma  rune
	begun  bool
}

func (e *csvEncoder) writer() *csv.Writer {
	w := csv.NewWriter(e.w)
	w.Comma = e.comma
	return w
}

func (e *csvEncoder) head() ([]string, error) {
	var names []string
	for _, f := range e.schema.Fields() {
		switch t := f.Type.(type) {
		case *arrow.FixedSizeListType:
			first := 0
			if strings.HasPrefix(f.Name, "pred_") {
				first = 1
			}
			for i := range int(t.Len()) {
				names = append(names, fmt.Sprintf("%s_%d", f.Name, first+i))
			}
		case *arrow.ListType, *arrow.StructType:
			return nil, fmt.Errorf("column %s: %s has no place in CSV", f.Name, t)
		default:
			names = append(names, f.Name)
		}
	}
	return names, nil
}

func (e *csvEncoder) begin(w *csv.Writer) error {
	if e.begun {
		return nil
	}
	e.begun = true
	names, err := e.head()
	if err != nil {
		return err
	}
	return w.Write(names)
}

func (e *csvEncoder) Write(rec arrow.Record) error {
	w := e.writer()
	if err := e.begin(w); err != nil {
		return err
	}
	var line []string
	for i := range int(rec.NumRows()) {
		line = line[:0]
		for j, col := range rec.Columns() {
			list, isList := col.(*array.FixedSizeList)
			if !isList {
				text, err := cell(col, i)
				if err != nil {
					return fmt.Errorf("column %s: %w", rec.ColumnName(j), err)
				}
				line = append(line, text)
				continue
			}
			from, to := list.ValueOffsets(i)
			for k := from; k < to; k++ {
				text, err := "", error(nil)
				if col.IsValid(i) {
					text, err = cell(list.ListValues(), int(k))
				}
				if err != nil {
					return fmt.Errorf("column %s: %w", rec.ColumnName(j), err)
				}
				line = append(line, text)
			}
		}
		if err := w.Write(line); err != nil {
			return err
		}
	}
	w.Flush()
	return w.Error()
}

func cell(a arrow.Array, i int) (string, error) {
	if a.IsNull(i) {
		return "", nil
	}
	return scalar(a, i)
}

func (e *csvEncoder) Close() error {
	w := e.writer()
	if err := e.begin(w); err != nil {
		return err
	}
	w.Flush()
	return w.Error()
}
