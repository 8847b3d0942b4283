package torch

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/internal/raced"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/modeltest"
	"github.com/synshard/synshard/train"
	"github.com/synshard/synshard/train/traintest"
)

// wide is a network whose channels come in eights, which the GPU's kernels take
// 16 bytes at a time, with dropout.
func wide(t testing.TB) *model.Network {
	t.Helper()
	return modeltest.Network(t, "inception_v3", model.Options{Classes: traintest.Classes, Aux: true, Width: 0.5, Dropout: 0.5})
}

// besidePlain takes one step on both paths, from the state of the fast one, which
// is not disturbed: on their own they would part for good where a gradient turns
// (oneTurn), while of one state the loss is continuous in what rounding does, and
// gradients change by a turn's share. The loss may differ by so much, the gradients'
// norm by such a share. Tolerances are ten times and more what paths, orders of memory
// and the emulation differ by here. False says that nothing was compared: fp16's scale comes down
// first, and at its edge one path overflows and the other does not.
func besidePlain(t *testing.T, plain, fast *Engine, s train.Step, loss, norm float64) bool {
	t.Helper()
	if err := plain.SetState(traintest.State(t, fast)); err != nil {
		t.Fatal(err)
	}
	a, b := traintest.Step(t, plain, traintest.Batch(4), s), traintest.Step(t, fast, traintest.Batch(4), s)
	if a.Overflow || b.Overflow {
		return false
	}
	lossApart, normApart := math.Abs(a.Loss-b.Loss), math.Abs(a.GradNorm-b.GradNorm)/a.GradNorm
	t.Logf("step %d: loss %.4f differs by %.1g, its gradients' norm %.4g by %.1g of it", s.Seed, a.Loss, lossApart, a.GradNorm, normApart)
	if !(lossApart <= loss) {
		t.Errorf("step %d: loss %v, plain %v", s.Seed, b.Loss, a.Loss)
	}
	if !(normApart <= norm) {
		t.Errorf("step %d: norm %v, plain %v", s.Seed, b.GradNorm, a.GradNorm)
	}
	return true
}

// TestFastPaths holds each fast or sparing path to the plain one, which has its
// state before each step: loss, norm, and the weights after it. Three steps show that
// one leaves nothing behind for the next; of a wider network one is enough.
func TestFastPaths(t *testing.T) {
	raced.Skip(t, "steps run in native code")
	for _, c := range []struct {
		name                string
		network             func(testing.TB) *model.Network
		steps               int
		change              func(*train.EngineConfig)
		loss, norm, weights float64 // tolerances; norm and weights are relative
	}{
		{"fused", traintest.Narrow, 3, func(c *train.EngineConfig) { c.Unfused = false }, 1e-4, 1e-3, 1e-3},
		{"fused on one thread", traintest.Narrow, 3, func(c *train.EngineConfig) { c.Unfused = false; c.Threads = 1 }, 1e-4, 1e-3, 1e-3},
		{"fused without channels_last, which does not apply", traintest.Narrow, 3, func(c *train.EngineConfig) { c.Unfused = false; c.ChannelsLast = false }, 1e-4, 1e-3, 1e-3},
		{"plain without channels_last", traintest.Narrow, 3, func(c *train.EngineConfig) { c.ChannelsLast = false }, 1e-4, 1e-3, 1e-3},
		{"recomputed", traintest.Narrow, 3, func(c *train.EngineConfig) { c.Recompute = true }, 1e-4, 1e-3, 1e-3},
		{"fused and recomputed", traintest.Narrow, 3, func(c *train.EngineConfig) { c.Unfused, c.Recompute = false, true }, 1e-4, 1e-3, 1e-3},
		{"fused in bf16", traintest.Narrow, 3, func(c *train.EngineConfig) { c.Unfused = false; c.Precision = "bf16" }, 0.2, 0.1, 0.07},
		{"fused, wide", wide, 1, func(c *train.EngineConfig) { c.Unfused = false }, 1e-4, 1e-3, 1e-3},
		{"fused, wide, in bf16", wide, 1, func(c *train.EngineConfig) { c.Unfused = false; c.Precision = "bf16" }, 0.2, 0.1, 0.07},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := traintest.Config("rmsprop")
			cfg.Unfused = true
			plain := engineOf(t, c.network(t), cfg)
			c.change(&cfg)
			fast := engineOf(t, c.network(t), cfg)
			if c.steps == 1 && cfg.Precision == "bf16" && !strings.Contains(fast.Note(), "fused kernels") {
				t.Skipf("the processor's own path is no other for wide networks: %s", fast.Note())
			}
			for i := range c.steps {
				if !besidePlain(t, plain, fast, train.Step{Seed: uint64(i), LR: 0.005}, c.loss, c.norm) {
					t.Fatalf("step %d overflowed", i)
				}
				weightsNear(t, traintest.State(t, plain), traintest.State(t, fast), c.weights)
			}
		})
	}
}

