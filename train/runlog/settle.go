package runlog

import (
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
	"strings"
	"time"

	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/internal/regular"
)

// Settle makes the log that of a run that has done so many steps and epochs, with
// these validations: lines of steps and validations that come after go (those of a
// killed run, about to be done again), as does what stands there twice and a torn end;
// validations that are missing, or not as they were, are put in their place. It says
// whether anything had to be done. Lines that are lost and cannot be known again are
// ErrDamaged, once: a damaged log is then set aside, and the new one says what is lost.
func Settle(dir string, steps int64, epochs int, evals []Evaluation) (changed bool, err error) {
	path := filepath.Join(dir, Name)
	s := state{steps: steps, epochs: epochs, evals: evals, next: 1}
	if err := s.look(path); err != nil {
		return false, err
	}
	lost := s.lost()
	if lost == "" && !s.untidy && !s.otherEvals() {
		return false, nil
	}
	if s.damaged > 0 && lost != "" {
		if err := keepDamaged(path); err != nil {
			return false, err
		}
	}
	if err := s.rewrite(path); err != nil {
		return false, err
	}
	if lost != "" {
		return true, fmt.Errorf("%s: %w: %s lost; the log says so now, what was damaged lies beside it as %s.damaged, and the same command goes on",
			path, ErrDamaged, lost, Name)
	}
	return true, nil
}

// Check reads the log at path as Each does, and wants it to be that of a run that has done so
// many steps, with these validations, or more: a line that is lost, or is not what was written,
// is ErrDamaged at its end. It changes nothing.
func Check(path string, steps int64, evals []Evaluation, each func(Record)) error {
	s := state{steps: steps, epochs: math.MaxInt, evals: evals, next: 1, each: each}
	if err := s.look(path); err != nil {
		return err
	}
	if !s.there {
		return fmt.Errorf("read log %s: %w", path, fs.ErrNotExist)
	}
	s.have = s.have[:min(len(s.have), len(evals))] // others may have come since
	switch {
	case len(s.gaps) > 0:
		return fmt.Errorf("%s: %w: %s lost", path, ErrDamaged, s.lost())
	case s.damaged > 0:
		return fmt.Errorf("%s: %w: %d lines are not what was written", path, ErrDamaged, s.damaged)
	case s.otherEvals():
		return fmt.Errorf("%s: %w: it lacks validations that the newest checkpoint knows of", path, ErrDamaged)
	}
	return nil
}

// asideSuffix is of a log that was kept beside the one that took its place.
const asideSuffix = ".damaged"

// Remove removes the log of a run directory, and one that was kept beside it.
func Remove(dir string) error {
	path := filepath.Join(dir, Name)
	for _, name := range []string{path, path + asideSuffix} {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove log: %w", err)
		}
	}
	return nil
}

// keepDamaged keeps a log as it is beside the one that takes its place.
func keepDamaged(path string) error {
	aside := path + asideSuffix
	if err := os.Remove(aside); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("set the log aside: %w", err)
	}
	if err := os.Link(path, aside); err != nil {
		return fmt.Errorf("set the log aside: %w", err)
	}
	return nil
}

// span is a run of steps, from the first to the last.
type span struct{ from, to int64 }

func (s span) String() string {
	if s.from == s.to {
		return fmt.Sprintf("step %d", s.from)
	}
	return fmt.Sprintf("steps %d to %d", s.from, s.to)
}

// state is what a log should hold, and what was found in it.
type state struct {
	steps  int64
	epochs int
	evals  []Evaluation

	there   bool   // the file
	next    int64  // step whose line comes next
	gaps    []span // steps whose lines are lost, and which no line calls lost
	damaged int    // lines that are not what was written, but for a torn end
	untidy  bool   // there are lines that are to go
	have    [][]byte

	validated float64 // epoch of the last validation in it

	each func(Record) // nil: nobody wants the lines
}

// look reads the log.
func (s *state) look(path string) error {
	err := each(path, s.line)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case errors.Is(err, regular.ErrUnfit):
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	case err != nil:
		return err
	default:
		s.there = true
	}
	if s.next <= s.steps {
		s.gaps = append(s.gaps, span{s.next, s.steps})
	}
	return nil
}

