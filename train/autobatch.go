package train

import (
	"context"
	"errors"
	"fmt"

	"github.com/synshard/synshard/loader"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/train/checkpoint"
	"github.com/synshard/synshard/train/footprint"
)

// Most that ChooseBatch gives: on a GPU, and where memory is no measure.
const (
	mostBatch  = 4096
	batchOnCPU = 32
)

// ChooseBatch is the batch of a run that may have any, over so many images: on a GPU
// the largest that fits, found by trying, on the CPU a fixed one. tell, if not nil, is told
// of tries.
func ChooseBatch(ctx context.Context, o Options, images int, tell func(batch int, fits bool)) (int, error) {
	limit := min(images, mostBatch)
	if o.Device == "cpu" {
		return evenly(min(batchOnCPU, limit), o.Recipe.Accumulate), nil
	}
	return largestBatch(ctx, o, limit, tell)
}

// evenly is the largest batch up to most that microbatches divide, at least one image
// each.
func evenly(most, microbatches int) int { return max(most/microbatches, 1) * microbatches }

// largestBatch finds the largest number of images, a multiple of 8, that fit the
// device at a time in a training step, by trying: each try makes an engine, takes
// a few steps on grey images and closes it. It gives the batch of that,
// Recipe.Accumulate times as many, which is at most limit (where that is not below
// Recipe.Accumulate). tell, if not nil, is called with the images at a time of each
// try and whether they fitted. Of o it reads the network, the recipe, the device,
// its memory and NewEngine. Where not even 8 fit, or a process of the group is lost, the error is
// ErrOutOfMemory or ErrPeerLost.
func largestBatch(ctx context.Context, o Options, limit int, tell func(batch int, fits bool)) (int, error) {
	init := o.Network.Init(1)
	try := func(batch int) (bool, error) {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		o.Recipe.Batch = batch * o.Recipe.Accumulate
		err := o.tryBatch(init)
		if err != nil && !errors.Is(err, ErrOutOfMemory) {
			return false, fmt.Errorf("try a batch of %d: %w", batch, err)
		}
		if tell != nil {
			tell(batch, err == nil)
		}
		return err == nil, nil
	}
	if limit /= o.Recipe.Accumulate; limit < 8 {
		return max(limit, 1) * o.Recipe.Accumulate, nil
	}
	first, err := o.firstTry(limit / 8 * 8)
	if err != nil {
		return 0, err
	}
	fits, err := search(first, limit/8*8, try)
	if err != nil {
		return 0, err
	}
	if fits == 0 {
		return 0, fmt.Errorf("not even a batch of 8 fits: %w", ErrOutOfMemory)
	}
	return fits * o.Recipe.Accumulate, nil
}

// firstTry is where the search begins: what should fit by the account of a step's
// memory, where the device's is known, else 8. limit is a multiple of 8.
func (o *Options) firstTry(limit int) (int, error) {
	if o.DeviceMemory == 0 {
		return 8, nil
	}
	net := *o.Network
	net.Input = o.Recipe.LargestTrainSize()
	a, err := footprint.Largest(&net, footprint.Options{
		Precision: o.Precision, Optimizer: o.Recipe.Optimizer.Kind, EMA: o.Recipe.EMA.Decay > 0, Accumulate: o.Recipe.Accumulate > 1,
		Recompute: o.Recompute, GPU: o.Device != "cpu",
	}, o.DeviceMemory)
	return min(max(a.Batch/8*8, 8), limit), err
}

// search finds the largest multiple of 8 up to limit that try takes, to an eighth
// of it, from first on; 0: not even 8. It goes from there in strides that double,
// until one has fitted and one has not, then between these.
func search(first, limit int, try func(int) (bool, error)) (int, error) {
	fits, tooMuch := 0, limit+8
	stride := max(first/8/8*8, 8)
	for b, failed := first, false; ; {
		ok, err := try(b)
		if err != nil {
			return 0, err
		}
		if ok {
			fits = b
		} else {
			tooMuch, failed = b, true
		}
		switch {
		case !failed && fits+stride < tooMuch:
			b, stride = fits+stride, 2*stride
			continue
		case fits == 0 && tooMuch > 8:
			b, stride = max(tooMuch-stride, 8), 2*stride
			continue
		}
		// Between the largest that fits and the smallest that does not,
		// an eighth of the former is near enough.
		near := max(fits/8/8*8, 8)
		if b = (fits + tooMuch) / 2 / 8 * 8; b <= fits || tooMuch-fits <= near {
			return fits, nil
		}
	}
}

// triedSteps are enough for a GPU to have recorded a step, which keeps memory
// of its own, and replayed it. On the CPU the second has the optimiser's state
// beside it, and later ones show nothing new.
func triedSteps(device string) int64 {
	if device == "cpu" {
		return 2
	}
	return 5
}

// tryBatch takes the first steps of a training with the recipe's batch.
func (o *Options) tryBatch(init []model.Tensor) (err error) {
	cfg := o.engineConfig(o.Recipe.Accumulate, o.Recipe.Epochs-1) // when least is frozen
	cfg.MustRecord = true                                         // a step that only fits unrecorded does not fit
	e, err := o.NewEngine(cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	if err := e.SetState(init); err != nil {
		return err
	}
	batch, size := o.Recipe.Batch, o.Recipe.LargestTrainSize()
	b := &loader.Batch{
		N: batch, Size: size, Images: make([]byte, batch*size*size*3),
		Labels: make([]int64, batch), Rows: make([]int64, batch),
	}
	for i := range b.Images {
		b.Images[i] = 128
	}
	for step := range triedSteps(o.Device) {
		if _, err := e.Step(b, Step{Seed: stepSeed(1, step), LR: 1e-6, EMADecay: 0.9}); err != nil {
			return err
		}
	}
	return nil
}

// SavedBatch is the batch, in images, of the run whose newest whole checkpoint
// lies in dir; ok is false when there is none.
func SavedBatch(dir string) (batch int, ok bool, err error) {
	c, err := checkpoint.Newest(dir, func(string, error) error { return nil })
	if errors.Is(err, checkpoint.ErrDamaged) {
		return 0, false, nil // Run says what is wrong
	}
	if err != nil || c == nil {
		return 0, false, err
	}
	return c.Position.Batch, true, nil
}
