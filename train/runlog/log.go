// Package runlog is what a training run writes down for people to follow: a line
// a step and a line a validation in log.ndjson, and their curves as an image.
package runlog

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/synshard/synshard/internal/regular"
	"golang.org/x/sys/unix"
)

// Name is the log's, in the run's directory.
const Name = "log.ndjson"

// Step is what a step leaves in log.ndjson.
type Step struct {
	Kind         string    `json:"kind"`                // "step"
	Time         time.Time `json:"time"`                // when the line was written
	Step         int64     `json:"step"`                // from 1
	Epoch        float64   `json:"epoch"`               // with fraction, after the step
	Loss         float64   `json:"loss"`                // main + weighted auxiliary, in nats, as the two others
	MainLoss     float64   `json:"main_loss"`           // of the main head
	AuxLoss      float64   `json:"aux_loss"`            // sum over the auxiliary heads, unweighted
	CrossEntropy float64   `json:"cross_entropy"`       // main_loss without label smoothing, as a validation's loss is
	Top1         float64   `json:"top1"`                // of this training batch, a share
	LR           float64   `json:"lr"`                  // learning rate of this step
	GradNorm     Number    `json:"grad_norm"`           // global L2, before clipping; null: not finite
	EMADecay     float64   `json:"ema_decay,omitempty"` // of this step; 0: no averages are kept
	Images       int64     `json:"images"`              // used so far
	PerSecond    float64   `json:"images_per_s"`        // of this step, waiting included
	WaitMS       float64   `json:"data_wait_ms"`        // for the batch
	Skipped      int64     `json:"skipped,omitempty"`   // images that could not be read, this epoch
	Overflow     bool      `json:"overflow,omitempty"`  // in fp16: no update, the loss scale was halved

	Steps  int64 `json:"-"` // in the whole run
	Epochs int   `json:"-"` // likewise
	Batch  int   `json:"-"` // images an optimiser step
}

// Score is one set of weights on the validation set.
type Score struct {
	N    int     `json:"n"`    // images; the name that checkpoints on disk have
	Top1 float64 `json:"top1"` // shares of them
	Top5 float64 `json:"top5"` // of as many classes as there are, if fewer than 5
	Loss Number  `json:"loss"` // mean cross-entropy, without smoothing
}

// Accuracy is what checkpoints are ranked by: top-1, and -1 of a nil Score.
func (s *Score) Accuracy() float64 {
	if s == nil {
		return -1
	}
	return s.Top1
}

// Finite says whether the loss is a number, or there is no Score. Where it is none, outputs are
// not finite, and no top-1 says anything of them.
func (s *Score) Finite() bool {
	return s == nil || !math.IsNaN(float64(s.Loss)) && !math.IsInf(float64(s.Loss), 0)
}

// over is the score over so many more images, all of them wrong. The loss stays that of the
// others.
func (s Score) over(unreadable int64) Score {
	if unreadable > 0 {
		all := float64(s.N) + float64(unreadable)
		of := func(share float64) float64 { return math.Round(share*float64(s.N)) / all }
		s.N, s.Top1, s.Top5 = s.N+int(unreadable), of(s.Top1), of(s.Top5)
	}
	return s
}

// overOrNone is over, of a score that may be nil.
func overOrNone(s *Score, unreadable int64) *Score {
	if s == nil {
		return nil
	}
	out := s.over(unreadable)
	return &out
}

// Evaluation is one validation: of the raw weights, and of the averaged ones where
// they are kept.
type Evaluation struct {
	Kind    string    `json:"kind"`              // "eval"
	Time    time.Time `json:"time"`              // when the line was written
	Step    int64     `json:"step"`              // steps done
	Epoch   int       `json:"epoch"`             // epochs done
	Raw     Score     `json:"raw"`               // of the weights that are trained
	EMA     *Score    `json:"ema,omitempty"`     // nil: no averages are kept
	Seconds float64   `json:"seconds"`           // that it took
	Skipped int64     `json:"skipped,omitempty"` // images that could not be read; the scores are over the others
}

// Counted is the validation as people are told of it, and as infer and eval count: over all
// images, of which those that could not be read (Skipped) are wrong.
func (e Evaluation) Counted() Evaluation {
	e.Raw, e.EMA = e.Raw.over(e.Skipped), overOrNone(e.EMA, e.Skipped)
	return e
}

