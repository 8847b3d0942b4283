// Package runlog is what a training run writes down for people to follow: a line
// a step and a line a validation in log.ndjson, and their curves as an image.
package runlog

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/internal/regular"
	"golang.org/x/sys/unix"
)

// Name is the log's, in the run's directory.
const Name = "log.ndjson"

// Step is what a step leaves in log.ndjson.
type Step struct {
	Kind      string    `json:"kind"` // "step"
	Time      time.Time `json:"time"`
	Step      int64     `json:"step"`  // from 1
	Epoch     float64   `json:"epoch"` // with fraction, after the step
	Loss      float64   `json:"loss"`  // main + weighted auxiliary, in nats, as the two others
	MainLoss  float64   `json:"main_loss"`
	AuxLoss   float64   `json:"aux_loss"`
	Top1      float64   `json:"top1"` // of this training batch, a share
	LR        float64   `json:"lr"`
	GradNorm  Number    `json:"grad_norm"` // global L2, before clipping; null: not finite
	EMADecay  float64   `json:"ema_decay,omitempty"`
	Images    int64     `json:"images"`             // used so far
	PerSecond float64   `json:"images_per_s"`       // of this step, waiting included
	WaitMS    float64   `json:"data_wait_ms"`       // for the batch
	Skipped   int64     `json:"skipped,omitempty"`  // images that could not be read, this epoch
	Overflow  bool      `json:"overflow,omitempty"` // in fp16: no update, the loss scale was halved

	Steps  int64 `json:"-"` // in the whole run
	Epochs int   `json:"-"`
	Batch  int   `json:"-"`
}

// Score is one set of weights on the validation set.
type Score struct {
	N    int     `json:"n"`    // images; the name that checkpoints on disk have
	Top1 float64 `json:"top1"` // shares of them
	Top5 float64 `json:"top5"`
	Loss Number  `json:"loss"` // mean cross-entropy, without smoothing
}

// Accuracy is what checkpoints are ranked by: top-1, and -1 of a nil Score.
func (s *Score) Accuracy() float64 {
	if s == nil {
		return -1
	}
	return s.Top1
}

// Evaluation is one validation: of the raw weights, and of the averaged ones where
// they are kept.
type Evaluation struct {
	Kind    string    `json:"kind"` // "eval"
	Time    time.Time `json:"time"`
	Step    int64     `json:"step"`  // steps done
	Epoch   int       `json:"epoch"` // epochs done
	Raw     Score     `json:"raw"`
	EMA     *Score    `json:"ema,omitempty"` // nil: no averages are kept
	Seconds float64   `json:"seconds"`
	Skipped int64     `json:"skipped,omitempty"` // images that could not be read
}

// Best is the score of the weights that are exported: the averaged ones where
// there are such.
func (e Evaluation) Best() *Score {
	if e.EMA != nil {
		return e.EMA
	}
	return &e.Raw
}

// event is a line that is neither: a warning, a start.
type event struct {
	Kind     string            `json:"kind"` // "warning", "run"
	Time     time.Time         `json:"time"`
	Step     int64             `json:"step"`
	Text     string            `json:"text"`
	MadeFrom map[string]string `json:"made_from,omitempty"`
}

// Log appends lines to log.ndjson. It is for one goroutine at a time.
type Log struct {
	f *os.File
}

// Open opens the log of a run that has done so many steps and epochs, with these
// validations, dropping the steps and validations that come after them (those of a
// killed run, about to be done again), what stands there twice, and a torn last line.
// A validation that is missing, or not as it was, is put in its place.
func Open(dir string, steps int64, epochs int, evals []Evaluation) (*Log, error) {
	path := filepath.Join(dir, Name)
	if err := trim(path, steps, epochs, evals); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o666)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	return &Log{f}, nil
}

