package torch

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/synshard/synshard/internal/golden"
	"github.com/synshard/synshard/internal/raced"
	"github.com/synshard/synshard/loader"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/modeltest"
	"github.com/synshard/synshard/train"
	"github.com/synshard/synshard/train/traintest"
)

// rates are those of the narrow network with each block's a factor of the next one's, and
// nothing trained up to the end of a module.
func rates(t testing.TB, decay float64, freeze string) map[string]float64 {
	t.Helper()
	n := traintest.Narrow(t)
	depths, count := n.Depths()
	frozen, _ := n.Upto(freeze)
	out := map[string]float64{}
	for i, p := range n.Params() {
		switch {
		case frozen[i]:
			out[p.Name] = 0
		case p.Kind.Trained():
			out[p.Name] = math.Pow(decay, float64(count-1-depths[i]))
		}
	}
	return out
}

// withoutAux freezes the auxiliary head too: where none of its ReLUs lets less than all
// through, the gradient before its second batch norm is nothing but rounding.
func withoutAux(rates map[string]float64) map[string]float64 {
	for name := range rates {
		if strings.HasPrefix(name, "AuxLogits.") {
			rates[name] = 0
		}
	}
	for _, name := range []string{"conv0", "conv1"} {
		for _, stat := range []string{"mean", "var"} {
			rates["AuxLogits."+name+".bn.running_"+stat] = 0
		}
	}
	return rates
}