// Best is the score of the weights that are exported: the averaged ones where
// there are such.
func (e Evaluation) Best() *Score {
	if e.EMA != nil {
		return e.EMA
	}
	return &e.Raw
}

// Finite says whether all that was measured is.
func (e Evaluation) Finite() bool { return e.Raw.Finite() && e.EMA.Finite() }

// event is a line that is neither: a warning, a start, an end, a loss.
type event struct {
	Kind     string            `json:"kind"` // "warning", "run", "lost"
	Time     time.Time         `json:"time"`
	Step     int64             `json:"step"`
	Text     string            `json:"text"`
	MadeFrom map[string]string `json:"made_from,omitempty"`
	MadeBy   string            `json:"made_by,omitempty"` // of "run": programs, with their versions
	Command  []string          `json:"command,omitempty"` // of "run": the call, word by word
	Ended    string            `json:"ended,omitempty"`   // of "run", at its end: why
	Kept
	From int64 `json:"from,omitempty"` // of "lost": the first step whose line is; 0: it is of no steps
	To   int64 `json:"to,omitempty"`   // the last
}

// Kept is what the log keeps of a run because it cannot be known again from its newest
// checkpoint.
type Kept struct {
	Config      string  `json:"config,omitempty"`      // content of config.yaml, since the run began or went on
	Checkpoints []int64 `json:"checkpoints,omitempty"` // steps of those there are, at the run's end
}

// finishedText tells the line of an end from those of beginnings.
const finishedText = "finished"

// ErrDamaged marks a log some of whose lines are lost, or not what was written.
var ErrDamaged = errors.New("log damaged")

// Log appends lines to log.ndjson. It is for one goroutine at a time.
type Log struct {
	f *os.File
}

// Open opens the log of a run that has done so many steps and epochs, with these
// validations, for the steps that follow. See Settle for what becomes of what it holds.
func Open(dir string, steps int64, epochs int, evals []Evaluation) (*Log, error) {
	if _, err := Settle(dir, steps, epochs, evals); err != nil {
		return nil, err
	}
	return Append(dir)
}

// Append opens a log for further lines.
func Append(dir string) (*Log, error) {
	path := filepath.Join(dir, Name)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o666)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	return &Log{f}, nil
}

// Record is what of a line, whatever its kind, the readers of the log need. What
// a line does not say is zero, or nil.
type Record struct {
	Kind string `json:"kind"` // step, eval, run, warning or lost

	// Step, Epoch, Time and Images are as Step and Evaluation have them, Loss, MainLoss,
	// CrossEntropy, Top1, LR and PerSecond as Step has them, Raw, EMA and Skipped as Evaluation has them.
	Step         int64    `json:"step"`
	Epoch        float64  `json:"epoch"`
	Loss         *float64 `json:"loss"`
	MainLoss     *float64 `json:"main_loss"`
	CrossEntropy *float64 `json:"cross_entropy"` // nil in logs of before it was told
	Top1         float64  `json:"top1"`
	LR           float64  `json:"lr"`
	Raw, EMA     *Score
	Skipped      int64     `json:"skipped"` // images that could not be read
	Time         time.Time `json:"time"`
	Images       int64     `json:"images"`
	PerSecond    float64   `json:"images_per_s"`

	MadeFrom map[string]string `json:"made_from"` // of "run": what the data are, by name
	MadeBy   string            `json:"made_by"`   // of "run": programs, with their versions
	Command  []string          `json:"command"`   // of "run": the call, word by word
	Text     string            `json:"text"`      // of "run", "warning" and "lost", for people
	From, To int64             // of "lost"
	Kept
}

// LossOf is how a training loss is defined: one way throughout a curve.
type LossOf int

// The definitions.
const (
	Minimised    LossOf = iota // of the main head, with label smoothing
	CrossEntropy               // as a validation's, which logs of before do not tell
)

// TrainLoss is the loss of a step; nil where the log does not tell it so defined.
func (r *Record) TrainLoss(of LossOf) *float64 {
	switch {
	case of == CrossEntropy:
		return r.CrossEntropy
	case r.MainLoss != nil:
		return r.MainLoss
	}
	return r.Loss
}

