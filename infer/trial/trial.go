package trial

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/synshard/synshard/infer"
)

// Budget is how long a trial measures, about: what is under way when it is up is ended first,
// and engines are opened besides.
const Budget = 20 * time.Second

// A trial is made only where the first way would need so many times as long for the images.
const worth = 10

const (
	leastWindow = 400 * time.Millisecond
	leastRounds = 3 // of less, in a time in which other work may come and go, nothing follows
	mostRounds  = 5
	margin      = 1.05 // what is not faster by this is no reason to leave what there is
)

// Batches are those that are tried where none is asked for.
var Batches = []int{1, 2, 4, 8, 16}

// Candidate is an engine, in one way of running it, that may be chosen.
type Candidate struct {
	Engine string                                        // of the way, by the caller's name for it
	Open   func(context.Context) (*infer.Network, error) // at any time, once
}

// Options say what is tried.
type Options struct {
	// Candidates are tried against each other; the first is what is taken unless another gives
	// the same and was faster in each turn but one of five, by 5 % in all.
	Candidates []Candidate
	Batches    []int         // images a run that are tried of the fastest; nil: as the networks have it
	Images     int           // that are to be predicted; 0: as many as make any trial worth it
	Budget     time.Duration // 0: Budget
	OnBegin    func()        // when a trial is worth it, and begins; may be nil
}

// Result is what a trial found.
type Result struct {
	Chosen Tried   `json:"chosen"` // one of those that were tried, or the first
	Tried  []Tried `json:"tried"`  // what was measured, then what cannot run the model; empty: no trial was worth it
}

// Other gives what is faster than what was chosen and was left out, as it gives other results;
// ok is false where nothing is.
func (r *Result) Other() (other Tried, ok bool) {
	for _, t := range r.Tried {
		if t.LeftOut != "" && t.PerSecond > max(margin*r.Chosen.PerSecond, other.PerSecond) {
			other, ok = t, true
		}
	}
	return other, ok
}

// Run tries the candidates, and gives the network of the way that it chose, open, with that
// way's batch. An engine that cannot run the model is left out, and so is one that gives other results,
// after it was measured; that the first one cannot is an error.
func Run(ctx context.Context, o Options) (*infer.Network, Result, error) {
	if o.Budget == 0 {
		o.Budget = Budget
	}
	t := &trial{o: o}
	chosen, err := t.run(ctx)
	if err != nil {
		return nil, Result{}, errors.Join(err, t.close(nil))
	}
	n := chosen.network
	n.Batch = chosen.way.Batch
	r := Result{Chosen: chosen.tried()}
	if t.begun {
		for _, x := range slices.Concat(t.engines, t.batches) {
			r.Tried = append(r.Tried, x.tried())
		}
		r.Tried = append(r.Tried, t.unfit...)
	}
	return n, r, t.close(n)
}

// trial is one under way.
type trial struct {
	o       Options
	began   time.Time
	begun   bool
	wanted  []float32 // the first one's probabilities
	engines []*runner
	batches []*runner // of the fastest of the engines
	unfit   []Tried   // what could not be run
}

// run gives what is chosen.
func (t *trial) run(ctx context.Context) (*runner, error) {
	t.began = time.Now()
	if err := t.enter(ctx, t.o.Candidates[0]); err != nil {
		return nil, err
	}
	first := t.engines[0]
	if t.o.Images > 0 {
		if err := first.pace(ctx); err != nil {
			return nil, err
		}
		if float64(t.o.Images) < worth*t.o.Budget.Seconds()*first.perSecond() {
			return first, nil
		}
		first.rates = nil // the others' turns were not yet
	}
	t.begun = true
	if t.o.OnBegin != nil {
		t.o.OnBegin()
	}
	for _, c := range t.o.Candidates[1:] {
		err := t.enter(ctx, c)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			t.unfit = append(t.unfit, Tried{Way: Way{Engine: c.Engine}, LeftOut: err.Error()})
		}
	}
	t.began = time.Now()
	if err := t.turns(ctx, t.engines, t.o.Budget*3/4, true); err != nil {
		return nil, err
	}
	best := fastest(t.engines)
	if best.network.Only > 0 || len(t.o.Batches) == 0 {
		return best, nil
	}
	return t.tryBatches(ctx, best)
}

// tryBatches tries a network with other batches, and gives the best.
func (t *trial) tryBatches(ctx context.Context, best *runner) (*runner, error) {
	for _, b := range t.o.Batches {
		if b != best.way.Batch {
			r := &runner{way: best.way, network: best.network}
			r.way.Batch = b
			t.batches = append(t.batches, r)
		}
	}
	now := &runner{way: best.way, network: best.network, ready: true} // in the same turns as the others
	err := t.turns(ctx, append([]*runner{now}, t.batches...), t.o.Budget, false)
	if err != nil {
		return nil, err
	}
	faster := fastest(append([]*runner{now}, t.batches...))
	t.batches = slices.DeleteFunc(t.batches, func(r *runner) bool { return r.rates == nil && !r.failed })
	best.rates = append(best.rates, now.rates...)
	if faster == now {
		return best, nil
	}
	return faster, nil
}

// enter opens a candidate, and holds what it gives to what the first one does.
func (t *trial) enter(ctx context.Context, c Candidate) error {
	n, err := c.Open(ctx)
	if err != nil {
		return err
	}
	r := &runner{way: Of(c.Engine, n), network: n}
	out, err := r.warm(ctx)
	if err != nil {
		return errors.Join(err, n.Close())
	}
	if t.wanted == nil {
		t.wanted = out.Probabilities
	}
	r.leftOut = differ(out.Probabilities, t.wanted) // it is measured, as who asks for it may have it
	t.engines = append(t.engines, r)
	return nil
}

// turns measures ways in turns, until there are enough rounds or the time since began is up.
// The first round is made in any case where it must be. A way that fails is left out, but the first.
func (t *trial) turns(ctx context.Context, all []*runner, until time.Duration, must bool) error {
	if len(all) == 1 && !must {
		return nil
	}
	for round := range mostRounds {
		for i, r := range all {
			if (round > 0 || !must) && time.Since(t.began) > until {
				return nil
			}
			if r.failed {
				continue
			}
			switch err := r.pace(ctx); {
			case err != nil && (i == 0 || ctx.Err() != nil):
				return err
			case err != nil:
				r.failed, r.rates, r.leftOut = true, nil, err.Error()
			}
		}
	}
	return nil
}

// close closes all networks but one.
func (t *trial) close(but *infer.Network) error {
	var errs []error
	for _, r := range t.engines {
		if r.network != but {
			errs = append(errs, r.network.Close())
		}
	}
	return errors.Join(errs...)
}

// fastest is the fastest of ways that took turns, of which the first is what is taken unless
// another is worth it.
func fastest(all []*runner) *runner {
	best := all[0]
	for _, r := range all[1:] {
		if r.leftOut == "" && r.beats(all[0]) && r.perSecond() > best.perSecond() {
			best = r
		}
	}
	return best
}