// Settle makes the log of a finished run have each of its validations once, as they
// were, and says whether that took a change. Steps whose lines are lost stay so.
func Settle(dir string, steps int64, epochs int, evals []Evaluation) (changed bool, err error) {
	path := filepath.Join(dir, Name)
	var have [][]byte
	err = Each(path, func(line []byte, rec Record) error {
		if rec.Kind == "eval" {
			have = append(have, bytes.Clone(line))
		}
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	var want [][]byte
	for _, e := range evals {
		line, err := json.Marshal(e)
		if err != nil {
			return false, fmt.Errorf("log: %w", err)
		}
		want = append(want, line)
	}
	if err == nil && slices.EqualFunc(have, want, bytes.Equal) {
		return false, nil
	}
	return true, trim(path, steps, epochs, evals)
}

func trim(path string, steps int64, epochs int, evals []Evaluation) error {
	_, err := os.Stat(path)
	missing := errors.Is(err, fs.ErrNotExist)
	if missing && len(evals) == 0 {
		return nil
	}
	return durable.WriteFile(path, func(w io.Writer) error {
		t := trimmer{w: w, steps: steps, epochs: epochs, left: evals, known: len(evals) > 0}
		if !missing {
			if err := Each(path, t.line); err != nil {
				return err
			}
		}
		return t.evalsUntil(math.Inf(1))
	})
}

// trimmer writes the lines of a log that stay.
type trimmer struct {
	w      io.Writer
	steps  int64
	epochs int
	known  bool         // what was validated
	left   []Evaluation // of it what is not written yet

	step      int64   // the last that was written
	validated float64 // epoch of the last validation that was written
}

func (t *trimmer) line(line []byte, rec Record) error {
	switch rec.Kind {
	case "step":
		if rec.Step > t.steps || rec.Step <= t.step {
			return nil
		}
		t.step = rec.Step
		if err := t.evalsUntil(rec.Epoch); err != nil {
			return err
		}
	case "eval":
		if t.known {
			return nil // the run's own are written
		}
		// The last epoch's steps may be done and its validation not: Epoch tells.
		if rec.Step > t.steps || rec.Epoch > float64(t.epochs) || rec.Epoch <= t.validated {
			return nil
		}
		t.validated = rec.Epoch
	}
	return t.put(line)
}

func (t *trimmer) put(line []byte) error {
	_, err := t.w.Write(append(line, '\n'))
	return err
}

// evalsUntil writes the validations of the epochs that end before a step at epoch.
func (t *trimmer) evalsUntil(epoch float64) error {
	for len(t.left) > 0 && float64(t.left[0].Epoch) < epoch {
		line, err := json.Marshal(t.left[0])
		if err != nil {
			return fmt.Errorf("log: %w", err)
		}
		if err := t.put(line); err != nil {
			return err
		}
		t.left = t.left[1:]
	}
	return nil
}

// Record is what of a line, whatever its kind, the readers of the log need. What
// a line does not say is zero, or nil.
type Record struct {
	Kind     string   `json:"kind"` // step, eval, run or warning
	Step     int64    `json:"step"`
	Epoch    float64  `json:"epoch"`
	Loss     *float64 `json:"loss"`
	Top1     float64  `json:"top1"`
	LR       float64  `json:"lr"`
	Raw, EMA *Score
}

// Each calls f with each whole line of the log and what it says; lines that
// are not JSON (the torn end of a killed run) are passed over. The line is good
// during the call; f's error ends it and is returned.
func Each(path string, f func(line []byte, rec Record) error) error {
	in, _, err := regular.Open(path)
	if err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	defer in.Close()
	s := bufio.NewScanner(in)
	s.Buffer(make([]byte, 64<<10), 16<<20)
	for s.Scan() {
		var rec Record
		if json.Unmarshal(s.Bytes(), &rec) != nil {
			continue
		}
		if err := f(s.Bytes(), rec); err != nil {
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
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("log: %w", err)
	}
	if _, err := l.f.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("log: %w", err)
	}
	return nil
}

// Warning appends a line of text about a step.
func (l *Log) Warning(step int64, text string) error {
	return l.Write(event{Kind: "warning", Time: time.Now().UTC(), Step: step, Text: text})
}

// Started appends a line that says how the run goes on at a step, and what it is
// made from, by name.
func (l *Log) Started(step int64, text string, madeFrom map[string]string) error {
	return l.Write(event{Kind: "run", Time: time.Now().UTC(), Step: step, Text: text, MadeFrom: madeFrom})
}

// Close closes the file.
func (l *Log) Close() error { return l.f.Close() }

// Number is a float64 whose JSON form is null where JSON has no such value. null
// is read as NaN.
type Number float64

// MarshalJSON gives null for NaN and the infinities.
func (n Number) MarshalJSON() ([]byte, error) {
	if math.IsNaN(float64(n)) || math.IsInf(float64(n), 0) {
		return []byte("null"), nil
	}
	return json.Marshal(float64(n))
}

// UnmarshalJSON gives NaN for null.
func (n *Number) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*n = Number(math.NaN())
		return nil
	}
	return json.Unmarshal(b, (*float64)(n))
}
