package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/cpu"

	"github.com/synshard/synshard/train"
	"github.com/synshard/synshard/train/torch"
)

// trainEngine is the opened engine library with the device decided.
type trainEngine struct {
	shim   *torch.Shim
	lib    string // its path
	device string
	procs  int // that train together
	report *trainReport
}

// openTrainEngine opens the library and fills in what depends on the machine:
// device, precision, threads.
func (a *app) openTrainEngine(ctx context.Context, flags trainOptions, o *train.Options, report *trainReport, place *launched) (*trainEngine, error) {
	shim, path, err := a.openShim(flags.torchLib)
	if err != nil {
		return nil, err
	}
	e := &trainEngine{shim: shim, lib: path, report: report}
	if e.device, err = chooseDevice(shim, flags.device); err != nil {
		return nil, err
	}
	if e.onCUDA() && !place.alone() {
		e.device = place.Device(visibleGPUs(shim))
	}
	o.Device, o.Recompute, o.Deterministic = e.device, flags.recompute, flags.deterministic
	o.Precision = choosePrecision(ctx, o.Recipe.Precision, e.onCUDA())
	o.Threads = threads(flags.threads, place.Launch)
	o.NewEngine = func(cfg train.EngineConfig) (train.Engine, error) {
		eng, err := shim.New(o.Network, cfg)
		if err != nil {
			return nil, err
		}
		if note := eng.Note(); e.onCUDA() && strings.HasPrefix(note, "plain") {
			a.Logf("warning: steps are slower than they could be: %s", note)
		}
		return eng, nil
	}
	return e, nil
}

// openShim finds and opens the engine's library.
func (a *app) openShim(given string) (*torch.Shim, string, error) {
	path, err := a.findTorch(given)
	if err != nil {
		return nil, "", err
	}
	shim, err := torch.Open(path)
	if errors.Is(err, torch.ErrUnfit) {
		return nil, "", fmt.Errorf("%w; %s", err, mendTorch)
	}
	return shim, path, err
}

func (e *trainEngine) onCUDA() bool { return strings.HasPrefix(e.device, "cuda") }

// alloc is where batches lie: pinned memory when a GPU reads them.
func (e *trainEngine) alloc() func(int) ([]byte, func(), error) {
	if e.onCUDA() {
		return e.shim.Alloc
	}
	return nil
}

// chooseDevice resolves auto and refuses a GPU that is not there.
func chooseDevice(shim *torch.Shim, want string) (string, error) {
	if want == "cpu" {
		return want, nil
	}
	have, err := shim.CUDADevices()
	switch {
	case err != nil:
		return "", withCode(exitNative, fmt.Errorf("--device %s: %w", want, err))
	case want == "auto" && have == 0:
		return "cpu", nil
	case want == "auto":
		return "cuda:0", nil
	}
	n, err := gpuOf(want)
	if err != nil {
		return "", usagef("--device %q: %w", want, err)
	}
	if n >= have {
		return "", withCode(exitNative, fmt.Errorf("--device %s: libtorch %s sees %d CUDA devices; see 'synshard doctor'", want, shim.Version(), have))
	}
	return fmt.Sprintf("cuda:%d", n), nil
}

// choosePrecision resolves auto: bf16 where the device has units for it, else
// fp16 on a GPU and fp32 on the CPU.
func choosePrecision(ctx context.Context, want string, cuda bool) string {
	switch {
	case want != "auto":
		return want
	case cuda:
		// Ampere, 8.0, was the first with bf16; Turing and Volta have fp16 only.
		if c, err := cudaCapability(ctx); err == nil && c >= 8 {
			return "bf16"
		}
		return "fp16"
	case cpu.X86.HasAMXBF16, cpu.X86.HasAVX512BF16:
		return "bf16"
	}
	return "fp32"
}

// cudaCapability is the lowest compute capability among the machine's GPUs, as
// the driver's nvidia-smi has it.
func cudaCapability(ctx context.Context) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader").Output()
	if err != nil {
		return 0, fmt.Errorf("nvidia-smi: %w", err)
	}
	return lowestCapability(string(out))
}

// lowestCapability reads one number a line.
func lowestCapability(text string) (float64, error) {
	lowest := math.Inf(1)
	for line := range strings.FieldsSeq(text) {
		c, err := strconv.ParseFloat(line, 64)
		if err != nil {
			return 0, fmt.Errorf("nvidia-smi: compute capability %q", line)
		}
		lowest = min(lowest, c)
	}
	if math.IsInf(lowest, 1) {
		return 0, errors.New("nvidia-smi: no GPU")
	}
	return lowest, nil
}

// describe names device, precision and library.
func (e *trainEngine) describe(o *train.Options) string {
	text := fmt.Sprintf("%s in %s (libtorch %s", e.device, o.Precision, e.shim.Version())
	if e.procs > 1 {
		text = fmt.Sprintf("%d processes, each on ", e.procs) + text
	}
	if !e.onCUDA() {
		text += fmt.Sprintf(", threads: %d", o.Threads)
	}
	return text + ")"
}

// batchOnCPU is what --batch auto means where memory is no measure.
const batchOnCPU = 32

// keepBatch takes the batch of the run that is to be continued, if there is
// one, for --batch auto.
func keepBatch(o *train.Options) error {
	if o.Recipe.Batch > 0 || o.Dir == "" {
		return nil
	}
	saved, ok, err := train.SavedBatch(o.Dir)
	if ok {
		o.Recipe.Batch = saved
	}
	return err
}

// noEngine stands where no engine is needed.
func noEngine(train.EngineConfig) (train.Engine, error) {
	return nil, errors.New("the engine is not open")
}

// evenly is the largest batch up to most that microbatches divide, at least one image
// each.
func evenly(most, microbatches int) int { return max(most/microbatches, 1) * microbatches }

// chooseBatch settles --batch auto: on a GPU by trying, on the CPU a fixed
// one.
func (e *trainEngine) chooseBatch(ctx context.Context, o *train.Options, rows int) error {
	if o.Recipe.Batch > 0 {
		return nil
	}
	limit := min(rows, 4096)
	if !e.onCUDA() {
		o.Recipe.Batch = evenly(min(batchOnCPU, limit), o.Recipe.Accumulate)
		e.report.say("batch auto on the CPU: %d", o.Recipe.Batch)
		return nil
	}
	b, err := train.LargestBatch(ctx, *o, limit, func(batch int, fits bool) {
		word := "fits"
		if !fits {
			word = "does not fit"
		}
		e.report.say("batch auto: %d %s", batch, word)
	})
	if err != nil {
		return fmt.Errorf("--batch auto: %w", err)
	}
	o.Recipe.Batch = b
	return nil
}
