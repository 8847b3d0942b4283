package torch

import (
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/cpu"

	"github.com/synshard/synshard/internal/native/nativetest"
	"github.com/synshard/synshard/internal/raced"
	"github.com/synshard/synshard/loader"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/modeltest"
	"github.com/synshard/synshard/train"
	"github.com/synshard/synshard/train/traintest"
)

// written is an optimiser written down once more, a number at a time and in
// float64: what the engine's multi-tensor and one-pass updates are held to.
type written struct {
	cfg     train.EngineConfig
	params  []model.Param
	value   map[string][]float64
	average map[string][]float64
	slot    map[string][2][]float64
	updates int
}

func writeDown(t testing.TB, cfg train.EngineConfig, n *model.Network, first []model.Tensor) *written {
	w := &written{cfg: cfg, params: n.Params(), value: map[string][]float64{}, average: map[string][]float64{}, slot: map[string][2][]float64{}}
	for _, x := range first {
		var wide []float64
		for _, v := range modeltest.Floats(t, x) {
			wide = append(wide, float64(v))
		}
		name, averaged := strings.CutPrefix(x.Name, "ema/")
		if averaged {
			w.average[name] = wide
			continue
		}
		w.value[name] = wide
		slots := [2][]float64{make([]float64, len(wide)), make([]float64, len(wide))}
		if cfg.Optimizer == "rmsprop" {
			for i := range slots[0] {
				slots[0][i] = 1 // TensorFlow's
			}
		}
		w.slot[name] = slots
	}
	return w
}

// tensors is the weights as an engine takes them.
func (w *written) tensors() []model.Tensor {
	var out []model.Tensor
	for _, p := range w.params {
		narrow := make([]float32, len(w.value[p.Name]))
		for i, v := range w.value[p.Name] {
			narrow[i] = float32(v)
		}
		out = append(out, model.NewTensor(p.Name, p.Shape, narrow))
	}
	return out
}

// update takes one step with the gradients and gives their norm.
func (w *written) update(gradient map[string][]float32, lr, decay float64) float64 {
	w.updates++
	square := 0.0
	for _, g := range gradient {
		for _, v := range g {
			square += float64(v) * float64(v)
		}
	}
	norm, scale := math.Sqrt(square), 1.0
	if w.cfg.ClipNorm > 0 && norm > w.cfg.ClipNorm {
		scale = w.cfg.ClipNorm / norm
	}
	peak := lr
	for _, p := range w.params {
		lr := peak
		if rate, ok := w.cfg.Rates[p.Name]; ok {
			lr *= rate
		}
		for i, g := range gradient[p.Name] {
			g := float64(g) * scale
			if limit := w.cfg.ClipValue; limit > 0 {
				g = min(max(g, -limit), limit)
			}
			l2 := 0.0
			if p.Kind == model.Weight {
				l2 = w.cfg.WeightDecay
			}
			w.element(p.Name, i, g, l2, lr)
		}
		for i, v := range w.value[p.Name] {
			if p.Kind != model.RunningMean && p.Kind != model.RunningVar {
				w.average[p.Name][i] = decay*w.average[p.Name][i] + (1-decay)*v
			}
		}
	}
	return norm
}

// element updates one weight: RMSProp as TensorFlow has it, SGD with Nesterov's
// momentum (Sutskever et al. 2013), AdamW (Loshchilov and Hutter 2019).
func (w *written) element(name string, i int, g, l2, lr float64) {
	x, s, c := w.value[name], w.slot[name], w.cfg
	switch c.Optimizer {
	case "rmsprop":
		g += l2 * x[i]
		s[0][i] = c.Decay*s[0][i] + (1-c.Decay)*g*g
		s[1][i] = c.Momentum*s[1][i] + lr*g/math.Sqrt(s[0][i]+c.Eps)
		x[i] -= s[1][i]
	case "sgd":
		g += l2 * x[i]
		s[0][i] = c.Momentum*s[0][i] + g
		if c.Nesterov {
			x[i] -= lr * (g + c.Momentum*s[0][i])
		} else {
			x[i] -= lr * s[0][i]
		}
	case "adamw":
		s[0][i] = c.Beta1*s[0][i] + (1-c.Beta1)*g
		s[1][i] = c.Beta2*s[1][i] + (1-c.Beta2)*g*g
		m, v := s[0][i]/(1-math.Pow(c.Beta1, float64(w.updates))), s[1][i]/(1-math.Pow(c.Beta2, float64(w.updates)))
		x[i] -= lr * (l2*x[i] + m/(math.Sqrt(v)+c.Eps))
	}
}

