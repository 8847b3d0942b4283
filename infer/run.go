package infer

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"synshard/internal/durable"
)

// Keys of the output's schema metadata.
const (
	keyFingerprint = "synshard.fingerprint"
	keySpec        = "synshard.spec"
	keyModel       = "synshard.model"
	keyInput       = "synshard.input"
)

// partRows is how many rows a part of the output has: what is lost at most
// when work is cut short.
const partRows = 2048

// ErrOther marks an output that holds other predictions than those asked for.
var ErrOther = errors.New("holds other predictions")

// Summary is what Run did.
type Summary struct {
	Rows    int  `json:"rows"`
	Failed  int  `json:"failed"` // rows with an error
	Skipped int  `json:"skipped"`
	Already bool `json:"already,omitempty"` // the whole output was there
}

// Fingerprint identifies the predictions: the same model, spec, options and
// input.
func (o *Options) Fingerprint() string {
	b, err := json.Marshal([]any{o.Model, o.Input, o.Spec, o.TopK, o.Embedding, o.Source.Len()})
	if err != nil {
		panic(err) // strings and numbers
	}
	return fmt.Sprintf("%x", sha256.Sum256(b))
}

// Run predicts and writes an Arrow file at path, which has its name only when
// it is whole. Meanwhile parts lie in path.parts; a rerun with the same
// fingerprint takes those that are there. A file of another fingerprint is
// ErrOther.
func Run(ctx context.Context, o Options, path string) (Summary, error) {
	if err := o.check(); err != nil {
		return Summary{}, err
	}
	if done, err := o.already(path); done || err != nil {
		return Summary{Rows: o.Source.Len(), Already: done}, err
	}
	parts := path + ".parts"
	if err := durable.MkdirAll(parts); err != nil {
		return Summary{}, err
	}
	lock, err := durable.TryLock(filepath.Join(parts, ".lock"))
	if err != nil {
		return Summary{}, fmt.Errorf("%s: %w", path, err)
	}
	defer lock.Unlock()
	var sum Summary
	classes := o.classes()
	var names []string
	for from := 0; from < o.Source.Len(); from += partRows {
		to := min(from+partRows, o.Source.Len())
		name := filepath.Join(parts, fmt.Sprintf("part-%06d.arrow", from/partRows))
		names = append(names, name)
		if failed, err := o.partDone(name, to-from); err == nil {
			sum.Rows, sum.Failed, sum.Skipped = sum.Rows+to-from, sum.Failed+failed, sum.Skipped+to-from
			o.OnRow(to - from)
			continue
		}
		rows, err := o.predict(ctx, from, to, classes)
		if err != nil {
			return sum, err
		}
		if err := o.writeFile(name, rows); err != nil {
			return sum, err
		}
		sum.Rows += len(rows)
		sum.Failed += failures(rows)
	}
	if err := o.join(path, names); err != nil {
		return sum, err
	}
	return sum, os.RemoveAll(parts)
}

// Stream predicts and writes an Arrow stream, part by part.
func Stream(ctx context.Context, o Options, w io.Writer) (Summary, error) {
	var sum Summary
	if err := o.check(); err != nil {
		return sum, err
	}
	out := ipc.NewWriter(w, ipc.WithSchema(o.schema()))
	classes := o.classes()
	for from := 0; from < o.Source.Len(); from += partRows {
		rows, err := o.predict(ctx, from, min(from+partRows, o.Source.Len()), classes)
		if err != nil {
			return sum, err
		}
		rec := o.record(rows)
		err = out.Write(rec)
		rec.Release()
		if err != nil {
			return sum, fmt.Errorf("write predictions: %w", err)
		}
		sum.Rows += len(rows)
		sum.Failed += failures(rows)
	}
	if err := out.Close(); err != nil {
		return sum, fmt.Errorf("write predictions: %w", err)
	}
	return sum, nil
}

func failures(rows []prediction) int {
	n := 0
	for i := range rows {
		if rows[i].err != "" {
			n++
		}
	}
	return n
}

func (o *Options) classes() map[string]int64 {
	m := map[string]int64{}
	for i, c := range o.Spec.Classes {
		m[c] = int64(i)
	}
	return m
}

// already says whether path holds these predictions.
func (o *Options) already(path string) (bool, error) {
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	var have string
	err := readFile(path, func(s *arrow.Schema) error {
		md := s.Metadata()
		have, _ = md.GetValue(keyFingerprint)
		return nil
	}, nil)
	if err != nil {
		return false, fmt.Errorf("%s is there and is no file of predictions: %w", path, err)
	}
	if have != o.Fingerprint() {
		return false, fmt.Errorf("%s: %w (another model, input or options); give another name, or remove it", path, ErrOther)
	}
	return true, nil
}

// partDone gives the number of failed rows of a part that is there and holds
// what is wanted.
func (o *Options) partDone(path string, rows int) (int, error) {
	if _, err := os.Stat(path); err != nil {
		return 0, err
	}
	n, failed := 0, 0
	err := readFile(path, func(s *arrow.Schema) error {
		md := s.Metadata()
		if have, _ := md.GetValue(keyFingerprint); have != o.Fingerprint() {
			return ErrOther
		}
		return nil
	}, func(rec arrow.Record) error {
		n += int(rec.NumRows())
		failed += int(rec.NumRows()) - rec.Column(colError).NullN()
		return nil
	})
	if err == nil && n != rows {
		err = ErrOther
	}
	return failed, err
}

