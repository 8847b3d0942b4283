// Package encode writes records of Arrow in the formats that predictions have.
package encode

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/ipc"
)

// Encoder writes records in a format. Only Close makes the output whole.
type Encoder interface {
	Write(arrow.Record) error // a record of New's schema, the caller's again afterwards
	Close() error             // does not close what was written to
}

// New begins to write in a format to w. Lists of no fixed length, and structs, have
// no place in CSV and TSV, and are an error there.
func New(format Format, w io.Writer, schema *arrow.Schema) (Encoder, error) {
	if format.Packing() != "" && format.Text() {
		z, err := format.pack(w)
		if err != nil {
			return nil, err
		}
		out, err := New(format.Plain(), z, schema)
		return &packedEncoder{out, z}, err
	}
	switch format {
	case Arrow:
		out := &place{w: w}
		f, err := ipc.NewFileWriter(out, ipc.WithSchema(schema))
		return &arrowEncoder{f, out}, err
	case Stream:
		return ipc.NewWriter(w, ipc.WithSchema(schema)), nil
	case Parquet:
		return newParquet(w, schema)
	case NDJSON:
		return &jsonEncoder{w: w}, nil
	case CSV:
		return &csvEncoder{w: w, schema: schema, comma: ','}, nil
	case TSV:
		return &csvEncoder{w: w, schema: schema, comma: '\t'}, nil
	}
	return nil, fmt.Errorf("format %q: want one of %s", format, strings.Join(Formats, ", "))
}

// arrowEncoder writes an Arrow file, which can also be read as a stream.
type arrowEncoder struct {
	*ipc.FileWriter
	out *place
}

func (e *arrowEncoder) Close() error {
	if e.out.n == 0 { // no record: the file writer begins only now
		return e.FileWriter.Close()
	}
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

// WriteArrow writes a record as an Arrow file, as figures made of predictions are
// kept.
func WriteArrow(w io.Writer, rec arrow.Record) error {
	out, err := New(Arrow, w, rec.Schema())
	if err != nil {
		return err
	}
	if err := out.Write(rec); err != nil {
		return err
	}
	return out.Close()
}