// gradients are every trained tensor's on a batch.
func gradients(t *testing.T, e *Engine, b *loader.Batch) map[string][]float32 {
	t.Helper()
	if _, err := e.accumulate(b); err != nil {
		t.Fatal(err)
	}
	out := map[string][]float32{}
	for _, p := range e.params {
		if !p.Kind.Trained() || e.cfg.Frozen(p.Name) {
			continue
		}
		g, err := e.gradient(p.Name)
		if err != nil {
			t.Fatal(err)
		}
		out[p.Name] = g
	}
	return out
}

// apart is the norm of got's difference from want, as a share of want's.
func apart(got []float32, want []float64) float64 {
	if len(got) != len(want) {
		return math.Inf(1)
	}
	var off, size float64
	for i, v := range want {
		d := float64(got[i]) - v
		off, size = off+d*d, size+v*v
	}
	return math.Sqrt(off) / max(math.Sqrt(size), 1e-6)
}

// TestUpdateTrajectory holds weights, averages and the optimiser's state along
// three steps to the arithmetic written down: each tensor within 2e-4 of its
// norm, and the optimiser's within 0.02, as the gradients they are made of, on a
// GPU within oneTurn. Between the two lies float32 alone, and what its last bit
// turns; a decay left out or an average one step behind would be more.
func TestUpdateTrajectory(t *testing.T) {
	raced.Skip(t, "steps run in native code")
	for _, c := range []struct {
		optimizer string
		lr        float64
		change    func(*train.EngineConfig)
	}{
		{"rmsprop", 0.005, func(c *train.EngineConfig) { c.ClipNorm = 2 }},
		{"rmsprop", 0.005, func(c *train.EngineConfig) { c.ClipValue = 0.01 }},
		{"sgd", 0.005, func(c *train.EngineConfig) {}},
		{"sgd", 0.005, func(c *train.EngineConfig) { c.Nesterov, c.ClipNorm = false, 0.5 }},
		{"adamw", 1e-4, func(c *train.EngineConfig) { c.WeightDecay = 5 }},
		{"adamw", 1e-4, func(c *train.EngineConfig) { c.WeightDecay, c.Rates = 5, rates(t, 0.8, "") }},
		{"sgd", 0.005, func(c *train.EngineConfig) { c.ClipNorm, c.Rates = 0.5, withoutAux(rates(t, 0.8, "Mixed_6b")) }},
	} {
		cfg := traintest.Config(c.optimizer)
		cfg.EMA, cfg.WeightDecay = true, 0.2
		c.change(&cfg)
		e := engine(t, cfg)
		first := slices.DeleteFunc(traintest.State(t, e), func(x model.Tensor) bool { return strings.HasPrefix(x.Name, "opt/") })
		want := writeDown(t, cfg, e.net, first)
		worst, where := 0.0, ""
		for step := range 3 {
			// The gradient at the weights as written, not as the engine has them.
			probe := engine(t, cfg)
			if err := probe.SetState(want.tensors()); err != nil {
				t.Fatal(err)
			}
			norm := want.update(gradients(t, probe, traintest.Batch(4)), c.lr, 0.9)
			if err := probe.Close(); err != nil {
				t.Fatal(err)
			}
			m := traintest.Step(t, e, traintest.Batch(4), train.Step{LR: c.lr, EMADecay: 0.9})
			if !(math.Abs(m.GradNorm-norm) <= 1e-3*norm) {
				t.Errorf("%s, step %d: norm %v, want %v", c.optimizer, step, m.GradNorm, norm)
			}
			for _, x := range traintest.State(t, e) {
				expect, tolerance := want.of(x.Name)
				if expect == nil {
					continue
				}
				if d := apart(modeltest.Floats(t, x), expect); !(d <= tolerance) {
					t.Errorf("%s, step %d: %s differs by %g of its norm", c.optimizer, step, x.Name, d)
				} else if d/tolerance > worst {
					worst, where = d/tolerance, x.Name
				}
			}
		}
		t.Logf("%s: at most %.2g of the tolerance (%s)", c.optimizer, worst, where)
	}
}