// TestFrozenStays: what is frozen keeps every bit, running statistics and averages too, has
// no gradient and no place in the optimiser, on every path; what is not changes.
func TestFrozenStays(t *testing.T) {
	raced.Skip(t, "steps run in native code")
	const upto = "Mixed_6e"
	for name, change := range map[string]func(*train.EngineConfig){
		"fused":     func(c *train.EngineConfig) {},
		"plain":     func(c *train.EngineConfig) { c.Unfused = true },
		"recompute": func(c *train.EngineConfig) { c.Recompute = true },
		"bf16":      func(c *train.EngineConfig) { c.Precision = "bf16" },
		"in two":    func(c *train.EngineConfig) { c.Accumulate = 2 },
		"branches": func(c *train.EngineConfig) { // some of the convolutions that are merged, with a trained part below
			for p := range c.Rates {
				c.Rates[p] = 1
				if strings.HasPrefix(p, "Mixed_6c.branch1x1.") || strings.HasPrefix(p, "Mixed_6b.branch7x7_1.") {
					c.Rates[p] = 0
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := traintest.Config("rmsprop")
			cfg.EMA, cfg.Rates = true, rates(t, 1, upto)
			change(&cfg)
			e := engine(t, cfg)
			before := traintest.State(t, e)
			for range 2 {
				traintest.Step(t, e, traintest.Batch(4), train.Step{LR: 0.01, EMADecay: 0.9, Seed: 1})
			}
			frozen, changed := 0, 0
			for i, x := range traintest.State(t, e) {
				kind, param := "", x.Name
				if j := strings.LastIndex(x.Name, "/"); j >= 0 {
					kind, param = x.Name[:j], x.Name[j+1:]
				}
				same := bytes.Equal(x.Data, before[i].Data)
				switch {
				case x.Name == scalars:
				case cfg.Frozen(param) && strings.HasPrefix(kind, "opt/"):
					t.Errorf("%s is kept", x.Name)
				case cfg.Frozen(param):
					frozen++
					if !same {
						t.Errorf("%s has changed", x.Name)
					}
				case !same:
					changed++
				}
			}
			if frozen < 10 || changed < 50 {
				t.Errorf("%d tensors frozen, %d changed", frozen, changed)
			}
			if name == "branches" {
				return
			}
			if _, err := e.accumulate(traintest.Batch(4)); err != nil {
				t.Fatal(err)
			}
			if _, err := e.gradient("Mixed_5b.branch1x1.conv.weight"); err == nil {
				t.Error("a frozen tensor has a gradient")
			}
			if _, err := e.gradient("Mixed_7a.branch3x3_1.conv.weight"); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestFrozenTakesNoMemory: of the frozen part nothing is kept for a backward pass.
func TestFrozenTakesNoMemory(t *testing.T) {
	peak := func(freeze string) int64 {
		cfg := traintest.Config("sgd")
		cfg.Rates = rates(t, 1, freeze)
		e := engine(t, cfg)
		traintest.Step(t, e, traintest.Batch(4), train.Step{LR: 0.01})
		if err := e.CountMemoryAnew(); err != nil {
			t.Fatal(err)
		}
		traintest.Step(t, e, traintest.Batch(4), train.Step{LR: 0.01})
		_, peak, err := e.Memory()
		if err != nil {
			t.Fatal(err)
		}
		return peak
	}
	all, some := peak(""), peak("Mixed_7c")
	t.Logf("%d bytes, with the backbone frozen %d", all, some)
	if some > all/2 {
		t.Errorf("a step takes %d bytes at its peak, with the backbone frozen %d", all, some)
	}
}

// TestFrozenPaths: with a part frozen the fused path's gradients are the plain one's, by the
// norm of all together. Below a ReLU that the last bit turned those of a tensor may differ more.
func TestFrozenPaths(t *testing.T) {
	raced.Skip(t, "steps run in native code")
	for _, freeze := range []string{"Mixed_6e", "Mixed_7b"} {
		cfg := traintest.Config("sgd")
		cfg.Rates, cfg.Unfused = rates(t, 1, freeze), true
		want := gradients(t, engine(t, cfg), traintest.Batch(4))
		for _, recompute := range []bool{false, true} {
			cfg.Unfused, cfg.Recompute = false, recompute
			got := gradients(t, engine(t, cfg), traintest.Batch(4))
			if len(got) != len(want) {
				t.Errorf("%s: %d gradients, want %d", freeze, len(got), len(want))
			}
			var off, size float64
			for name, g := range want {
				for i, v := range g {
					d := float64(got[name][i]) - float64(v)
					off, size = off+d*d, size+float64(v)*float64(v)
				}
			}
			if d := math.Sqrt(off / size); !(d < 5e-3) {
				t.Errorf("%s, recompute %v: gradients differ by %g of their norm", freeze, recompute, d)
			}
		}
	}
}

// weightedEntropy is PyTorch's CrossEntropyLoss with weights of classes and smoothed labels:
// rows with label -1 take no part.
func weightedEntropy(logits [][]float64, labels []int64, weights []float64, smoothing float64) float64 {
	var sum, norm float64
	for i, row := range logits {
		if labels[i] < 0 {
			continue
		}
		total := 0.0
		for _, v := range row {
			total += math.Exp(v - slices.Max(row))
		}
		log := func(c int) float64 { return row[c] - slices.Max(row) - math.Log(total) }
		w := weights[labels[i]]
		sum -= (1 - smoothing) * w * log(int(labels[i]))
		for c := range row {
			sum -= smoothing / float64(len(row)) * weights[c] * log(c)
		}
		norm += w
	}
	return sum / norm
}

// TestClassWeights holds the formula to PyTorch's figures (scripts/golden/train_loss.py),
// and the engine's losses, of its own logits, to the formula within 1e-6.
func TestClassWeights(t *testing.T) {
	var cases []struct {
		Logits    [][]float64 `json:"logits"`
		Labels    []int64     `json:"labels"`
		Weights   []float64   `json:"weights"`
		Smoothing float64     `json:"smoothing"`
		Loss      float64     `json:"loss"`
	}
	golden.Read(t, "testdata/golden_weighted_loss.json", &cases)
	if len(cases) < 4 {
		t.Fatalf("%d cases", len(cases))
	}
	for i, c := range cases {
		if got := weightedEntropy(c.Logits, c.Labels, c.Weights, c.Smoothing); !(math.Abs(got-c.Loss) < 1e-12) {
			t.Errorf("case %d: %v, PyTorch's is %v", i, got, c.Loss)
		}
	}
	cfg := traintest.Config("sgd")
	cfg.ClassWeights = []float64{0.1, 1, 2, 1, 0.5, 1, 7, 1}
	ones := []float64{1, 1, 1, 1, 1, 1, 1, 1}
	e := engine(t, cfg)
	b := traintest.Batch(4)
	b.Labels[3] = -1
	out, err := e.forward(normalised(b.Images, 299), 4, forwardOptions{Training: true, Aux: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.SetState(modeltest.Fill(e.net)); err != nil { // running statistics have moved
		t.Fatal(err)
	}
	m, err := e.accumulate(b)
	if err != nil {
		t.Fatal(err)
	}
	main := weightedEntropy(rows(out[0], 8), b.Labels, cfg.ClassWeights, cfg.LabelSmoothing)
	aux := weightedEntropy(rows(out[1], 8), b.Labels, cfg.ClassWeights, cfg.LabelSmoothing)
	for what, c := range map[string][2]float64{
		"main loss":     {m.MainLoss, main},
		"loss":          {m.Loss, main + 0.4*aux},
		"cross entropy": {m.CrossEntropy, weightedEntropy(rows(out[0], 8), b.Labels, ones, 0)},
	} {
		if !(math.Abs(c[0]-c[1]) <= 1e-6*c[1]) {
			t.Errorf("%s %v, want %v", what, c[0], c[1])
		}
	}
}

func rows(flat []float32, wide int) (out [][]float64) {
	for i, v := range flat {
		if i%wide == 0 {
			out = append(out, nil)
		}
		out[len(out)-1] = append(out[len(out)-1], float64(v))
	}
	return out
}

// TestClassWeightsInMicrobatches: a batch in microbatches, of which each has other weights
// and one a row without a label, has the whole batch's losses and gradients.
func TestClassWeightsInMicrobatches(t *testing.T) {
	raced.Skip(t, "steps run in native code")
	cfg := traintest.Config("sgd")
	cfg.ClassWeights = []float64{0.1, 1, 2, 1, 0.5, 1, 7, 1}
	cfg.Rates = map[string]float64{} // batch norm of rows alone, not of microbatches
	n := traintest.Narrow(t)
	for _, p := range n.Params() {
		if p.Kind >= model.BNWeight {
			cfg.Rates[p.Name] = 0
		}
	}
	of := func(accumulate int, b *loader.Batch) (train.Metrics, map[string][]float32) {
		c := cfg
		c.Accumulate = accumulate
		e := engine(t, c)
		m, err := e.accumulate(b)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.SetState(nil); err != nil {
			t.Fatal(err)
		}
		g, err := e.gradient("fc.weight")
		if err != nil {
			t.Fatal(err)
		}
		return m, map[string][]float32{"fc.weight": g}
	}
	b := traintest.Batch(4)
	b.Labels[1] = -1
	whole, want := of(1, b)
	parts, got := of(2, b)
	if d := math.Abs(whole.Loss - parts.Loss); d > 1e-5*whole.Loss {
		t.Errorf("loss %v in two microbatches, %v in one", parts.Loss, whole.Loss)
	}
	if d := math.Abs(whole.CrossEntropy - parts.CrossEntropy); d > 1e-5*whole.CrossEntropy {
		t.Errorf("cross entropy %v in two microbatches, %v in one", parts.CrossEntropy, whole.CrossEntropy)
	}
	var wide []float64
	for _, v := range want["fc.weight"] {
		wide = append(wide, float64(v))
	}
	if d := apart(got["fc.weight"], wide); !(d < 1e-4) {
		t.Errorf("gradients differ by %g of their norm", d)
	}
}
