package trial_test

import (
	stdcmp "cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/infer"
	"github.com/synshard/synshard/infer/trial"
	"github.com/synshard/synshard/model"
)

// engine is one that takes time by the clock, and gives probabilities of two classes.
type engine struct {
	name        string
	runs        int
	image, run  time.Duration // an image takes, and a run besides
	only        int
	first       float32 // probability of the first class
	broken      error   // of every run, or
	most, good  int     // of more images, or after so many calls; 0: of none
	unopened    error
	mu          sync.Mutex
	slow        func(call int) time.Duration // a call takes besides; may be nil
	calls, open int
}

func (e *engine) Predict(_ context.Context, _ []byte, n int) (out infer.Outputs, err error) {
	e.mu.Lock()
	e.calls++
	call := e.calls
	e.mu.Unlock()
	if e.slow != nil {
		time.Sleep(e.slow(call))
	}
	time.Sleep(e.run + time.Duration(n)*e.image)
	for range n {
		out.Probabilities = append(out.Probabilities, e.first, 1-e.first)
	}
	if e.most > 0 && n > e.most || e.good > 0 && call > e.good {
		return out, errors.New("no memory")
	}
	return out, e.broken
}

// candidate has it tried.
func (e *engine) candidate() trial.Candidate {
	return trial.Candidate{Engine: e.name, Open: func(context.Context) (*infer.Network, error) {
		if e.unopened != nil {
			return nil, e.unopened
		}
		e.open++
		return &infer.Network{
			Predictor: e, Spec: model.Spec{InputSize: 1}, Runs: e.runs, Threads: 1, Batch: stdcmp.Or(e.only, 8), Only: e.only,
			Close: func() error { e.open--; return nil },
		}, nil
	}}
}

// try runs a trial by a clock of its own, and wants that all but the network which was chosen
// are closed.
func try(t *testing.T, o trial.Options, engines ...*engine) (got trial.Result, took time.Duration) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		for _, e := range engines {
			o.Candidates = append(o.Candidates, e.candidate())
		}
		began := time.Now()
		n, r, err := trial.Run(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if n.Batch != r.Chosen.Batch {
			t.Errorf("the network has batch %d, chosen was %d", n.Batch, r.Chosen.Batch)
		}
		got, took = r, time.Since(began)
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, e := range engines {
		if e.open != 0 {
			t.Errorf("%s: %d networks are open at the end", e.name, e.open)
		}
	}
	return got, took
}

const ms = time.Millisecond

// waits has these calls wait.
func waits(calls ...int) func(int) time.Duration {
	return func(call int) time.Duration {
		if slices.Contains(calls, call) {
			return 200 * ms
		}
		return 0
	}
}