// of is what a tensor of the engine's state is to be; nil for what is not of
// the update.
func (w *written) of(name string) ([]float64, float64) {
	tolerance := 0.02
	if onCard() {
		tolerance = oneTurn
	}
	if rest, ok := strings.CutPrefix(name, "opt/"); ok {
		slot, param, _ := strings.Cut(rest, "/")
		s, ok := w.slot[param]
		switch {
		case !ok:
			return nil, 0
		case slot == "ms" || slot == "m" || w.cfg.Optimizer == "sgd":
			return s[0], tolerance
		}
		return s[1], tolerance
	}
	param, averaged := strings.CutPrefix(name, "ema/")
	for _, p := range w.params {
		if p.Name == param && (p.Kind == model.RunningMean || p.Kind == model.RunningVar) {
			return nil, 0
		}
	}
	if averaged {
		return w.average[param], 2e-4
	}
	return w.value[param], 2e-4
}

// TestGradientPaths holds every tensor's gradient on each fast or sparing path
// to the plain path's, by the norm of their difference.
func TestGradientPaths(t *testing.T) {
	raced.Skip(t, "steps run in native code")
	plainConfig := traintest.Config("sgd")
	plainConfig.Unfused = true
	want := gradients(t, engine(t, plainConfig), traintest.Batch(4))
	for _, c := range []struct {
		name      string
		change    func(*train.EngineConfig)
		tolerance float64 // of each gradient's norm
		together  float64 // of all gradients'
	}{
		{"fused", func(c *train.EngineConfig) { c.Unfused = false }, 2e-3, 1e-3},
		{"fused on one thread", func(c *train.EngineConfig) { c.Unfused, c.Threads = false, 1 }, 0.02, 1e-3},
		{"recomputed", func(c *train.EngineConfig) { c.Recompute = true }, 1e-5, 1e-5},
		{"fused and recomputed", func(c *train.EngineConfig) { c.Unfused, c.Recompute = false, true }, 2e-3, 1e-3},
		{"contiguous", func(c *train.EngineConfig) { c.ChannelsLast = false }, 0.02, 1e-3},
		{"bf16", func(c *train.EngineConfig) { c.Precision = "bf16" }, 1, 0.14},
		{"fused in bf16", func(c *train.EngineConfig) { c.Unfused, c.Precision = false, "bf16" }, 1, 0.14},
	} {
		cfg := plainConfig
		c.change(&cfg)
		if onCard() {
			c.tolerance, c.together = max(c.tolerance, oneTurn), max(c.together, allTurned)
		}
		compareGradients(t, c.name, gradients(t, engine(t, cfg), traintest.Batch(4)), want, c.tolerance, c.together)
	}
}

// TestWeightGradients holds the gradients of convolutions of many channels to the plain
// path's. On processors with AVX2 and no wider registers those to the weights are a
// product of our own, which is cut by how many threads there are.
func TestWeightGradients(t *testing.T) {
	raced.Skip(t, "steps run in native code")
	cfg := traintest.Config("sgd")
	cfg.Unfused = true
	want := gradients(t, engineOf(t, wide(t), cfg), traintest.Batch(3))
	cfg.Unfused = false
	for _, threads := range []int{1, 7} {
		cfg.Threads = threads
		got := gradients(t, engineOf(t, wide(t), cfg), traintest.Batch(3))
		compareGradients(t, fmt.Sprint("threads: ", threads), got, want, 0.02, 1e-3)
	}
}

// TestOwnWeightGradients: those of convolutions are our own on processors with AVX2
// and no wider registers, and where libtorch is told that it is on such; nowhere else.
func TestOwnWeightGradients(t *testing.T) {
	const asked = "SYNSHARD_TEST_NOTE"
	note := engine(t, traintest.Config("sgd")).Note()
	if os.Getenv(asked) != "" {
		fmt.Println(note)
		return
	}
	if !strings.HasPrefix(note, "fused operations") {
		t.Skip(note)
	}
	x86 := cpu.X86
	avx2, wider := x86.HasAVX2 && x86.HasFMA, x86.HasAVX512VL && x86.HasAVX512BW && x86.HasAVX512DQ
	for _, c := range []struct {
		capability string // libtorch's word, none for what it finds
		can, own   bool
	}{{"", true, avx2 && !wider}, {"default", true, false}, {"avx2", avx2, true}} {
		if !c.can {
			continue
		}
		child := exec.Command(os.Args[0], "-test.run=^TestOwnWeightGradients$")
		child.Env = append(os.Environ(), asked+"=1")
		if c.capability != "" {
			child.Env = append(child.Env, "ATEN_CPU_CAPABILITY="+c.capability)
		}
		out, err := child.CombinedOutput()
		if own := strings.Contains(string(out), "own gradients"); err != nil || own != c.own {
			t.Errorf("libtorch's processor %q: %v, %s", c.capability, err, out)
		}
	}
}

