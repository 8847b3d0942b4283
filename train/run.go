package train

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/train/checkpoint"
	"github.com/synshard/synshard/train/runlog"
)

// Run fits the network, going on where the run directory stands, and ends with
// the weights exported. When ctx is cancelled it finishes the step, saves and
// returns ErrStopped; if nothing was done yet it returns the context's error.
// Another process in the directory is durable.ErrLocked, a directory without a
// whole checkpoint checkpoint.ErrDamaged, as is one of those that a finished run kept,
// a log that lost lines runlog.ErrDamaged, a run made from something else ErrOtherRun
// with what differs, and a loss that is no number ErrDiverged.
// When another process is lost (ErrPeerLost) it saves what was done before.
func Run(ctx context.Context, o Options) (Result, error) {
	if err := o.check(); err != nil {
		return Result{}, err
	}
	if d, ok := o.Data.(interface{ Fits(batch int) error }); ok {
		if err := d.Fits(o.Recipe.Batch); err != nil {
			return Result{}, fmt.Errorf("data: %w", err)
		}
	}
	if err := durable.MkdirAll(filepath.Join(o.Dir, checkpoint.Dir)); err != nil {
		return Result{}, fmt.Errorf("run directory: %w", err)
	}
	unlock, err := begin(o.Dir)
	if err != nil {
		return Result{}, err
	}
	defer unlock()
	r := &runner{o: o, pos: o.start()}
	defer r.close()
	if err := r.resume(); err != nil {
		return Result{}, err
	}
	if r.done() {
		return r.already()
	}
	if err := r.prepare(ctx); err != nil {
		return Result{}, err
	}
	for !r.done() {
		err := r.epoch(ctx)
		if errors.Is(err, ErrPeerLost) {
			err = r.lost(ctx, err)
		}
		if err != nil {
			return r.result(), err
		}
	}
	if err := r.export(); err != nil {
		return r.result(), err
	}
	r.finished = true
	return r.result(), r.conclude(runlog.Kept{})
}

// begin locks a run's directory and removes what killed writers left in it.
func begin(dir string) (unlock func() error, err error) {
	lock, err := durable.TryLock(filepath.Join(dir, ".lock"))
	if err != nil {
		return nil, fmt.Errorf("run directory: %w", err)
	}
	for _, d := range []string{dir, filepath.Join(dir, checkpoint.Dir)} {
		if err := durable.RemoveTemps(d); err != nil {
			return nil, fmt.Errorf("run directory: %w", errors.Join(err, lock.Unlock()))
		}
	}
	return lock.Unlock, nil
}

// already ends a call over a run that was finished before.
func (r *runner) already() (Result, error) {
	if err := r.settle(); err != nil {
		return r.result(), err
	}
	r.finished = true
	res := r.result()
	res.Already = true
	return res, nil
}

// Finished says whether the run in o.Dir has done what o asks for, and if so gives
// what Run would give, having made anew what of its results was missing or damaged.
// It makes no engine. What is wrong with the directory is Run's to say: it is not
// finished.
func Finished(o Options) (Result, bool, error) {
	if err := o.check(); err != nil {
		return Result{}, false, err
	}
	steps, err := checkpoint.Steps(o.Dir)
	if err != nil || len(steps) == 0 {
		return Result{}, false, err
	}
	c, err := checkpoint.Read(checkpoint.Path(o.Dir, steps[len(steps)-1]))
	if err != nil || o.sameRun(c) != nil {
		return Result{}, false, nil // Run says what is wrong
	}
	r := &runner{o: o, pos: c.Position, state: c.Tensors}
	if !r.done() {
		return Result{}, false, nil
	}
	unlock, err := begin(o.Dir)
	if err != nil {
		return Result{}, false, err
	}
	defer unlock()
	o.warnOfEarlier(c)
	res, err := r.already()
	return res, err == nil, err
}

// runner is a run under way.
type runner struct {
	o         Options
	pos       checkpoint.Position
	state     []model.Tensor // to begin with, from a checkpoint; nil: a new run
	other     error          // how a run that is there differs, which is to go; nil: there is none
	eng       Engine
	openedAt  int  // epoch for which it was made
	finished  bool // the final weights are there
	steps     *Pipeline[submitted]
	log       *runlog.Log
	board     *board
	firstStep int64     // that this call began at
	saved     int64     // step of the newest checkpoint; -1: none
	savedAt   time.Time // when it was written

	lastStepAt time.Time // when the step before was done
	skipped    int64     // images this epoch that could not be read
	overflows  int       // fp16 steps in a row that made no update
	epochLoss  float64   // sum of main losses of this epoch's steps in this call
	epochSteps int64
}

