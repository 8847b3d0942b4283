package footprint

import (
	"testing"

	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/modeltest"
)

// TestLargest: the batch found fits, the next one does not; parts add up to the
// whole, on a card and on the CPU. train/torch holds the account to what the engine takes.
func TestLargest(t *testing.T) {
	for _, name := range model.Names() {
		n := modeltest.Network(t, name, model.Options{Classes: 1000, Aux: true})
		for _, o := range []Options{
			{Precision: "fp16", Optimizer: "rmsprop", EMA: true, GPU: true},
			{Precision: "fp32", Optimizer: "sgd", Recompute: true, GPU: true},
			{Precision: "bf16", Optimizer: "adamw", Accumulate: true},
			{Precision: "fp32", Optimizer: "sgd", Unfused: true},
		} {
			const budget = 11e9
			a, err := Largest(n, o, budget)
			if err != nil {
				t.Fatal(err)
			}
			next, err := Of(n, o, a.Batch+8)
			if err != nil {
				t.Fatal(err)
			}
			if a.Batch < 8 || a.Batch%8 != 0 || a.Total > budget || next.Total <= budget {
				t.Errorf("%s %+v: %d images take %d, 8 more %d", name, o, a.Batch, a.Total, next.Total)
			}
			sum := a.Parameters + a.Averages + a.Optimizer + a.Gradients + a.Weights + a.Input + a.Activations + a.Passing + a.Workspace + a.Reserve
			kept := int64(0)
			for _, node := range a.Nodes {
				kept += node.Bytes
			}
			if sum != a.Total || kept < a.Activations && !o.Recompute { // then a segment's are there beside
				t.Errorf("%s %+v: parts %d, whole %d; kept %d, at the peak %d", name, o, sum, a.Total, kept, a.Activations)
			}
		}
	}
}

// TestNothingFits: a budget below one image's, and what is no network's to have.
func TestNothingFits(t *testing.T) {
	n := modeltest.Network(t, "inception_v3", model.Options{Classes: 1000, Aux: true})
	o := Options{Precision: "fp16", Optimizer: "sgd", GPU: true}
	if a, err := Largest(n, o, 0.7e9); a.Batch != 0 || err != nil {
		t.Errorf("0.7 GB: %d images, %v", a.Batch, err)
	}
	if a, err := Largest(n, o, 1e9); a.Batch < 1 || a.Batch > 7 || err != nil {
		t.Errorf("1 GB: %d images, %v", a.Batch, err)
	}
	for _, wrong := range []Options{{Precision: "fp8", Optimizer: "sgd"}, {Precision: "fp16", Optimizer: "lion"}} {
		if _, err := Of(n, wrong, 8); err == nil {
			t.Errorf("%+v was taken", wrong)
		}
	}
	if _, err := Of(n, o, 0); err == nil {
		t.Error("no images were taken")
	}
}
