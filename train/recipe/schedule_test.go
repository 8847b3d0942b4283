package recipe

import (
	"math"
	"testing"
)

func TestRates(t *testing.T) {
	base := Rate{Base: 0.1, BaseBatch: 32, Scaling: "none", WarmupEpochs: 2}
	with := func(f func(*Rate)) Rate { r := base; f(&r); return r }
	constant := with(func(r *Rate) { r.Schedule = "constant" })
	exponential := with(func(r *Rate) { r.Schedule, r.Factor, r.EveryEpochs = "exponential", 0.5, 2 })
	stairs := with(func(r *Rate) { r.Schedule, r.Factor, r.EveryEpochs, r.Staircase = "exponential", 0.5, 2, true })
	step := with(func(r *Rate) { r.Schedule, r.Factor, r.Milestones = "step", 0.1, []float64{3, 5} })
	cosine := with(func(r *Rate) { r.Schedule, r.Floor = "cosine", 0.2 })
	for _, c := range []struct {
		name string
		r    Rate
		e    float64
		want float64
	}{
		{"warm-up begins", constant, 0, 0},
		{"warm-up half way", constant, 1, 0.05},
		{"warm-up from a tenth", with(func(r *Rate) { r.Schedule, r.WarmupFrom = "constant", 0.1 }), 1, 0.055},
		{"constant", constant, 9, 0.1},
		{"exponential", exponential, 3, 0.1 * math.Pow(0.5, 1.5)},
		{"stairs below", stairs, 3.999, 0.05},
		{"stairs at", stairs, 4, 0.025},
		{"step before", step, 2.9, 0.1},
		{"step once", step, 3, 0.01},
		{"step twice", step, 7, 0.001},
		{"cosine begins", cosine, 2, 0.1},
		{"cosine half way", cosine, 6, 0.06},
		{"cosine ends", cosine, 10, 0.02},
	} {
		if got := c.r.At(c.e, 10, 999); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%s: rate %v at epoch %v, want %v", c.name, got, c.e, c.want)
		}
	}
}

func TestRateScaling(t *testing.T) {
	r := Rate{Base: 0.1, BaseBatch: 256, Schedule: "constant"}
	for scaling, want := range map[string]float64{"linear": 0.4, "sqrt": 0.2, "none": 0.1} {
		r.Scaling = scaling
		if got := r.Peak(1024); math.Abs(got-want) > 1e-12 {
			t.Errorf("%s: %v at 1024, want %v", scaling, got, want)
		}
	}
}

func TestEMAWarmup(t *testing.T) {
	e := EMA{Decay: 0.9, Warmup: true}
	for step, want := range map[int64]float64{0: 0.1, 8: 0.5, 1000: 0.9} {
		if got := e.At(step); math.Abs(got-want) > 1e-12 {
			t.Errorf("decay %v at step %d, want %v", got, step, want)
		}
	}
	if got := (EMA{Decay: 0.9}).At(0); got != 0.9 {
		t.Errorf("decay %v without warm-up", got)
	}
}
