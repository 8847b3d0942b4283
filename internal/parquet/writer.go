package parquet

import (
	"bytes"
	"fmt"
	"io"

	ours "github.com/apache/arrow/go/v15/arrow"
	oursipc "github.com/apache/arrow/go/v15/arrow/ipc"

	"github.com/apache/arrow-go/v18/arrow/ipc"
	arrow "github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
)

// WriterOptions say how columns are stored.
type WriterOptions struct {
	Zstd  bool // pages are packed by it; else not at all
	Stats bool // smallest and greatest values of each column
}

// Writer writes records of Arrow as Parquet, a row group a record, without
// dictionaries; the schema stands in the metadata, as Arrow's readers want it.
//
// Two versions of Arrow's Parquet packages cannot be linked into one
// program, so that whoever writes Parquet writes it here, where it is read; records
// of the other version come through Arrow's own format.
type Writer struct {
	schema *ours.Schema
	out    *pqarrow.FileWriter
	sink   *sink
}

// sink is a writer that keeps its first error and cannot be closed: what is
// beneath panics, or is silent, where its output cannot be written.
type sink struct {
	w   io.Writer
	err error
}

func (s *sink) Write(b []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.w.Write(b)
	s.err = err
	return n, err
}

// NewWriter begins a file of a schema. w is not closed.
func NewWriter(w io.Writer, schema *ours.Schema, o WriterOptions) (*Writer, error) {
	out := &Writer{schema: schema, sink: &sink{w: w}}
	props := []arrow.WriterProperty{arrow.WithDictionaryDefault(false), arrow.WithStats(o.Stats), arrow.WithCreatedBy("synshard")}
	if o.Zstd {
		props = append(props, arrow.WithCompression(compress.Codecs.Zstd))
	}
	err := out.guard(func() error {
		r, err := translate(schema)
		if err != nil {
			return err
		}
		defer r.Release()
		out.out, err = pqarrow.NewFileWriter(r.Schema(), out.sink, arrow.NewWriterProperties(props...), pqarrow.NewArrowWriterProperties(pqarrow.WithStoreSchema()))
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Write writes a record as one row group; one without rows is nothing.
func (w *Writer) Write(rec ours.Record) error {
	if rec.NumRows() == 0 {
		return nil
	}
	return w.guard(func() error {
		r, err := translate(w.schema, rec)
		if err != nil {
			return err
		}
		defer r.Release()
		if !r.Next() {
			return fmt.Errorf("translate a record: %w", r.Err())
		}
		return w.out.Write(r.RecordBatch())
	})
}

// Close makes the file whole.
func (w *Writer) Close() error { return w.guard(w.out.Close) }

// translate takes a schema and records of it to the other version of Arrow.
func translate(schema *ours.Schema, records ...ours.Record) (*ipc.Reader, error) {
	var b bytes.Buffer
	out := oursipc.NewWriter(&b, oursipc.WithSchema(schema))
	for _, rec := range records {
		if err := out.Write(rec); err != nil {
			return nil, err
		}
	}
	if err := out.Close(); err != nil {
		return nil, err
	}
	return ipc.NewReader(&b)
}

// guard gives the output's own error where there is one, and makes a panic
// one.
func (w *Writer) guard(f func() error) (err error) {
	defer func() {
		p := recover()
		switch {
		case w.sink.err != nil:
			err = w.sink.err
		case p != nil:
			err = fmt.Errorf("write parquet: %v", p)
		}
	}()
	return f()
}
