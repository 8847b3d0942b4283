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
	slow   slowSteps
}

// slowSteps tells once of each reason for which a GPU's steps are slower than they could be.
// Some are known only when the first steps were taken.
type slowSteps struct {
	note  func() string // of the newest engine: how its steps are computed; nil: there is none on a GPU
	taken int           // its steps
	told  string
	log   func(format string, args ...any)
}

// begin is called with each engine.
func (s *slowSteps) begin(note func() string) {
	s.note, s.taken = note, 0
	s.tell()
}

// end is called when the engine is closed and no other has begun: where others make the engines of a group.
func (s *slowSteps) end() { s.note = nil }

// step is called after each step. By the eighth an engine has tried to record it.
func (s *slowSteps) step() {
	if s.taken++; s.taken == 8 && s.note != nil {
		s.tell()
	}
}

func (s *slowSteps) tell() {
	note := s.note()
	plain, unrecorded := strings.HasPrefix(note, "plain"), strings.Contains(note, "not recorded")
	if note == s.told || !plain && !unrecorded || strings.Contains(note, "gradients are exchanged") { // as it is in every group
		return
	}
	s.told = note
	s.log("warning: steps are slower than they could be: %s", note)
}

// openTrainEngine opens the library and fills in what depends on the machine:
// device, precision, threads, and the batch where any will do.
func (a *app) openTrainEngine(ctx context.Context, flags trainOptions, o *train.Options, images int, place *launched) (*trainEngine, error) {
	shim, path, err := a.openShim(flags.torchLib)
	if err != nil {
		return nil, err
	}
	e := &trainEngine{shim: shim, lib: path, procs: max(flags.procs, place.World), slow: slowSteps{log: a.Logf}}
	if e.device, err = chooseDevice(shim, flags.device); err != nil {
		return nil, err
	}
	if torch.OnCUDA(e.device) && !place.alone() {
		e.device = place.Device(visibleGPUs(shim))
	}
	o.Device, o.Recompute, o.Deterministic = e.device, flags.recompute, flags.deterministic
	if o.Precision, err = a.choosePrecision(shim, o.Recipe.Precision, e.device, e.procs); err != nil {
		return nil, err
	}
	o.Threads = threads(flags.threads, place.Launch)
	o.NewEngine = func(cfg train.EngineConfig) (train.Engine, error) {
		eng, err := shim.New(o.Network, cfg)
		if err != nil {
			return nil, err
		}
		if torch.OnCUDA(e.device) {
			e.slow.begin(eng.Note)
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
		e.slow.end()
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
