package prediction

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/synshard/synshard/model"
)

// Predictions are what infer wrote, read back for measuring.
type Predictions struct {
	Classes []string // the model's, in label order
	K       int      // predictions kept of each row
	Paths   []string
	Truth   []int32 // class, or -1: not known, or none of the model's
	Failed  []bool  // the image could not be read; its predictions are -1
	Top     []int32 // [rows, K] classes, most probable first
	Prob    []float32
	All     []float32 // [rows, classes] probabilities, if the file has them
}

// Len counts the rows.
func (p *Predictions) Len() int { return len(p.Truth) }

// ReadPredictions reads a file that infer wrote, in any of Formats, told apart
// by its content. The classes are in the file, or for text in what lies beside
// it; given ones take their place where there are none, and must equal them
// otherwise.
func ReadPredictions(path string, classes []string) (*Predictions, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	kind, err := kindOf(bufio.NewReader(f))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	beside := func(string) string { return "" }
	if kind == "ndjson" || kind == "csv" {
		switch said, err := readSidecar(path); {
		case err == nil:
			beside = said
		case !errors.Is(err, os.ErrNotExist):
			return nil, fmt.Errorf("%w: %w", ErrFormat, err)
		}
	}
	p, err := readPredictions(f, kind, beside, classes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

// ReadPredictionsFrom is ReadPredictions for what has no name. Arrow and Parquet
// are kept in memory for that.
func ReadPredictionsFrom(r io.Reader, classes []string) (*Predictions, error) {
	b := bufio.NewReader(r)
	kind, err := kindOf(b)
	if err != nil {
		return nil, err
	}
	var in input = &notSeekable{b}
	if kind == "arrow" || kind == "stream" || kind == "parquet" {
		all, err := io.ReadAll(b)
		if err != nil {
			return nil, err
		}
		in = bytes.NewReader(all)
	}
	return readPredictions(in, kind, func(string) string { return "" }, classes)
}

// kindOf tells what form of output comes, without taking any of it.
func kindOf(r *bufio.Reader) (string, error) {
	head, err := r.Peek(8)
	if err != nil && err != io.EOF {
		return "", err
	}
	for _, k := range []struct{ magic, kind string }{{"ARROW1", "arrow"}, {"\xff\xff\xff\xff", "stream"}, {"PAR1", "parquet"}, {"{", "ndjson"}, {"path,", "csv"}} {
		if bytes.HasPrefix(head, []byte(k.magic)) {
			return k.kind, nil
		}
	}
	if len(head) == 0 {
		return "", fmt.Errorf("%w: it is empty", ErrFormat)
	}
	return "", fmt.Errorf("%w: it begins with %q", ErrFormat, head)
}

// input is what predictions are read from.
type input interface {
	io.Reader
	io.ReaderAt
	io.Seeker
}

// notSeekable is an input of which only Read is used.
type notSeekable struct{ io.Reader }

func (*notSeekable) ReadAt([]byte, int64) (int, error) { return 0, errors.ErrUnsupported }
func (*notSeekable) Seek(int64, int) (int64, error)    { return 0, errors.ErrUnsupported }

// readPredictions reads one kind of input.
func readPredictions(in input, kind string, beside func(string) string, classes []string) (p *Predictions, err error) {
	p = &Predictions{Classes: classes}
	switch kind {
	case "arrow", "stream", "parquet":
		err = (&columnReader{p: p}).read(in, kind)
	default:
		if err = p.said(beside(KeySpec)); err != nil {
			break
		}
		if p.Classes == nil {
			return nil, fmt.Errorf("%w: %s does not hold the model's classes, and %s is not beside it: give them", ErrFormat, kind, sidecarName("it"))
		}
		if kind == "csv" {
			err = readCSV(in, p)
		} else {
			err = readNDJSON(in, p)
		}
	}
	if err != nil {
		return nil, err
	}
	if p.K == 0 {
		p.keep(1)
	}
	return p, nil
}

// said takes the classes of a Spec, if there is one.
func (p *Predictions) said(spec string) error {
	if spec == "" {
		return nil
	}
	s, err := model.ParseSpec(spec)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if p.Classes != nil && !slices.Equal(p.Classes, s.Classes) {
		return fmt.Errorf("the %d classes given are not the %d that the predictions were made with", len(p.Classes), len(s.Classes))
	}
	p.Classes = s.Classes
	return nil
}

// predicted is a row as any format has it. Without labels it failed; label is
// -1 where there is no truth.
type predicted struct {
	path   string
	label  int64
	labels []int64
	probs  []float32
	all    []float32 // of every class, or nil
}

// keep says how many predictions of a row are kept, once that is known.
func (p *Predictions) keep(k int) {
	p.K = k
	for range k * p.Len() {
		p.Top, p.Prob = append(p.Top, -1), append(p.Prob, 0)
	}
}

// add appends a row.
func (p *Predictions) add(r predicted) error {
	if r.label < -1 || r.label >= int64(len(p.Classes)) {
		return fmt.Errorf("%w: row %d: label %d of %d classes", ErrFormat, p.Len(), r.label, len(p.Classes))
	}
	failed := len(r.labels) == 0
	if !failed && p.K == 0 {
		p.keep(len(r.labels))
	}
	if !failed && (len(r.labels) != p.K || len(r.probs) != p.K) || r.all != nil && len(r.all) != len(p.Classes) {
		return fmt.Errorf("%w: row %d has %d labels, %d probabilities and %d of all classes", ErrFormat, p.Len(), len(r.labels), len(r.probs), len(r.all))
	}
	for j := range p.K {
		class, share := int64(-1), float32(0)
		if !failed {
			if class, share = r.labels[j], r.probs[j]; class < 0 || class >= int64(len(p.Classes)) {
				return fmt.Errorf("%w: row %d: predicted label %d of %d classes", ErrFormat, p.Len(), class, len(p.Classes))
			}
		}
		p.Top, p.Prob = append(p.Top, int32(class)), append(p.Prob, share)
	}
	p.Paths, p.Truth, p.Failed = append(p.Paths, r.path), append(p.Truth, int32(r.label)), append(p.Failed, failed)
	return nil
}
