package train

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"time"

	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/loader"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/train/checkpoint"
	"github.com/synshard/synshard/train/runlog"
)

// Run fits the network, going on where the run directory stands, and ends with
// the weights exported. When ctx is cancelled it finishes the step, saves and
// returns ErrStopped; if nothing was done yet it returns the context's error.
func Run(ctx context.Context, o Options) (Result, error) {
	if err := o.check(); err != nil {
		return Result{}, err
	}
	if err := durable.MkdirAll(filepath.Join(o.Dir, checkpoint.Dir)); err != nil {
		return Result{}, fmt.Errorf("run directory: %w", err)
	}
	lock, err := durable.TryLock(filepath.Join(o.Dir, ".lock"))
	if err != nil {
		return Result{}, fmt.Errorf("run directory: %w", err)
	}
	defer lock.Unlock()
	for _, dir := range []string{o.Dir, filepath.Join(o.Dir, checkpoint.Dir)} {
		if err := durable.RemoveTemps(dir); err != nil {
			return Result{}, fmt.Errorf("run directory: %w", err)
		}
	}
	r := &runner{o: o, pos: o.start()}
	defer r.close()
	if err := r.open(); err != nil {
		return Result{}, err
	}
	if r.done() && r.exported() {
		res := r.result()
		res.Already = true
		return res, nil
	}
	if err := r.begin(ctx); err != nil {
		return Result{}, err
	}
	for !r.done() {
		if err := r.epoch(ctx); err != nil {
			return r.result(), err
		}
	}
	if err := r.export(); err != nil {
		return r.result(), err
	}
	return r.result(), nil
}

// Finished says whether the run in o.Dir has done what o asks for, and if so
// what Run would give. It writes nothing and needs no engine.
func Finished(o Options) (Result, bool, error) {
	if err := o.check(); err != nil {
		return Result{}, false, err
	}
	steps, err := checkpoint.Steps(o.Dir)
	if err != nil || len(steps) == 0 {
		return Result{}, false, err
	}
	pos, _, _, err := checkpoint.Read(checkpoint.Path(o.Dir, steps[len(steps)-1]))
	if err != nil || sameRun(pos, o.start()) != nil {
		return Result{}, false, nil // Run says what is wrong
	}
	r := &runner{o: o, pos: pos}
	if !r.done() || !r.exported() {
		return Result{}, false, nil
	}
	res := r.result()
	res.Already = true
	return res, true, nil
}

