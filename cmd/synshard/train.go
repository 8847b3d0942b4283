package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/synshard/synshard/internal/native"
	"github.com/synshard/synshard/model/weights"
	"github.com/synshard/synshard/storage"
	"github.com/synshard/synshard/train"
	"github.com/synshard/synshard/train/checkpoint"
	"github.com/synshard/synshard/train/cluster"
	"github.com/synshard/synshard/train/recipe"
	"github.com/synshard/synshard/train/runlog"
)

// trainOptions are train's flags.
type trainOptions struct {
	out, split, valSplit string
	device, torchLib     string
	weights              string
	from                 weights.Options // which of --weights
	threads, workers     int
	procs                int
	peerTimeout          time.Duration
	secretFile           string
	keep                 int
	every                time.Duration
	stopAfter            int64
	board, evalOnly      bool
	overwrite            bool
	recompute            bool
	deterministic        bool
	tracking             trackingOptions
	cache                *cacheOptions
	recipe               recipeOptions
	selection            *selectionOptions
	heldOut              heldOutOptions
	rate                 rateOptions
}

const trainLong = `Fits a network to a dataset's training split and measures it on the validation
split after each epoch. What to do comes from a recipe; any value of it can be
overridden by a flag, by --set, or by a YAML file. The recipe as resolved is
printed and saved.

The run directory holds config.yaml, log.ndjson (a line a step), checkpoints,
curves.png, and at the end model.safetensors and model.onnx. The same command
continues a run that was stopped or killed, and does nothing when it is done; of
other data, recipe or weights it is refused, or with --overwrite begins anew.
SIGTERM, SIGINT, SIGHUP (not under nohup), SIGUSR1 and SIGXCPU finish the step,
save and exit 75, a second one of the first three ends the process at once;
SIGUSR2 prints a line of status.

Started by torchrun, srun or Kubeflow as one of several processes (RANK,
WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT, or Slurm's variables), it
joins the others, one a GPU: rank 0 reads the data, sends each its share of every
batch, writes and prints; the others are quiet and end as it does. They prove to
each other that they know one secret, which rank 0 leaves in the run directory
while it waits for the others; where they do not all see that, give --secret-file
or SYNSHARD_TRAIN_SECRET. A signal to any of them, or of --procs, stops all, saved.
One that is lost, or silent for --peer-timeout, ends all: saved, with exit code 1.

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

// AddFlags adds them to the verb.
func (flags *trainOptions) AddFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVarP(&flags.out, "out", "o", "", "run directory, here or at a URL; made when missing, continued when there")
	splitVar(cmd, &flags.split, "split", "train", "split to train on")
	f.StringVar(&flags.valSplit, "val-split", "val", "split to validate on; empty for none")
	flags.heldOut.AddFlags(f)
	deviceVar(cmd, &flags.device)
	f.StringVar(&flags.torchLib, "torch-lib", "", "the training engine's library ("+native.ShimName+")")
	f.StringVar(&flags.weights, "weights", "", "start from these weights: safetensors (ours, timm's) or a .pth of torchvision's")
	addWeightsFlags(cmd, &flags.from)
	f.BoolVar(&flags.recompute, "recompute", false, "compute activations again in the backward pass: less memory, more time")
	f.BoolVar(&flags.deterministic, "deterministic", false, "on a GPU: choose algorithms by rule and not by timing them, so that a rerun gives the same bits; slower")
	threadsVar(f, &flags.threads, "the engine's CPU threads (0: one a CPU)")
	workersVar(f, &flags.workers, "images decoded at a time (0: one a CPU)")
	memoryVar(cmd)
	procsVar(f, &flags.procs, "processes that train together, each with its share of every batch: on CUDA one a GPU")
	f.DurationVar(&flags.peerTimeout, "peer-timeout", cluster.Silence, "how long one of several processes may be silent before it counts as lost: the others save and end")
	f.StringVar(&flags.secretFile, "secret-file", "", "file with a secret by which processes that a launcher started know each other (default: one that rank 0 leaves in --out, which all of them must see)")
	f.IntVar(&flags.keep, "keep", 3, "newest checkpoints kept beside the best one")
	f.DurationVar(&flags.every, "checkpoint-every", 10*time.Minute, "time between checkpoints within an epoch")
	f.Int64Var(&flags.stopAfter, "stop-after-steps", 0, "stop, saved, after this many steps (exit 75)")
	f.BoolVar(&flags.overwrite, "overwrite", false, "make a run anew where --out holds another")
	f.BoolVar(&flags.board, "tensorboard", false, "write TensorBoard event files too")
	flags.tracking.AddFlags(cmd)
	f.BoolVar(&flags.evalOnly, "eval-only", false, "measure the newest checkpoint in --out, or --weights that no run there was made from, on the validation split and stop")
	flags.cache = addCacheFlags(cmd)
	flags.recipe.AddFlags(cmd)
	flags.rate.AddFlags(cmd)
	flags.selection = addSelectionFlags(cmd)
	cobra.CheckErr(cmd.MarkFlagDirname("out"))
}

func newTrainCmd(a *app) *cobra.Command {
	var o trainOptions
	cmd := &cobra.Command{
		Use:     "train DATASET --out RUN",
		Short:   "Fit a network to a dataset",
		Long:    trainLong,
		Example: trainExample,
		Args:    exactly(1, 1, "a dataset"),
		PreRunE: func(*cobra.Command, []string) error { return o.check() },
		RunE:    func(cmd *cobra.Command, args []string) error { return a.runTrain(cmd.Context(), args[0], o) },
	}
	o.AddFlags(cmd)
	return cmd
}

// runTrain fits, in a process alone or in one of several.
func (a *app) runTrain(ctx context.Context, dataset string, flags trainOptions) (err error) {
	rec, err := flags.recipe.resolve()
	if err != nil {
		return err
	}
	place, err := flags.findLaunch()
	if err != nil {
		return err
	}
	if err := flags.rate.check(place); err != nil {
		return err
	}
	a.saves.Store(true)
	ctx, place.stop = context.WithCancel(ctx)
	defer place.stop()
	returned := false
	defer func() { a.release(place, err, returned) }()
	watchLauncher(ctx, place.stop)
	if place.alone() {
		err = a.train(ctx, dataset, flags, rec, place)
	} else {
		err = a.trainLaunched(ctx, dataset, flags, rec, place)
	}
	returned = true
	return err
}

func (flags *trainOptions) check() error {
	switch {
	case flags.out == "" && !(flags.evalOnly && flags.weights != ""):
		return usagef("--out RUN is needed")
	case flags.weights == "" && flags.from != weights.Options{}:
		return usagef("--weights-ema and --weights-key choose among what --weights has: give it")
	case flags.peerTimeout < cluster.Least:
		return usagef("--peer-timeout %v: want %v or more", flags.peerTimeout, cluster.Least)
	case flags.keep < 1 || flags.stopAfter < 0 || flags.every <= 0:
		return usagef("--stop-after-steps cannot be negative, --keep and --checkpoint-every must be above 0")
	case flags.overwrite && flags.evalOnly:
		return usagef("--overwrite has no effect with --eval-only")
	case flags.valSplit == "" && flags.heldOut.none() && flags.evalOnly:
		return usagef("--eval-only needs a validation split")
	}
	if err := flags.heldOut.check(flags.recipe.flags); err != nil {
		return err
	}
	if err := flags.tracking.check(flags.evalOnly); err != nil {
		return err
	}
	return flags.cache.check()
}

// train opens everything a run needs, in the order in which what is missing
// costs least to find out, and runs it.
func (a *app) train(ctx context.Context, dataset string, flags trainOptions, rec recipe.Recipe, place *launched) (err error) {
	told, outGiven := a.newTracker(flags), flags.out
	out, err := a.openOut(ctx, &flags, place.stop)
	if err != nil {
		return err
	}
	defer func() { err = out.close(err) }()
	data, err := a.openTrainData(dataset, flags)
	if err != nil {
		return err
	}
	defer data.Close()
	o, err := a.trainOptions(data, flags, rec)
	if err != nil {
		return err
	}
	report := &trainReport{a: a, out: out, best: min(len(o.Spec.Classes), 5)}
	if out.Dir != nil {
		o.OnDurable = out.durable
	}
	if o.Recipe.Batch > 0 && !flags.evalOnly && flags.rate.mode != onlyTest {
		o.Data, o.NewEngine = data.Data(o.Recipe, flags.workers, nil), noEngine
		if done, err := a.finished(ctx, &o, flags, report, told); done || err != nil {
			return err
		}
	}
	eng, err := a.openTrainEngine(ctx, flags, &o, data.Train.Len(), place)
	if err != nil {
		return err
	}
	if o.Data, err = a.cached(data, o.Recipe, flags, eng.shim.BatchMemory(eng.device)); err != nil {
		return err
	}
	if done, err := a.findRate(ctx, &o, flags.rate); done || err != nil {
		return err
	}
	if err := report.recipeTable(o.Recipe, o.MadeFrom); err != nil {
		return err
	}
	defer a.onStatus(report)()
	if flags.evalOnly {
		return a.evalOnly(ctx, o, report, outGiven, flags.weights)
	}
	return a.fit(ctx, o, report, eng, told)
}

// finished tells of a run that is done; false: it is not.
func (a *app) finished(ctx context.Context, o *train.Options, flags trainOptions, report *trainReport, told *tracker) (bool, error) {
	if _, err := flags.rate.found(o); err != nil {
		return false, err
	}
	res, done, err := train.Finished(*o)
	if !done || err != nil {
		return false, err
	}
	told.finished(ctx, *o, res)
	return true, report.result(res)
}

// trainOptions are the options of a run before an engine is open: network, weights,
// and the batch of a run that is to be continued, for --batch auto.
func (a *app) trainOptions(data *trainData, flags trainOptions, rec recipe.Recipe) (train.Options, error) {
	net, spec, err := rec.Build(data.Classes)
	if err != nil {
		return train.Options{}, usagef("%w", err)
	}
	o := train.Options{
		Dir: flags.out, Recipe: rec, Network: net, Spec: spec, MadeFrom: data.MadeFrom(), KeepLast: flags.keep, CheckpointEvery: flags.every, Overwrite: flags.overwrite,
		StopAfter: flags.stopAfter, TensorBoard: flags.board, OnWarn: func(text string) { a.Logf("warning: %s", text) },
	}
	if err := a.loadWeights(flags, &o); err != nil {
		return o, err
	}
	if err := loadClassWeights(&o); err != nil {
		return o, err
	}
	if steps, _ := checkpoint.Steps(o.Dir); !flags.evalOnly && (len(steps) == 0 || flags.overwrite) { // one that goes on may be made shorter
		if err := flags.recipe.checkReach(&o.Recipe, a.Warnf); err != nil {
			return o, err
		}
	}
	if o.Recipe.Batch == 0 && o.Dir != "" {
		o.Recipe.Batch, _, err = train.SavedBatch(o.Dir)
	}
	return o, err
}

// fit runs and prints.
func (a *app) fit(ctx context.Context, o train.Options, r *trainReport, eng *trainEngine, told *tracker) error {
	o.OnStart = func(s train.Start) {
		r.start(s, eng.describe(&o))
		told.start(o.Dir, s.Recipe, o.MadeFrom, s.Steps)
	}
	o.MadeBy = fmt.Sprintf("synshard %s, libtorch %s", buildVersion(), eng.shim.Version())
	o.Command = a.command
	o.OnEval, o.OnValidating = r.eval, r.validating
	o.OnStep = func(s runlog.Step) {
		r.step(s)
		eng.slow.step()
	}
	res, err := train.Run(ctx, o)
	told.close(ctx, err)
	if r.bar != nil {
		r.bar.Finish()
	}
	switch {
	case errors.Is(err, train.ErrStopped):
		return fmt.Errorf("%w; the same command continues", err)
	case errors.Is(err, train.ErrOtherRun):
		return fmt.Errorf("%w; --overwrite makes it anew", err)
	case err != nil:
		return err
	}
	return r.result(res)
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

// evalOnly measures and prints: a checkpoint of the run in out, or weights.
func (a *app) evalOnly(ctx context.Context, o train.Options, r *trainReport, out, weights string) error {
	r.bar = a.imageBar(int64(o.Data.ValSet().Len()), "validating")
	o.OnValidating = func(done, _ int) { r.bar.Set(int64(done)) }
	m, err := train.Evaluate(ctx, o)
	r.bar.Finish()
	if err != nil {
		return err
	}
	out, weights = storage.Shown(out), a.remote.paths.Shown(weights)
	of := weights
	switch {
	case m.Checkpoint != "":
		of = strings.TrimSuffix(out, "/") + "/" + checkpoint.Dir + "/" + filepath.Base(m.Checkpoint)
		if weights != "" {
			a.Logf("%s is what the run in %s was made from: the run's newest checkpoint is measured (--weights without --out measures the weights themselves)", weights, out)
		}
	case out != "":
		a.Logf("%s is measured, and not a checkpoint in %s: no run there is known to be made from it", weights, out)
	}
	return r.printEvaluation(m.Evaluation, of)
}