func (r *runner) close() {
	if r.log != nil {
		r.log.Close()
	}
	if r.board != nil {
		r.board.close()
	}
	if r.eng != nil {
		r.eng.Close()
	}
}

func (r *runner) done() bool           { return r.ended() != "" }
func (r *runner) stepsPerEpoch() int64 { return int64(r.pos.Rows / r.pos.Batch) }
func (r *runner) path(name string) string {
	return filepath.Join(r.o.Dir, name)
}

// resume takes the run's place from the newest checkpoint, if there is one and it
// is of this run.
func (r *runner) resume() error {
	r.saved = -1
	c, err := checkpoint.Newest(r.o.Dir, func(path string, err error) error {
		aside, failed := checkpoint.SetAside(path)
		if failed == nil {
			r.o.OnWarn(fmt.Sprintf("%v; it is set aside as %s and the one before it is used", err, filepath.Base(aside)))
		}
		return failed
	})
	if err != nil {
		return err
	}
	if c != nil {
		c, err = r.sameOrNone(c)
		if err != nil {
			return fmt.Errorf("run directory %s: %w", r.o.Dir, err)
		}
	}
	if c != nil {
		r.o.warnOfEarlier(c)
		want := r.pos
		r.pos, r.state, r.saved = c.Position, c.Tensors, c.Position.Step
		r.pos.MadeFrom = want.MadeFrom
		r.pos.Microbatches = max(r.pos.Microbatches, want.Microbatches)
	}
	if r.stepsPerEpoch() == 0 {
		return optionf("a batch of %d is more than the %d training images", r.pos.Batch, r.pos.Rows)
	}
	return nil
}

// sameOrNone gives the checkpoint back if it is of this run, and nil where it is of
// another, which is to go.
func (r *runner) sameOrNone(c *checkpoint.Checkpoint) (*checkpoint.Checkpoint, error) {
	err := r.o.sameRun(c)
	switch {
	case err == nil:
		return c, nil
	case !r.o.Overwrite:
		return nil, fmt.Errorf("%w; give the old settings or another directory; what may change is %s", err, changes())
	}
	r.other = err
	return nil, nil
}

// removeOther removes another run that is in the way, now that this one can begin.
func (r *runner) removeOther() error {
	if r.other == nil {
		return nil
	}
	if failed := removeRun(r.o.Dir); failed != nil {
		return fmt.Errorf("run directory %s: %w; and it cannot be removed: %w", r.o.Dir, r.other, failed)
	}
	r.o.OnWarn(fmt.Sprintf("run directory %s: %v: made anew", r.o.Dir, r.other))
	return nil
}

