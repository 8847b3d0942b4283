package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/synshard/synshard/internal/processors"
	"github.com/synshard/synshard/loader"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/pixel"
	"github.com/synshard/synshard/train"
	"github.com/synshard/synshard/train/cluster"
	"github.com/synshard/synshard/train/torch"
)

// trainBench is what bench train was asked for.
type trainBench struct {
	model, device, torchLib, data string
	precisions                    []string
	asked                         batchSize
	batch, steps, warmup          int // batch is what asked comes to
	threads, workers, procs       int
	recompute, unfused            bool
	peakTFLOPS                    float64
}

// trainRun is what was measured at one precision, of one source of data.
type trainRun struct {
	Model               string  `json:"model"`
	Device              string  `json:"device"`
	Precision           string  `json:"precision"`
	Data                string  `json:"data"` // synthetic or the dataset
	Torch               string  `json:"torch"`
	How                 string  `json:"how"` // steps are computed
	Batch               int     `json:"batch"`
	Procs               int     `json:"procs"`
	Threads             int     `json:"threads"` // of each process
	Steps               int     `json:"steps"`
	ImagesPerSecond     float64 `json:"images_per_s"`      // over all steps
	ImagesPerSecondBest float64 `json:"images_per_s_best"` // of the fastest step
	ImagesPerCPUSecond  float64 `json:"images_per_cpu_s"`  // processor time, which other work disturbs little; of one process, else 0

	// Medians, seconds a step. On a GPU work is queued, and the step's wait for
	// it shows as update. Exposed is the wait for other processes' gradients
	// after the backward pass; Exchange, how long any were on their way, most of
	// it during that pass, and is no part of the step's sum.
	Step     float64 `json:"step_s"`
	DataWait float64 `json:"data_wait_s"`
	Forward  float64 `json:"forward_s"`
	Backward float64 `json:"backward_s"`
	Exposed  float64 `json:"communication_exposed_s"`
	Update   float64 `json:"update_s"`
	Exchange float64 `json:"communication_s"`

	PeakBytes int64   `json:"peak_bytes"` // of tensors, of the first process
	TFLOPS    float64 `json:"tflops"`     // the network's own arithmetic, three times the forward pass's
	MFU       float64 `json:"mfu"`        // of --peak-tflops; 0 without
	Loss      float64 `json:"loss"`
}