// compareGradients holds each gradient's difference to a share of its norm, and that of all
// of them to a share of theirs.
func compareGradients(t *testing.T, what string, got, want map[string][]float32, each, together float64) {
	t.Helper()
	if len(want) < 190 || len(got) != len(want) {
		t.Fatalf("%s: %d gradients beside %d", what, len(got), len(want))
	}
	worst, where := 0.0, ""
	var off, size float64 // of all, squared
	for name, w := range want {
		g := got[name]
		if len(g) != len(w) {
			t.Fatalf("%s: %s has %d elements beside %d", what, name, len(g), len(w))
		}
		var o, s float64
		for i := range w {
			x, y := float64(g[i]), float64(w[i])
			o, s = o+(x-y)*(x-y), s+y*y
		}
		off, size = off+o, size+s
		if d := math.Sqrt(o) / max(math.Sqrt(s), 1e-6); !(d <= worst) {
			worst, where = d, name
		}
	}
	apart := math.Sqrt(off / size)
	t.Logf("%s: greatest difference %.2g of its norm (%s); of all together %.2g", what, worst, where, apart)
	if !(worst <= each) {
		t.Errorf("%s: the gradient of %s differs by %g of its norm", what, where, worst)
	}
	if !(apart <= together) {
		t.Errorf("%s: all gradients differ by %g of their norm", what, apart)
	}
}

// TestExceptions: what libtorch throws comes back as an error that names the
// operation, with out-of-memory told apart, and the process goes on.
func TestExceptions(t *testing.T) {
	if nativetest.Device() != "cpu" {
		t.Skip("sizes that no memory holds are the CPU's here")
	}
	s := shim(t)
	expect := func(what string, err error, oom bool, want ...string) {
		t.Helper()
		if err == nil || errors.Is(err, train.ErrOutOfMemory) != oom || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", what, err)
			return
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %v; want %q in it", what, err, w)
			}
		}
		t.Logf("%s: %v", what, err)
	}
	huge := traintest.Narrow(t)
	huge.Nodes = slices.Clone(huge.Nodes)
	huge.Nodes[huge.Logits].Out = 1 << 40 // 2^50 bytes and more, beyond what can be addressed
	_, err := s.New(huge, traintest.Config("sgd"))
	expect("a layer that no memory holds", err, true, "new engine: ")

	padded := traintest.Narrow(t)
	padded.Nodes = slices.Clone(padded.Nodes)
	padded.Nodes[1].Pad = [2]int{1 << 22, 1 << 22}
	e := engineOf(t, padded, traintest.Config("sgd"))
	_, err = e.Step(traintest.Batch(4), train.Step{LR: 0.1})
	expect("a step that no memory holds", err, true, "step: ")
	_, err = e.Evaluate(traintest.Batch(4), false)
	expect("an evaluation that no memory holds", err, true, "evaluate: ")

	odd := traintest.Narrow(t)
	odd.Nodes = slices.Clone(odd.Nodes)
	pool := slices.IndexFunc(odd.Nodes, func(n model.Node) bool { return n.Op == model.MaxPool })
	odd.Nodes[pool].Pad = [2]int{2, 2} // libtorch wants half a window at most
	e = engineOf(t, odd, traintest.Config("sgd"))
	_, err = e.Step(traintest.Batch(4), train.Step{LR: 0.1})
	expect("a pool that libtorch refuses", err, false, "step: pad should be")
	_, err = e.Evaluate(traintest.Batch(4), false)
	expect("a pool that libtorch refuses", err, false, "evaluate: pad should be")
	_, err = e.Predict(traintest.Batch(4), PredictOptions{})
	expect("a pool that libtorch refuses", err, false, "predict: pad should be")
	state, err := e.State()
	if err != nil || len(state) == 0 {
		t.Errorf("after errors: %v", err)
	}
}
