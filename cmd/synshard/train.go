package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/synshard/synshard/model/weights"
	"github.com/synshard/synshard/train"
	"github.com/synshard/synshard/train/recipe"
)

// trainFlags are the flags that are not values of the recipe.
type trainFlags struct {
	out, split, valSplit string
	device, torchLib     string
	weights              string
	from                 weights.Options // which of --weights
	threads, workers     int
	procs                int
	keep                 int
	every                time.Duration
	stopAfter            int64
	board, evalOnly      bool
	recompute            bool
	cache                *cacheFlags
}

const trainLong = `Fits a network to a dataset's training split and measures it on the validation
split after each epoch. What to do comes from a recipe; any value of it can be
overridden by a flag, by --set, or by a YAML file. The recipe as resolved is
printed and saved.

The run directory holds config.yaml, log.ndjson (a line a step), checkpoints,
curves.png, and at the end model.safetensors and model.onnx. The same command
continues a run that was stopped or killed, and does nothing when it is done.
SIGTERM, SIGINT and SIGUSR1 finish the step, save and exit 75; SIGUSR2 prints a
line of status.

Started by torchrun, srun or Kubeflow as one of several processes (RANK,
WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT, or Slurm's variables), it
joins the others, one a GPU: rank 0 reads the data, sends each its part of every
batch, writes and prints; the others are quiet and end as it does. A signal to
any of them stops all, saved.

The learning rate scales with the batch by the recipe's rule (linear from its
base_batch in the recipes here); --lr gives it as it is. On CPU in fp32 a run
that was interrupted ends in the same bits as one that was not.`

const trainExample = `  synshard train imagenet --out runs/a
  synshard train imagenet --out runs/dogs --synset dog --recipe modern --batch auto
  synshard train dataset --recipe demo --out run
  synshard train imagenet --out runs/f --recipe finetune --weights inception_v3_google-0cc3c7bd.pth
  synshard train imagenet --out runs/a --procs 8 --batch 2048
  torchrun --no-python --nproc-per-node 8 synshard train imagenet --out runs/a --batch 2048
  srun --ntasks-per-node 8 synshard train imagenet --out runs/a --batch 2048
  synshard train imagenet --out runs/a --eval-only --json`

func newTrainCmd(a *app) *cobra.Command {
	var tf trainFlags
	cmd := &cobra.Command{
		Use:     "train DATASET --out RUN",
		Short:   "Fit a network to a dataset",
		Long:    trainLong,
		Example: trainExample,
		Args:    exactly(1, 1, "a dataset"),
	}
	f := cmd.Flags()
	f.StringVarP(&tf.out, "out", "o", "", "run directory; made when missing, continued when there")
	splitVar(cmd, &tf.split, "split", "train", "split to train on")
	f.StringVar(&tf.valSplit, "val-split", "val", "split to validate on; empty for none")
	deviceVar(cmd, &tf.device)
	f.StringVar(&tf.torchLib, "torch-lib", "", "the training engine's library ("+shimName+")")
	f.StringVar(&tf.weights, "weights", "", "start from these weights: safetensors (ours, timm's) or a .pth of torchvision's")
	addWeightsFlags(cmd, &tf.from)
	f.BoolVar(&tf.recompute, "recompute", false, "compute activations again in the backward pass: less memory, more time")
	f.IntVar(&tf.threads, "threads", 0, "the engine's CPU threads (0: one a CPU)")
	f.IntVarP(&tf.workers, "workers", "j", 0, "images decoded at a time (0: one a CPU)")
	f.IntVar(&tf.procs, "procs", 1, "processes that train together, each with its part of every batch: on CUDA one a GPU")
	f.IntVar(&tf.keep, "keep", 3, "newest checkpoints kept beside the best one")
	f.DurationVar(&tf.every, "checkpoint-every", 10*time.Minute, "time between checkpoints within an epoch")
	f.Int64Var(&tf.stopAfter, "stop-after-steps", 0, "stop, saved, after this many steps (exit 75)")
	f.BoolVar(&tf.board, "tensorboard", false, "write TensorBoard event files too")
	f.BoolVar(&tf.evalOnly, "eval-only", false, "measure the newest checkpoint, or --weights, on the validation split and stop")
	tf.cache = addCacheFlags(cmd)
	resolve := addRecipeFlags(cmd)
	sel := addSelectionFlags(cmd)
	cobra.CheckErr(cmd.MarkFlagDirname("out"))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		rec, err := resolve()
		if err != nil {
			return err
		}
		if err := tf.check(); err != nil {
			return err
		}
		place, err := tf.findLaunch()
		if err != nil {
			return err
		}
		ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGUSR1)
		defer stop()
		if place.alone() {
			return a.train(ctx, args[0], tf, rec, sel, place)
		}
		return a.trainLaunched(ctx, args[0], tf, rec, sel, place)
	}
	return cmd
}

