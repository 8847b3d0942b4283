// Package infer predicts over many images in batches. The way of an image is
// read from top to bottom: Run, or Stream, cuts the rows into chunks; pipeline.go takes
// them from the source through the loader and the network to rows, and gives
// whole chunks back in order; package prediction writes them.
package infer

import (
	"context"
	"fmt"
	"io"

	"github.com/synshard/synshard/infer/prediction"
)

// Run predicts and writes a file, which has its name only when it is whole.
// Meanwhile chunks of rows lie beside it, each whole or absent; a rerun with
// the same options takes those that are there and ends in the same bytes. A
// file of other predictions is prediction.ErrOther, another process at the same
// file durable.ErrLocked. An image that cannot be read or predicted is no error:
// its row says why.
func Run(ctx context.Context, o Options, path string, format prediction.Format) (Summary, error) {
	if err := o.check(); err != nil {
		return Summary{}, err
	}
	out, err := prediction.Begin(prediction.OutputOptions{Path: path, Format: format, Header: o.header(), Columns: o.Columns, Overwrite: o.Overwrite})
	if err != nil {
		return Summary{}, err
	}
	defer out.Close()
	if out.Done {
		return Summary{Rows: o.Rows(), Failed: out.Failed, Already: true}, nil
	}
	chunks := o.chunks()
	missing, sum, err := absent(ctx, out, chunks)
	if err != nil {
		return sum, err
	}
	o.OnKept(sum.Kept)
	if err := o.predictInto(ctx, missing, &sum, out.Write); err != nil {
		return sum, err
	}
	return sum, out.Join(chunks)
}

// predictInto predicts chunks, hands their rows to write and counts them, and
// wants the source to be afterwards what it was.
func (o *Options) predictInto(ctx context.Context, chunks []prediction.Chunk, sum *Summary, write func(prediction.Chunk, []prediction.Row) error) error {
	err := o.predict(ctx, chunks, func(c prediction.Chunk, rows []prediction.Row) error {
		if err := unchanged(o.Predictor); err != nil {
			return err
		}
		if err := write(c, rows); err != nil {
			return err
		}
		sum.count(rows)
		return nil
	})
	sum.warn(o)
	if err != nil {
		return err
	}
	return unchanged(o.Source)
}

// absent finds the chunks that are still to do, and sums up those that are not.
func absent(ctx context.Context, out *prediction.Output, chunks []prediction.Chunk) (missing []prediction.Chunk, sum Summary, err error) {
	for _, c := range chunks {
		ok, failed, err := out.Have(c)
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, sum, err
		}
		if !ok {
			missing = append(missing, c)
			continue
		}
		sum.Rows, sum.Kept, sum.Failed = sum.Rows+c.To-c.From, sum.Kept+c.To-c.From, sum.Failed+failed
	}
	return missing, sum, nil
}

// Stream predicts and writes to w in a format, chunk by chunk. What w got after
// an error is worth nothing.
func Stream(ctx context.Context, o Options, w io.Writer, format prediction.Format) (Summary, error) {
	var sum Summary
	if err := o.check(); err != nil {
		return sum, err
	}
	out, err := prediction.NewWriter(w, format, o.header(), o.Columns)
	if err != nil {
		return sum, err
	}
	err = o.predictInto(ctx, o.chunks(), &sum, func(_ prediction.Chunk, rows []prediction.Row) error { return out.Write(rows) })
	if err != nil {
		return sum, err
	}
	return sum, out.Close()
}

// unchanged wants a network or a source to be what it was, if it can tell.
func unchanged(of any) error {
	if s, ok := of.(interface{ Unchanged() error }); ok {
		return s.Unchanged()
	}
	return nil
}

// Summary is what Run or Stream did.
type Summary struct {
	Rows    int  `json:"images"`            // of the output, failed ones included
	Failed  int  `json:"rejected"`          // rows with an error
	Kept    int  `json:"kept"`              // rows an earlier run had done
	Already bool `json:"already,omitempty"` // the whole output was there

	// Counts of the rows predicted now.
	Known   int    `json:"known"`             // whose truth is a class of the model
	Right   int    `json:"right"`             // of Known: the first class is it
	Right5  int    `json:"right_of_5"`        // of Known: it is among the first five, or as many as are kept, if fewer
	Lost    int    `json:"known_rejected"`    // of Known: with an error
	Foreign int    `json:"foreign"`           // whose truth is none of the model's classes
	NoTruth int    `json:"no_truth"`          // of which nothing says what they are
	Warning string `json:"warning,omitempty"` // what a wrong class list looks like; "": nothing does

	strangers []string // some truths that are no class of the model
}

// count adds rows.
func (s *Summary) count(rows []prediction.Row) {
	s.Rows += len(rows)
	for i := range rows {
		r := &rows[i]
		switch {
		case r.Label >= 0:
			s.Known++
			if r.Error != "" {
				s.Lost++
			}
			for k, class := range r.Top[:min(len(r.Top), 5)] {
				if int64(class) == r.Label {
					s.Right5++
					if k == 0 {
						s.Right++
					}
				}
			}
		case r.Synset != "":
			s.Foreign++
			s.meet(r.Synset)
		default:
			s.NoTruth++
		}
		if r.Error != "" {
			s.Failed++
		}
	}
}

// warn points out what a wrong class list looks like. The order of classes is
// suspect only where they did not come with the model: a network that has
// learnt nothing yet is at the level of chance, too.
func (s *Summary) warn(o *Options) {
	classes := len(o.Spec.Classes)
	chance := 1 / float64(classes)
	switch {
	case s.Foreign > 0 && s.Known == 0:
		s.Warning = fmt.Sprintf("none of the truths of %d rows (%s) is one of the model's %d classes: nothing can be measured against them", s.Foreign, s.some(), classes)
	case s.Foreign > 0:
		s.Warning = fmt.Sprintf("the truths of %d of %d rows (%s) are none of the model's %d classes: their label is null", s.Foreign, s.Foreign+s.Known, s.some(), classes)
	case !o.OwnClasses && classes > 2 && s.Known >= 20 && float64(s.Known) >= 3/chance/10 && float64(s.Right) <= 1.5*chance*float64(s.Known):
		s.Warning = fmt.Sprintf("%d of %d first predictions are right, which is chance for %d classes: the model's label order is probably not that of the class list", s.Right, s.Known, classes)
	}
}
