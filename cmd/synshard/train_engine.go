package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/synshard/synshard/train"
	"github.com/synshard/synshard/train/torch"
)

// trainEngine is the opened engine library with the device decided.
type trainEngine struct {
	shim   *torch.Shim
	lib    string // its path
	device string
	procs  int // that train together
	report *trainReport
}

// openTrainEngine opens the library and fills in what depends on the machine:
// device, precision, threads.
func (a *app) openTrainEngine(ctx context.Context, flags trainOptions, o *train.Options, report *trainReport, place *launched) (*trainEngine, error) {
	shim, path, err := a.openShim(flags.torchLib)
	if err != nil {
		return nil, err
	}
	e := &trainEngine{shim: shim, lib: path, report: report}
	if e.device, err = chooseDevice(shim, flags.device); err != nil {
		return nil, err
	}
	if e.onCUDA() && !place.alone() {
		e.device = place.Device(visibleGPUs(shim))
	}
	o.Device, o.Recompute, o.Deterministic = e.device, flags.recompute, flags.deterministic
	o.Precision = torch.Precision(ctx, o.Recipe.Precision, e.device)
	o.Threads = threads(flags.threads, place.Launch)
	o.NewEngine = func(cfg train.EngineConfig) (train.Engine, error) {
		eng, err := shim.New(o.Network, cfg)
		if err != nil {
			return nil, err
		}
		if note := eng.Note(); e.onCUDA() && strings.HasPrefix(note, "plain") {
			a.Logf("warning: steps are slower than they could be: %s", note)
		}
		return eng, nil
	}
	return e, nil
}

func (e *trainEngine) onCUDA() bool { return torch.OnCUDA(e.device) }

// alloc is where batches lie: pinned memory when a GPU reads them.
func (e *trainEngine) alloc() func(int) ([]byte, func(), error) {
	if e.onCUDA() {
		return e.shim.Alloc
	}
	return nil
}

// describe names device, precision and library.
func (e *trainEngine) describe(o *train.Options) string {
	text := fmt.Sprintf("%s in %s (libtorch %s", e.device, o.Precision, e.shim.Version())
	if e.procs > 1 {
		text = fmt.Sprintf("%d processes, each on ", e.procs) + text
	}
	if !e.onCUDA() {
		text += fmt.Sprintf(", threads: %d", o.Threads)
	}
	return text + ")"
}

// batchOnCPU is what --batch auto means where memory is no measure.
const batchOnCPU = 32

// keepBatch takes the batch of the run that is to be continued, if there is
// one, for --batch auto.
func keepBatch(o *train.Options) error {
	if o.Recipe.Batch > 0 || o.Dir == "" {
		return nil
	}
	saved, ok, err := train.SavedBatch(o.Dir)
	if ok {
		o.Recipe.Batch = saved
	}
	return err
}

// noEngine stands where no engine is needed.
func noEngine(train.EngineConfig) (train.Engine, error) {
	return nil, errors.New("the engine is not open")
}

// evenly is the largest batch up to most that microbatches divide, at least one image
// each.
func evenly(most, microbatches int) int { return max(most/microbatches, 1) * microbatches }

// chooseBatch settles --batch auto: on a GPU by trying, on the CPU a fixed
// one.
func (e *trainEngine) chooseBatch(ctx context.Context, o *train.Options, rows int) error {
	if o.Recipe.Batch > 0 {
		return nil
	}
	limit := min(rows, 4096)
	if !e.onCUDA() {
		o.Recipe.Batch = evenly(min(batchOnCPU, limit), o.Recipe.Accumulate)
		e.report.say("batch auto on the CPU: %d", o.Recipe.Batch)
		return nil
	}
	b, err := train.LargestBatch(ctx, *o, limit, func(batch int, fits bool) {
		word := "fits"
		if !fits {
			word = "does not fit"
		}
		e.report.say("batch auto: %d %s", batch, word)
	})
	if err != nil {
		return fmt.Errorf("--batch auto: %w", err)
	}
	o.Recipe.Batch = b
	return nil
}