// weightsNear holds weights and statistics to others', as a share of each tensor's greatest
// element. The optimiser's are gradients: what a turn does is seen in them.
func weightsNear(t *testing.T, want, got []model.Tensor, tolerance float64) {
	t.Helper()
	worst, where := 0.0, ""
	for i := range want {
		if strings.HasPrefix(want[i].Name, "opt/") {
			continue
		}
		scale := 1e-3
		for _, v := range modeltest.Floats(t, want[i]) {
			scale = max(scale, math.Abs(float64(v)))
		}
		if d := modeltest.Difference(t, want[i], got[i]) / scale; !(d <= worst) {
			worst, where = d, want[i].Name
		}
	}
	t.Logf("greatest difference, of a tensor's greatest element: %.2g (%s)", worst, where)
	if !(worst <= tolerance) {
		t.Errorf("%s differs by %g of its greatest element", where, worst)
	}
}

// updatesNear holds what a step made of all weights, and of their averages, to what another
// made of them, as a share of that: a clipping left out, the rate of the step before or
// weights left alone are a multiple of it, and nothing of the weights themselves.
func updatesNear(t *testing.T, before, want, got []model.Tensor, share float64) {
	t.Helper()
	var off, size [2]float64 // squared, of the weights and of the averages
	for i := range want {
		name, averaged := strings.CutPrefix(want[i].Name, "ema/")
		if strings.HasPrefix(name, "opt/") || strings.Contains(name, ".running_") {
			continue
		}
		at := 0
		if averaged {
			at = 1
		}
		x, y, z := modeltest.Floats(t, before[i]), modeltest.Floats(t, want[i]), modeltest.Floats(t, got[i])
		for j := range x {
			d, u := float64(z[j])-float64(y[j]), float64(y[j])-float64(x[j])
			off[at], size[at] = off[at]+d*d, size[at]+u*u
		}
	}
	for at, what := range []string{"weights", "averages"} {
		d := math.Sqrt(off[at] / size[at])
		t.Logf("the update of the %s differs by %.2g of it", what, d)
		if !(d <= share) {
			t.Errorf("the update of the %s differs by %g of it", what, d)
		}
	}
}

// recorded takes steps from a recording beside the plain path's.
func recorded(t *testing.T, n *model.Network, cfg train.EngineConfig, steps int) {
	t.Helper()
	cfg.EMA, cfg.ClipNorm, cfg.Unfused = true, 2, true
	plain := engineOf(t, n, cfg)
	cfg.Unfused = false
	fast := engineOf(t, n, cfg)
	loss, norm, weights, update := 1e-4, 1e-3, 1e-3, 0.05
	switch cfg.Precision {
	case "bf16":
		loss, norm, weights, update = 0.3, 0.1, 0.07, 0.3
	case "fp16":
		loss, norm, weights, update = 0.03, 0.02, 0.07, 0.3
		lowScale(t, fast)
	}
	if cfg.Optimizer == "adamw" {
		// Its first steps are the gradients' signs: of those near 0 rounding decides, and a weight may be off by
		// twice the rate, 0.008, where a tensor's greatest element is 0.1 or more.
		weights, update = max(0.1, 3*weights), 2*update
	}
	for i := range steps {
		before := traintest.State(t, fast)
		// What a recording would keep of the step in which it was made changes from each to the next.
		s := train.Step{Seed: uint64(i), LR: []float64{1e-3, 4e-3}[i%2], EMADecay: []float64{0.9, 0.5}[i%2]}
		if !besidePlain(t, plain, fast, s, loss, norm) {
			t.Errorf("step %d overflowed", i)
		}
		want, got := traintest.State(t, plain), traintest.State(t, fast)
		weightsNear(t, want, got, weights)
		updatesNear(t, before, want, got, update)
	}
	if note := fast.Note(); !strings.Contains(note, "recorded steps") {
		t.Error(note)
	}
}

