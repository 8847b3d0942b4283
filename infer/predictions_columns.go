package infer

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/apache/arrow/go/v15/parquet/file"
	"github.com/apache/arrow/go/v15/parquet/pqarrow"
)

// columnReader reads predictions of Arrow files and streams and of Parquet.
type columnReader struct {
	p   *Predictions
	all int // column of all probabilities, or -1
}

func (r *columnReader) read(in input, kind string) error {
	var err error
	switch kind {
	case "arrow":
		err = r.file(in)
	case "stream":
		err = r.stream(in)
	default:
		err = r.parquet(in)
	}
	return err
}

func (r *columnReader) file(in input) error {
	f, err := ipc.NewFileReader(in)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	defer f.Close()
	if err := r.schema(f.Schema(), metadataOf(f.Schema())); err != nil {
		return err
	}
	for i := range f.NumRecords() {
		rec, err := f.RecordAt(i)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrFormat, err)
		}
		err = r.record(rec)
		rec.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *columnReader) stream(in input) error {
	s, err := ipc.NewReader(in)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	defer s.Release()
	if err := r.schema(s.Schema(), metadataOf(s.Schema())); err != nil {
		return err
	}
	return r.records(s)
}

func (r *columnReader) parquet(in input) error {
	f, err := file.NewParquetReader(in)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	defer f.Close()
	t, err := pqarrow.NewFileReader(f, pqarrow.ArrowReadProperties{BatchSize: chunkRows}, memory.DefaultAllocator)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	s, err := t.Schema()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	kv := f.MetaData().KeyValueMetadata()
	said := func(key string) string {
		if v := kv.FindValue(key); v != nil {
			return *v
		}
		return ""
	}
	if err := r.schema(s, said); err != nil {
		return err
	}
	records, err := t.GetRecordReader(context.Background(), nil, nil)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	defer records.Release()
	return r.records(records)
}

func (r *columnReader) records(from array.RecordReader) error {
	for from.Next() {
		if err := r.record(from.Record()); err != nil {
			return err
		}
	}
	if err := from.Err(); err != nil && err != io.EOF { // which Parquet's reader gives at its end
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
	for _, i := range []int{colPredLabel, colPredProb} {
		if _, ok := s.Field(i).Type.(arrow.ListLikeType); !ok {
			return fmt.Errorf("%w: %s is %s", ErrFormat, s.Field(i).Name, s.Field(i).Type)
		}
	}
	r.all = -1
	if at := s.FieldIndices("probabilities"); len(at) == 1 {
		r.all = at[0]
	}
	if err := r.p.said(said(keySpec)); err != nil {
		return err
	}
	if r.p.Classes == nil {
		return fmt.Errorf("%w: no %s in its metadata, which has the model's classes", ErrFormat, keySpec)
	}
	return nil
}

func (r *columnReader) record(rec arrow.Record) error {
	paths, label := rec.Column(colPath).(*array.String), rec.Column(colLabel).(*array.Int64)
	lists, shares := rec.Column(colPredLabel).(array.ListLike), rec.Column(colPredProb).(array.ListLike)
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