// prepare checks what can be checked before anything is spent, opens the engine
// with its state in place, and the log.
func (r *runner) prepare(ctx context.Context) error {
	if err := r.checkLabels(); err != nil {
		return err
	}
	resumed := r.state != nil
	if !resumed {
		var err error
		if r.state, err = r.firstState(); err != nil {
			return err
		}
	}
	if err := r.checkExport(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := r.openEngine(); err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	if err := r.eng.SetState(r.stateHere(r.state)); err != nil {
		return fmt.Errorf("set the state of step %d: %w", r.pos.Step, err)
	}
	r.state = nil
	if err := r.removeOther(); err != nil {
		return err
	}
	if err := r.openRecords(); err != nil {
		return err
	}
	if resumed {
		if err := r.prune(); err != nil {
			return err
		}
	}
	r.checkWarmup()
	r.firstStep, r.savedAt, r.lastStepAt = r.pos.Step, time.Now(), time.Now()
	r.o.OnStart(Start{
		Recipe: r.o.Recipe, Resumed: resumed, Step: r.pos.Step, Steps: r.stepsPerEpoch() * int64(r.o.Recipe.Epochs),
		StepsPerEpoch: r.stepsPerEpoch(), TrainRows: r.pos.Rows, ValRows: r.o.Data.ValSet().Len(), Microbatches: r.pos.Microbatches,
		PeakRate: r.o.Recipe.Rate.Peak(r.pos.Batch),
	})
	text := "started"
	if resumed {
		text = "continued"
	}
	config, err := r.config()
	if err != nil {
		return err
	}
	if err := r.log.Started(runlog.Start{Step: r.pos.Step, Text: text, Config: string(config), MadeFrom: r.pos.MadeFrom, MadeBy: r.o.MadeBy, Command: r.o.Command}); err != nil {
		return err
	}
	return r.o.OnDurable(false)
}

// openRecords opens what the run writes for people.
func (r *runner) openRecords() (err error) {
	if r.log, err = runlog.Open(r.o.Dir, r.pos.Step, r.pos.Epoch, r.pos.Evals); err != nil {
		return err
	}
	if r.o.TensorBoard {
		if r.board, err = openBoard(r.path("tensorboard"), r.pos.Step); err != nil {
			return err
		}
	}
	return r.saveConfig()
}

// firstState is that of a run which begins: fresh weights with those that were
// given laid over them, averages starting as copies.
func (r *runner) firstState() ([]model.Tensor, error) {
	fresh, err := r.o.Network.InitAs(r.o.Recipe.Network.Init, r.o.Recipe.Seed)
	if err != nil {
		return nil, err
	}
	state, err := overlay(fresh, r.o.Weights)
	if err != nil {
		return nil, err
	}
	if r.o.Recipe.EMA.Decay > 0 {
		for _, t := range state[:len(state):len(state)] {
			t.Name = checkpoint.EMAPrefix + t.Name
			state = append(state, t)
		}
	}
	return state, nil
}

func overlay(fresh, given []model.Tensor) ([]model.Tensor, error) {
	at := map[string]int{}
	for i, t := range fresh {
		at[t.Name] = i
	}
	for _, t := range given {
		i, ok := at[t.Name]
		if !ok {
			return nil, fmt.Errorf("given weights: the network has no %s", t.Name)
		}
		fresh[i] = t
	}
	return fresh, nil
}

// epoch works through what is left of the epoch, validates, and saves.
func (r *runner) epoch(ctx context.Context) error {
	end := r.stepsPerEpoch() * int64(r.pos.Batch)
	r.epochLoss, r.epochSteps, r.skipped = 0, 0, 0
	if err := r.unfreeze(); err != nil {
		return err
	}
	if r.pos.Sample < end {
		if err := r.fit(ctx, end); err != nil {
			return err
		}
	}
	r.checkChance()
	ev, err := r.validate(ctx)
	if err != nil {
		if ctx.Err() != nil && !errors.Is(err, ErrPeerLost) {
			return r.stop(ctx)
		}
		return err
	}
	r.pos.Epoch++
	r.pos.Sample = 0
	if ev != nil {
		if err := r.recordEvaluation(*ev); err != nil {
			return err
		}
	}
	if err := r.save(); err != nil {
		return err
	}
	if err := r.o.draw(r.path("curves.png"), r.path(runlog.Name)); err != nil {
		return err
	}
	r.lastStepAt = time.Now()
	return r.o.OnDurable(false)
}

// recordEvaluation adds a validation to the position and tells of it.
func (r *runner) recordEvaluation(ev runlog.Evaluation) error {
	ev.Epoch = r.pos.Epoch
	r.pos.Evals = append(r.pos.Evals, ev)
	if err := r.log.Write(ev); err != nil {
		return err
	}
	if err := r.board.eval(ev); err != nil {
		return err
	}
	r.o.OnEval(ev)
	return nil
}

// stop saves and says that the run can be continued; where nothing is worth
// saving it gives the context's own error.
func (r *runner) stop(ctx context.Context) error {
	if r.pos.Step == 0 {
		return ctx.Err()
	}
	if err := r.save(); err != nil {
		return err
	}
	return fmt.Errorf("step %d of %d: %w", r.pos.Step, r.stepsPerEpoch()*int64(r.o.Recipe.Epochs), ErrStopped)
}

// lost saves what was done before another process of the group was lost, where the
// engine still has it, and says how far the run is saved. A run that was being
// stopped is then stopped like any other.
func (r *runner) lost(ctx context.Context, cause error) error {
	if r.pos.Step > max(r.saved, 0) {
		if err := r.save(); err != nil {
			r.warn(fmt.Sprintf("what was done after step %d is not saved: %v", max(r.saved, 0), err))
		}
	}
	switch {
	case r.saved > 0 && ctx.Err() != nil:
		return fmt.Errorf("step %d of %d, where %v: %w", r.saved, r.stepsPerEpoch()*int64(r.o.Recipe.Epochs), cause, ErrStopped)
	case r.saved > 0:
		return fmt.Errorf("%w; step %d is saved", cause, r.saved)
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %v", ctx.Err(), cause)
	}
	return cause
}

func (r *runner) warn(text string) {
	r.o.OnWarn(text)
	if r.log != nil {
		// A warning that cannot be logged has still been given.
		_ = r.log.Warning(r.pos.Step, text)
	}
}
