package train

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/loader"
)

// bowl is an engine whose loss depends on the step's rate alone.
type bowl struct {
	*fakeEngine
	loss func(rate float64) float64
}

func (e *bowl) Step(b *loader.Batch, s Step) (Metrics, error) {
	m, err := e.fakeEngine.Step(b, s)
	m.MainLoss = e.loss(s.LR)
	return m, err
}

// TestFindRate wants the rate a tenth of that at which the loss was least, kept for the same
// run and no other, and a run after it to end in the bits of one that was never tested.
func TestFindRate(t *testing.T) {
	dir := t.TempDir()
	o := testOptions(t, dir)
	fake := o.NewEngine
	of := func(loss func(float64) float64) Options {
		o := o
		o.NewEngine = func(cfg EngineConfig) (Engine, error) {
			e, err := fake(cfg)
			return &bowl{e.(*fakeEngine), loss}, err
		}
		return o
	}
	var told int
	got, err := FindRate(context.Background(), of(func(rate float64) float64 {
		if rate > 0.01 {
			return 1 + 100*(rate-0.01)
		}
		return 2 - math.Log10(rate/1e-6)/4 // 2 to 1
	}), func(done int) { told = done })
	if err != nil {
		t.Fatal(err)
	}
	// The average lags by some steps, of which each is a rate 1.18 times the last.
	if got.Lowest < 0.01 || got.Lowest > 0.02 || math.Abs(got.Rate*10-got.Lowest) > 1e-12 {
		t.Errorf("least at %v, suggested %v", got.Lowest, got.Rate)
	}
	if n := len(got.Tried); !got.Diverged || n >= RateSteps || n != told || got.Tried[0].Rate != leastRate {
		t.Errorf("%d steps, told of %d, diverged: %v", n, told, got.Diverged)
	}
	kept, err := ReadFoundRate(o)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(got, kept); d != "" {
		t.Error(d)
	}
	other := o
	other.Recipe.Batch *= 2
	faster := o
	faster.Recipe.Rate.Base *= 2
	if of, err := ReadFoundRate(other); of != nil || err != nil {
		t.Errorf("of another batch: %v, %v", of, err)
	}
	if of, err := ReadFoundRate(faster); of == nil || err != nil {
		t.Errorf("of another rate: %v, %v", of, err)
	}
	if info, err := os.Stat(filepath.Join(dir, FoundChartName)); err != nil || info.Size() < 1000 {
		t.Errorf("the chart: %v, %v", info, err)
	}

	never := testOptions(t, t.TempDir())
	mustRun(t, o)
	mustRun(t, never)
	sameEnd(t, dir, never.Dir)

	if _, err := FindRate(context.Background(), of(func(rate float64) float64 { return 1 + rate }), nil); !errors.Is(err, ErrNoRate) {
		t.Errorf("a loss that only grows: %v", err)
	}
	if _, err := FindRate(context.Background(), of(func(float64) float64 { return math.NaN() }), nil); !errors.Is(err, ErrNoRate) {
		t.Errorf("a loss that is no number: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, foundName), []byte("{"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadFoundRate(o); err == nil {
		t.Error("half a file was taken")
	}
}