func (tf *trainFlags) check() error {
	switch {
	case tf.out == "" && !(tf.evalOnly && tf.weights != ""):
		return usagef("train: --out RUN is needed")
	case tf.weights == "" && tf.from != weights.Options{}:
		return usagef("train: --weights-ema and --weights-key choose among what --weights has: give it")
	case tf.procs < 1:
		return usagef("train: --procs %d: want 1 or more", tf.procs)
	case tf.threads < 0 || tf.workers < 0 || tf.keep < 1 || tf.stopAfter < 0 || tf.every <= 0:
		return usagef("train: --threads, --workers and --stop-after-steps cannot be negative, --keep and --checkpoint-every must be above 0")
	case tf.valSplit == "" && tf.evalOnly:
		return usagef("train: --eval-only needs a validation split")
	}
	return tf.cache.check()
}

// train opens everything a run needs, in the order in which what is missing
// costs least to find out, and runs it.
func (a *app) train(ctx context.Context, dataset string, tf trainFlags, rec recipe.Recipe, sel *selectionFlags, place launched) error {
	report := &trainReport{a: a}
	data, err := a.openTrainData(dataset, tf, sel, report)
	if err != nil {
		return err
	}
	defer data.Close()
	net, spec, err := buildNetwork(rec, data.classes)
	if err != nil {
		return err
	}
	o := train.Options{
		Dir: tf.out, Recipe: rec, Network: net, Spec: spec, KeepLast: tf.keep, CheckpointEvery: tf.every,
		StopAfter: tf.stopAfter, TensorBoard: tf.board, OnWarn: func(text string) { report.say("warning: %s", text) },
	}
	if o.MadeFrom, err = data.madeFrom(tf, sel); err != nil {
		return err
	}
	if err := a.loadWeights(tf, &o, report); err != nil {
		return err
	}
	if err := keepBatch(&o); err != nil {
		return err
	}
	if o.Recipe.Batch > 0 && !tf.evalOnly {
		o.Data, o.NewEngine = data.loaded(o.Recipe, tf, nil), noEngine
		if res, done, err := train.Finished(o); err != nil || done {
			return cmp.Or(err, a.printTrainResult(res))
		}
	}
	eng, err := a.openTrainEngine(ctx, tf, &o, report, place)
	if err != nil {
		return err
	}
	auto := o.Recipe.Batch == 0
	eng.procs = max(tf.procs, place.World)
	if err := eng.chooseBatch(ctx, &o, data.trainView.Len()/eng.procs); err != nil {
		return err
	}
	if auto { // what fits one
		o.Recipe.Batch *= eng.procs
	}
	switch {
	case !place.alone():
		eng.join(&o, place)
	case tf.procs > 1:
		if err := eng.spread(&o, tf.procs); err != nil {
			return err
		}
	}
	if err := report.recipeTable(o.Recipe, o.MadeFrom); err != nil {
		return err
	}
	o.Data = data.cached(data.loaded(o.Recipe, tf, eng.alloc()), tf.cache)
	defer a.onStatus(report)()
	if tf.evalOnly {
		return a.evalOnly(ctx, o, report)
	}
	o.OnStart = func(s train.Start) { report.start(s, eng.describe(&o)) }
	o.OnStep, o.OnEval, o.OnValidating = report.step, report.eval, report.validating
	res, err := train.Run(ctx, o)
	if report.bar != nil {
		report.bar.Finish()
	}
	switch {
	case errors.Is(err, train.ErrStopped):
		return fmt.Errorf("%w; the same command continues", err)
	case err != nil:
		return err
	}
	return a.printTrainResult(res)
}

// onStatus prints the status line at each SIGUSR2 until the function it gives
// is called.
func (a *app) onStatus(r *trainReport) (stop func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGUSR2)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-c:
				r.status()
			case <-done:
				return
			}
		}
	}()
	return func() { signal.Stop(c); close(done) }
}

// evalOnly measures and prints.
func (a *app) evalOnly(ctx context.Context, o train.Options, r *trainReport) error {
	r.bar = a.bar(int64(o.Data.ValSet().Len()), "validating")
	o.OnValidating = func(done, _ int) { r.bar.Set(int64(done)) }
	ev, err := train.Evaluate(ctx, o)
	r.bar.Finish()
	if err != nil {
		return err
	}
	return a.printEvaluation(ev)
}