func newBenchTrainCmd(a *app) *cobra.Command {
	b := trainBench{}
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
for. scripts/bench/train.sh runs the same step in PyTorch in turns with this one.`,
		Example: `  synshard bench train
  synshard bench train --precision fp32,bf16 --batch 32 --json
  synshard bench train --procs 2 --batch 32 --precision bf16
  synshard bench train --device cuda --batch 256 --steps 100 --peak-tflops 989 --data imagenet`,
		Args: exactly(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if b.procs < 1 || b.asked.n%max(b.procs, 1) != 0 {
				return usagef("--procs %d: want 1 or more, and a batch (%s) that goes evenly into them", b.procs, &b.asked)
			}
			if b.steps < 1 || b.warmup < -1 || b.threads < 0 || b.workers < 0 || b.peakTFLOPS < 0 {
				return usagef("--steps must be above 0, the others not below")
			}
			return a.benchTrain(cmd.Context(), b)
		},
	}
	f := cmd.Flags()
	f.StringVar(&b.model, "model", "inception_v3", "network: "+strings.Join(model.Names(), ", "))
	deviceVar(cmd, &b.device)
	f.StringVar(&b.torchLib, "torch-lib", "", "the training engine's library ("+shimName+")")
	f.StringVar(&b.data, "data", "", "measure on this dataset's train split too")
	choicesVar(cmd, &b.precisions, "precision", []string{"fp32", "bf16"}, oneOf(precisions)+"; several are measured one after the other", precisions...)
	b.asked = batchSize{n: 16}
	batchVar(cmd, &b.asked, "images a step; auto: 16 a process on the CPU, 64 on a GPU")
	f.IntVar(&b.steps, "steps", 10, "steps measured")
	f.IntVar(&b.warmup, "warmup", -1, "steps made before (-1: 2 on the CPU, 10 on a GPU, whose steps are recorded by then)")
	f.IntVar(&b.procs, "procs", 1, "processes that work through each batch together; on CUDA one a GPU")
	f.IntVar(&b.threads, "threads", 0, "threads of each process on the CPU (0: one a CPU, shared out)")
	f.IntVarP(&b.workers, "workers", "j", 0, "workers that decode, with --data (0: one a CPU)")
	f.BoolVar(&b.recompute, "recompute", false, "compute activations again in the backward pass, to save memory")
	f.BoolVar(&b.unfused, "unfused", false, "plain operations instead of fused ones, for comparison")
	f.Float64Var(&b.peakTFLOPS, "peak-tflops", 0, "what the device can do at this precision, in 10^12 operations a second")
	cobra.CheckErr(cmd.RegisterFlagCompletionFunc("model", cobra.FixedCompletions(model.Names(), cobra.ShellCompDirectiveNoFileComp)))
	return cmd
}

func (a *app) benchTrain(ctx context.Context, b trainBench) error {
	shim, lib, err := a.openShim(b.torchLib)
	if err != nil {
		return err
	}
	if b.device, err = chooseDevice(shim, b.device); err != nil {
		return err
	}
	b.batch = b.asked.n
	if b.asked.auto {
		b.batch = 16 * b.procs
		if strings.HasPrefix(b.device, "cuda") {
			b.batch *= 4
		}
	}
	if b.warmup < 0 {
		b.warmup = 2
		if strings.HasPrefix(b.device, "cuda") {
			b.warmup = 10
		}
	}
	if b.threads == 0 {
		b.threads = max(processors.Count()/b.procs, 1)
	}
	net, err := model.New(b.model, model.Options{Classes: 1000, Aux: true, Dropout: -1})
	if err != nil {
		return usagef("bench train: %w", err)
	}
	b.torchLib = lib
	var runs []trainRun
	for _, precision := range b.precisions {
		for _, data := range slices.Compact([]string{"", b.data}) {
			r, err := a.benchTrainRun(ctx, shim, net, b, precision, data)
			if err != nil {
				return fmt.Errorf("bench train: %s: %w", precision, err)
			}
			runs = append(runs, r)
		}
	}
	if a.jsonOut {
		e := json.NewEncoder(a.stdout)
		e.SetIndent("", "  ")
		return e.Encode(runs)
	}
	return printTrainRuns(a.stdout, runs)
}

// benchTrainRun measures one precision on one source of data.
func (a *app) benchTrainRun(ctx context.Context, shim *torch.Shim, net *model.Network, b trainBench, precision, data string) (trainRun, error) {
	r := trainRun{Model: b.model, Device: b.device, Precision: precision, Data: "synthetic", Torch: shim.Version(), Batch: b.batch, Procs: b.procs, Threads: b.threads, Steps: b.steps}
	next, free, err := syntheticBatches(net, b.batch, hostMemory(shim, b.device))
	if err != nil {
		return r, err
	}
	defer free()
	if data != "" {
		r.Data = data
		source, err := a.openBench(data, loaderBench{split: "train"})
		if err != nil {
			return r, err
		}
		defer source.close()
		batches, stop := datasetBatches(ctx, source, net, shim, b)
		defer stop()
		next = batches
	}
	// The constants of the paper's recipe; a rate that leaves the weights sane.
	half := [3]float64{0.5, 0.5, 0.5}
	e, err := b.engine(shim, net, train.EngineConfig{Device: b.device, Precision: precision, Threads: b.threads, Batch: b.batch, ChannelsLast: true,
		Recompute: b.recompute, Unfused: b.unfused, Optimizer: "rmsprop", Momentum: 0.9, Decay: 0.9, Eps: 1, WeightDecay: 4e-5,
		LabelSmoothing: 0.1, ClipNorm: 2, EMA: true, BNMomentum: 0.1, Mean: half, Std: half})
	if err != nil {
		return r, err
	}
	defer e.Close()
	if err := e.SetState(net.Init(1)); err != nil {
		return r, err
	}
	bar := a.bar(int64(b.warmup+b.steps), "steps")
	defer bar.Finish()
	return r, measureSteps(ctx, e, next, net, b, &r, func() { bar.Add64(1) })
}

// measured is an engine whose memory is known.
type measured interface {
	train.Engine
	Memory() (now, peak int64, err error)
	Close() error
}

// engine is one of this process, or of several.
func (b trainBench) engine(shim *torch.Shim, net *model.Network, cfg train.EngineConfig) (measured, error) {
	if b.procs == 1 {
		return shim.New(net, cfg)
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("--procs: %w", err)
	}
	return cluster.NewProcs(shim, net, cfg, b.procs, func() *exec.Cmd { return workerCommand(self, b.torchLib) })
}

func measureSteps(ctx context.Context, e measured, next func() (*loader.Batch, error), net *model.Network, b trainBench, r *trainRun, tick func()) error {
	times := map[*float64][]float64{}
	steps := train.NewPipeline(e, func(number int, m train.Metrics, err error) error {
		if err != nil {
			return err
		}
		r.Loss = m.Loss
		if number < b.warmup {
			return nil
		}
		for to, d := range map[*float64]time.Duration{
			&r.Forward: m.Forward, &r.Backward: m.Backward, &r.Exposed: m.Group, &r.Update: m.Update, &r.Exchange: m.Exchange,
		} {
			times[to] = append(times[to], d.Seconds())
		}
		return nil
	})
	var began time.Time
	var cpu time.Duration
	for i := range b.warmup + b.steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		if i == b.warmup {
			if err := steps.Drain(); err != nil {
				return err
			}
			began, cpu = time.Now(), processorTime()
		}
		start := time.Now()
		batch, err := next()
		if err != nil {
			return err
		}
		waited := time.Since(start)
		err = steps.Submit(batch, train.Step{Seed: uint64(i), LR: 0.01, EMADecay: 0.999}, i)
		batch.Release()
		if err != nil {
			return err
		}
		if err := steps.Settle(); err != nil {
			return err
		}
		tick()
		if i >= b.warmup {
			times[&r.Step] = append(times[&r.Step], time.Since(start).Seconds())
			times[&r.DataWait] = append(times[&r.DataWait], waited.Seconds())
		}
	}
	if err := steps.Drain(); err != nil {
		return err
	}
	if n, ok := e.(interface{ Note() string }); ok {
		r.How = n.Note()
	}
	images := float64(b.steps * b.batch)
	r.ImagesPerSecond = images / time.Since(began).Seconds()
	r.ImagesPerSecondBest = float64(b.batch) / slices.Min(times[&r.Step])
	if b.procs == 1 {
		r.ImagesPerCPUSecond = images / (processorTime() - cpu).Seconds()
	}
	for to, all := range times {
		slices.Sort(all)
		*to = all[len(all)/2]
	}
	r.TFLOPS = 3 * 2 * float64(net.Cost().Multiplies) * r.ImagesPerSecond / 1e12
	if b.peakTFLOPS > 0 {
		r.MFU = r.TFLOPS / b.peakTFLOPS
	}
	var err error
	_, r.PeakBytes, err = e.Memory()
	return err
}

// hostMemory gives memory for batches: pinned where a GPU reads it, else nil.
func hostMemory(shim *torch.Shim, device string) func(int) ([]byte, func(), error) {
	if strings.HasPrefix(device, "cuda") {
		return shim.Alloc
	}
	return nil
}

// syntheticBatches gives one batch of noise again and again, and what frees it.
func syntheticBatches(net *model.Network, n int, alloc func(int) ([]byte, func(), error)) (next func() (*loader.Batch, error), free func(), err error) {
	batch := &loader.Batch{Size: net.Input, N: n}
	if alloc == nil {
		alloc = func(n int) ([]byte, func(), error) { return make([]byte, n), func() {}, nil }
	}
	if batch.Images, free, err = alloc(n * net.Input * net.Input * 3); err != nil {
		return nil, nil, err
	}
	state := uint32(1)
	for i := range batch.Images { // xorshift
		state ^= state << 13
		state ^= state >> 17
		state ^= state << 5
		batch.Images[i] = byte(state)
	}
	for i := range n {
		batch.Labels = append(batch.Labels, int64(i*37%net.Classes))
		batch.Rows = append(batch.Rows, int64(i))
	}
	return func() (*loader.Batch, error) { return batch, nil }, free, nil
}

// datasetBatches gives a dataset's batches as training sees them, epoch after
// epoch, and what ends that.
func datasetBatches(ctx context.Context, source loader.Source, net *model.Network, shim *torch.Shim, b trainBench) (func() (*loader.Batch, error), func()) {
	var l *loader.Loader
	epoch := 0
	o := loader.Options{Batch: b.batch, Size: net.Input, Workers: b.workers, Shuffle: true, DropLast: source.Len() >= b.batch,
		Train: &pixel.Train{Size: net.Input, AreaMin: 0.08, AreaMax: 1, AspectMin: 3.0 / 4, AspectMax: 4.0 / 3, Flip: true, Interpolation: "bilinear"}}
	o.Alloc = hostMemory(shim, b.device)
	next := func() (*loader.Batch, error) {
		for empty := 0; ; empty++ {
			if l == nil {
				var err error
				o.Epoch = epoch
				if l, err = loader.New(ctx, source, o); err != nil {
					return nil, err
				}
			}
			batch, err := l.Next()
			if !errors.Is(err, io.EOF) {
				return batch, err
			}
			if empty > 0 {
				return nil, errors.New("the dataset has no images that can be decoded")
			}
			err = l.Close()
			l = nil
			epoch++
			if err != nil {
				return nil, err
			}
		}
	}
	return next, func() {
		if l != nil {
			l.Close()
		}
	}
}

func printTrainRuns(w io.Writer, runs []trainRun) error {
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
	if err := t.Flush(); err != nil {
		return err
	}
	said := ""
	for _, r := range runs {
		if r.How == "" || r.How == said {
			continue
		}
		said = r.How
		if _, err := fmt.Fprintf(w, "%s, %s: %s\n", r.Device, r.Precision, r.How); err != nil {
			return err
		}
	}
	return nil
}
