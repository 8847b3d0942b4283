package train

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/synshard/synshard/loader"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/train/checkpoint"
	"github.com/synshard/synshard/train/runlog"
)

// submitted is what is known of a step when it begins.
type submitted struct {
	step    Step
	images  int
	wait    time.Duration // for the batch
	skipped int64         // images of this epoch that could not be read
}

// fit takes the epoch's steps up to sample end. It waits in two places: for a
// batch (Next) and for the engine (the pipeline's Settle and Drain).
func (r *runner) fit(ctx context.Context, end int64) (err error) {
	batches, err := r.o.Data.Train(context.WithoutCancel(ctx), r.pos.Epoch, r.pos.Sample, r.pos.Batch)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, batches.Close()) }()
	var before loader.Stats
	for r.nextSample() < end {
		if ctx.Err() != nil || r.o.StopAfter > 0 && r.nextStep()-r.firstStep >= r.o.StopAfter {
			if err := r.steps.Drain(); err != nil {
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
		err = r.submit(b, submitted{images: b.N, wait: stats.Wait - before.Wait, skipped: stats.Skipped})
		before = stats
		b.Release()
		if err != nil {
			return err
		}
		if err := r.steps.Settle(); err != nil {
			return err
		}
		if time.Since(r.savedAt) >= r.o.CheckpointEvery {
			if err := r.steps.Drain(); err != nil {
				return err
			}
			if err := r.save(); err != nil {
				return err
			}
		}
	}
	return r.steps.Drain()
}

// nextStep is the number, from 0, of the step to be submitted next: those under
// way are not in the position yet.
func (r *runner) nextStep() int64 { return r.pos.Step + int64(r.steps.unsettled()) }

// nextSample is the epoch's first sample that no step was submitted with.
func (r *runner) nextSample() int64 {
	return r.pos.Sample + int64(r.steps.unsettled())*int64(r.pos.Batch)
}

// epochAt is the epoch, with its fraction, at a sample of the one under way.
func (r *runner) epochAt(sample int64) float64 {
	return float64(r.pos.Epoch) + float64(sample)/float64(r.stepsPerEpoch()*int64(r.pos.Batch))
}

// submit begins one optimiser step. Where it does not fit the device it goes on
// with twice as many microbatches.
func (r *runner) submit(b *loader.Batch, about submitted) error {
	number := r.nextStep()
	if err := checkBatch(b, r.o.Network.Classes); err != nil {
		return fmt.Errorf("step %d: %w", number+1, err)
	}
	rec := r.o.Recipe
	about.step = Step{
		Seed: stepSeed(r.pos.Seed, number), LR: rec.Rate.At(r.epochAt(r.nextSample()), rec.Epochs, r.pos.Batch),
		EMADecay: rec.EMA.At(number), FreezeBN: rec.Network.FreezeBN,
	}
	mix(b, rec.Loss, about.step.Seed)
	for {
		err := r.steps.Submit(b, about.step, about)
		if errors.Is(err, ErrOutOfMemory) {
			err = r.splitFurther(err)
			if err == nil {
				continue
			}
		}
		if err != nil {
			return fmt.Errorf("step %d: %w", r.nextStep()+1, err)
		}
		return nil
	}
}

// splitFurther replaces the engine, whose memory ran out, by one that works
// through a batch in twice as many microbatches.
func (r *runner) splitFurther(oom error) error {
	if err := r.steps.Drain(); err != nil {
		return err
	}
	n := r.pos.Microbatches * 2
	if n > r.pos.Batch || r.pos.Batch%n != 0 {
		return fmt.Errorf("batch %d in %d microbatches: %w", r.pos.Batch, r.pos.Microbatches, oom)
	}
	r.warn(fmt.Sprintf("step %d: the device is out of memory with %d images at a time; going on with %d (batch %d in %d microbatches)",
		r.pos.Step+1, r.pos.Batch/r.pos.Microbatches, r.pos.Batch/n, r.pos.Batch, n))
	r.pos.Microbatches = n
	if err := r.replaceEngine(); err != nil {
		return fmt.Errorf("after running out of memory: %w", err)
	}
	return nil
}

// replaceEngine has another engine, as the position wants it, go on with the state of the
// one there is.
func (r *runner) replaceEngine() error {
	state, err := r.eng.State()
	if err != nil {
		return err
	}
	if err := r.eng.Close(); err != nil {
		return err
	}
	r.eng = nil // closed
	if err := r.openEngine(); err != nil {
		return err
	}
	return r.eng.SetState(r.stateHere(state))
}

// stateHere is the state with which the run goes on from its position: where the epoch
// begins in which nothing is frozen any more, the optimiser begins anew, as it does for
// whoever makes another one of another list of parameters.
func (r *runner) stateHere(state []model.Tensor) []model.Tensor {
	if r.o.Recipe.Network.Freeze == "" || r.pos.Epoch != r.o.Recipe.Network.UnfreezeAt || r.pos.Sample > 0 {
		return state
	}
	return slices.DeleteFunc(slices.Clone(state), func(t model.Tensor) bool { return strings.HasPrefix(t.Name, checkpoint.OptimizerPrefix) })
}

// unfreeze replaces the engine where its rates are not those of the epoch that begins.
func (r *runner) unfreeze() error {
	n := r.o.Recipe.Network
	if n.Freeze == "" || r.pos.Epoch != n.UnfreezeAt || r.pos.Sample > 0 || r.pos.Epoch == r.openedAt {
		return nil
	}
	if err := r.replaceEngine(); err != nil {
		return fmt.Errorf("unfreeze at epoch %d: %w", r.pos.Epoch, err)
	}
	return nil
}

// openEngine makes the engine and the pipeline of steps over it.
func (r *runner) openEngine() (err error) {
	if r.eng, err = r.o.NewEngine(r.o.engineConfig(r.pos.Microbatches, r.pos.Epoch)); err != nil {
		return err
	}
	r.steps, r.openedAt = NewPipeline(r.eng, r.record), r.pos.Epoch
	return nil
}

// record takes what a step found, moves the position on and tells of it.
func (r *runner) record(about submitted, m Metrics, err error) error {
	if err != nil {
		return fmt.Errorf("step %d: %w", r.pos.Step+1, err)
	}
	r.skipped = about.skipped
	if math.IsNaN(m.Loss) || math.IsInf(m.Loss, 0) {
		return r.diverged(m, about.step)
	}
	if err := r.checkOverflow(m); err != nil {
		return err
	}
	now := time.Now()
	took := now.Sub(r.lastStepAt)
	r.lastStepAt = now
	r.pos.Step++
	r.pos.Sample += int64(r.pos.Batch)
	r.pos.Images += int64(about.images)
	r.pos.Seconds += took.Seconds()
	r.epochLoss += m.MainLoss
	r.epochSteps++
	line := runlog.Step{
		Kind: "step", Time: now.UTC(), Step: r.pos.Step, Epoch: r.epochAt(r.pos.Sample),
		Loss: m.Loss, MainLoss: m.MainLoss, AuxLoss: m.AuxLoss, CrossEntropy: m.CrossEntropy, GradNorm: runlog.Number(m.GradNorm),
		Top1: float64(m.Correct) / float64(max(m.Counted, 1)), LR: about.step.LR, EMADecay: about.step.EMADecay,
		Images: r.pos.Images, PerSecond: float64(about.images) / max(took.Seconds(), 1e-9), WaitMS: about.wait.Seconds() * 1e3,
		Skipped: r.skipped, Overflow: m.Overflow,
		Steps: r.stepsPerEpoch() * int64(r.o.Recipe.Epochs), Epochs: r.o.Recipe.Epochs, Batch: r.pos.Batch,
	}
	if err := r.log.Write(line); err != nil {
		return err
	}
	if err := r.board.step(line); err != nil {
		return err
	}
	r.o.OnStep(line)
	return nil
}