func (s *state) line(line []byte, rec *Record, torn bool) error {
	if s.each != nil && rec != nil {
		s.each(*rec)
	}
	if torn { // what is appended would be of the same line
		s.untidy = true
	}
	switch {
	case rec == nil:
		s.untidy = true
		if !torn {
			s.damaged++
		}
	case rec.Kind == "step" && (rec.Step > s.steps || rec.Step < s.next):
		s.untidy = true
	case rec.Kind == "step":
		s.reach(rec.Step)
		s.next = rec.Step + 1
	case rec.Kind == "lost" && rec.From > 0 && rec.From <= rec.To && rec.To <= s.steps:
		s.reach(rec.From)
		s.next = max(s.next, rec.To+1)
	case rec.Kind == "lost" && rec.From > 0, rec.ends() && rec.Step > s.steps:
		s.untidy = true
	case rec.Kind == "eval":
		if rec.Step > s.steps || rec.Epoch > float64(s.epochs) || rec.Epoch <= s.validated {
			s.untidy = true
			return nil
		}
		s.validated = rec.Epoch
		object, _, _ := unsealed(line)
		s.have = append(s.have, bytes.Clone(object))
	}
	return nil
}

// reach comes to the line of a step: where others should come first, those are lost.
func (s *state) reach(step int64) {
	if s.next < step {
		s.gaps = append(s.gaps, span{s.next, step - 1})
	}
}

// otherEvals says whether the validations that are known are not those of the log.
func (s *state) otherEvals() bool {
	if len(s.evals) == 0 {
		return false // by a version that did not keep them, or there are none
	}
	var want [][]byte
	for _, e := range s.evals {
		line, err := json.Marshal(e)
		if err != nil {
			return true
		}
		want = append(want, line)
	}
	return !slices.EqualFunc(s.have, want, bytes.Equal)
}

// lost says what of the log cannot be known again; "" for nothing.
func (s *state) lost() string {
	if len(s.gaps) > 0 {
		var all []string
		for _, g := range s.gaps[:min(len(s.gaps), 5)] {
			all = append(all, g.String())
		}
		if n := len(s.gaps) - len(all); n > 0 {
			all = append(all, fmt.Sprintf("and %d more", n))
		}
		return "the lines of " + strings.Join(all, ", ") + " are"
	}
	if s.damaged > max(len(s.evals)-len(s.have), 0) {
		return "a line that is no step's is"
	}
	return ""
}

func (s *state) rewrite(path string) error {
	return durable.WriteFile(path, func(w io.Writer) error {
		t := trimmer{w: w, steps: s.steps, epochs: s.epochs, left: s.evals, known: len(s.evals) > 0, gaps: s.gaps}
		if s.there {
			if err := Each(path, t.line); err != nil {
				return err
			}
		}
		if err := errors.Join(t.gapsUntil(math.MaxInt64), t.evalsUntil(math.Inf(1))); err != nil {
			return err
		}
		if lost := s.lost(); lost != "" && len(s.gaps) == 0 {
			return t.event(event{Kind: "lost", Time: time.Now().UTC(), Step: s.steps, Text: lost + " lost"})
		}
		return nil
	})
}

// trimmer writes the lines of a log that stay.
type trimmer struct {
	w      io.Writer
	steps  int64
	epochs int
	known  bool         // what was validated
	left   []Evaluation // of it what is not written yet
	gaps   []span       // steps that are to be called lost, not written yet

	step      int64   // the last that was written, or called lost
	validated float64 // epoch of the last validation that was written
}

func (t *trimmer) line(line []byte, rec Record) error {
	switch rec.Kind {
	case "step":
		if rec.Step > t.steps || rec.Step <= t.step {
			return nil
		}
		t.step = rec.Step
		if err := t.gapsUntil(rec.Step); err != nil {
			return err
		}
		if err := t.evalsUntil(rec.Epoch); err != nil {
			return err
		}
	case "lost":
		if rec.From > 0 && (rec.From > rec.To || rec.To > t.steps) {
			return nil
		}
		if rec.From > 0 {
			if err := t.gapsUntil(rec.From); err != nil {
				return err
			}
			t.step = max(t.step, rec.To)
		}
	case "run":
		if rec.ends() && rec.Step > t.steps {
			return nil
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

// event writes a line that is new.
func (t *trimmer) event(e event) error {
	line, err := sealed(e)
	if err != nil {
		return err
	}
	return t.put(line)
}

// gapsUntil says what is lost before a step.
func (t *trimmer) gapsUntil(step int64) error {
	for len(t.gaps) > 0 && t.gaps[0].from < step {
		g := t.gaps[0]
		err := t.event(event{Kind: "lost", Time: time.Now().UTC(), Step: g.from, Text: "the lines of " + g.String() + " are lost", From: g.from, To: g.to})
		if err != nil {
			return err
		}
		t.gaps = t.gaps[1:]
	}
	return nil
}

// evalsUntil writes the validations of the epochs that end before a step at epoch.
func (t *trimmer) evalsUntil(epoch float64) error {
	for len(t.left) > 0 && float64(t.left[0].Epoch) < epoch {
		line, err := sealed(t.left[0])
		if err != nil {
			return err
		}
		if err := t.put(line); err != nil {
			return err
		}
		t.left = t.left[1:]
	}
	return nil
}
