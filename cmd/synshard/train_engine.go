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
}

// openTrainEngine opens the library and fills in what depends on the machine:
// device, precision, threads, and the batch where any will do.
func (a *app) openTrainEngine(ctx context.Context, flags trainOptions, o *train.Options, images int, place *launched) (*trainEngine, error) {
	shim, path, err := a.openShim(flags.torchLib)
	if err != nil {
		return nil, err
	}
	e := &trainEngine{shim: shim, lib: path, procs: max(flags.procs, place.World)}
	if e.device, err = chooseDevice(shim, flags.device); err != nil {
		return nil, err
	}
	if torch.OnCUDA(e.device) && !place.alone() {
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
		if note := eng.Note(); torch.OnCUDA(e.device) && strings.HasPrefix(note, "plain") {
			a.Logf("warning: steps are slower than they could be: %s", note)
		}
		return eng, nil
	}
	if o.Recipe.Batch == 0 {
		if torch.OnCUDA(e.device) {
			if o.DeviceMemory, _, err = shim.CardMemory(e.device); err != nil {
				a.Logf("batch auto begins small: %v", err)
			}
		}
		if o.Recipe.Batch, err = a.autoBatch(ctx, *o, images/e.procs); err != nil {
			return nil, err
		}
		o.Recipe.Batch *= e.procs // what fits one
	}
	switch {
	case !place.alone():
		e.join(o, place)
	case flags.procs > 1:
		return e, a.spread(ctx, e, o, flags, place)
	}
	return e, nil
}

// autoBatch settles --batch auto for one process.
func (a *app) autoBatch(ctx context.Context, o train.Options, images int) (int, error) {
	b, err := train.ChooseBatch(ctx, o, images, func(batch int, fits bool) {
		word := "fits"
		if !fits {
			word = "does not fit"
		}
		a.Logf("batch auto: %d %s", batch, word)
	})
	if err != nil {
		return 0, fmt.Errorf("--batch auto: %w", err)
	}
	if o.Device == "cpu" {
		a.Logf("batch auto on the CPU: %d", b)
	}
	return b, nil
}

// describe names device, precision and library.
func (e *trainEngine) describe(o *train.Options) string {
	text := fmt.Sprintf("%s in %s (libtorch %s", e.device, o.Precision, e.shim.Version())
	if e.procs > 1 {
		text = fmt.Sprintf("%d processes, each on ", e.procs) + text
	}
	if !torch.OnCUDA(e.device) {
		text += fmt.Sprintf(", threads: %d", o.Threads)
	}
	return text + ")"
}

// noEngine stands where no engine is needed.
func noEngine(train.EngineConfig) (train.Engine, error) {
	return nil, errors.New("the engine is not open")
}
