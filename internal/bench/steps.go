package bench

import (
	"context"
	"slices"
	"time"

	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/train"
)

// StepReport is what was measured of training steps at one precision, on one
// source of data. MeasureSteps fills in what comes after Steps, and How; the rest is for the
// caller to say.
type StepReport struct {
	Model               string  `json:"model"`                  // as model.New names it
	Device              string  `json:"device"`                 // cpu or cuda:N
	Precision           string  `json:"precision"`              // fp32, tf32, bf16 or fp16
	Data                string  `json:"data"`                   // synthetic or the dataset
	Torch               string  `json:"torch"`                  // libtorch's version
	How                 string  `json:"how"`                    // steps are computed
	Batch               int     `json:"batch"`                  // images a step, of all processes
	Procs               int     `json:"procs"`                  // processes that share each batch
	Threads             int     `json:"threads"`                // of each process
	Steps               int     `json:"steps"`                  // measured
	ImagesPerSecond     float64 `json:"images_per_second"`      // over all steps
	ImagesPerSecondBest float64 `json:"images_per_second_best"` // of the fastest step
	ImagesPerCPUSecond  float64 `json:"images_per_cpu_second"`  // processor time, which other work disturbs little; of one process, else 0

	// Medians, seconds a step. On a GPU work is only queued, and the step's wait for it
	// shows in Update.
	Step     float64 `json:"step_seconds"`                  // by the clock
	DataWait float64 `json:"data_wait_seconds"`             // for the batch
	Forward  float64 `json:"forward_seconds"`               // pass
	Backward float64 `json:"backward_seconds"`              // pass, and the exchange that it hides
	Exposed  float64 `json:"communication_exposed_seconds"` // wait for other processes' gradients after the backward pass
	Update   float64 `json:"update_seconds"`                // of the weights
	Exchange float64 `json:"communication_seconds"`         // that gradients were on their way, most of it during the backward pass: no part of the step's sum

	PeakBytes int64   `json:"peak_bytes"` // of tensors, of the first process
	TFLOPS    float64 `json:"tflops"`     // the network's own arithmetic, three times the forward pass's
	MFU       float64 `json:"mfu"`        // of --peak-tflops; 0 without
	Loss      float64 `json:"loss"`       // of the last step, in nats
}

// Engine is an engine whose memory is known.
type Engine interface {
	train.Engine
	Memory() (now, peak int64, err error) // bytes of tensors
	CountMemoryAnew() error               // the peak
	Close() error                         // lets the engine go, after the last step
}

// StepOptions say what is measured.
type StepOptions struct {
	Batches       *Batches       // what steps are made of
	Network       *model.Network // that the engine was made for
	Batch         int            // images a step
	Steps, Warmup int            // measured, and made before
	Alone         bool           // one process: its processor time is all of it
	PeakTFLOPS    float64        // what the device can do; 0: not known
	// Profile is called before the measured steps, and with false after them, when nothing
	// else is under way; may be nil.
	Profile func(on bool) error
	OnStep  func() // after each step, warm-up included; may be nil
}

// PaperStep is a step as the recipe of the Inception paper has it (Szegedy et al., 2015,
// arXiv:1512.00567, section 8), with averaged weights; device, precision and batch are the
// caller's.
func PaperStep() train.EngineConfig {
	half := [3]float64{0.5, 0.5, 0.5}
	return train.EngineConfig{ChannelsLast: true, Optimizer: "rmsprop", Momentum: 0.9, Decay: 0.9, Eps: 1, WeightDecay: 4e-5,
		LabelSmoothing: 0.1, ClipNorm: 2, EMA: true, BNMomentum: 0.1, Mean: half, Std: half}
}

// MeasureSteps makes whole training steps, with a rate that leaves the weights
// sane. The report has the engine's numbers; what was measured on is for the
// caller to fill in.
func MeasureSteps(ctx context.Context, e Engine, o StepOptions) (StepReport, error) {
	r := StepReport{Batch: o.Batch, Steps: o.Steps}
	times := map[*float64][]float64{}
	var began, last time.Time // of the measured steps; the end of the last one
	steps := train.NewPipeline(e, func(number int, m train.Metrics, err error) error {
		if err != nil {
			return err
		}
		r.Loss = m.Loss
		if number >= o.Warmup {
			now := time.Now() // work is queued: a step lasts from one's end to the next one's
			times[&r.Step] = append(times[&r.Step], now.Sub(last).Seconds())
			last = now
			for to, d := range map[*float64]time.Duration{
				&r.Forward: m.Forward, &r.Backward: m.Backward, &r.Exposed: m.Group, &r.Update: m.Update, &r.Exchange: m.Exchange,
			} {
				times[to] = append(times[to], d.Seconds())
			}
		}
		return nil
	})
	var cpu time.Duration
	for i := range o.Warmup + o.Steps {
		if i == o.Warmup {
			if err := warmed(e, steps, o); err != nil {
				return r, err
			}
			began, cpu = time.Now(), processorTime()
			last = began
		}
		waited, err := oneStep(ctx, steps, o.Batches, i)
		if err != nil {
			return r, err
		}
		if o.OnStep != nil {
			o.OnStep()
		}
		if i >= o.Warmup {
			times[&r.DataWait] = append(times[&r.DataWait], waited.Seconds())
		}
	}
	if err := steps.Drain(); err != nil {
		return r, err
	}
	took, cpu := time.Since(began), processorTime()-cpu
	if err := o.profile(false); err != nil {
		return r, err
	}
	r.ImagesPerSecondBest = float64(o.Batch) / slices.Min(times[&r.Step])
	for to, all := range times {
		slices.Sort(all)
		*to = all[len(all)/2]
	}
	return r, r.rates(e, o, took, cpu)
}

func (o StepOptions) profile(on bool) error {
	if o.Profile == nil {
		return nil
	}
	return o.Profile(on)
}

// warmed ends the steps that are not measured and lets what is measured begin.
func warmed(e Engine, steps *train.Pipeline[int], o StepOptions) error {
	if err := steps.Drain(); err != nil {
		return err
	}
	if err := e.CountMemoryAnew(); err != nil {
		return err
	}
	return o.profile(true)
}

// rates fills in what the measured steps come to, all of which took so long and so much
// processor time.
func (r *StepReport) rates(e Engine, o StepOptions, took, cpu time.Duration) error {
	images := float64(o.Steps * o.Batch)
	r.ImagesPerSecond = images / took.Seconds()
	if o.Alone {
		r.ImagesPerCPUSecond = images / cpu.Seconds()
	}
	r.TFLOPS = 3 * 2 * float64(o.Network.Cost().Multiplies) * r.ImagesPerSecond / 1e12
	if o.PeakTFLOPS > 0 {
		r.MFU = r.TFLOPS / o.PeakTFLOPS
	}
	if n, ok := e.(interface{ Note() string }); ok {
		r.How = n.Note()
	}
	var err error
	_, r.PeakBytes, err = e.Memory()
	return err
}

// oneStep takes a batch and submits a step, and says how long the batch was
// waited for.
func oneStep(ctx context.Context, steps *train.Pipeline[int], batches *Batches, i int) (waited time.Duration, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	start := time.Now()
	batch, err := batches.next()
	if err != nil {
		return 0, err
	}
	waited = time.Since(start)
	err = steps.Submit(batch, train.Step{Seed: uint64(i), LR: 0.01, EMADecay: 0.999}, i)
	batch.Release()
	if err != nil {
		return 0, err
	}
	return waited, steps.Settle()
}