// TestRecordedStepsEmulated holds steps of the GPU's path to the plain one's, in
// the library whose recordings are replayed by the processor.
func TestRecordedStepsEmulated(t *testing.T) {
	cfg := traintest.Config("rmsprop")
	if note := engine(t, cfg).Note(); cfg.Device != "cpu" || note != "fused kernels" {
		t.Skipf("needs a library built with --emulate, on the CPU: %s has %s", cfg.Device, note)
	}
	n := modeltest.Network(t, "inception_v3", model.Options{Classes: traintest.Classes, Aux: true, Width: 0.125, Dropout: 0.5})
	for precision, optimizer := range map[string]string{"fp32": "rmsprop", "bf16": "sgd", "fp16": "adamw"} {
		t.Run(precision+" "+optimizer, func(t *testing.T) {
			cfg := traintest.Config(optimizer)
			cfg.Precision = precision
			recorded(t, n, cfg, 5)
		})
	}
}

// TestFailedRecording: where a step or a prediction cannot be recorded it is computed all the
// same, to the same bits, and the note says why; an engine that must record runs out of memory
// where that is why, whichever library says so.
func TestFailedRecording(t *testing.T) {
	cfg := traintest.Config("sgd")
	probe := engine(t, cfg)
	if note := probe.Note(); cfg.Device != "cpu" || note != "fused kernels" {
		t.Skipf("needs a library built with --emulate, on the CPU: %s has %s", cfg.Device, note)
	}
	five := func(e *Engine) (found []train.Metrics, state map[string]string, err error) {
		for i := range 5 {
			m, err := e.Step(traintest.Batch(4), train.Step{Seed: uint64(i), LR: 0.005})
			if err != nil {
				return nil, nil, err
			}
			found = append(found, m)
		}
		return found, modeltest.Sums(traintest.State(t, e)), nil
	}
	want, wantState, err := five(probe)
	if err != nil {
		t.Fatal(err)
	}
	const why = "operation not permitted when stream is capturing"
	t.Setenv("SYNSHARD_EMULATED_CAPTURE", why)
	e := engine(t, cfg)
	got, state, err := five(e)
	if diff := cmp.Diff(want, got, traintest.Untimed); diff != "" || err != nil {
		t.Errorf("steps: %v (-recorded +not):\n%s", err, diff)
	}
	if diff := cmp.Diff(wantState, state); diff != "" {
		t.Errorf("state (-recorded +not):\n%s", diff)
	}
	if note := e.Note(); note != "fused kernels, steps not recorded: "+why {
		t.Error(note)
	}
	for range 4 {
		p, r := deviation(predict(t, e, traintest.Batch(4), everything), predict(t, probe, traintest.Batch(4), everything))
		if p != 0 || r != 0 {
			t.Errorf("predictions that are not recorded differ by %g and %g", p, r)
		}
	}
	if note := e.Note(); note != "prepared weights, runs not recorded: "+why {
		t.Error(note)
	}
	cfg.MustRecord = true
	for text, short := range map[string]bool{why: false, "CUDA error: out of memory": true, "CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate": true,
		"cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED": true} {
		t.Setenv("SYNSHARD_EMULATED_CAPTURE", text)
		if _, _, err := five(engine(t, cfg)); errors.Is(err, train.ErrOutOfMemory) != short || !short && err != nil {
			t.Errorf("an engine that must record: %q: %v", text, err)
		}
	}
}

