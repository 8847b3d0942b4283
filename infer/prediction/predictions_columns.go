package prediction

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"

	"github.com/synshard/synshard/shard"
)

// columnReader reads predictions in columns: of Arrow files and streams, and of
// Parquet (predictions_parquet.go).
type columnReader struct {
	p   *Predictions
	all int // column of all probabilities, or -1
}

// read reads one kind of input. Damage, panics of the readers too, is ErrFormat.
func (r *columnReader) read(in input, kind string) error {
	err := Guarded(func() error {
		if kind == "parquet" {
			return r.parquet(in)
		}
		return r.arrow(in, kind)
	})
	if errors.Is(err, shard.ErrCorrupt) {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return err
}

// arrow reads a file or a stream: the messages are found and checked first, so
// that no damaged length is taken at its word.
func (r *columnReader) arrow(in input, kind string) error {
	size, err := in.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	w := Walker{R: in, Size: size}
	if err := w.Walk(); err != nil {
		return err
	}
	if kind == "stream" && !w.Ended || kind == "arrow" && !endsWith(in, size, "ARROW1") {
		return fmt.Errorf("%w: it is cut short", ErrFormat)
	}
	head, err := ipc.NewReader(bytes.NewReader(w.Head), ipc.WithAllocator(Bounded(size)))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	defer head.Release()
	if err := r.schema(head.Schema(), metadataOf(head.Schema())); err != nil {
		return err
	}
	for _, b := range w.Batches {
		if err := r.batch(io.MultiReader(bytes.NewReader(w.Head), io.NewSectionReader(in, b.At, b.Size)), size); err != nil {
			return err
		}
	}
	return nil
}

func endsWith(in io.ReaderAt, size int64, magic string) bool {
	end := make([]byte, len(magic))
	_, err := in.ReadAt(end, size-int64(len(magic)))
	return err == nil && string(end) == magic
}

// batch reads the one record of a stream.
func (r *columnReader) batch(in io.Reader, size int64) error {
	s, err := ipc.NewReader(in, ipc.WithAllocator(Bounded(size)))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	defer s.Release()
	for s.Next() {
		if err := r.record(s.Record()); err != nil {
			return err
		}
	}
	if err := s.Err(); err != nil && err != io.EOF {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return nil
}

func metadataOf(s *arrow.Schema) func(string) string {
	md := s.Metadata()
	return func(key string) string { v, _ := md.GetValue(key); return v }
}

func (r *columnReader) schema(s *arrow.Schema, said func(string) string) error {
	for i, name := range []string{"path", "label", "synset", "pred_label", "pred_synset", "pred_prob", "error"} {
		if i >= len(s.Fields()) || s.Field(i).Name != name {
			return fmt.Errorf("%w: column %d is not %s", ErrFormat, i, name)
		}
	}
	for _, i := range []int{ColPredLabel, ColPredProb} {
		if _, ok := s.Field(i).Type.(arrow.ListLikeType); !ok {
			return fmt.Errorf("%w: %s is %s", ErrFormat, s.Field(i).Name, s.Field(i).Type)
		}
	}
	r.all = -1
	if at := s.FieldIndices("probabilities"); len(at) == 1 {
		r.all = at[0]
	}
	if err := r.p.said(said(KeySpec)); err != nil {
		return err
	}
	if r.p.Classes == nil {
		return fmt.Errorf("%w: no %s in its metadata, which has the model's classes", ErrFormat, KeySpec)
	}
	return nil
}

func (r *columnReader) record(rec arrow.Record) error {
	paths, label := rec.Column(ColPath).(*array.String), rec.Column(ColLabel).(*array.Int64)
	lists, shares := rec.Column(ColPredLabel).(array.ListLike), rec.Column(ColPredProb).(array.ListLike)
	tops, probs := lists.ListValues().(*array.Int64).Int64Values(), shares.ListValues().(*array.Float32).Float32Values()
	for i := range int(rec.NumRows()) {
		row := predicted{path: strings.Clone(paths.Value(i)), label: -1}
		if label.IsValid(i) {
			row.label = label.Value(i)
		}
		if lists.IsValid(i) {
			from, to := lists.ValueOffsets(i)
			row.labels = tops[from:to]
			from, to = shares.ValueOffsets(i)
			row.probs = probs[from:to]
		}
		if err := r.p.add(row); err != nil {
			return err
		}
	}
	return r.probabilities(rec)
}

// probabilities keeps those of every class; a row that failed has zeros.
func (r *columnReader) probabilities(rec arrow.Record) error {
	if r.all < 0 {
		return nil
	}
	lists, c := rec.Column(r.all).(array.ListLike), len(r.p.Classes)
	values := lists.ListValues().(*array.Float32).Float32Values()
	for i := range int(rec.NumRows()) {
		from, to := lists.ValueOffsets(i)
		switch {
		case lists.IsNull(i):
			r.p.All = append(r.p.All, make([]float32, c)...)
		case int(to-from) != c:
			return fmt.Errorf("%w: %d probabilities of %d classes", ErrFormat, to-from, c)
		default:
			r.p.All = append(r.p.All, values[from:to]...)
		}
	}
	return nil
}
