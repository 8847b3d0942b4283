package torch

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/synshard/synshard/loader"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/modeltest"
	"github.com/synshard/synshard/train"
)

// shim opens the real library, or skips the test, saying what it needs.
func shim(t testing.TB) *Shim {
	t.Helper()
	path := os.Getenv("SYNSHARD_TORCH_LIB")
	if path == "" {
		path = filepath.Join("..", "..", "lib", "libsynshard_torch.so")
	}
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("SYNSHARD_TEST_NATIVE") != "" {
			t.Fatalf("the training engine's library: %v", err)
		}
		t.Skipf("needs the training engine's library (scripts/setup.sh): %v", err)
	}
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func config(optimizer string) train.EngineConfig {
	half := [3]float64{0.5, 0.5, 0.5}
	c := train.EngineConfig{Device: device(), Precision: "fp32", Threads: 2, Batch: 4, ChannelsLast: true, Optimizer: optimizer,
		Momentum: 0.9, Decay: 0.9, Eps: 1, Beta1: 0.9, Beta2: 0.999, WeightDecay: 4e-5, LabelSmoothing: 0.1, BNMomentum: 0.1, Mean: half, Std: half}
	switch optimizer {
	case "sgd":
		c.Nesterov = true
	case "adamw":
		c.Eps = 1e-8
	}
	return c
}

