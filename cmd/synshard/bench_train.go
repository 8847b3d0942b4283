package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/synshard/synshard/internal/bench"
	"github.com/synshard/synshard/internal/native"
	"github.com/synshard/synshard/internal/processors"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/storage"
	"github.com/synshard/synshard/train"
	"github.com/synshard/synshard/train/cluster"
	"github.com/synshard/synshard/train/torch"
)

// benchTrainOptions are bench train's flags.
type benchTrainOptions struct {
	model, device, precision, torchLib, data string

	asked                   batchSize
	batch, steps, warmup    int // batch is what asked comes to
	threads, workers, procs int
	recompute, unfused      bool
	allPlans, deterministic bool
	profile                 bool
	peakTFLOPS              float64
}

// AddFlags adds them to the verb.
func (b *benchTrainOptions) AddFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&b.model, "model", "inception_v3", "network: "+strings.Join(model.Names(), ", "))
	deviceVar(cmd, &b.device)
	f.StringVar(&b.torchLib, "torch-lib", "", "the training engine's library ("+native.ShimName+")")
	f.StringVar(&b.data, "data", "", "measure on this dataset's train split too")
	choiceVar(cmd, &b.precision, "precision", "auto", oneOf(precisions)+"; auto goes by the device", precisions...)
	b.asked = batchSize{n: 16}
	batchVar(cmd, &b.asked, "images a step; auto: 16 a process on the CPU, 64 on a GPU")
	f.IntVar(&b.steps, "steps", 10, "steps measured")
	f.IntVar(&b.warmup, "warmup", -1, "steps made before (-1: 2 on the CPU, 10 on a GPU, whose steps are recorded by then)")
	procsVar(f, &b.procs, "processes that work through each batch together; on CUDA one a GPU")
	threadsVar(f, &b.threads, "threads of each process on the CPU (0: one a CPU, shared out)")
	workersVar(f, &b.workers, "workers that decode, with --data (0: one a CPU)")
	memoryVar(cmd)
	f.BoolVar(&b.recompute, "recompute", false, "compute activations again in the backward pass, to save memory")
	f.BoolVar(&b.unfused, "unfused", false, "plain operations instead of fused ones, for comparison")
	f.BoolVar(&b.allPlans, "all-plans", false, "on a GPU: try all of cuDNN's plans for each convolution, not ten of them")
	f.BoolVar(&b.deterministic, "deterministic", false, "on a GPU: algorithms by rule and not by timing them, as train --deterministic")
	f.BoolVar(&b.profile, "profile", false, "on a GPU: a profiler that waits to be told sees the measured steps alone")
	f.Float64Var(&b.peakTFLOPS, "peak-tflops", 0, "what the device can do at this precision, in 10^12 operations a second")
	complete(cmd, "model", model.Names()...)
}

func newBenchTrainCmd(a *app) *cobra.Command {
	var o benchTrainOptions
	cmd := &cobra.Command{
		Use:   "train",
		Short: "Measure training steps",
		Long: `Makes whole training steps (forward, backward, clipped RMSProp, averaged
weights) on synthetic images, and with --data on a dataset's through the
loader, and prints images a second, where a step's time goes, peak memory and
the rate of the network's own arithmetic: two operations a multiplication of
the forward pass, and twice as many again for the backward pass. With
--peak-tflops that is set against what the device could do. With --procs several
processes work through each batch together, and the time in which gradients were
on their way is told apart into what the backward pass hid and what was waited
for. With --profile on a GPU, Nsight records the measured steps and nothing
before them (nsys profile --capture-range=cudaProfilerApi, ncu
--profile-from-start off). scripts/bench/train.sh runs the same step in PyTorch
in turns with this one.`,
		Example: `  synshard bench train
  synshard bench train --precision fp32 --batch 32 --json
  synshard bench train --procs 2 --batch 32 --precision bf16
  synshard bench train --device cuda --batch 256 --steps 100 --peak-tflops 989 --data imagenet`,
		Args: exactly(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runBenchTrain(cmd.Context(), o) },
	}
	o.AddFlags(cmd)
	return cmd
}

func (b *benchTrainOptions) check() error {
	if b.asked.n%b.procs != 0 {
		return usagef("--procs %d: want a batch (%s) that goes evenly into them", b.procs, &b.asked)
	}
	if b.allPlans && b.deterministic {
		return usagef("--all-plans tries what --deterministic chooses by rule")
	}
	if b.profile && b.procs > 1 {
		return usagef("--profile is of one process, not --procs %d", b.procs)
	}
	if b.steps < 1 || b.warmup < -1 || !(b.peakTFLOPS >= 0 && b.peakTFLOPS <= 1e9) {
		return usagef("--steps must be above 0, the others not below")
	}
	return nil
}

// fill settles what was left to the device.
func (b *benchTrainOptions) fill() {
	b.batch = b.asked.n
	if b.asked.auto {
		b.batch = 16 * b.procs
		if torch.OnCUDA(b.device) {
			b.batch *= 4
		}
	}
	if b.warmup < 0 {
		b.warmup = 2
		if torch.OnCUDA(b.device) {
			b.warmup = 10
		}
	}
	if b.threads == 0 {
		b.threads = max(processors.Count()/b.procs, 1)
	}
}