func TestChooses(t *testing.T) {
	for name, c := range map[string]struct {
		engines []*engine
		batches []int
		chosen  trial.Way
		leftOut string
	}{
		"the faster engine": {engines: []*engine{{name: "a", runs: 2, image: 10 * ms, first: 0.25}, {name: "b", runs: 2, image: 8 * ms, first: 0.25}}, chosen: trial.Way{Engine: "b", Threads: 1, Runs: 2, Batch: 8}},
		"not for a little":  {engines: []*engine{{name: "a", runs: 1, image: 100 * ms}, {name: "b", runs: 1, image: 97 * ms}}, chosen: trial.Way{Engine: "a", Threads: 1, Runs: 1, Batch: 8}},
		"more runs at a time": {
			engines: []*engine{{name: "a", runs: 1, image: 10 * ms}, {name: "a", runs: 3, image: 10 * ms}},
			chosen:  trial.Way{Engine: "a", Threads: 1, Runs: 3, Batch: 8}},
		"not what gives other results": {
			engines: []*engine{{name: "a", runs: 1, image: 10 * ms, first: 0.25}, {name: "b", runs: 1, image: ms, first: 0.2501}},
			chosen:  trial.Way{Engine: "a", Threads: 1, Runs: 1, Batch: 8}, leftOut: "its probabilities differ by up to 0.0001"},
		"not what is sure of it, too": {
			engines: []*engine{{name: "a", runs: 1, image: 10 * ms, first: 1e-6}, {name: "b", runs: 1, image: ms, first: 5e-6}},
			chosen:  trial.Way{Engine: "a", Threads: 1, Runs: 1, Batch: 8}, leftOut: "its probabilities differ"},
		"not what cannot open the model": {
			engines: []*engine{{name: "a", runs: 1, image: 10 * ms}, {name: "b", unopened: errors.New("no such operator")}},
			chosen:  trial.Way{Engine: "a", Threads: 1, Runs: 1, Batch: 8}, leftOut: "no such operator"},
		"not what cannot run it": {
			engines: []*engine{{name: "a", runs: 1, image: 10 * ms}, {name: "b", runs: 1, broken: errors.New("no memory")}},
			chosen:  trial.Way{Engine: "a", Threads: 1, Runs: 1, Batch: 8}, leftOut: "no memory"},
		"not what fails at its second turn": {
			engines: []*engine{{name: "a", runs: 1, image: 10 * ms}, {name: "b", runs: 1, image: 5 * ms, good: 15}},
			chosen:  trial.Way{Engine: "a", Threads: 1, Runs: 1, Batch: 8}, leftOut: "no memory"},
		"not a batch that cannot be run": {
			engines: []*engine{{name: "a", runs: 1, image: ms, run: 20 * ms, most: 8}}, batches: trial.Batches,
			chosen: trial.Way{Engine: "a", Threads: 1, Runs: 1, Batch: 8}, leftOut: "no memory"},
		"a larger batch": {
			engines: []*engine{{name: "a", runs: 1, image: ms, run: 20 * ms}}, batches: trial.Batches,
			chosen: trial.Way{Engine: "a", Threads: 1, Runs: 1, Batch: 16}},
		"not for nothing": {
			engines: []*engine{{name: "a", runs: 1, image: 10 * ms}}, batches: trial.Batches,
			chosen: trial.Way{Engine: "a", Threads: 1, Runs: 1, Batch: 8}},
		"the only batch": {
			engines: []*engine{{name: "a", runs: 1, image: ms, run: 20 * ms, only: 4}}, batches: trial.Batches,
			chosen: trial.Way{Engine: "a", Threads: 1, Runs: 1, Batch: 4}},
		// A turn of b is ten calls, or two of those that wait for something else.
		"what is faster but once": {
			engines: []*engine{{name: "a", runs: 1, image: 10 * ms}, {name: "b", runs: 1, image: 5 * ms, slow: waits(12, 13)}},
			chosen:  trial.Way{Engine: "b", Threads: 1, Runs: 1, Batch: 8}},
		"not what is faster at times": {
			engines: []*engine{{name: "a", runs: 1, image: 10 * ms}, {name: "b", runs: 1, image: 5 * ms, slow: waits(12, 13, 24, 25)}},
			chosen:  trial.Way{Engine: "a", Threads: 1, Runs: 1, Batch: 8}},
	} {
		t.Run(name, func(t *testing.T) {
			r, took := try(t, trial.Options{Batches: c.batches}, c.engines...)
			if diff := cmp.Diff(c.chosen, r.Chosen.Way); diff != "" {
				t.Errorf("chosen (-want +got):\n%s", diff)
			}
			if took > trial.Budget+5*time.Second {
				t.Errorf("took %s", took)
			}
			left := slices.IndexFunc(r.Tried, func(x trial.Tried) bool { return x.LeftOut != "" })
			if (left >= 0) != (c.leftOut != "") || left >= 0 && !strings.Contains(r.Tried[left].LeftOut, c.leftOut) {
				t.Errorf("tried %v, want left out: %q", r.Tried, c.leftOut)
			}
			if other, ok := r.Other(); ok != strings.Contains(c.leftOut, "differ") || ok && other.Engine != "b" {
				t.Errorf("faster, with other results: %v, %v", other, ok)
			}
		})
	}
}

// TestOnlyWhereWorthIt: a trial is made for a run that takes ten times as long, and one that is
// too slow to tell ways apart in time keeps to the first.
func TestOnlyWhereWorthIt(t *testing.T) {
	engines := func() []*engine {
		return []*engine{{name: "a", runs: 1, image: 10 * ms}, {name: "b", runs: 1, image: 5 * ms}}
	}
	r, took := try(t, trial.Options{Images: 19_000}, engines()...)
	if r.Chosen.Engine != "a" || len(r.Tried) != 0 || took > time.Second {
		t.Errorf("190 s of work: %+v after %s", r, took)
	}
	begun := 0
	r, _ = try(t, trial.Options{Images: 21_000, OnBegin: func() { begun++ }}, engines()...)
	if r.Chosen.Engine != "b" || len(r.Tried) != 2 || begun != 1 {
		t.Errorf("210 s of work: %+v, begun %d times", r, begun)
	}
	slow := engines()
	slow[0].image, slow[1].image = 2*time.Second, time.Second
	r, took = try(t, trial.Options{Batches: trial.Batches}, slow...)
	if r.Chosen.Engine != "a" || took > 75*time.Second {
		t.Errorf("8 s and 16 s a run: %+v after %s", r, took)
	}
}

func TestFirstMustRun(t *testing.T) {
	want := errors.New("no memory")
	for _, e := range []*engine{{name: "a", unopened: want}, {name: "a", runs: 1, broken: want}} {
		good := &engine{name: "b", runs: 1, image: ms}
		_, _, err := trial.Run(t.Context(), trial.Options{Candidates: []trial.Candidate{e.candidate(), good.candidate()}})
		if !errors.Is(err, want) || e.open+good.open != 0 {
			t.Errorf("%v, want %v; %d networks are open", err, want, e.open+good.open)
		}
	}
}
