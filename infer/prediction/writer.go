package prediction

import (
	"fmt"
	"io"

	"github.com/synshard/synshard/infer/prediction/encode"
)

// Writer writes predictions to what has no name, such as a pipe: without sums
// of the columns, which stand before them and are known only after them.
type Writer struct {
	md     metadata
	layout layout
	out    encode.Encoder
}

// NewWriter begins to write in a format.
func NewWriter(w io.Writer, f Format, h Header, c Columns) (*Writer, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	out := &Writer{md: h.metadata().sealed(nil), layout: newLayout(c, h.Spec.Classes)}
	var err error
	out.out, err = encode.New(f, w, out.layout.schema(out.md))
	return out, err
}

// Write writes rows as one record.
func (w *Writer) Write(rows []Row) error {
	rec, err := w.layout.record(w.md, rows)
	if err != nil {
		return err
	}
	defer rec.Release()
	if err := w.out.Write(rec); err != nil {
		return fmt.Errorf("write predictions: %w", err)
	}
	return nil
}

// Close makes what was written whole.
func (w *Writer) Close() error {
	if err := w.out.Close(); err != nil {
		return fmt.Errorf("write predictions: %w", err)
	}
	return nil
}