// runner is a run under way.
type runner struct {
	o       Options
	pos     checkpoint.Position
	loaded  []model.Tensor // state to begin with, from a checkpoint
	resumed bool
	eng     Engine
	log     *runlog.Log
	board   *board
	saved   int64     // step of the newest checkpoint
	savedAt time.Time // when it was written
	began   int64     // step this call began at
	mark    time.Time // end of the step before
	skipped int64     // images this epoch that could not be read

	underway  []begun // steps queued and not accounted for, oldest first
	overflows int     // fp16 steps in a row that made no update
	epochLoss float64 // sum of main losses of this epoch's steps in this call
	epochN    int64
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

func (r *runner) done() bool           { return r.pos.Epoch >= r.o.Recipe.Epochs }
func (r *runner) stepsPerEpoch() int64 { return int64(r.pos.Rows / r.pos.Batch) }
func (r *runner) path(name string) string {
	return filepath.Join(r.o.Dir, name)
}

// open finds where the run stands.
func (r *runner) open() error {
	pos, tensors, found, err := checkpoint.Newest(r.o.Dir, r.o.OnWarn)
	if err != nil {
		return err
	}
	if found {
		if err := sameRun(pos, r.pos); err != nil {
			return fmt.Errorf("run directory %s: %w", r.o.Dir, err)
		}
		pos.Parts = max(pos.Parts, r.pos.Parts)
		r.pos, r.loaded, r.resumed = pos, tensors, true
	}
	r.saved = -1
	if found {
		r.saved = pos.Step
	}
	if r.stepsPerEpoch() == 0 {
		return fmt.Errorf("train: a batch of %d is more than the %d training images", r.pos.Batch, r.pos.Rows)
	}
	return nil
}

// begin checks the labels, opens the engine and the log, and puts the state in
// place.
func (r *runner) begin(ctx context.Context) error {
	if err := r.checkLabels(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	var err error
	if r.eng, err = r.o.NewEngine(r.o.engineConfig(r.pos.Parts)); err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	if err := r.placeState(); err != nil {
		return err
	}
	if r.log, err = runlog.Open(r.o.Dir, r.pos.Step); err != nil {
		return err
	}
	if r.o.TensorBoard {
		if r.board, err = openBoard(r.path("tensorboard"), r.pos.Step); err != nil {
			return err
		}
	}
	if err := r.saveConfig(); err != nil {
		return err
	}
	r.began, r.savedAt, r.mark = r.pos.Step, time.Now(), time.Now()
	r.o.OnStart(Start{
		Recipe: r.o.Recipe, Resumed: r.resumed, Step: r.pos.Step, Steps: r.stepsPerEpoch() * int64(r.o.Recipe.Epochs),
		StepsPerEpoch: r.stepsPerEpoch(), TrainRows: r.pos.Rows, ValRows: r.o.Data.ValSet().Len(), Parts: r.pos.Parts,
		PeakRate: r.o.Recipe.Rate.Peak(r.pos.Batch),
	})
	text := "started"
	if r.resumed {
		text = "continued"
	}
	return r.log.Event("run", r.pos.Step, text)
}

// placeState gives the engine its checkpoint, or fresh weights with those that
// were given laid over them, averages starting as copies.
func (r *runner) placeState() error {
	if r.resumed {
		if err := r.eng.SetState(r.loaded); err != nil {
			return fmt.Errorf("restore step %d: %w", r.pos.Step, err)
		}
		r.loaded = nil
		return nil
	}
	fresh, err := r.o.Network.InitAs(r.o.Recipe.Network.Init, r.o.Recipe.Seed)
	if err != nil {
		return err
	}
	weights, err := overlay(fresh, r.o.Weights)
	if err != nil {
		return err
	}
	if r.o.Recipe.EMA.Decay > 0 {
		for _, t := range weights[:len(weights):len(weights)] {
			t.Name = checkpoint.EMAPrefix + t.Name
			weights = append(weights, t)
		}
	}
	if err := r.eng.SetState(weights); err != nil {
		return fmt.Errorf("set the first weights: %w", err)
	}
	return nil
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
	r.epochLoss, r.epochN, r.skipped = 0, 0, 0
	if r.pos.Sample < end {
		if err := r.steps(ctx, end); err != nil {
			return err
		}
	}
	r.checkChance()
	ev, err := r.validate(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return r.stop(ctx)
		}
		return err
	}
	r.pos.Epoch++
	r.pos.Sample = 0
	if ev != nil {
		ev.Epoch = r.pos.Epoch
		r.pos.Evals = append(r.pos.Evals, *ev)
		if err := r.log.Write(ev); err != nil {
			return err
		}
		if err := r.board.eval(*ev); err != nil {
			return err
		}
		r.o.OnEval(*ev)
	}
	if err := r.save(); err != nil {
		return err
	}
	if err := r.o.draw(r.path("curves.png"), r.path(runlog.Name)); err != nil {
		return err
	}
	r.mark = time.Now()
	return nil
}

// steps takes the epoch's steps up to sample end.
func (r *runner) steps(ctx context.Context, end int64) (err error) {
	batches, err := r.o.Data.Train(context.WithoutCancel(ctx), r.pos.Epoch, r.pos.Sample, r.pos.Batch)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, batches.Close()) }()
	var before loader.Stats
	for r.pos.Sample+r.ahead()*int64(r.pos.Batch) < end {
		if ctx.Err() != nil || r.o.StopAfter > 0 && r.pos.Step+r.ahead()-r.began >= r.o.StopAfter {
			if err := r.settle(0); err != nil {
				return err
			}
			return r.stop(ctx)
		}
		b, err := batches.Next()
		if err == io.EOF {
			return fmt.Errorf("training data: epoch %d ended at sample %d of %d", r.pos.Epoch+1, r.pos.Sample, end)
		}
		if err != nil {
			return fmt.Errorf("training data: %w", err)
		}
		stats := batches.Stats()
		err = r.step(b, stats.Wait-before.Wait, stats.Skipped)
		before = stats
		b.Release()
		if err != nil {
			return err
		}
		if time.Since(r.savedAt) >= r.o.CheckpointEvery {
			if err := r.settle(0); err != nil {
				return err
			}
			if err := r.save(); err != nil {
				return err
			}
		}
	}
	return r.settle(0)
}

// begun is a step under way.
type begun struct {
	step    Step
	n       int           // images
	wait    time.Duration // for them
	skipped int64
	found   Metrics // where it is done already
	done    bool
}

// ahead is how many steps are under way.
func (r *runner) ahead() int64 { return int64(len(r.underway)) }

