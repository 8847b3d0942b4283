package main

import (
	"fmt"
	"io"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/synshard/synshard/eval"
	"github.com/synshard/synshard/internal/ui"
	"github.com/synshard/synshard/storage"
	"github.com/synshard/synshard/storage/cached"
	"github.com/synshard/synshard/storage/files"
	"github.com/synshard/synshard/train"
	"github.com/synshard/synshard/train/checkpoint"
	"github.com/synshard/synshard/train/recipe"
	"github.com/synshard/synshard/train/runlog"
)

// trainReport tells the terminal how a run goes.
type trainReport struct {
	a    *app
	out  trainOut
	best int // first predictions among which a truth is counted: 5, or as many as there are classes
	bar  ui.Progress
	last atomic.Pointer[runlog.Step]
	top1 float64 // running mean over training batches
	loss float64
	seen bool
	done int64 // images used

	steps int       // of this call
	first time.Time // when the first of them was done
}

func (r *trainReport) quiet() bool { return r.a.Progress == "off" }

// say prints a line of talk.
func (r *trainReport) say(format string, args ...any) {
	r.a.Logf(format, args...)
}

func (r *trainReport) start(s train.Start, where string) {
	batch := int64(s.Recipe.Batch)
	if !r.quiet() {
		if s.Resumed {
			r.say("continuing at step %d of %d", s.Step, s.Steps)
		}
		r.say("%s on %s; %d training and %d validation images; epochs: %d, of %d steps of %d%s; peak learning rate %.4g%s",
			s.Recipe.Model, where, s.TrainRows, s.ValRows, s.Recipe.Epochs, s.StepsPerEpoch, batch, inMicrobatches(s.Microbatches), s.PeakRate, scaledFrom(s.Recipe.Rate))
	}
	r.bar = r.a.imageBar(s.Steps*batch, "train")
	r.done = s.Step * batch
	r.bar.Set(r.done)
}

func inMicrobatches(n int) string {
	if n > 1 {
		return fmt.Sprintf(" (each in %d microbatches)", n)
	}
	return ""
}

// scaledFrom states the rule by which the rate follows the batch.
func scaledFrom(r recipe.Rate) string {
	if r.Scaling == "none" {
		return ""
	}
	return fmt.Sprintf(" (%.4g for a batch of %d, scaled: %s)", r.Base, r.BaseBatch, r.Scaling)
}

func (r *trainReport) step(s runlog.Step) {
	r.last.Store(&s)
	if !r.seen {
		r.loss, r.top1, r.seen = s.Loss, s.Top1, true
	}
	r.loss += 0.1 * (s.Loss - r.loss)
	r.top1 += 0.05 * (s.Top1 - r.top1)
	r.bar.Describe(fmt.Sprintf("%.1f/%d, loss %.2f, top-1 %.0f %%", s.Epoch, s.Epochs, r.loss, 100*r.top1))
	r.done += int64(s.Batch)
	r.bar.Set(r.done)
	r.a.metrics.Rejected.Set(s.Skipped)
	r.forecast(s)
}

// forecastSteps are those by whose time the run's is told; the first of a call is slower than all others.
const forecastSteps = 5

// forecast tells, once, how long the steps that are left will take.
func (r *trainReport) forecast(s runlog.Step) {
	if r.steps++; r.steps == 1 {
		r.first = time.Now()
	}
	if r.steps != 1+forecastSteps || r.quiet() || s.Step == s.Steps {
		return
	}
	left := time.Duration(float64(time.Since(r.first)) / forecastSteps * float64(s.Steps-s.Step))
	unit := time.Second
	if left > time.Hour {
		unit = time.Minute
	}
	r.say("by the time of the last %d steps, the %d that are left take about %v, and validation besides", forecastSteps, s.Steps-s.Step, max(left.Round(unit), unit))
}

func (r *trainReport) validating(done, total int) {
	r.bar.Describe(fmt.Sprintf("validating %d/%d", done, total))
	r.bar.Add64(0)
}

func (r *trainReport) eval(e runlog.Evaluation) {
	if !r.quiet() {
		r.say("epoch %d: %s", e.Epoch, r.evalText(e))
	}
}

func (r *trainReport) evalText(e runlog.Evaluation) string {
	e = e.Counted()
	text := "validation " + r.scoreText(e.Raw)
	if e.EMA != nil {
		text += "; averaged weights " + r.scoreText(*e.EMA)
	}
	if e.Skipped > 0 {
		text += fmt.Sprintf("; %d of %d images could not be read, which counts as wrong", e.Skipped, e.Raw.N)
	}
	return text
}

func (r *trainReport) scoreText(s runlog.Score) string {
	if !s.Finite() {
		return "not known: outputs are not finite"
	}
	return fmt.Sprintf("top-1 %.2f %%, top-%d %.2f %%, loss %.4f", 100*s.Top1, r.best, 100*s.Top5, float64(s.Loss))
}

