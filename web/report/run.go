package report

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/synshard/synshard/train/runlog"
)

// Run is a training run as its directory tells it.
type Run struct {
	Name   string // the directory's, for people
	Config string // the recipe, as config.yaml has it; "": nobody knows
	steps  []runlog.Record
	evals  []runlog.Record
	from   map[string]string
	notes  []string // warnings, and steps that were lost
	times  []stretch
	images int64
}

// stretch is from one start of a run to its last line.
type stretch struct{ from, to time.Time }

// ReadRun reads a run's log, which is to have so many steps and these validations: see
// runlog.Check. The steps of which another start knows better have gone from it already. The
// recipe is the log's, whose lines have sums; config is what config.yaml holds, for a log of
// before, which does not say.
func ReadRun(name, log, config string, steps int64, evals []runlog.Evaluation) (*Run, error) {
	r := &Run{Name: name, Config: config}
	if err := runlog.Check(log, steps, evals, r.add); err != nil {
		return nil, err
	}
	if len(r.steps)+len(r.evals) == 0 {
		return nil, fmt.Errorf("%s: no step was logged", log)
	}
	return r, nil
}

func (r *Run) add(rec runlog.Record) {
	switch rec.Kind {
	case "step":
		r.steps = append(r.steps, rec)
		r.images = max(r.images, rec.Images)
	case "eval":
		switch {
		case rec.Raw == nil:
		case !rec.Finite():
			r.notes = append(r.notes, fmt.Sprintf("step %d: outputs were not finite, so that the validation after epoch %g is left out", rec.Step, rec.Epoch))
		default:
			r.evals = append(r.evals, rec.Counted())
		}
	case "run":
		if rec.MadeFrom != nil {
			r.from = rec.MadeFrom
		}
		r.Config = cmp.Or(rec.Config, r.Config)
		if rec.MadeFrom != nil || len(r.times) == 0 { // it began, or went on
			r.times = append(r.times, stretch{rec.Time, rec.Time})
		}
	case "warning", "lost":
		r.notes = append(r.notes, fmt.Sprintf("step %d: %s", rec.Step, cmp.Or(rec.Text, fmt.Sprintf("steps %d to %d were lost", rec.From, rec.To))))
	}
	if n := len(r.times); n > 0 && !rec.Time.IsZero() {
		r.times[n-1].to = rec.Time
	}
}

// runSection is what a report says of a run.
type runSection struct {
	Name      string
	Facts     [][2]string
	Best      *runlog.Score
	BestEpoch float64
	Charts    []chartWithLegend
	Config    string
	From      [][2]string
	Notes     []string
	NotesLeft int
}

// chartWithLegend is a chart and what its lines are.
type chartWithLegend struct {
	*Chart
	Title, Note string
}

const notesShown = 20

func newRunSection(r *Run) *runSection {
	p := &runSection{Name: r.Name, Config: r.Config, Notes: r.notes[:min(len(r.notes), notesShown)], NotesLeft: max(len(r.notes)-notesShown, 0)}
	for _, k := range slices.Sorted(maps.Keys(r.from)) {
		if r.from[k] != "" {
			p.From = append(p.From, [2]string{k, r.from[k]})
		}
	}
	for _, e := range r.evals {
		if s := exported(e); p.Best == nil || s.Top1 > p.Best.Top1 {
			p.Best, p.BestEpoch = s, e.Epoch
		}
	}
	p.Facts = r.facts(p)
	p.Charts = []chartWithLegend{
		{r.lossChart(), "Loss", r.lossNote()},
		{r.accuracyChart(p), "Accuracy", r.accuracyNote(p)},
		{r.rateChart(), "Learning rate", ""},
		{r.speedChart(), "Throughput", "Images a second of training steps, waiting for data included; validations and checkpoints are not in it."},
	}
	return p
}

// accuracyNote says what the accuracies are.
func (r *Run) accuracyNote(p *runSection) string {
	note := "Training: top-1 of each batch, augmented."
	if p.Best != nil {
		note += fmt.Sprintf(" The ring marks the best validation: %.2f %% after epoch %g.", 100*p.Best.Top1, p.BestEpoch)
	}
	return note
}

// lossOf is the definition that every step has: a validation's, if it can be that.
func (r *Run) lossOf() runlog.LossOf {
	if len(r.steps) == 0 || slices.ContainsFunc(r.steps, func(s runlog.Record) bool { return s.CrossEntropy == nil }) {
		return runlog.Minimised
	}
	return runlog.CrossEntropy
}

// lossNote says what the losses are.
func (r *Run) lossNote() string {
	const edge = " A value far above the training's runs along the upper edge."
	if r.lossOf() == runlog.Minimised {
		return "Training: the loss of the main head as it is minimised, with label smoothing and augmentation. Validation: cross entropy without either, so that it may lie below." + edge
	}
	return "Both are the cross entropy of the main head without label smoothing: training's of augmented images, by weights that still change. What a step minimises, loss in the log, is with the recipe's label smoothing and its weighted auxiliary head." + edge
}

// exported is the score of the weights that a run exports.
func exported(e runlog.Record) *runlog.Score {
	if e.EMA != nil {
		return e.EMA
	}
	return e.Raw
}

func (r *Run) facts(p *runSection) [][2]string {
	var out [][2]string
	add := func(k, format string, args ...any) { out = append(out, [2]string{k, fmt.Sprintf(format, args...)}) }
	if p.Best != nil {
		add("best validation", "top-1 %.2f %%, top-5 %.2f %% of %d images, after epoch %g", 100*p.Best.Top1, 100*p.Best.Top5, p.Best.N, p.BestEpoch)
		last := r.evals[len(r.evals)-1]
		add("last validation", "top-1 %.2f %%, top-5 %.2f %%, after epoch %g", 100*exported(last).Top1, 100*exported(last).Top5, last.Epoch)
		if n := last.Skipped; n > 0 {
			add("unreadable", "%d of the %d validation images, which counts as wrong", n, exported(last).N)
		}
	}
	if n := len(r.steps); n > 0 {
		add("steps", "%d (epochs: %g), %d images", r.steps[n-1].Step, math.Round(100*r.steps[n-1].Epoch)/100, r.images)
	}
	var spent time.Duration
	for _, t := range r.times {
		spent += t.to.Sub(t.from)
	}
	if spent > 0 {
		times := ""
		if len(r.times) > 1 {
			times = fmt.Sprintf(", in %d starts", len(r.times))
		}
		add("time", "%v%s; %.1f images/s over all of it", spent.Round(time.Second), times, float64(r.images)/spent.Seconds())
	}
	if rates := r.rates(); len(rates) > 0 {
		slices.Sort(rates)
		add("throughput", "%.1f images/s, the median of its steps", rates[len(rates)/2])
	}
	return out
}

func (r *Run) rates() (out []float64) {
	for _, s := range r.steps {
		if s.PerSecond > 0 {
			out = append(out, s.PerSecond)
		}
	}
	return out
}