// step begins one optimiser step and accounts for those before it.
func (r *runner) step(b *loader.Batch, wait time.Duration, skipped int64) error {
	number := r.pos.Step + r.ahead()
	if err := checkBatch(b, r.o.Network.Classes); err != nil {
		return fmt.Errorf("step %d: %w", number+1, err)
	}
	rec := r.o.Recipe
	at := float64(r.pos.Epoch) + float64(r.pos.Sample+r.ahead()*int64(r.pos.Batch))/float64(r.stepsPerEpoch()*int64(r.pos.Batch))
	s := Step{
		Seed: stepSeed(r.pos.Seed, number), LR: rec.Rate.At(at, rec.Epochs, r.pos.Batch), EMADecay: rec.EMA.At(number),
		FreezeBN: rec.Network.FreezeBN,
	}
	mixup(b, rec.Loss.Mixup, s.Seed)
	now := begun{step: s, n: b.N, wait: wait, skipped: skipped}
	if err := r.start(b, &now); err != nil {
		return fmt.Errorf("step %d: %w", r.pos.Step+r.ahead()+1, err)
	}
	r.underway = append(r.underway, now)
	depth := 0
	if q, ok := r.eng.(Queuer); ok {
		depth = q.Depth()
	}
	return r.settle(depth)
}

// settle accounts for the oldest steps until no more than depth are under way.
func (r *runner) settle(depth int) error {
	for len(r.underway) > depth {
		s := r.underway[0]
		if !s.done {
			var err error
			if s.found, err = r.eng.(Queuer).Collect(); err != nil {
				return fmt.Errorf("step %d: %w", r.pos.Step+1, err)
			}
		}
		r.underway = r.underway[1:]
		if err := r.account(s); err != nil {
			return err
		}
	}
	return nil
}

// account logs a step that is done and moves the position on.
func (r *runner) account(b begun) error {
	m, s, rec := b.found, b.step, r.o.Recipe
	r.skipped = b.skipped
	if math.IsNaN(m.Loss) || math.IsInf(m.Loss, 0) {
		return r.diverged(m, s)
	}
	if err := r.checkOverflow(m); err != nil {
		return err
	}
	now := time.Now()
	took := now.Sub(r.mark)
	r.mark = now
	r.pos.Step++
	r.pos.Sample += int64(r.pos.Batch)
	r.pos.Images += int64(b.n)
	r.pos.Seconds += took.Seconds()
	r.epochLoss += m.MainLoss
	r.epochN++
	info := runlog.Step{
		Kind: "step", Time: now.UTC(), Step: r.pos.Step,
		Epoch: float64(r.pos.Epoch) + float64(r.pos.Sample)/float64(r.stepsPerEpoch()*int64(r.pos.Batch)),
		Loss:  m.Loss, MainLoss: m.MainLoss, AuxLoss: m.AuxLoss, GradNorm: runlog.Number(m.GradNorm),
		Top1: float64(m.Correct) / float64(max(m.Counted, 1)), Rate: s.LR, EMADecay: s.EMADecay,
		Images: r.pos.Images, PerSecond: float64(b.n) / max(took.Seconds(), 1e-9), WaitMS: b.wait.Seconds() * 1e3,
		Skipped: r.skipped, Overflow: m.Skipped, Steps: r.stepsPerEpoch() * int64(rec.Epochs), Epochs: rec.Epochs, Batch: r.pos.Batch,
	}
	if err := r.log.Write(info); err != nil {
		return err
	}
	if err := r.board.step(info); err != nil {
		return err
	}
	r.o.OnStep(info)
	return nil
}

// start begins the step, or takes it where the engine does not queue. When
// memory runs out it goes on with the batch worked through in twice as many
// parts.
func (r *runner) start(b *loader.Batch, s *begun) error {
	for {
		var err error
		if q, ok := r.eng.(Queuer); ok && q.Depth() > 0 {
			err = q.Queue(b, s.step)
		} else {
			s.found, err = r.eng.Step(b, s.step)
			s.done = true
		}
		if err == nil || !errors.Is(err, ErrOutOfMemory) {
			return err
		}
		if err := r.settle(0); err != nil {
			return err
		}
		parts := r.pos.Parts * 2
		if parts > r.pos.Batch || r.pos.Batch%parts != 0 {
			return fmt.Errorf("batch %d in %d parts: %w", r.pos.Batch, r.pos.Parts, err)
		}
		r.warn(fmt.Sprintf("step %d: the device is out of memory with %d images at a time; going on with %d (batch %d in %d parts)",
			r.pos.Step+1, r.pos.Batch/r.pos.Parts, r.pos.Batch/parts, r.pos.Batch, parts))
		state, err := r.eng.State()
		if err != nil {
			return fmt.Errorf("after running out of memory: %w", err)
		}
		if err := r.eng.Close(); err != nil {
			return fmt.Errorf("after running out of memory: %w", err)
		}
		r.pos.Parts = parts
		if r.eng, err = r.o.NewEngine(r.o.engineConfig(parts)); err != nil {
			return fmt.Errorf("after running out of memory: %w", err)
		}
		if err := r.eng.SetState(state); err != nil {
			return fmt.Errorf("after running out of memory: %w", err)
		}
	}
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

func (r *runner) warn(text string) {
	r.o.OnWarn(text)
	if r.log != nil {
		// A warning that cannot be logged has still been given.
		_ = r.log.Event("warning", r.pos.Step, text)
	}
}