// status is the line that SIGUSR2 asks for.
func (r *trainReport) status() {
	s := r.last.Load()
	if s == nil {
		r.a.Logf("status: no step taken yet")
		return
	}
	left := time.Duration(float64(s.Steps-s.Step)*float64(s.Batch)/max(s.PerSecond, 1e-9)) * time.Second
	r.a.Logf("status: step %d of %d, epoch %.2f of %d, loss %.4f, learning rate %.4g, %.1f images/s, data wait %.0f ms, about %v of steps left",
		s.Step, s.Steps, s.Epoch, s.Epochs, s.Loss, s.LR, s.PerSecond, s.WaitMS, left)
}

// recipeTable prints the resolved recipe and what the data are, a value a line.
func (r *trainReport) recipeTable(rec recipe.Recipe, data checkpoint.Identity) error {
	if r.quiet() {
		return nil
	}
	rows, err := rec.Table()
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(data)) {
		if data[name] != "" {
			rows = append(rows, [2]string{name, data[name]})
		}
	}
	wide := 0
	for _, row := range rows {
		wide = max(wide, len(row[0]))
	}
	var b strings.Builder
	for _, row := range rows {
		fmt.Fprintf(&b, "  %-*s  %s\n", wide, row[0], row[1])
	}
	r.a.Lines(b.String())
	return nil
}

// measured is what --eval-only prints.
type measured struct {
	Weights string `json:"weights"` // the file that was measured
	evaluationJSON
}

// printEvaluation prints what --eval-only measured, of a file of weights.
func (r *trainReport) printEvaluation(ev runlog.Evaluation, weights string) error {
	r.a.cameTo(int64(ev.Raw.N), ev.Skipped)
	return r.a.Result(measured{weights, evaluationOf(ev)}, func(w io.Writer) {
		fmt.Fprintf(w, "%s\nstep %d, epoch %d, %d images\n%s\n", ui.Text(weights), ev.Step, ev.Epoch, ev.Counted().Raw.N, r.evalText(ev))
	})
}

// trainResult is a finished run and, of a dataset and a run at URLs, what was asked of
// the stores.
type trainResult struct {
	train.Result
	Last     *evaluationJSON  `json:"last,omitempty"`
	Best     *evaluationJSON  `json:"best,omitempty"`     // by top-1
	Exported *evaluationJSON  `json:"exported,omitempty"` // of the weights in the files
	Storage  []cached.Figures `json:"storage,omitempty"`
	Written  *storage.Figures `json:"storage_out,omitempty"`
}

// headline is that of the weights that a run exports, as Raw, over its validation images.
func (r *trainReport) headline(e runlog.Evaluation) eval.Headline {
	s := e.Counted().Raw
	count := func(share float64) int { return int(math.Round(share * float64(s.N))) }
	return eval.Headline{Images: s.N, Unreadable: int(e.Skipped), Right1: count(s.Top1), Right5: count(s.Top5), K: r.best}
}

// endedText says why a run came to its end.
func endedText(res train.Result) string {
	if res.Ended == "patience" {
		return fmt.Sprintf("after %d epochs: none of the last %d was better than epoch %d (--patience)", res.Epochs, res.Epochs-res.Best.Epoch, res.Best.Epoch)
	}
	return fmt.Sprintf("all epochs made (%d)", res.Epochs)
}

// result prints a finished run.
func (r *trainReport) result(res train.Result) error {
	if res.Already && r.out.Dir == nil { // a Makefile is content with it; a bucket would be sent them again
		for _, path := range []string{res.ONNX, res.Weights} {
			if err := files.Local(filepath.Dir(path)).Touch(filepath.Base(path)); err != nil {
				return err
			}
		}
	}
	r.a.metrics.Images.Set(res.Images)
	return r.a.Result(trainResult{res, evaluationOrNone(res.Last), evaluationOrNone(res.Best), evaluationOrNone(res.Exported), r.a.storageFigures(), r.out.figures()}, func(w io.Writer) {
		row := func(k, v string) { fmt.Fprintf(w, "%-10s %s\n", k, ui.Text(v)) }
		row("steps", fmt.Sprintf("%d (epochs: %d), %d images", res.Steps, res.Epochs, res.Images))
		if res.Seconds > 0 {
			row("time", fmt.Sprintf("%v, %.1f images/s", time.Duration(res.Seconds*float64(time.Second)).Round(time.Second), float64(res.Images)/res.Seconds))
		}
		if res.Last != nil {
			row("last", r.evalText(*res.Last))
		}
		if res.Best != nil {
			best := fmt.Sprintf("epoch %d: %s", res.Best.Epoch, r.evalText(*res.Best))
			if res.Exported != nil && res.Exported.Step != res.Best.Step {
				best += "; the model is the last epoch's (--export best)"
			}
			row("best", best)
		}
		row("ended", endedText(res))
		row("weights", res.Weights)
		row("model", res.ONNX)
		if e := res.Exported; e != nil {
			fmt.Fprint(w, "\n", r.headline(*e).Lines())
		}
	})
}
