package train

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"path/filepath"
	"strings"

	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/internal/panel"
	"github.com/synshard/synshard/internal/regular"
	"github.com/synshard/synshard/train/checkpoint"
)

// Files of a range test in a run's directory.
const (
	FoundChartName = "find-lr.svg" // the losses by rate
	foundName      = "find-lr.json"
)

// RateSteps is how many steps a range test takes at most.
const RateSteps = 100

// The range of rates that is tried, in steps that multiply, and how losses are smoothed.
const (
	leastRate, mostRate = 1e-6, 10.0
	rateSmoothing       = 0.9 // share of the average so far
	rateDiverged        = 4   // times the least smoothed loss, where the test ends
)

// ErrNoRate says that no rate made the loss fall.
var ErrNoRate = errors.New("at no learning rate did the loss fall")

// FoundRate is what a range test of the learning rate found (L. N. Smith, "Cyclical Learning
// Rates for Training Neural Networks", WACV 2017, section 3.3).
type FoundRate struct {
	// Rate is a tenth of Lowest: below the rate at which the loss stops falling, with room for
	// a network that has learnt more. It is what a step takes, with no scaling by batch.
	Rate     float64 `json:"rate"`
	Lowest   float64 `json:"lowest"`   // where the smoothed loss was least
	Diverged bool    `json:"diverged"` // the test ended early, as the loss was 4 times its least, or no number
	// Tried are the steps, the least rate first.
	Tried []TriedRate `json:"steps"`

	// MadeFrom tells the run that it is of, but for its learning rate.
	MadeFrom checkpoint.Identity `json:"made_from"`
}

// TriedRate is a step of a range test.
type TriedRate struct {
	Rate     float64 `json:"rate"`     // that it was taken with
	Loss     float64 `json:"loss"`     // of the main head, as it is minimised
	Smoothed float64 `json:"smoothed"` // average of the losses so far, the last tenth and each before it nine tenths of the next
}

// FindRate takes the first steps of a run with rates that grow from one to the next, and
// throws their weights away. What it found is left in the run's directory, where ReadFoundRate
// finds it, with a chart. onTried, which may be nil, is told of each step. ErrNoRate where the loss was least at the first rate.
func FindRate(ctx context.Context, o Options, onTried func(done int)) (*FoundRate, error) {
	if onTried == nil {
		onTried = func(int) {}
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	if err := durable.MkdirAll(filepath.Join(o.Dir, checkpoint.Dir)); err != nil {
		return nil, fmt.Errorf("run directory: %w", err)
	}
	unlock, err := begin(o.Dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	s := &rateTest{o: o, found: &FoundRate{MadeFrom: withoutRate(o.madeFrom)}, onTried: onTried, least: math.Inf(1)}
	if err := s.run(ctx); err != nil {
		return nil, err
	}
	if err := s.choose(); err != nil {
		return nil, err
	}
	if err := s.write(); err != nil {
		return nil, err
	}
	return s.found, o.OnDurable(true)
}

// ReadFoundRate gives what a range test of the same run found, and nil where none did. It is
// of the same run if all but the learning rate is.
func ReadFoundRate(o Options) (*FoundRate, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	path := filepath.Join(o.Dir, foundName)
	b, err := regular.ReadFile(path, regular.Document)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var f FoundRate
	if err := json.Unmarshal(b, &f); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", path, checkpoint.ErrDamaged, err)
	}
	if !maps.Equal(f.MadeFrom, withoutRate(o.madeFrom)) {
		return nil, nil
	}
	if !(f.Rate > 0) {
		return nil, fmt.Errorf("%s: %w: a rate of %v", path, checkpoint.ErrDamaged, f.Rate)
	}
	return &f, nil
}

// withoutRate is what a run is made from but for what a range test is to find.
func withoutRate(id checkpoint.Identity) checkpoint.Identity {
	id = maps.Clone(id)
	maps.DeleteFunc(id, func(name, _ string) bool { return strings.HasPrefix(name, "rate.") && name != "rate.layer_decay" })
	return id
}

// rateTest is a range test under way.
type rateTest struct {
	o       Options
	found   *FoundRate
	onTried func(done int)
	average float64 // of losses, before its correction for a short past
	least   float64 // smoothed loss
}

// run takes the steps.
func (s *rateTest) run(ctx context.Context) (err error) {
	r := &runner{o: s.o, pos: s.o.start()}
	if err := r.checkLabels(); err != nil {
		return err
	}
	if r.stepsPerEpoch() == 0 {
		return optionf("a batch of %d is more than the %d training images", r.pos.Batch, r.pos.Rows)
	}
	state, err := r.firstState()
	if err != nil {
		return err
	}
	eng, err := s.o.NewEngine(s.o.engineConfig(r.pos.Microbatches, 0))
	if err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	defer func() { err = errors.Join(err, eng.Close()) }()
	if err := eng.SetState(state); err != nil {
		return fmt.Errorf("set the first state: %w", err)
	}
	for epoch := 0; !s.done(); epoch++ {
		if err := s.epoch(ctx, eng, epoch, r.stepsPerEpoch()); err != nil {
			return err
		}
	}
	return nil
}

func (s *rateTest) done() bool { return s.found.Diverged || len(s.found.Tried) == RateSteps }

// epoch takes the steps of an epoch, or those that are left to take.
func (s *rateTest) epoch(ctx context.Context, eng Engine, epoch int, steps int64) (err error) {
	batches, err := s.o.Data.Train(ctx, epoch, 0, s.o.Recipe.Batch)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, batches.Close()) }()
	for ; steps > 0 && !s.done(); steps-- {
		if err := ctx.Err(); err != nil {
			return err
		}
		b, err := batches.Next()
		if err != nil {
			return fmt.Errorf("training data: %w", err)
		}
		i := len(s.found.Tried)
		step := Step{Seed: stepSeed(s.o.Recipe.Seed, int64(i)), LR: rateAt(i), EMADecay: s.o.Recipe.EMA.At(int64(i)), FreezeBN: s.o.Recipe.Network.FreezeBN}
		err = checkBatch(b, s.o.Network.Classes)
		var m Metrics
		if err == nil {
			mix(b, s.o.Recipe.Loss, step.Seed)
			m, err = eng.Step(b, step)
		}
		b.Release()
		if err != nil {
			return fmt.Errorf("step %d: %w", i+1, err)
		}
		s.add(step.LR, m.MainLoss)
		s.onTried(len(s.found.Tried))
	}
	return nil
}

