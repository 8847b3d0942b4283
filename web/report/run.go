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
	Config string // config.yaml, "": there is none
	steps  []runlog.Record
	evals  []runlog.Record
	from   map[string]string
	notes  []string // warnings, and steps that were lost
	times  []stretch
	images int64
}

// stretch is from one start of a run to its last line.
type stretch struct{ from, to time.Time }

// ReadRun reads a run's log. The steps of which another start knows better have gone
// from it already.
func ReadRun(name, log, config string) (*Run, error) {
	r := &Run{Name: name, Config: config}
	err := runlog.Each(log, func(_ []byte, rec runlog.Record) error {
		r.add(rec)
		return nil
	})
	if err != nil {
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
		if rec.Raw != nil {
			r.evals = append(r.evals, rec)
		}
	case "run":
		if rec.MadeFrom != nil {
			r.from = rec.MadeFrom
		}
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

// runPart is what a report says of a run.
type runPart struct {
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

func newRunPart(r *Run) *runPart {
	p := &runPart{Name: r.Name, Config: r.Config, Notes: r.notes[:min(len(r.notes), notesShown)], NotesLeft: max(len(r.notes)-notesShown, 0)}
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
		{r.lossChart(), "Loss", "Training: the loss of the main head as it is minimised, with label smoothing and augmentation. Validation: cross-entropy without either, so that it may lie below. A value far above the training's runs along the upper edge."},
		{r.accuracyChart(p), "Accuracy", "Training: top-1 of each batch, augmented. The ring marks the best validation."},
		{r.rateChart(), "Learning rate", ""},
		{r.speedChart(), "Throughput", "Images a second of training steps, waiting for data included; validations and checkpoints are not in it."},
	}
	return p
}

// exported is the score of the weights that a run exports.
func exported(e runlog.Record) *runlog.Score {
	if e.EMA != nil {
		return e.EMA
	}
	return e.Raw
}

func (r *Run) facts(p *runPart) [][2]string {
	var out [][2]string
	add := func(k, format string, args ...any) { out = append(out, [2]string{k, fmt.Sprintf(format, args...)}) }
	if p.Best != nil {
		add("best validation", "top-1 %.2f %%, top-5 %.2f %% of %d images, after epoch %g", 100*p.Best.Top1, 100*p.Best.Top5, p.Best.N, p.BestEpoch)
		last := r.evals[len(r.evals)-1]
		add("last validation", "top-1 %.2f %%, top-5 %.2f %%, after epoch %g", 100*exported(last).Top1, 100*exported(last).Top5, last.Epoch)
	}
	if n := len(r.steps); n > 0 {
		add("steps", "%d, %g epochs, %d images", r.steps[n-1].Step, math.Round(100*r.steps[n-1].Epoch)/100, r.images)
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

// most is how many points of a curve are drawn.
const most = 1000

// curve takes a value of each record that has one.
func curve(recs []runlog.Record, of func(runlog.Record) (float64, bool)) (out runlog.Curve) {
	for _, rec := range recs {
		if v, ok := of(rec); ok && !math.IsNaN(v) && !math.IsInf(v, 0) {
			out = append(out, runlog.Point{X: rec.Epoch, Y: v})
		}
	}
	return out
}

// epochs is the axis of all its charts.
func (r *Run) epochs() *[2]float64 {
	last := 0.0
	for _, recs := range [][]runlog.Record{r.steps, r.evals} {
		if n := len(recs); n > 0 {
			last = max(last, recs[n-1].Epoch)
		}
	}
	return &[2]float64{0, cmp.Or(last, 1)}
}

func (r *Run) lossChart() *Chart {
	raw := curve(r.steps, func(s runlog.Record) (float64, bool) {
		if s.MainLoss != nil {
			return *s.MainLoss, true
		}
		if s.Loss == nil {
			return 0, false
		}
		return *s.Loss, true
	})
	mean := raw.Running()
	val := curve(r.evals, func(e runlog.Record) (float64, bool) { return float64(e.Raw.Loss), true })
	ema := curve(r.evals, func(e runlog.Record) (float64, bool) {
		if e.EMA == nil {
			return 0, false
		}
		return float64(e.EMA.Loss), true
	})
	return &Chart{Name: "Loss by epoch", X: "epoch", Y: "loss, nats", XRange: r.epochs(), YRange: &[2]float64{0, runlog.LossTop(mean, val, ema)}, Lines: []Line{
		{Name: "training, each step", Style: "pale", Points: raw.Thin(most)}, {Name: "training, running mean", Style: "train", Points: mean.Thin(most)},
		{Name: "validation", Style: "valid", Points: val, Dots: val.Few()}, {Name: "validation, averaged weights", Style: "ema", Points: ema, Dots: ema.Few()}}}
}

func (r *Run) accuracyChart(p *runPart) *Chart {
	share := func(of func(runlog.Record) *runlog.Score, top5 bool) runlog.Curve {
		return curve(r.evals, func(e runlog.Record) (float64, bool) {
			s := of(e)
			switch {
			case s == nil:
				return 0, false
			case top5:
				return 100 * s.Top5, true
			}
			return 100 * s.Top1, true
		})
	}
	raw := share(func(e runlog.Record) *runlog.Score { return e.Raw }, false)
	ema := share(func(e runlog.Record) *runlog.Score { return e.EMA }, false)
	top5 := share(exported, true)
	c := &Chart{Name: "Accuracy by epoch", X: "epoch", Y: "accuracy, %", XRange: r.epochs(), YRange: &[2]float64{0, 100}, Lines: []Line{
		{Name: "training top-1, running mean", Style: "train", Points: curve(r.steps, func(s runlog.Record) (float64, bool) { return 100 * s.Top1, true }).Running().Thin(most)},
		{Name: "validation top-5", Style: "other", Points: top5, Dots: top5.Few()},
		{Name: "validation top-1", Style: "valid", Points: raw, Dots: raw.Few()},
		{Name: "validation top-1, averaged weights", Style: "ema", Points: ema, Dots: ema.Few()}}}
	if p.Best != nil {
		c.Mark = &Mark{runlog.Point{X: p.BestEpoch, Y: 100 * p.Best.Top1}, fmt.Sprintf("best: %.2f %% after epoch %g", 100*p.Best.Top1, p.BestEpoch)}
	}
	return c
}

func (r *Run) rateChart() *Chart {
	points := curve(r.steps, func(s runlog.Record) (float64, bool) { return s.LR, true })
	return &Chart{Name: "Learning rate by epoch", X: "epoch", Y: "learning rate", XRange: r.epochs(), YRange: &[2]float64{0, cmp.Or(1.05*points.Highest(), 1)},
		Lines: []Line{{Name: "learning rate", Style: "train", Points: points.Thin(most)}}}
}

func (r *Run) speedChart() *Chart {
	points := curve(r.steps, func(s runlog.Record) (float64, bool) { return s.PerSecond, s.PerSecond > 0 })
	mean := points.Running()
	return &Chart{Name: "Throughput by epoch", X: "epoch", Y: "images/s", XRange: r.epochs(), YRange: &[2]float64{0, cmp.Or(1.05*mean.Highest(), 1)},
		Lines: []Line{{Name: "each step", Style: "pale", Points: points.Thin(most)}, {Name: "running mean", Style: "train", Points: mean.Thin(most)}}}
}
