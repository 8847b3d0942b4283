package torch

import (
	"math"
	"strings"
	"testing"

	"github.com/synshard/synshard/internal/golden"
	"github.com/synshard/synshard/internal/raced"
	"github.com/synshard/synshard/loader"
	"github.com/synshard/synshard/model/modeltest"
	"github.com/synshard/synshard/train"
	"github.com/synshard/synshard/train/traintest"
)

// mixedEntropy is weightedEntropy of images that are mixtures.
func mixedEntropy(logits [][]float64, b *loader.Batch, weights []float64, smoothing float64) float64 {
	var sum, norm float64
	for i, row := range logits {
		add := func(label int64, share float64) {
			if label >= 0 {
				sum += share * weights[label] * weightedEntropy([][]float64{row}, []int64{label}, weights, smoothing)
				norm += share * weights[label]
			}
		}
		add(b.Labels[i], float64(b.Shares[i]))
		add(b.Others[i], 1-float64(b.Shares[i]))
	}
	return sum / norm
}

// TestMixedLosses holds the formula to PyTorch's loss of the soft labels that
// torchvision's MixUp and CutMix give a batch (scripts/golden/train_mix.py), and the engine's
// losses, of its own logits, to the formula within 1e-6, on both of its paths, in microbatches
// and with class weights.
func TestMixedLosses(t *testing.T) {
	raced.Skip(t, "steps run in native code")
	var cases []struct {
		Logits    [][]float64 `json:"logits"`
		Labels    []int64     `json:"labels"`
		Others    []int64     `json:"others"`
		Share     float64     `json:"share"`
		Smoothing float64     `json:"smoothing"`
		Loss      float64     `json:"loss"`
	}
	golden.Read(t, "testdata/golden_mixed_loss.json", &cases)
	if len(cases) < 4 {
		t.Fatalf("%d cases", len(cases))
	}
	ones := []float64{1, 1, 1, 1, 1, 1, 1, 1}
	for i, c := range cases {
		b := &loader.Batch{Labels: c.Labels, Others: c.Others}
		for range c.Labels {
			b.Shares = append(b.Shares, float32(c.Share))
		}
		if got := mixedEntropy(c.Logits, b, ones[:5], c.Smoothing); !(math.Abs(got-c.Loss) < 1e-6) {
			t.Errorf("case %d: %v, PyTorch's is %v", i, got, c.Loss)
		}
	}
	for name, change := range map[string]func(*train.EngineConfig){
		"plain":          func(c *train.EngineConfig) { c.Unfused = true },
		"fast":           func(*train.EngineConfig) {},
		"without smooth": func(c *train.EngineConfig) { c.LabelSmoothing = 0 },
		"by class":       func(c *train.EngineConfig) { c.ClassWeights = []float64{0.1, 1, 2, 1, 0.5, 1, 7, 1} },
		"by class, in two": func(c *train.EngineConfig) {
			c.ClassWeights, c.Accumulate = []float64{0.1, 1, 2, 1, 0.5, 1, 7, 1}, 2
		},
	} {
		t.Run(name, func(t *testing.T) { mixedLosses(t, change, ones) })
	}
}

func mixedLosses(t *testing.T, change func(*train.EngineConfig), ones []float64) {
	cfg := traintest.Config("sgd")
	change(&cfg)
	cfg.Rates = map[string]float64{} // batch norm of rows alone, not of microbatches
	for _, p := range traintest.Narrow(t).Params() {
		if strings.Contains(p.Name, ".bn.") {
			cfg.Rates[p.Name] = 0
		}
	}
	e := engine(t, cfg)
	b := traintest.Batch(4)
	b.Labels[3] = -1
	b.Others, b.Shares = []int64{2, 2, 7, -1}, []float32{0.75, 1, 0.5, 1}
	out, err := e.forward(normalised(b.Images, 299), 4, forwardOptions{Aux: true})
	if err != nil {
		t.Fatal(err)
	}
	m, err := e.accumulate(b)
	if err != nil {
		t.Fatal(err)
	}
	weights := ones
	if cfg.ClassWeights != nil {
		weights = cfg.ClassWeights
	}
	main := mixedEntropy(rows(out[0], 8), b, weights, cfg.LabelSmoothing)
	aux := mixedEntropy(rows(out[1], 8), b, weights, cfg.LabelSmoothing)
	for what, c := range map[string][2]float64{
		"main loss":     {m.MainLoss, main},
		"loss":          {m.Loss, main + 0.4*aux},
		"cross entropy": {m.CrossEntropy, mixedEntropy(rows(out[0], 8), b, ones, 0)},
	} {
		if !(math.Abs(c[0]-c[1]) <= 1e-6*c[1]) {
			t.Errorf("%s %v, want %v", what, c[0], c[1])
		}
	}
	for what, spoil := range map[string]func(*loader.Batch){
		"a label outside": func(b *loader.Batch) { b.Others[0] = 8 },
		"one of two":      func(b *loader.Batch) { b.Others[1] = -1 },
		"a share above 1": func(b *loader.Batch) { b.Shares[0] = 1.5 },
		"too few shares":  func(b *loader.Batch) { b.Shares = b.Shares[:3] },
	} {
		bad := traintest.Batch(4)
		bad.Others, bad.Shares = []int64{2, 2, 7, 1}, []float32{0.75, 1, 0.5, 1}
		spoil(bad)
		if _, err := e.Step(bad, train.Step{}); err == nil {
			t.Errorf("%s is taken", what)
		}
	}
}

// TestRecordedSizes: an engine takes images of one size after the other, as many as make it
// record a step, mixed and not, as engines do that see no other; and evaluates its own between.
func TestRecordedSizes(t *testing.T) {
	raced.Skip(t, "steps run in native code")
	cfg := traintest.Config("sgd")
	options := traintest.NarrowOptions
	options.Aux = false
	n := modeltest.Network(t, "inception_v3", options)
	of := func(size int, mixed bool) *loader.Batch {
		b := traintest.Batch(4)
		b.Images, b.Size = modeltest.Images(4, size), size
		if mixed {
			b.Others, b.Shares = []int64{2, 2, 7, 1}, []float32{0.75, 1, 0.5, 1}
		}
		return b
	}
	one := engineOf(t, n, cfg)
	seed := uint64(0)
	for _, batch := range []*loader.Batch{of(107, false), of(107, true), of(139, true), of(107, false)} {
		other := engineOf(t, n, cfg)
		if err := other.SetState(traintest.State(t, one)); err != nil {
			t.Fatal(err)
		}
		for range 5 {
			seed++
			s := train.Step{Seed: seed, LR: 0.01}
			got, want := traintest.Step(t, one, batch, s), traintest.Step(t, other, batch, s)
			if got.Loss != want.Loss || got.GradNorm != want.GradNorm {
				t.Errorf("%d pixels, mixed %v: loss %v, %v, want %v, %v", batch.Size, batch.Others != nil, got.Loss, got.GradNorm, want.Loss, want.GradNorm)
			}
			if _, err := one.Evaluate(of(299, false), false); err != nil {
				t.Fatal(err)
			}
		}
		if modeltest.Sums(traintest.State(t, one))["fc.weight"] != modeltest.Sums(traintest.State(t, other))["fc.weight"] {
			t.Errorf("%d pixels, mixed %v: other weights", batch.Size, batch.Others != nil)
		}
	}
	if _, err := one.Step(of(60, false), train.Step{}); err == nil || !strings.Contains(err.Error(), "images of 60 pixels") {
		t.Errorf("images that do not fit: %v", err)
	}
}