// TestRecordedSteps holds steps replayed from a recording, on a GPU, to the
// plain path's.
func TestRecordedSteps(t *testing.T) {
	if n, err := shim(t).CUDADevices(); err != nil || n == 0 {
		t.Skipf("needs a CUDA device (%d, error %v)", n, err)
	}
	for _, precision := range []string{"fp32", "bf16", "fp16"} {
		for _, optimizer := range []string{"rmsprop", "sgd", "adamw"} {
			t.Run(precision+" "+optimizer, func(t *testing.T) {
				cfg := traintest.Config(optimizer)
				cfg.Device, cfg.Precision = "cuda", precision
				recorded(t, wide(t), cfg, 5)
			})
		}
	}
}

// TestRecomputeSavesMemory compares what a step takes beside the network.
func TestRecomputeSavesMemory(t *testing.T) {
	taken := func(recompute bool) int64 {
		cfg := traintest.Config("sgd")
		cfg.Recompute = recompute
		e := engine(t, cfg)
		traintest.Step(t, e, traintest.Batch(4), train.Step{LR: 0.01})
		if err := e.CountMemoryAnew(); err != nil {
			t.Fatal(err)
		}
		before, _, err := e.Memory()
		if err != nil {
			t.Fatal(err)
		}
		traintest.Step(t, e, traintest.Batch(4), train.Step{LR: 0.01})
		_, peak, err := e.Memory()
		if err != nil {
			t.Fatal(err)
		}
		return peak - before
	}
	sparing, full := taken(true), taken(false)
	t.Logf("recomputed %d MB, kept %d MB", sparing>>20, full>>20)
	if full <= 0 || float64(sparing) > 0.7*float64(full) {
		t.Errorf("recomputing takes %d bytes, keeping everything %d", sparing, full)
	}
}

// TestFailedStepLeavesState breaks a step off half way and expects the state
// of before.
func TestFailedStepLeavesState(t *testing.T) {
	cfg := traintest.Config("sgd")
	cfg.Accumulate = 2
	e := engine(t, cfg)
	before := modeltest.Sums(traintest.State(t, e))
	b := traintest.Batch(4)
	b.Labels[3] = 8 // found in the second half
	if _, err := e.Step(b, train.Step{LR: 0.1}); err == nil {
		t.Fatal("a label out of range was taken")
	}
	if diff := cmp.Diff(before, modeltest.Sums(traintest.State(t, e))); diff != "" {
		t.Fatalf("state (-before +after a step that failed):\n%s", diff)
	}
	b.Labels[3] = 6
	if _, err := e.Step(b, train.Step{LR: 0.1}); err != nil {
		t.Errorf("the step after a failed one: %v", err)
	}
}

// TestHalf takes steps in fp16 on both paths, from a loss scale so large that
// the first overflow and change nothing.
func TestHalf(t *testing.T) {
	raced.Skip(t, "steps run in native code")
	var overflows [2]int
	var loss [2]float64 // of the first step that made an update
	for path, unfused := range []bool{true, false} {
		cfg := traintest.Config("sgd")
		cfg.Precision, cfg.Unfused = "fp16", unfused
		e := engine(t, cfg)
		for i := range 10 {
			m := traintest.Step(t, e, traintest.Batch(2), train.Step{LR: 0.005})
			switch {
			case m.Overflow && i != overflows[path]:
				t.Errorf("unfused %v: step %d overflowed after others had not", unfused, i)
			case m.Overflow:
				overflows[path]++
			case i == overflows[path]:
				loss[path] = m.Loss
			}
		}
	}
	// At the edge the last bits decide.
	if a, b := overflows[0], overflows[1]; a == 0 || b == 0 || a == 10 || a-b > 1 || b-a > 1 {
		t.Errorf("%d of 10 steps overflowed, plain %d", b, a)
	}
	if d := math.Abs(loss[0] - loss[1]); !(d <= 0.02) {
		t.Errorf("loss %v, plain %v", loss[1], loss[0])
	}
}