// Counted is the record of a validation over all its images (Evaluation).
func (r Record) Counted() Record {
	r.Raw, r.EMA = overOrNone(r.Raw, r.Skipped), overOrNone(r.EMA, r.Skipped)
	return r
}

// Finite says of a validation whether all that it measured is (Evaluation).
func (r *Record) Finite() bool { return r.Raw.Finite() && r.EMA.Finite() }

// ends says whether a line says that the run has come to its end.
func (r *Record) ends() bool { return r.Kind == "run" && r.Text == finishedText }

// Each calls f with each whole line of the log and what it says; lines that are not
// what was written (the torn end of a killed run) are passed over. The line is good
// during the call; f's error ends it and is returned.
func Each(path string, f func(line []byte, rec Record) error) error {
	return each(path, func(line []byte, rec *Record, _ bool) error {
		if rec == nil {
			return nil
		}
		return f(line, *rec)
	})
}

// each gives damaged lines too, with nil for what they say. Torn is a last line that does
// not end as lines do: whoever wrote it was ended, or its disk was full.
func each(path string, f func(line []byte, rec *Record, torn bool) error) error {
	in, _, err := regular.Open(path)
	if err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	defer in.Close()
	s := bufio.NewScanner(in)
	s.Buffer(make([]byte, 64<<10), 16<<20)
	torn := false
	s.Split(func(b []byte, end bool) (int, []byte, error) {
		torn = end && bytes.IndexByte(b, '\n') < 0
		return bufio.ScanLines(b, end)
	})
	var k checker
	for s.Scan() {
		if err := f(s.Bytes(), k.record(s.Bytes()), torn); err != nil {
			return err
		}
	}
	if err := s.Err(); err != nil {
		return fmt.Errorf("read log %s: %w", path, err)
	}
	return nil
}

// Write appends v, a Step or an Evaluation, as a line of JSON.
func (l *Log) Write(v any) error {
	line, err := sealed(v)
	if err != nil {
		return err
	}
	if _, err := l.f.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("log: %w", err)
	}
	return nil
}

// Warning appends a line of text about a step.
func (l *Log) Warning(step int64, text string) error {
	return l.Write(event{Kind: "warning", Time: time.Now().UTC(), Step: step, Text: text})
}

// Start is what the log says of a run that begins or goes on.
type Start struct {
	Step     int64             // that are done
	Text     string            // how it goes on, for people
	Config   string            // the recipe as it is saved
	MadeFrom map[string]string // what it is made from, by name
	MadeBy   string            // programs, with their versions
	Command  []string          // the call, word by word, without what is secret
}

// Started appends a line of a start.
func (l *Log) Started(s Start) error {
	return l.Write(event{Kind: "run", Time: time.Now().UTC(), Step: s.Step, Text: s.Text, MadeFrom: s.MadeFrom, MadeBy: s.MadeBy, Command: s.Command, Kept: Kept{Config: s.Config}})
}

// Finished appends a line that says that the run has come to its end, and which
// checkpoints there are, and why it ended, in a word (train.Result).
func (l *Log) Finished(step int64, checkpoints []int64, ended string) error {
	return l.Write(event{Kind: "run", Time: time.Now().UTC(), Step: step, Text: finishedText, Ended: ended, Kept: Kept{Checkpoints: checkpoints}})
}

// Lost appends a line that says what of the run is there no more.
func (l *Log) Lost(step int64, text string) error {
	return l.Write(event{Kind: "lost", Time: time.Now().UTC(), Step: step, Text: text})
}

// ReadKept reads what the log keeps: the newest Config, and the Checkpoints of the run's
// last end where that came after so many steps or more. What it does not say is zero.
func ReadKept(dir string, steps int64) (Kept, error) {
	var k Kept
	err := Each(filepath.Join(dir, Name), func(_ []byte, rec Record) error {
		if rec.Config != "" {
			k.Config = rec.Config
		}
		if rec.ends() && rec.Step >= steps {
			k.Checkpoints = rec.Checkpoints
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, regular.ErrUnfit) {
		return k, nil // whoever needs the log says so
	}
	return k, err
}

// Sync has what was written survive the machine.
func (l *Log) Sync() error {
	if err := l.f.Sync(); err != nil {
		return fmt.Errorf("log: %w", err)
	}
	return nil
}

// Close closes the file.
func (l *Log) Close() error { return l.f.Close() }