func narrow(t testing.TB) *model.Network {
	t.Helper()
	n, err := model.New("inception_v3", model.Options{Classes: 8, Aux: true, Width: 0.125})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func engine(t testing.TB, cfg train.EngineConfig) *Engine {
	t.Helper()
	return engineOf(t, narrow(t), cfg)
}

func engineOf(t testing.TB, n *model.Network, cfg train.EngineConfig) *Engine {
	t.Helper()
	e, err := shim(t).New(n, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	if err := e.SetState(modeltest.Fill(n)); err != nil {
		t.Fatal(err)
	}
	return e
}

func batch(n int) *loader.Batch {
	b := &loader.Batch{Images: modeltest.Images(n, 299), Size: 299, N: n}
	for i := range n {
		b.Labels = append(b.Labels, int64(i*2%8))
		b.Rows = append(b.Rows, int64(i))
	}
	return b
}

type golden struct {
	LogitsEval    [][]float64 `json:"logits_eval"`
	AuxEval       [][]float64 `json:"aux_eval"`
	LogitsSettled [][]float64 `json:"logits_settled"`
	LogitsTrain   [][]float64 `json:"logits_train"`
	AuxTrain      [][]float64 `json:"aux_train"`
	Loss          float64     `json:"loss"`
	Gradients     map[string]struct {
		Norm   float64   `json:"norm"`
		At     []int     `json:"at"`
		Values []float64 `json:"values"`
	} `json:"gradients"`
	Losses map[string][]float64 `json:"losses"`
}

func readGolden(t testing.TB) golden {
	t.Helper()
	b, err := os.ReadFile("testdata/golden_inception_v3.json")
	if err != nil {
		t.Fatal(err)
	}
	var g golden
	if err := json.Unmarshal(b, &g); err != nil {
		t.Fatal(err)
	}
	return g
}

func near(t *testing.T, what string, got []float32, want [][]float64, tolerance float64) {
	t.Helper()
	flat := slices.Concat(want...)
	if len(got) != len(flat) {
		t.Fatalf("%s: %d values, want %d", what, len(got), len(flat))
	}
	worst := 0.0
	for i := range got {
		worst = max(worst, math.Abs(float64(got[i])-flat[i]))
	}
	t.Logf("%s: greatest difference %.2g", what, worst)
	if !(worst <= tolerance) {
		t.Errorf("%s: greatest difference %g, above %g", what, worst, tolerance)
	}
}

// normalised turns NHWC bytes into NCHW numbers in [-1,1].
func normalised(images []byte, size int) []float32 {
	inputs := make([]float32, len(images))
	plane := size * size
	for i, p := range images {
		pixel, c := i/3, i%3
		inputs[(pixel/plane*3+c)*plane+pixel%plane] = (float32(p)/255 - 0.5) / 0.5
	}
	return inputs
}

// TestForward holds the network to torchvision's, evaluating and training.
func TestForward(t *testing.T) {
	g := readGolden(t)
	inputs := normalised(modeltest.Images(4, 299), 299)
	for _, layout := range []bool{true, false} {
		cfg := config("rmsprop")
		cfg.ChannelsLast = layout
		e := engine(t, cfg)
		out, err := e.Forward(inputs, 4, ForwardOptions{Aux: true})
		if err != nil {
			t.Fatal(err)
		}
		near(t, "logits, evaluating", out[0], g.LogitsEval, 1e-4)
		near(t, "auxiliary logits, evaluating", out[1], g.AuxEval, 1e-4)
		if out, err = e.Forward(inputs, 4, ForwardOptions{Training: true, Aux: true}); err != nil {
			t.Fatal(err)
		}
		near(t, "logits, training", out[0], g.LogitsTrain, 1e-4)
		near(t, "auxiliary logits, training", out[1], g.AuxTrain, 1e-4)
		settleAndCompare(t, cfg, inputs, g)
	}
}

// settleAndCompare lets the running statistics follow the images first, so
// that images look different to the evaluated network.
func settleAndCompare(t *testing.T, cfg train.EngineConfig, inputs []float32, g golden) {
	t.Helper()
	cfg.BNMomentum = 0.5
	e := engine(t, cfg)
	for range 6 {
		if _, err := e.Forward(inputs, 4, ForwardOptions{Training: true, Aux: true}); err != nil {
			t.Fatal(err)
		}
	}
	out, err := e.Forward(inputs, 4, ForwardOptions{})
	if err != nil {
		t.Fatal(err)
	}
	near(t, "logits, evaluating with settled statistics", out[0], g.LogitsSettled, 1e-4)
	spread := 0.0
	for i, v := range out[0] {
		spread = max(spread, math.Abs(float64(v-out[0][i%8])))
	}
	if spread < 0.1 {
		t.Errorf("images look alike to the network (logits differ by %g): this compares nothing", spread)
	}
}

// TestGradients holds every parameter's gradient to torchvision's.
func TestGradients(t *testing.T) {
	g := readGolden(t)
	e := engine(t, config("rmsprop"))
	m, err := e.accumulate(batch(4))
	if err != nil {
		t.Fatal(err)
	}
	if d := math.Abs(m.Loss - g.Loss); d > 1e-4 {
		t.Errorf("loss %v, want %v", m.Loss, g.Loss)
	}
	gradientsNear(t, e, g)
}

func gradientsNear(t *testing.T, e *Engine, g golden) {
	t.Helper()
	if len(g.Gradients) < 190 {
		t.Fatalf("golden data has %d gradients", len(g.Gradients))
	}
	worst, where := 0.0, ""
	for name, want := range g.Gradients {
		got, err := e.Gradient(name)
		if err != nil {
			t.Fatal(err)
		}
		var square float64
		for _, v := range got {
			square += float64(v) * float64(v)
		}
		diffs := []float64{math.Abs(math.Sqrt(square) - want.Norm)}
		for i, at := range want.At {
			diffs = append(diffs, math.Abs(float64(got[at])-want.Values[i]))
		}
		if d := slices.Max(diffs) / max(want.Norm, 1e-6); d > worst {
			worst, where = d, name
		}
	}
	t.Logf("greatest difference relative to the gradient's norm: %.2g (%s)", worst, where)
	if !(worst <= 1e-3) {
		t.Errorf("gradients differ by %g of their norm, at %s", worst, where)
	}
}

// TestUpdates holds ten steps of each optimiser to the same arithmetic in
// PyTorch.
func TestUpdates(t *testing.T) {
	g := readGolden(t)
	for kind, want := range g.Losses {
		e := engine(t, config(kind))
		lr := 0.005
		if kind == "adamw" {
			lr = 1e-4
		}
		for i, w := range want {
			m, err := e.Step(batch(4), train.Step{Seed: uint64(i), LR: lr})
			if err != nil {
				t.Fatal(err)
			}
			if d := math.Abs(m.Loss - w); !(d <= 1e-3) {
				t.Errorf("%s: loss of step %d is %v, want %v", kind, i+1, m.Loss, w)
			}
		}
	}
}

// TestStateContinues stops after three steps, puts the state into a new engine
// and expects the bits of an uninterrupted run.
func TestStateContinues(t *testing.T) {
	for _, kind := range optimizers {
		cfg := config(kind)
		cfg.EMA, cfg.ClipNorm = true, 2
		n, err := model.New("inception_v3", model.Options{Classes: 8, Aux: true, Width: 0.125, Dropout: 0.5})
		if err != nil {
			t.Fatal(err)
		}
		run := func(e *Engine, from, to int) []model.Tensor {
			for i := from; i < to; i++ {
				if _, err := e.Step(batch(4), train.Step{Seed: uint64(i), LR: 1e-3, EMADecay: 0.9}); err != nil {
					t.Fatal(err)
				}
			}
			state, err := e.State()
			if err != nil {
				t.Fatal(err)
			}
			return state
		}
		fresh := func(state []model.Tensor) *Engine {
			e, err := shim(t).New(n, cfg)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { e.Close() })
			if err := e.SetState(state); err != nil {
				t.Fatal(err)
			}
			return e
		}
		whole := run(fresh(modeltest.Fill(n)), 0, 5)
		resumed := run(fresh(run(fresh(modeltest.Fill(n)), 0, 3)), 3, 5)
		for i := range whole {
			if whole[i].Name != resumed[i].Name || !slices.Equal(whole[i].Data, resumed[i].Data) {
				t.Errorf("%s: %s differs after continuing", kind, whole[i].Name)
			}
		}
		other := run(fresh(modeltest.Fill(n)), 0, 4)
		if slices.Equal(other[0].Data, whole[0].Data) {
			t.Errorf("%s: a fifth step changes nothing", kind)
		}
	}
}

// TestEvaluate counts what the logits say.
func TestEvaluate(t *testing.T) {
	e := engine(t, config("sgd"))
	b := batch(4)
	p, err := e.Predict(b, PredictOptions{})
	if err != nil {
		t.Fatal(err)
	}
	top1, top5, loss := 0, 0, 0.0
	for i, label := range b.Labels {
		row := p.Probabilities[i*8 : (i+1)*8]
		above := 0
		for _, v := range row {
			if v > row[label] {
				above++
			}
		}
		loss -= math.Log(float64(row[label]))
		if above == 0 {
			top1++
		}
		if above < 5 {
			top5++
		}
	}
	b.Labels = append(b.Labels, -1) // padding is not counted
	b.Images = append(b.Images, make([]byte, 299*299*3)...)
	m, err := e.Evaluate(b, false)
	if err != nil {
		t.Fatal(err)
	}
	want := train.EvalMetrics{N: 4, Top1: top1, Top5: top5, Loss: loss}
	if diff := cmp.Diff(want, m, cmpopts.EquateApprox(0, 1e-3)); diff != "" {
		t.Errorf("evaluation (-by the probabilities +got):\n%s", diff)
	}
}

// TestAccumulate expects a batch in two microbatches to give the gradients of the
// whole when batch norm's statistics are frozen.
func TestAccumulate(t *testing.T) {
	cfg := config("sgd")
	whole := engine(t, cfg)
	cfg.Accumulate = 2
	halves := engine(t, cfg)
	step := train.Step{LR: 0.01, FreezeBN: true}
	a, err := whole.Step(batch(4), step)
	if err != nil {
		t.Fatal(err)
	}
	b, err := halves.Step(batch(4), step)
	if err != nil {
		t.Fatal(err)
	}
	untimed := cmpopts.IgnoreFields(train.Metrics{}, "Forward", "Backward", "Group", "Update", "Exchange")
	if diff := cmp.Diff(a, b, untimed, cmpopts.EquateApprox(1e-3, 1e-4)); diff != "" || b.Counted != 4 {
		t.Errorf("%d labels (-whole +in two):\n%s", b.Counted, diff)
	}
}

// TestBF16 holds bfloat16 to float32 within its own precision.
func TestBF16(t *testing.T) {
	cfg := config("rmsprop")
	full := engine(t, cfg)
	cfg.Precision = "bf16"
	half := engine(t, cfg)
	for i := range 3 {
		a, err := full.Step(batch(4), train.Step{LR: 0.005})
		if err != nil {
			t.Fatal(err)
		}
		b, err := half.Step(batch(4), train.Step{LR: 0.005})
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(a.Loss-b.Loss) > 0.05*a.Loss {
			t.Errorf("step %d: loss %v in bf16, %v in fp32", i, b.Loss, a.Loss)
		}
	}
}

// TestMistakes expects every misuse to come back as a message.
func TestMistakes(t *testing.T) {
	s := shim(t)
	n := narrow(t)
	for _, c := range []struct {
		name   string
		change func(*train.EngineConfig)
		want   string
	}{
		{"device", func(c *train.EngineConfig) { c.Device = "toaster" }, "toaster"},
		{"precision", func(c *train.EngineConfig) { c.Precision = "fp13" }, "fp13"},
		{"optimizer", func(c *train.EngineConfig) { c.Optimizer = "hope" }, "hope"},
		{"threads", func(c *train.EngineConfig) { c.Threads = 0 }, "threads"},
		{"std", func(c *train.EngineConfig) { c.Std[1] = 0 }, "standard deviation"},
		{"microbatches", func(c *train.EngineConfig) { c.Accumulate = 3 }, "3 microbatches"},
	} {
		cfg := config("sgd")
		c.change(&cfg)
		if e, err := s.New(n, cfg); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: engine %v, error %v", c.name, e, err)
		}
	}
	if cuda, err := s.CUDADevices(); err != nil || cuda > 0 {
		t.Logf("%d CUDA devices, %v", cuda, err)
	} else if _, err := s.New(n, func() train.EngineConfig { c := config("sgd"); c.Device = "cuda"; return c }()); err == nil || !strings.Contains(err.Error(), "CUDA") {
		t.Errorf("cuda without a card: %v", err)
	}
	e := engine(t, config("sgd"))
	b := batch(2)
	b.Labels[1] = 8
	if _, err := e.Step(b, train.Step{}); err == nil || !strings.Contains(err.Error(), "label 8") {
		t.Errorf("label out of range: %v", err)
	}
	if err := e.SetState([]model.Tensor{model.NewTensor("fc.bias", []int{7}, make([]float32, 7))}); err == nil || !strings.Contains(err.Error(), "fc.bias") {
		t.Errorf("wrong shape: %v", err)
	}
	if err := e.SetState([]model.Tensor{model.NewTensor("fc.bios", []int{8}, make([]float32, 8))}); err == nil || !strings.Contains(err.Error(), "fc.bios") {
		t.Errorf("unknown name: %v", err)
	}
}

// TestRefusedStepChangesNothing: a step that is refused before it begins, the
// engine's first or a later one, leaves the whole state as it was.
func TestRefusedStepChangesNothing(t *testing.T) {
	e := engine(t, config("sgd"))
	for i := range 2 {
		before, err := e.State()
		if err != nil {
			t.Fatal(err)
		}
		bad := batch(4)
		bad.Labels[1] = 8
		if _, err := e.Step(bad, train.Step{LR: 0.01}); err == nil || !strings.Contains(err.Error(), "label 8") {
			t.Fatalf("a label out of range: %v", err)
		}
		after, err := e.State()
		if err != nil {
			t.Fatal(err)
		}
		for j := range before {
			if !bytes.Equal(before[j].Data, after[j].Data) {
				t.Fatalf("after %d steps a refused one changed %s", i, before[j].Name)
			}
		}
		if _, err := e.Step(batch(4), train.Step{LR: 0.01}); err != nil {
			t.Fatal(err)
		}
	}
}
