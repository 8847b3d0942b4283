package prediction

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/compress"
	"github.com/apache/arrow/go/v15/parquet/pqarrow"
)

// Formats are the forms of output: an Arrow file, an Arrow stream, Parquet,
// JSON a line, and comma-separated values with a head.
var Formats = []string{"arrow", "stream", "parquet", "ndjson", "csv"}

// FormatOf gives the format a file name ends in, arrow where it says nothing;
// "-" is stdout, which takes a stream.
func FormatOf(name string) string {
	switch ext := strings.ToLower(filepath.Ext(name)); {
	case name == "-" || ext == ".arrows":
		return "stream"
	case ext == ".parquet" || ext == ".pq":
		return "parquet"
	case ext == ".ndjson" || ext == ".jsonl":
		return "ndjson"
	case ext == ".csv":
		return "csv"
	}
	return "arrow"
}

// encoder writes records in a format. Only Close makes the output whole.
type Encoder interface {
	Write(arrow.Record) error
	Close() error
}

func NewEncoder(format string, w io.Writer, schema *arrow.Schema) (Encoder, error) {
	switch format {
	case "arrow":
		out := &place{w: w}
		f, err := ipc.NewFileWriter(out, ipc.WithSchema(schema))
		return &arrowEncoder{f, out}, err
	case "stream":
		return ipc.NewWriter(w, ipc.WithSchema(schema)), nil
	case "parquet":
		return newParquet(w, schema)
	case "ndjson":
		return &jsonEncoder{w: w}, nil
	case "csv":
		return &csvEncoder{w: w, schema: schema}, nil
	}
	return nil, fmt.Errorf("format %q: want one of %s", format, strings.Join(Formats, ", "))
}

// arrowEncoder writes an Arrow file, which can also be read as a stream.
type arrowEncoder struct {
	*ipc.FileWriter
	out *place
}

func (e *arrowEncoder) Close() error {
	// The end of the stream, which the file writer leaves out.
	if _, err := e.out.Write([]byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}); err != nil {
		return err
	}
	return e.FileWriter.Close()
}

// place is a writer that knows where it is, which the file writer asks.
type place struct {
	w io.Writer
	n int64
}

func (p *place) Write(b []byte) (int, error) {
	n, err := p.w.Write(b)
	p.n += int64(n)
	return n, err
}

func (p *place) Seek(offset int64, whence int) (int64, error) {
	if offset != 0 || whence != io.SeekCurrent {
		return 0, errors.New("seek in a file that is written from front to back")
	}
	return p.n, nil
}

// parquetEncoder writes Parquet, a row group a record. The writer beneath
// panics, or is silent, where its output cannot be written: the first error is
// kept and given instead.
type parquetEncoder struct {
	w   *pqarrow.FileWriter
	out *sticky
}

// sticky is a writer that keeps its first error and cannot be closed.
type sticky struct {
	w   io.Writer
	err error
}

func (s *sticky) Write(b []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.w.Write(b)
	s.err = err
	return n, err
}

func newParquet(w io.Writer, schema *arrow.Schema) (Encoder, error) {
	schema = ragged(schema)
	e := &parquetEncoder{out: &sticky{w: w}}
	props := parquet.NewWriterProperties(parquet.WithCompression(compress.Codecs.Zstd), parquet.WithDictionaryDefault(false))
	err := e.guard(func() (err error) {
		e.w, err = pqarrow.NewFileWriter(schema, e.out, props, pqarrow.NewArrowWriterProperties(pqarrow.WithStoreSchema()))
		return err
	})
	return e, err
}

func (e *parquetEncoder) Write(rec arrow.Record) error {
	return e.guard(func() error {
		rec, err := raggedRecord(ragged(rec.Schema()), rec)
		if err != nil {
			return err
		}
		defer rec.Release()
		return e.w.Write(rec)
	})
}

func (e *parquetEncoder) Close() error { return e.guard(e.w.Close) }

func (e *parquetEncoder) guard(f func() error) (err error) {
	defer func() {
		p := recover()
		switch {
		case e.out.err != nil:
			err = e.out.err
		case p != nil:
			err = fmt.Errorf("parquet: %v", p)
		}
	}()
	return f()
}

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
		return strconv.FormatFloat(float64(a.Value(i).Float32()), 'g', 5, 32), nil
	case *array.Boolean:
		return strconv.FormatBool(a.Value(i)), nil
	}
	return "", fmt.Errorf("%s cannot be written as text", a.DataType())
}
