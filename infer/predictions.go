package infer

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"

	"synshard/model"
)

// Predictions are what infer wrote, read back for measuring.
type Predictions struct {
	Classes []string // the model's, in label order
	K       int      // predictions kept of each row
	Paths   []string
	Truth   []int32 // class, or -1: not known, or none of the model's
	Failed  []bool  // the picture could not be read; its predictions are -1
	Top     []int32 // [rows, K] classes, most probable first
	Prob    []float32
	All     []float32 // [rows, classes] probabilities, if the file has them
}

// Len counts the rows.
func (p *Predictions) Len() int { return len(p.Truth) }

// ReadPredictions reads an Arrow file, or an Arrow stream, of predictions.
func ReadPredictions(path string) (*Predictions, error) {
	p := &Predictions{}
	r := predictionReader{p: p}
	read := readFile
	if stream, err := isStream(path); err != nil {
		return nil, err
	} else if stream {
		read = readStream
	}
	if err := read(path, r.schema, r.record); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

// isStream tells Arrow's stream form from its file form, which begins with a
// magic word.
func isStream(path string) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	var head [6]byte
	if _, err := io.ReadFull(f, head[:]); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return false, err
	}
	return string(head[:4]) == "\xff\xff\xff\xff", nil
}

// readStream is readFile for a stream.
func readStream(path string, schema func(*arrow.Schema) error, each func(arrow.Record) error) (err error) {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", ErrFormat, p)
		}
	}()
	r, err := ipc.NewReader(bufio.NewReader(f))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	defer r.Release()
	if err := schema(r.Schema()); err != nil {
		return err
	}
	for r.Next() {
		if err := each(r.Record()); err != nil {
			return err
		}
	}
	if err := r.Err(); err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return nil
}

type predictionReader struct {
	p   *Predictions
	all int // column of all probabilities, or -1
}

func (r *predictionReader) schema(s *arrow.Schema) error {
	for i, name := range []string{"path", "label", "synset", "pred_label", "pred_synset", "pred_prob", "error"} {
		if i >= len(s.Fields()) || s.Field(i).Name != name {
			return fmt.Errorf("%w: column %d is not %s", ErrFormat, i, name)
		}
	}
	list, ok := s.Field(colPredLabel).Type.(*arrow.FixedSizeListType)
	if !ok || s.Field(colPredProb).Type.ID() != arrow.FIXED_SIZE_LIST {
		return fmt.Errorf("%w: pred_label is %s", ErrFormat, s.Field(colPredLabel).Type)
	}
	r.p.K = int(list.Len())
	md := s.Metadata()
	text, ok := md.GetValue(keySpec)
	if !ok {
		return fmt.Errorf("%w: no %s in its metadata", ErrFormat, keySpec)
	}
	spec, err := model.ParseSpec(text)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	r.p.Classes = spec.Classes
	r.all = -1
	if at := s.FieldIndices("probabilities"); len(at) == 1 {
		if t, ok := s.Field(at[0]).Type.(*arrow.FixedSizeListType); ok && int(t.Len()) == len(spec.Classes) {
			r.all = at[0]
		}
	}
	return nil
}

func (r *predictionReader) record(rec arrow.Record) error {
	p, k := r.p, r.p.K
	paths, label := rec.Column(colPath).(*array.String), rec.Column(colLabel).(*array.Int64)
	lists, probs := rec.Column(colPredLabel).(*array.FixedSizeList), rec.Column(colPredProb).(*array.FixedSizeList)
	tops, shares := lists.ListValues().(*array.Int64), probs.ListValues().(*array.Float32)
	for i := range int(rec.NumRows()) {
		truth := int32(-1)
		if l := label.Value(i); label.IsValid(i) {
			if l < 0 || l >= int64(len(p.Classes)) {
				return fmt.Errorf("%w: label %d of %d classes", ErrFormat, l, len(p.Classes))
			}
			truth = int32(l)
		}
		p.Truth = append(p.Truth, truth)
		p.Paths = append(p.Paths, string([]byte(paths.Value(i))))
		p.Failed = append(p.Failed, lists.IsNull(i))
		for j := range k {
			class, share := int32(-1), float32(0)
			if lists.IsValid(i) {
				l := tops.Value((lists.Data().Offset()+i)*k + j)
				if l < 0 || l >= int64(len(p.Classes)) {
					return fmt.Errorf("%w: predicted label %d of %d classes", ErrFormat, l, len(p.Classes))
				}
				class, share = int32(l), shares.Value((probs.Data().Offset()+i)*k+j)
			}
			p.Top, p.Prob = append(p.Top, class), append(p.Prob, share)
		}
	}
	return r.probabilities(rec)
}

// probabilities keeps those of every class; a row that failed has zeros.
func (r *predictionReader) probabilities(rec arrow.Record) error {
	if r.all < 0 {
		return nil
	}
	lists, c := rec.Column(r.all).(*array.FixedSizeList), len(r.p.Classes)
	values := lists.ListValues().(*array.Float32).Float32Values()
	for i := range int(rec.NumRows()) {
		if lists.IsNull(i) {
			r.p.All = append(r.p.All, make([]float32, c)...)
			continue
		}
		at := (lists.Data().Offset() + i) * c
		r.p.All = append(r.p.All, values[at:at+c]...)
	}
	return nil
}
