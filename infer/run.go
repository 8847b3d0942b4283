package infer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/synshard/synshard/infer/prediction"
	"github.com/synshard/synshard/internal/durable"
)

// Summary is what Run did.
type Summary struct {
	Rows    int  `json:"rows"`
	Failed  int  `json:"failed"`            // rows with an error
	Skipped int  `json:"skipped"`           // rows an earlier run had done
	Already bool `json:"already,omitempty"` // the whole output was there

	Known   int    `json:"known"` // rows predicted now whose truth is known,
	Right   int    `json:"right"` // and those of them whose first class is it
	Warning string `json:"warning,omitempty"`
	foreign int    // rows whose truth is no class of the model
}

// PartsDir is where the parts of an output lie until it is whole.
func PartsDir(path string) string { return path + ".parts" }

// Run predicts and writes a file in a format (see Formats), which has its name
// only when it is whole. Meanwhile chunks of rows lie in PartsDir, each whole
// or absent; a rerun with the same fingerprint takes those that are there and
// ends in the same bytes. A file of another fingerprint is ErrOther.
func Run(ctx context.Context, o Options, path, format string) (Summary, error) {
	if err := o.check(); err != nil {
		return Summary{}, err
	}
	from, to := o.rows()
	if done, failed, err := o.already(path, format); done || err != nil {
		return Summary{Rows: to - from, Failed: failed, Already: done}, err
	}
	parts := PartsDir(path)
	if err := durable.MkdirAll(parts); err != nil {
		return Summary{}, err
	}
	lock, err := durable.TryLock(filepath.Join(parts, ".lock"))
	if err != nil {
		return Summary{}, fmt.Errorf("%s: %w", path, err)
	}
	defer lock.Unlock()
	if err := durable.RemoveTemps(parts); err != nil {
		return Summary{}, err
	}
	l := o.layout()
	todo, names, sum, err := o.inventory(parts)
	if err != nil {
		return sum, err
	}
	o.OnSkipped(sum.Skipped)
	err = o.predict(ctx, todo, func(c *chunk) error {
		if err := o.writePart(names[c.number], l, c.rows); err != nil {
			return err
		}
		sum.count(c.rows)
		return nil
	})
	sum.Warning = o.suspect(sum)
	if err != nil {
		return sum, err
	}
	if err := join(path, format, l.schema, o.chunk(), sum.Failed, names); err != nil {
		return sum, err
	}
	return sum, os.RemoveAll(parts)
}

// chunks cuts the rows into runs.
func (o *Options) chunks() []*chunk {
	var all []*chunk
	size := o.chunk()
	from, to := o.rows()
	for at := from; at < to; at += size {
		all = append(all, &chunk{number: len(all), from: at, to: min(at+size, to)})
	}
	return all
}

// inventory finds the chunks that are still to do. Parts of other predictions
// are ErrOther: somebody's work.
func (o *Options) inventory(parts string) (todo []*chunk, names []string, sum Summary, err error) {
	for _, c := range o.chunks() {
		name := filepath.Join(parts, fmt.Sprintf("part-%06d.arrow", c.number))
		names = append(names, name)
		failed, err := o.partDone(name, c.to-c.from)
		switch {
		case errors.Is(err, prediction.ErrOther):
			return nil, nil, sum, fmt.Errorf("%s: %w (another model, input or options); remove %s, or give another name", name, err, parts)
		case err != nil:
			todo = append(todo, c) // absent, or damaged: made anew
		default:
			sum.Rows, sum.Skipped, sum.Failed = sum.Rows+c.to-c.from, sum.Skipped+c.to-c.from, sum.Failed+failed
		}
	}
	return todo, names, sum, nil
}

// partDone gives the number of failed rows of a part that is there and holds
// what is wanted.
func (o *Options) partDone(path string, rows int) (int, error) {
	if _, err := os.Stat(path); err != nil {
		return 0, err
	}
	n, failed := 0, 0
	err := prediction.ReadFile(path, func(s *arrow.Schema) error {
		if have, _ := s.Metadata().GetValue(prediction.KeyFingerprint); have != o.Fingerprint() {
			return prediction.ErrOther
		}
		return nil
	}, func(rec arrow.Record) error {
		n += int(rec.NumRows())
		failed += int(rec.NumRows()) - rec.Column(prediction.ColError).NullN()
		return nil
	})
	if err == nil && n != rows {
		err = fmt.Errorf("%d rows of %d", n, rows)
	}
	return failed, err
}