func (a *app) runBenchTrain(ctx context.Context, b benchTrainOptions) error {
	if err := b.check(); err != nil {
		return err
	}
	shim, lib, err := a.openShim(b.torchLib)
	if err != nil {
		return err
	}
	if b.device, err = chooseDevice(shim, b.device); err != nil {
		return err
	}
	if (b.allPlans || b.deterministic || b.profile) && !torch.OnCUDA(b.device) {
		return usagef("--all-plans, --deterministic and --profile are for a GPU, not %s", b.device)
	}
	b.fill()
	net, err := model.New(b.model, model.Options{Classes: 1000, Aux: true, Dropout: -1})
	if err != nil {
		return usagef("%w", err)
	}
	b.torchLib = lib
	var runs []bench.StepReport
	if b.precision, err = a.choosePrecision(shim, b.precision, b.device, b.procs); err != nil {
		return err
	}
	images := []*bench.Images{nil} // synthetic
	if b.data != "" {
		source, err := bench.OpenImages(b.data, "train", 0, a.openSet)
		if err != nil {
			return err
		}
		defer source.Close()
		images = append(images, source)
	}
	for _, source := range images {
		r, err := a.benchSteps(ctx, shim, net, b, source)
		if err != nil {
			return fmt.Errorf("%s: %w", b.precision, err)
		}
		runs = append(runs, r)
	}
	return a.Result(map[string]any{"runs": runs}, func(w io.Writer) { printSteps(w, runs) })
}

// benchSteps measures steps on images; nil: on synthetic ones.
func (a *app) benchSteps(ctx context.Context, shim *torch.Shim, net *model.Network, b benchTrainOptions, source *bench.Images) (r bench.StepReport, err error) {
	name := "synthetic"
	var batches *bench.Batches
	if source != nil {
		name = storage.Shown(b.data)
		batches = bench.Loaded(ctx, source, net, b.batch, b.workers, shim.BatchMemory(b.device))
	} else if batches, err = bench.Synthetic(net, b.batch, shim.BatchMemory(b.device)); err != nil {
		return r, err
	}
	defer batches.Close()
	cfg := bench.PaperStep()
	cfg.Device, cfg.Precision, cfg.Threads, cfg.Batch = b.device, b.precision, b.threads, b.batch
	cfg.Recompute, cfg.Unfused, cfg.AllPlans, cfg.Deterministic = b.recompute, b.unfused, b.allPlans, b.deterministic
	e, err := a.stepEngine(b, shim, net, cfg)
	if err != nil {
		return r, err
	}
	defer e.Close()
	if err := e.SetState(net.Init(1)); err != nil {
		return r, err
	}
	bar := a.Bar(int64(b.warmup+b.steps), "measuring", "steps")
	defer bar.Finish()
	o := bench.StepOptions{
		Batches: batches, Network: net, Batch: b.batch, Steps: b.steps, Warmup: b.warmup, Alone: b.procs == 1, PeakTFLOPS: b.peakTFLOPS,
		OnStep: func() { bar.Add64(1) },
	}
	if one, ok := e.(*torch.Engine); ok && b.profile {
		o.Profile = one.Profile
	}
	r, err = bench.MeasureSteps(ctx, e, o)
	r.Model, r.Device, r.Precision, r.Data, r.Torch, r.Procs, r.Threads = b.model, b.device, b.precision, name, shim.Version(), b.procs, b.threads
	return r, err
}

// stepEngine is one of this process, or of several.
func (a *app) stepEngine(b benchTrainOptions, shim *torch.Shim, net *model.Network, cfg train.EngineConfig) (bench.Engine, error) {
	if b.procs == 1 {
		return shim.New(net, cfg)
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("--procs: %w", err)
	}
	onLoopback()
	return cluster.NewProcs(shim, net, cfg, b.procs, func() *exec.Cmd { return a.workerCommand(self, b.torchLib, cluster.Silence) })
}

func printSteps(w io.Writer, runs []bench.StepReport) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "precision\tdata\tbatch\timages/s\tbest\timages/cpu-s\tstep ms\twait\tforward\tbackward\texposed\tupdate\texchange\tpeak MiB\tTFLOP/s\tMFU\t")
	for _, r := range runs {
		mfu := "-"
		if r.MFU > 0 {
			mfu = fmt.Sprintf("%.1f %%", 100*r.MFU)
		}
		exposed, exchange, perCPU := "-", "-", fmt.Sprintf("%.2f", r.ImagesPerCPUSecond)
		if r.Procs > 1 {
			perCPU = "-"
			exposed, exchange = fmt.Sprintf("%.1f", 1e3*r.Exposed), fmt.Sprintf("%.1f", 1e3*r.Exchange)
		}
		fmt.Fprintf(t, "%s\t%s\t%d\t%.2f\t%.2f\t%s\t%.1f\t%.1f\t%.1f\t%.1f\t%s\t%.1f\t%s\t%d\t%.3f\t%s\t\n", r.Precision, r.Data, r.Batch, r.ImagesPerSecond,
			r.ImagesPerSecondBest, perCPU, 1e3*r.Step, 1e3*r.DataWait, 1e3*r.Forward, 1e3*r.Backward, exposed, 1e3*r.Update, exchange, r.PeakBytes>>20, r.TFLOPS, mfu)
	}
	t.Flush() // into a bufio.Writer, which keeps the error
	last := ""
	for _, r := range runs {
		if r.How == "" || r.How == last {
			continue
		}
		last = r.How
		fmt.Fprintf(w, "%s, %s: %s\n", r.Device, r.Precision, r.How)
	}
}
