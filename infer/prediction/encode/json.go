package encode

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strconv"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
)

// jsonEncoder writes an object a row. Floats have the digits that tell them
// from their neighbours; what is no number is null.
type jsonEncoder struct{ w io.Writer }

func (e *jsonEncoder) Close() error { return nil }

func (e *jsonEncoder) Write(rec arrow.Record) error {
	w := bufio.NewWriterSize(e.w, 1<<16)
	var line []byte
	for i := range int(rec.NumRows()) {
		line = append(line[:0], '{')
		for j, f := range rec.Schema().Fields() {
			if j > 0 {
				line = append(line, ',')
			}
			name, err := json.Marshal(f.Name)
			if err != nil {
				return err
			}
			line = append(append(line, name...), ':')
			if line, err = appendJSON(line, rec.Column(j), i); err != nil {
				return fmt.Errorf("column %s: %w", f.Name, err)
			}
		}
		line = append(line, '}', '\n')
		if _, err := w.Write(line); err != nil {
			return err
		}
	}
	return w.Flush()
}

func appendJSON(b []byte, a arrow.Array, i int) ([]byte, error) {
	if a.IsNull(i) {
		return append(b, "null"...), nil
	}
	if list, ok := a.(array.ListLike); ok {
		from, to := list.ValueOffsets(i)
		b = append(b, '[')
		for j := from; j < to; j++ {
			if j > from {
				b = append(b, ',')
			}
			var err error
			if b, err = appendJSON(b, list.ListValues(), int(j)); err != nil {
				return nil, err
			}
		}
		return append(b, ']'), nil
	}
	if s, ok := a.(*array.String); ok {
		text, err := json.Marshal(s.Value(i))
		return append(b, text...), err
	}
	text, err := scalar(a, i)
	if text == "NaN" || text == "+Inf" || text == "-Inf" {
		text = "null"
	}
	return append(b, text...), err
}

// scalar is a value as text.
func scalar(a arrow.Array, i int) (string, error) {
	switch a := a.(type) {
	case *array.String:
		return a.Value(i), nil
	case *array.Int64:
		return strconv.FormatInt(a.Value(i), 10), nil
	case *array.Int32:
		return strconv.Itoa(int(a.Value(i))), nil
	case *array.Float32:
		return strconv.FormatFloat(float64(a.Value(i)), 'g', -1, 32), nil
	case *array.Float64:
		return strconv.FormatFloat(a.Value(i), 'g', -1, 64), nil
	case *array.Float16:
		return strconv.FormatFloat(float64(FromHalf(a.Value(i).Uint16())), 'g', 5, 32), nil
	case *array.Boolean:
		return strconv.FormatBool(a.Value(i)), nil
	}
	return "", fmt.Errorf("%s cannot be written as text", a.DataType())
}
