package torch

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/synshard/synshard/internal/raced"
	"github.com/synshard/synshard/loader"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/modeltest"
	"github.com/synshard/synshard/train"
	"github.com/synshard/synshard/train/footprint"
	"github.com/synshard/synshard/train/traintest"
)

// TestFootprint holds the account of a step's memory to what a step takes of the
// CPU's allocator, within 3 %.
func TestFootprint(t *testing.T) {
	raced.Skip(t, "steps run in native code")
	probe := engine(t, traintest.Config("sgd"))
	if note := probe.Note(); !strings.HasPrefix(note, "fused operations") {
		t.Skipf("needs the CPU's own path, which counts its tensors: here are %s", note)
	}
	if err := probe.Close(); err != nil { // its tensors count too
		t.Fatal(err)
	}
	for _, c := range []struct {
		network   string
		width     float64
		precision string
		optimizer string
		batch     int
		change    func(*train.EngineConfig)
	}{
		{"inception_v3", 0.125, "fp32", "rmsprop", 1, nil},
		{"inception_v3", 0.125, "fp32", "rmsprop", 4, nil},
		{"inception_v3", 0.125, "bf16", "rmsprop", 4, nil},
		{"inception_v3", 0.125, "fp16", "rmsprop", 2, nil},
		{"inception_v3", 0.125, "fp32", "sgd", 2, func(c *train.EngineConfig) { c.EMA = true }},
		{"inception_v3", 0.125, "fp32", "sgd", 2, func(c *train.EngineConfig) { c.Unfused = true }},
		{"inception_v3", 0.125, "fp32", "sgd", 4, func(c *train.EngineConfig) { c.Recompute = true }},
		{"inception_v3", 0.125, "bf16", "sgd", 8, func(c *train.EngineConfig) { c.Accumulate = 2 }},
		{"resnet50", 0.25, "fp32", "adamw", 2, nil},
		{"resnet50", 0.25, "bf16", "sgd", 4, nil},
		{"densenet121", 0.25, "fp32", "sgd", 2, nil},
		{"googlenet", 0.25, "fp32", "sgd", 4, nil},
		{"googlenet", 0.25, "bf16", "sgd", 4, nil},
		{"vgg16", 0.25, "fp32", "sgd", 2, nil},
		{"vgg16", 0.25, "bf16", "sgd", 2, nil},
		{"alexnet", 0.5, "fp32", "sgd", 4, nil},
	} {
		name := fmt.Sprintf("%s %s %s %d", c.network, c.precision, c.optimizer, c.batch)
		t.Run(name, func(t *testing.T) {
			n := modeltest.Network(t, c.network, model.Options{Classes: traintest.Classes, Aux: true, Width: c.width})
			cfg := traintest.Config(c.optimizer)
			cfg.Precision, cfg.Batch = c.precision, c.batch
			if c.change != nil {
				c.change(&cfg)
			}
			e := engineOf(t, n, cfg)
			b := &loader.Batch{Images: modeltest.Images(c.batch, n.Input), Labels: make([]int64, c.batch), Size: n.Input, N: c.batch}
			for i := range 2 {
				if i == 1 {
					if err := e.CountMemoryAnew(); err != nil {
						t.Fatal(err)
					}
				}
				traintest.Step(t, e, b, train.Step{LR: 1e-6})
			}
			_, peak, err := e.Memory()
			if err != nil {
				t.Fatal(err)
			}
			a, err := footprint.Of(n, footprint.Options{Precision: c.precision, Optimizer: c.optimizer, EMA: cfg.EMA, Accumulate: cfg.Accumulate > 1,
				Recompute: cfg.Recompute, Unfused: cfg.Unfused, Widened: strings.Contains(e.Note(), "convolutions in fp32")}, c.batch/max(cfg.Accumulate, 1))
			if err != nil {
				t.Fatal(err)
			}
			off := float64(a.Total)/float64(peak) - 1
			t.Logf("%.1f MB by the account, %.1f MB taken: %+.1f %%", float64(a.Total)/1e6, float64(peak)/1e6, 100*off)
			if math.Abs(off) > 0.03 {
				a.Nodes = nil
				t.Errorf("the account is off: %+v", a)
			}
		})
	}
}
