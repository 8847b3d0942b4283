package torch

import (
	"encoding/binary"
	"math"
	"strings"
	"testing"

	"synshard/model"
	"synshard/train"
)

func values(t model.Tensor) []float32 {
	out := make([]float32, len(t.Data)/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(t.Data[4*i:]))
	}
	return out
}

// TestFastPaths holds each fast or sparing path to the plain one: losses,
// norms and weights along three steps.
func TestFastPaths(t *testing.T) {
	for _, c := range []struct {
		name                string
		change              func(*train.EngineConfig)
		loss, norm, weights float64 // tolerances; norm and weights are relative
	}{
		{"fused", func(c *train.EngineConfig) { c.Unfused = false }, 1e-3, 1e-3, 1e-3},
		{"fused on one thread", func(c *train.EngineConfig) { c.Unfused = false; c.Threads = 1 }, 1e-3, 1e-3, 1e-3},
		{"fused without channels_last, which does not apply", func(c *train.EngineConfig) { c.Unfused = false; c.ChannelsLast = false }, 1e-3, 1e-3, 1e-3},
		{"recomputed", func(c *train.EngineConfig) { c.Recompute = true }, 1e-6, 1e-5, 1e-6},
		{"fused and recomputed", func(c *train.EngineConfig) { c.Unfused, c.Recompute = false, true }, 1e-3, 1e-3, 1e-3},
		{"fused in bf16", func(c *train.EngineConfig) { c.Unfused = false; c.Precision = "bf16" }, 0.05, 0.3, 0.05},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := config("rmsprop")
			cfg.Unfused = true
			plain := engine(t, cfg)
			c.change(&cfg)
			fast := engine(t, cfg)
			for i := range 3 {
				s := train.Step{Seed: uint64(i), LR: 0.005}
				a, err := plain.Step(batch(4), s)
				if err != nil {
					t.Fatal(err)
				}
				b, err := fast.Step(batch(4), s)
				if err != nil {
					t.Fatal(err)
				}
				if d := math.Abs(a.Loss - b.Loss); !(d <= c.loss) {
					t.Errorf("step %d: loss %v, plain %v", i, b.Loss, a.Loss)
				}
				if d := math.Abs(a.GradNorm - b.GradNorm); !(d <= c.norm*a.GradNorm) {
					t.Errorf("step %d: norm %v, plain %v", i, b.GradNorm, a.GradNorm)
				}
			}
			a, err := plain.State()
			if err != nil {
				t.Fatal(err)
			}
			b, err := fast.State()
			if err != nil {
				t.Fatal(err)
			}
			worst, where := 0.0, ""
			for i := range a {
				if strings.HasPrefix(a[i].Name, "opt/") { // a gradient's last bits turn where a ReLU's input is near 0
					continue
				}
				x, scale := values(a[i]), 1e-3
				for _, v := range x {
					scale = max(scale, math.Abs(float64(v)))
				}
				if d := difference(t, a[i], b[i]) / scale; d > worst {
					worst, where = d, a[i].Name
				}
			}
			t.Logf("greatest difference, of a tensor's greatest element: %.2g (%s)", worst, where)
			if !(worst <= c.weights) {
				t.Errorf("%s differs by %g of its greatest element", where, worst)
			}
		})
	}
}

// TestRecomputeSavesMemory compares the most memory a step takes.
func TestRecomputeSavesMemory(t *testing.T) {
	peak := func(recompute bool) int64 {
		cfg := config("sgd")
		cfg.Recompute = recompute
		e := engine(t, cfg)
		if _, err := e.Step(batch(4), train.Step{LR: 0.01}); err != nil {
			t.Fatal(err)
		}
		_, p, err := e.Memory()
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	sparing, full := peak(true), peak(false)
	t.Logf("recomputed %d MB, kept %d MB", sparing>>20, full>>20)
	if full == 0 || float64(sparing) > 0.7*float64(full) {
		t.Errorf("recomputing takes %d bytes, keeping everything %d", sparing, full)
	}
}

// TestFailedStepLeavesState breaks a step off half way and expects the state
// of before.
func TestFailedStepLeavesState(t *testing.T) {
	cfg := config("sgd")
	cfg.Accumulate = 2
	e := engine(t, cfg)
	before, err := e.State()
	if err != nil {
		t.Fatal(err)
	}
	b := batch(4)
	b.Labels[3] = 8 // found in the second half
	if _, err := e.Step(b, train.Step{LR: 0.1}); err == nil {
		t.Fatal("a label out of range was taken")
	}
	after, err := e.State()
	if err != nil {
		t.Fatal(err)
	}
	for i := range before {
		if d := difference(t, before[i], after[i]); d != 0 {
			t.Fatalf("%s changed by %g in a step that failed", before[i].Name, d)
		}
	}
	b.Labels[3] = 6
	if _, err := e.Step(b, train.Step{LR: 0.1}); err != nil {
		t.Errorf("the step after a failed one: %v", err)
	}
}