// Columns of the output.
const (
	colPath = iota
	colLabel
	colSynset
	colPredLabel
	colPredSynset
	colPredProb
	colError
	colEmbedding
)

func (o *Options) schema() *arrow.Schema {
	k := int32(o.TopK)
	field := func(name string, t arrow.DataType) arrow.Field {
		return arrow.Field{Name: name, Type: t, Nullable: true}
	}
	fields := []arrow.Field{
		field("path", arrow.BinaryTypes.String),
		field("label", arrow.PrimitiveTypes.Int64),
		field("synset", arrow.BinaryTypes.String),
		field("pred_label", arrow.FixedSizeListOf(k, arrow.PrimitiveTypes.Int64)),
		field("pred_synset", arrow.FixedSizeListOf(k, arrow.BinaryTypes.String)),
		field("pred_prob", arrow.FixedSizeListOf(k, arrow.PrimitiveTypes.Float32)),
		field("error", arrow.BinaryTypes.String),
	}
	if o.Embedding {
		fields = append(fields, field("embedding", arrow.ListOf(arrow.PrimitiveTypes.Float32)))
	}
	md := arrow.MetadataFrom(map[string]string{keyFingerprint: o.Fingerprint(), keySpec: o.Spec.JSON(), keyModel: o.Model, keyInput: o.Input})
	return arrow.NewSchema(fields, &md)
}

// record makes a record batch of rows.
func (o *Options) record(rows []prediction) arrow.Record {
	b := array.NewRecordBuilder(memory.DefaultAllocator, o.schema())
	defer b.Release()
	str := func(i int, s string) {
		if f := b.Field(i).(*array.StringBuilder); s == "" {
			f.AppendNull()
		} else {
			f.Append(s)
		}
	}
	for i := range rows {
		p := &rows[i]
		b.Field(colPath).(*array.StringBuilder).Append(p.path)
		if label := b.Field(colLabel).(*array.Int64Builder); p.label < 0 {
			label.AppendNull()
		} else {
			label.Append(p.label)
		}
		str(colSynset, p.synset)
		str(colError, p.err)
		o.appendTop(b, p)
		if o.Embedding {
			list := b.Field(colEmbedding).(*array.ListBuilder)
			list.Append(p.embedding != nil)
			list.ValueBuilder().(*array.Float32Builder).AppendValues(p.embedding, nil)
		}
	}
	return b.NewRecord()
}

func (o *Options) appendTop(b *array.RecordBuilder, p *prediction) {
	labels, synsets, probs := b.Field(colPredLabel).(*array.FixedSizeListBuilder), b.Field(colPredSynset).(*array.FixedSizeListBuilder), b.Field(colPredProb).(*array.FixedSizeListBuilder)
	ok := p.top != nil
	for _, l := range []*array.FixedSizeListBuilder{labels, synsets, probs} {
		l.Append(ok)
	}
	for i := range o.TopK {
		if !ok {
			labels.ValueBuilder().AppendNull()
			synsets.ValueBuilder().AppendNull()
			probs.ValueBuilder().AppendNull()
			continue
		}
		labels.ValueBuilder().(*array.Int64Builder).Append(int64(p.top[i]))
		synsets.ValueBuilder().(*array.StringBuilder).Append(o.Spec.Classes[p.top[i]])
		probs.ValueBuilder().(*array.Float32Builder).Append(p.prob[i])
	}
}

// arrowFile writes records to a file that is whole or absent.
func (o *Options) arrowFile(path string, each func(write func(arrow.Record) error) error) error {
	f, err := durable.Create(path)
	if err != nil {
		return err
	}
	out := &place{w: f}
	w, err := ipc.NewFileWriter(out, ipc.WithSchema(o.schema()))
	if err == nil {
		err = each(w.Write)
	}
	if err == nil {
		// The end of the stream, which the file writer leaves out.
		_, err = out.Write([]byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0})
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		f.Abort()
		return fmt.Errorf("write %s: %w", path, err)
	}
	return f.Commit()
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

func (o *Options) writeFile(path string, rows []prediction) error {
	return o.arrowFile(path, func(write func(arrow.Record) error) error {
		rec := o.record(rows)
		defer rec.Release()
		return write(rec)
	})
}

// join makes the output of the parts, in order.
func (o *Options) join(path string, parts []string) error {
	return o.arrowFile(path, func(write func(arrow.Record) error) error {
		if len(parts) == 0 {
			rec := o.record(nil)
			defer rec.Release()
			return write(rec)
		}
		for _, p := range parts {
			if err := readFile(p, nil, write); err != nil {
				return fmt.Errorf("part %s: %w", p, err)
			}
		}
		return nil
	})
}

// ErrFormat marks a file that is not one of predictions.
var ErrFormat = errors.New("not a file of predictions")

// readFile calls f with every record of an Arrow file. Panics of the reader,
// which damage can cause, become errors.
func readFile(path string, schema func(*arrow.Schema) error, f func(arrow.Record) error) (err error) {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", ErrFormat, p)
		}
	}()
	r, err := ipc.NewFileReader(file)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	defer r.Close()
	if schema != nil {
		if err := schema(r.Schema()); err != nil {
			return err
		}
	}
	for i := 0; f != nil && i < r.NumRecords(); i++ {
		rec, err := r.RecordAt(i)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrFormat, err)
		}
		err = f(rec)
		rec.Release()
		if err != nil {
			return err
		}
	}
	return nil
}