// TestHalfBesidePlain holds fp16's fused step to the plain path's where most
// channels come in eights. The processor fuses none in fp16: this is for a GPU
// or the emulation of its kernels.
func TestHalfBesidePlain(t *testing.T) {
	cfg := traintest.Config("sgd")
	cfg.Precision = "fp16"
	network := modeltest.Network(t, "inception_v3", model.Options{Classes: traintest.Classes, Aux: true, Width: 0.25})
	fast := engineOf(t, network, cfg)
	if note := fast.Note(); !strings.Contains(note, "fused kernels") {
		t.Skipf("needs a GPU or the emulation: %s", note)
	}
	cfg.Unfused = true
	plain := engineOf(t, network, cfg)
	lowScale(t, fast)
	if !besidePlain(t, plain, fast, train.Step{LR: 0.005}, 0.02, 0.05) {
		t.Error("the step overflowed")
	}
}

// lowScale gives fp16 a loss scale from which the first step does not overflow.
func lowScale(t *testing.T, e *Engine) {
	t.Helper()
	if err := e.SetState([]model.Tensor{model.NewTensor(scalars, []int{3}, []float32{0, 0, 256})}); err != nil {
		t.Fatal(err)
	}
}

// TestLowWeights holds what the GPU's path keeps of weights in the network's
// precision to the weights themselves, to the bit: after steps, after one that
// overflowed, and once the weights were set.
func TestLowWeights(t *testing.T) {
	for precision, low := range map[string]func(float32) float32{"bf16": toBF16, "fp16": toFP16} {
		cfg := traintest.Config("rmsprop")
		cfg.Precision = precision
		n := modeltest.Network(t, "inception_v3", model.Options{Classes: traintest.Classes, Aux: true, Width: 0.125})
		e := engineOf(t, n, cfg)
		if note := e.Note(); !strings.Contains(note, "fused kernels") {
			t.Skipf("needs a GPU or the emulation: %s", note)
		}
		var first []float32
		check := func(when string) []float32 {
			t.Helper()
			all, kept := []float32{}, 0
			for _, p := range e.params {
				got, want := make([]byte, 4*elements(p.Shape)), make([]byte, 4*elements(p.Shape))
				if err := e.tensor("read state", "low/"+p.Name, got, false); err != nil {
					continue // batch norm's
				}
				kept++
				if err := e.tensor("read state", p.Name, want, false); err != nil {
					t.Fatal(err)
				}
				is := modeltest.Floats(t, model.Tensor{Name: p.Name, DType: "F32", Shape: p.Shape, Data: got})
				for i, v := range modeltest.Floats(t, model.Tensor{Name: p.Name, DType: "F32", Shape: p.Shape, Data: want}) {
					if is[i] != low(v) {
						t.Fatalf("%s, %s: element %d of %s is %v, the weight %v", precision, when, i, p.Name, is[i], v)
					}
				}
				all = append(all, is...)
			}
			if kept < 98 {
				t.Fatalf("%s, %s: %d weights are kept", precision, when, kept)
			}
			return all
		}
		for i := range 3 { // of fp16 the first overflow
			traintest.Step(t, e, traintest.Batch(2), train.Step{Seed: uint64(i), LR: 0.01})
			all := check("after a step")
			if first == nil {
				first = all
			}
		}
		if err := e.SetState([]model.Tensor{model.NewTensor(scalars, []int{3}, []float32{0, 0, 1})}); err != nil {
			t.Fatal(err)
		}
		if m := traintest.Step(t, e, traintest.Batch(2), train.Step{LR: 0.01}); m.Overflow {
			t.Fatalf("%s: a step overflowed", precision)
		}
		if slices.Equal(first, check("after an update")) {
			t.Errorf("%s: an update changes nothing", precision)
		}
		if err := e.SetState(modeltest.Fill(n)); err != nil {
			t.Fatal(err)
		}
		traintest.Step(t, e, traintest.Batch(2), train.Step{})
		check("after weights were set")
	}
}

// toBF16 rounds to the nearest, ties to even.
func toBF16(v float32) float32 {
	u := math.Float32bits(v)
	return math.Float32frombits((u + 0x7fff + u>>16&1) &^ 0xffff)
}

// toFP16 rounds to the nearest, ties to even, a value below fp16's largest.
func toFP16(v float32) float32 {
	_, e := math.Frexp(float64(v))
	unit := math.Ldexp(1, max(e, -13)-11) // the last place: 11 bits, from 2^-14 down as many fewer
	return float32(math.RoundToEven(float64(v)/unit) * unit)
}
