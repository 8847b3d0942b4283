// Package train fits a network: the loop, recipes, schedules, metrics and
// checkpoints, in pure Go over an engine that does the arithmetic.
//
// A run lives in a directory:
//
//	config.yaml        the recipe as resolved
//	log.ndjson         a line a step, a line a validation
//	checkpoints/       step-NNNNNNNNN.safetensors: weights, averages, optimiser state, position
//	best.safetensors   a link to the checkpoint that validated best
//	curves.png         loss, accuracy and learning rate so far
//	model.safetensors  the final weights alone (averaged ones where they are kept)
//	model.onnx         the same as a network that takes uint8 images
//
// Running again in the same directory continues from the newest whole
// checkpoint. The order of images, the distortions and the random numbers of
// a step are functions of (seed, epoch, row) and (seed, step) alone, so that on
// an engine whose arithmetic is deterministic a run cut short and continued
// ends in the same bits as one that was not.
package train

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/synshard/synshard/internal/splitmix"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/train/checkpoint"
	"github.com/synshard/synshard/train/recipe"
	"github.com/synshard/synshard/train/runlog"
)

// ErrStopped is returned when the context was cancelled, or StopAfter reached,
// and the state has been saved: the same call continues.
var ErrStopped = errors.New("stopped with the state saved")

// ErrDiverged marks a loss that is not a finite number, and fp16 steps that
// overflow without an end.
var ErrDiverged = errors.New("training diverged")

// OptionError is of options that cannot be had with this network or these images: other
// options mend it.
type OptionError struct{ err error }

func (e *OptionError) Error() string { return "train: " + e.err.Error() }

// Unwrap gives what is wrong.
func (e *OptionError) Unwrap() error { return e.err }

func optionf(format string, args ...any) error { return &OptionError{fmt.Errorf(format, args...)} }

// Options say what to fit, on what, where, and whom to tell.
type Options struct {
	Dir     string         // the run's directory; made when missing
	Recipe  recipe.Recipe  // Batch must be set
	Network *model.Network // as Recipe.Model and the classes make it
	Spec    model.Spec     // travels with the weights
	Data    Data           // its labels are places in Spec.Classes

	// MadeFrom is what the data are, by name: dataset, splits, selection. With the
	// recipe and the first weights it tells this run from others (see identity.go).
	MadeFrom checkpoint.Identity
	// MadeBy is the programs that a run is made by, with their versions, for its log.
	MadeBy string
	// Command is the call of which the run is, word by word, for its log, which keeps it
	// as it is: nothing secret may be in it.
	Command []string

	// NewEngine makes an engine for Network. It is called again, after the
	// one before was closed, when memory runs out.
	NewEngine func(EngineConfig) (Engine, error)
	Device    string // as EngineConfig's, as are the next
	Precision string // the recipe's with auto decided
	Threads   int    // the engine's, on the CPU; 0: one a CPU
	Recompute bool   // trade time for memory: activations are computed again in the backward pass
	// DeviceMemory is how many bytes of the device's nobody holds, from which
	// ChooseBatch takes its first try; 0: it begins small.
	DeviceMemory int64

	// Deterministic has a GPU's steps give the same bits whenever they are taken
	// again, more slowly (EngineConfig).
	Deterministic bool

	// Weights, where given, replace the fresh weights of the same name.
	Weights []model.Tensor

	// ClassWeights, by label, are those of the file that Recipe.Loss.ClassWeights names.
	ClassWeights []float64

	// Overwrite has a run of another kind in Dir give way to this one.
	Overwrite bool

	KeepLast        int           // checkpoints kept beside the best one; 0 means 3
	CheckpointEvery time.Duration // besides those at the end of each epoch; 0 means 10 minutes
	StopAfter       int64         // stop, saved, after this many steps of this call; 0: no limit
	TensorBoard     bool          // write event files under tensorboard/

	// What happens, as it happens, from the goroutine that called Run; each may be
	// nil.
	OnStart      func(Start)             // once, before the first step
	OnStep       func(runlog.Step)       // after each
	OnValidating func(done, total int)   // images, after each batch
	OnEval       func(runlog.Evaluation) // after each epoch
	OnWarn       func(text string)       // a line that the user should see

	// OnDurable is called, from the same goroutine, each time the directory has come to
	// where a run goes on from: who keeps a copy of it copies it then, the log first,
	// checkpoints next, and removes last. At the end, with final set, what was done
	// before must be in the copy when it returns: what follows in the log says so. An
	// error ends the run; nil is no copy.
	OnDurable func(final bool) error

	draw     func(path, log string) error // of the curves; tests that do not look at them leave it out
	madeFrom checkpoint.Identity          // with the recipe and the first weights
}

// Start describes a run that is about to go on.
type Start struct {
	Recipe        recipe.Recipe // with what the data and the device decided
	Resumed       bool          // from a checkpoint
	Step, Steps   int64         // done, in all
	StepsPerEpoch int64         // of a whole epoch
	TrainRows     int           // images
	ValRows       int           // images; 0: no validation
	Microbatches  int           // that a batch is worked through in
	PeakRate      float64       // learning rate after the warm-up
}