// rateAt is the rate of step i, from 0.
func rateAt(i int) float64 {
	return leastRate * math.Pow(mostRate/leastRate, float64(i)/(RateSteps-1))
}

// add takes what a step found.
func (s *rateTest) add(rate, loss float64) {
	if math.IsNaN(loss) || math.IsInf(loss, 0) {
		s.found.Diverged = true
		return
	}
	n := len(s.found.Tried) + 1
	s.average = rateSmoothing*s.average + (1-rateSmoothing)*loss
	smoothed := s.average / (1 - math.Pow(rateSmoothing, float64(n)))
	s.found.Tried = append(s.found.Tried, TriedRate{rate, loss, smoothed})
	s.least = min(s.least, smoothed)
	s.found.Diverged = smoothed > rateDiverged*s.least
}

// choose finds the place of the curve that is told of.
func (s *rateTest) choose() error {
	f, lowest := s.found, 0
	for i, t := range f.Tried {
		if t.Smoothed < f.Tried[lowest].Smoothed {
			lowest = i
		}
	}
	if lowest == 0 {
		return fmt.Errorf("%w, in %d steps from %g to %g", ErrNoRate, len(f.Tried), leastRate, rateAt(max(len(f.Tried)-1, 0)))
	}
	f.Lowest, f.Rate = f.Tried[lowest].Rate, f.Tried[lowest].Rate/10
	return nil
}

// write leaves the result and its chart in the run's directory; what is read is whole
// only with the chart.
func (s *rateTest) write() error {
	if err := s.draw(filepath.Join(s.o.Dir, FoundChartName)); err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(s.o.Dir, foundName), func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(s.found)
	})
}

func (s *rateTest) draw(path string) error {
	f := s.found
	var losses, smoothed []panel.Point
	most := 0.0 // a loss that diverges is not what is looked at
	for _, t := range f.Tried {
		most = max(most, t.Smoothed)
	}
	most = min(most, 2*f.Tried[0].Smoothed)
	for _, t := range f.Tried {
		losses = append(losses, panel.Point{X: t.Rate, Y: min(t.Loss, most)})
		smoothed = append(smoothed, panel.Point{X: t.Rate, Y: min(t.Smoothed, most)})
	}
	p := panel.New("Loss by learning rate", "loss of the main head")
	p.Under("learning rate of a step")
	p.Powers()
	p.Line("each step", losses, panel.Grey, 1, false)
	p.Line("smoothed", smoothed, panel.Blue, 2, false)
	at := func(rate float64) panel.Point {
		for _, p := range smoothed {
			if p.X >= rate*(1-1e-9) {
				return p
			}
		}
		return smoothed[0]
	}
	p.Ring(fmt.Sprintf("suggested: %.3g", f.Rate), panel.Point{X: f.Rate, Y: at(f.Rate).Y})
	return panel.Write(path, chartDPI, []*panel.Panel{p})
}

const chartDPI = 100 // of PNGs