// Stream predicts and writes to w in a format, chunk by chunk. What w got after
// an error is worth nothing.
func Stream(ctx context.Context, o Options, w io.Writer, format string) (Summary, error) {
	var sum Summary
	if err := o.check(); err != nil {
		return sum, err
	}
	l := o.layout()
	out, err := prediction.NewEncoder(format, w, l.schema)
	if err != nil {
		return sum, err
	}
	err = o.predict(ctx, o.chunks(), func(c *chunk) error {
		rec, err := o.record(l, c.rows)
		if err != nil {
			return err
		}
		defer rec.Release()
		if err := out.Write(rec); err != nil {
			return fmt.Errorf("write predictions: %w", err)
		}
		sum.count(c.rows)
		return nil
	})
	sum.Warning = o.suspect(sum)
	if err != nil {
		return sum, err
	}
	if err := out.Close(); err != nil {
		return sum, fmt.Errorf("write predictions: %w", err)
	}
	return sum, nil
}

// count adds rows to the sum.
func (s *Summary) count(rows []row) {
	s.Rows += len(rows)
	for i := range rows {
		p := &rows[i]
		if p.err != "" {
			s.Failed++
		}
		if p.label >= 0 {
			s.Known++
			if p.top != nil && int64(p.top[0]) == p.label {
				s.Right++
			}
		}
		if p.label < 0 && p.synset != "" {
			s.foreign++
		}
	}
}

// suspect points out what a wrong class list looks like.
func (o *Options) suspect(s Summary) string {
	classes := len(o.Spec.Classes)
	chance := 1 / float64(classes)
	switch {
	case s.Known == 0 && s.foreign > 0:
		return fmt.Sprintf("none of %d rows' synsets is one of the model's %d classes: the class list is probably of another model", s.foreign, classes)
	case classes > 2 && s.Known >= 20 && float64(s.Known) >= 3/chance/10 && float64(s.Right) <= 1.5*chance*float64(s.Known):
		return fmt.Sprintf("%d of %d first predictions are right, which is chance for %d classes: the model's label order is probably not that of the class list", s.Right, s.Known, classes)
	}
	return ""
}

func (o *Options) classes() map[string]int64 {
	m := map[string]int64{}
	for i, c := range o.Spec.Classes {
		m[c] = int64(i)
	}
	return m
}

// already says whether path holds these predictions, and how many failed.
func (o *Options) already(path, format string) (bool, int, error) {
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return false, 0, nil
	}
	said, err := prediction.ReadMetadata(path, format)
	if err != nil {
		return false, 0, fmt.Errorf("%s is there and is no file of predictions (%w); give another name, or remove it", path, err)
	}
	if said(prediction.KeyFingerprint) != o.Fingerprint() {
		return false, 0, fmt.Errorf("%s: %w (another model, input or options); give another name, or remove it", path, prediction.ErrOther)
	}
	failed, err := strconv.Atoi(said(prediction.KeyFailed))
	if err != nil {
		return false, 0, fmt.Errorf("%s: metadata %s: %w", path, prediction.KeyFailed, err)
	}
	return true, failed, nil
}

// writePart writes the rows of a chunk to a file that is whole or absent.
func (o *Options) writePart(path string, l layout, rows []row) error {
	rec, err := o.record(l, rows)
	if err != nil {
		return err
	}
	defer rec.Release()
	return prediction.WriteFile(path, "arrow", l.schema, func(write func(arrow.Record) error) error { return write(rec) })
}

// join makes the output of the parts, in order, in records of so many rows.
func join(path, format string, schema *arrow.Schema, rows, failed int, parts []string) error {
	schema = prediction.With(schema, map[string]string{prediction.KeyFailed: strconv.Itoa(failed)})
	return prediction.WriteFile(path, format, schema, func(write func(arrow.Record) error) error {
		// Through the same hands as in Merge, so that the bytes are the same.
		r := prediction.Rebatch{Schema: schema, Size: rows, Emit: write}
		defer r.Drop()
		for _, p := range parts {
			if err := prediction.ReadFile(p, nil, r.Add); err != nil {
				return fmt.Errorf("part %s: %w", p, err)
			}
		}
		return r.Flush()
	})
}
