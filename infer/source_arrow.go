package infer

import (
	"bytes"
	"fmt"
	"io"
	"os"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/ipc"

	"github.com/synshard/synshard/shard"
)

// openArrow opens an Arrow file or stream: between its marks a file is a
// stream. A group of rows is a record batch; where each lies is found by going
// from message to message, and a batch is read as the stream of the schema and
// itself.
func openArrow(p string, o *OpenOptions) (source, error) {
	f, err := os.Open(p)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	w := Walker{R: f, Size: info.Size()}
	c := &columns{name: p, known: o.Known, names: map[int]*names{}, close: f.Close}
	err = Guarded(func() error {
		if err := w.Walk(); err != nil {
			return err
		}
		for _, b := range w.Batches {
			c.starts = append(c.starts, c.n)
			c.n += int(b.Rows)
		}
		r, err := ipc.NewReader(bytes.NewReader(w.Head), ipc.WithAllocator(Bounded(w.Size)))
		if err != nil {
			return fmt.Errorf("%w: schema: %w", shard.ErrCorrupt, err)
		}
		defer r.Release()
		if text, ok := r.Schema().Metadata().GetValue("huggingface"); ok {
			c.labels = labelNames(text)
		}
		return hasImages(r.Schema())
	})
	if err != nil {
		f.Close()
		return nil, err
	}
	c.load = func(g int) (records []arrow.Record, err error) {
		err = Guarded(func() error {
			b := w.Batches[g]
			in := io.MultiReader(bytes.NewReader(w.Head), io.NewSectionReader(f, b.At, b.Size))
			r, err := ipc.NewReader(in, ipc.WithAllocator(Bounded(w.Size)))
			if err != nil {
				return fmt.Errorf("%w: record batch %d: %w", shard.ErrCorrupt, g, err)
			}
			defer r.Release()
			if r.Next() {
				rec := r.Record()
				rec.Retain()
				records = append(records, rec)
			}
			if err := r.Err(); err != nil && err != io.EOF {
				return fmt.Errorf("%w: record batch %d: %w", shard.ErrCorrupt, g, err)
			}
			return nil
		})
		return records, err
	}
	return c, nil
}

func hasImages(s *arrow.Schema) error {
	for _, name := range []string{"image", "bytes", "image_bytes", "jpg", "jpeg"} {
		if len(s.FieldIndices(name)) == 1 {
			return nil
		}
	}
	return errNoImages
}