// Result is what a run has done, by this call and those before it.
type Result struct {
	Steps   int64              `json:"steps"`          // optimiser steps
	Epochs  int                `json:"epochs"`         // whole ones
	Images  int64              `json:"images"`         // trained on, each time it was
	Seconds float64            `json:"seconds"`        // of training steps, waiting included
	Last    *runlog.Evaluation `json:"last,omitempty"` // nil: none was made
	Best    *runlog.Evaluation `json:"best,omitempty"` // by top-1
	// Exported is the validation of the weights in ONNX and Weights, as its Raw; nil: they are not
	// written yet, or none was made of them.
	Exported *runlog.Evaluation `json:"exported,omitempty"`
	ONNX     string             `json:"onnx,omitempty"`    // path of model.onnx; "": not written yet
	Weights  string             `json:"weights,omitempty"` // path of model.safetensors; "": not written yet
	Dir      string             `json:"out"`               // as given
	Already  bool               `json:"already,omitempty"` // it was finished before
	Ended    string             `json:"ended,omitempty"`   // why: epochs, all of them made; patience, so many without a better validation; "": not finished
}

func (o *Options) check() error {
	switch {
	case o.Dir == "":
		return errors.New("train: no run directory")
	case o.Network == nil || o.Data == nil || o.NewEngine == nil:
		return errors.New("train: network, data and engine are needed")
	case o.Recipe.Batch < 1:
		return fmt.Errorf("train: batch is %d", o.Recipe.Batch)
	case len(o.Spec.Classes) != o.Network.Classes:
		return fmt.Errorf("train: the network has %d classes, the spec names %d", o.Network.Classes, len(o.Spec.Classes))
	case o.Recipe.Patience > 0 && o.Data.ValSet().Len() == 0:
		return optionf("patience goes by the validation, and there are no images to validate on")
	case o.Recipe.Export == "best" && o.Data.ValSet().Len() == 0:
		return optionf("export is best, and there are no images to validate on")
	case o.Recipe.NeedsWeights && len(o.Weights) == 0:
		return optionf("recipe %s starts from trained weights, and none are given", o.Recipe.Name)
	}
	if err := o.Recipe.Check(); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	if _, err := ratesOf(o.Network, o.Recipe, 0); err != nil {
		return &OptionError{err}
	}
	if err := o.weighClasses(); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	var err error
	if o.madeFrom, err = o.identity(); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	if o.KeepLast == 0 {
		o.KeepLast = 3
	}
	if o.CheckpointEvery == 0 {
		o.CheckpointEvery = 10 * time.Minute
	}
	if o.draw == nil {
		o.draw = drawCurves
	}
	if o.OnStart == nil {
		o.OnStart = func(Start) {}
	}
	if o.OnStep == nil {
		o.OnStep = func(runlog.Step) {}
	}
	if o.OnValidating == nil {
		o.OnValidating = func(int, int) {}
	}
	if o.OnEval == nil {
		o.OnEval = func(runlog.Evaluation) {}
	}
	if o.OnWarn == nil {
		o.OnWarn = func(string) {}
	}
	if o.OnDurable == nil {
		o.OnDurable = func(bool) error { return nil }
	}
	return nil
}

// drawCurves draws what a run has to draw by now.
func drawCurves(path, log string) error {
	if err := runlog.WriteCurves(path, log); !errors.Is(err, runlog.ErrNoSteps) {
		return err
	}
	return nil
}

// engineConfig is what of the recipe the engine needs in an epoch.
func (o *Options) engineConfig(microbatches, epoch int) EngineConfig {
	r := o.Recipe
	return EngineConfig{
		Rates: o.rates(epoch), ClassWeights: o.ClassWeights,
		Device: o.Device, Precision: o.Precision, Threads: o.Threads, Batch: r.Batch, ChannelsLast: true,
		Optimizer: r.Optimizer.Kind, Momentum: r.Optimizer.Momentum, Decay: r.Optimizer.Rho, Eps: r.Optimizer.Eps,
		Beta1: r.Optimizer.Beta1, Beta2: r.Optimizer.Beta2, Nesterov: r.Optimizer.Nesterov,
		WeightDecay: r.Optimizer.WeightDecay, LabelSmoothing: r.Loss.LabelSmoothing,
		ClipNorm: r.Clip.Norm, ClipValue: r.Clip.Value, EMA: r.EMA.Decay > 0, BNMomentum: r.Network.BNMomentum,
		Mean: r.Mean, Std: r.Std, Accumulate: microbatches, Recompute: o.Recompute, Deterministic: o.Deterministic,
	}
}

// start is the position of a run that has not begun.
func (o *Options) start() checkpoint.Position {
	r := o.Recipe
	return checkpoint.Position{
		Version: checkpoint.Version, Seed: r.Seed, Batch: r.Batch, Rows: o.Data.TrainSet().Len(), Model: o.Network.Name,
		Width: r.Network.Width, Classes: classDigest(o.Spec.Classes), Microbatches: r.Accumulate, Optimizer: r.Optimizer.Kind,
		MadeFrom: o.madeFrom,
	}
}

func classDigest(classes []string) string {
	return fmt.Sprintf("%d:%x", len(classes), sha256.Sum256([]byte(strings.Join(classes, "\n"))))[:21]
}

// stepSeed mixes the run's seed with the step, so that what is random in a step depends on
// these two alone.
func stepSeed(seed uint64, step int64) uint64 {
	return splitmix.Mix(seed + (uint64(step)+1)*0x9e3779b97f4a7c15)
}
