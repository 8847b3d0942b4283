package report

import (
	"cmp"
	"fmt"
	"math"

	"github.com/synshard/synshard/train/runlog"
)

// pointsDrawn is the most points of a curve that are drawn.
const pointsDrawn = 1000

// curve takes a value of each record that has one.
func curve(recs []runlog.Record, of func(runlog.Record) (float64, bool)) (out runlog.Curve) {
	for _, rec := range recs {
		if v, ok := of(rec); ok && !math.IsNaN(v) && !math.IsInf(v, 0) {
			out = append(out, runlog.Point{X: rec.Epoch, Y: v})
		}
	}
	return out
}

// epochs is the range of the charts' x axis.
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
	of := r.lossOf()
	raw := curve(r.steps, func(s runlog.Record) (float64, bool) {
		if loss := s.TrainLoss(of); loss != nil {
			return *loss, true
		}
		return 0, false
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
		{Name: "training, each step", Style: "pale", Points: raw.Thin(pointsDrawn)}, {Name: "training, running mean", Style: "train", Points: mean.Thin(pointsDrawn)},
		{Name: "validation", Style: "valid", Points: val, Dots: val.Few()}, {Name: "validation, averaged weights", Style: "ema", Points: ema, Dots: ema.Few()}}}
}

func (r *Run) accuracyChart(p *runSection) *Chart {
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
		{Name: "training top-1, running mean", Style: "train", Points: curve(r.steps, func(s runlog.Record) (float64, bool) { return 100 * s.Top1, true }).Running().Thin(pointsDrawn)},
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
		Lines: []Line{{Name: "learning rate", Style: "train", Points: points.Thin(pointsDrawn)}}}
}

func (r *Run) speedChart() *Chart {
	points := curve(r.steps, func(s runlog.Record) (float64, bool) { return s.PerSecond, s.PerSecond > 0 })
	mean := points.Running()
	return &Chart{Name: "Throughput by epoch", X: "epoch", Y: "images/s", XRange: r.epochs(), YRange: &[2]float64{0, cmp.Or(1.05*mean.Highest(), 1)},
		Lines: []Line{{Name: "each step", Style: "pale", Points: points.Thin(pointsDrawn)}, {Name: "running mean", Style: "train", Points: mean.Thin(pointsDrawn)}}}
}
