package torch

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/synshard/synshard/internal/golden"
	"github.com/synshard/synshard/internal/native/nativetest"
	"github.com/synshard/synshard/internal/raced"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/modeltest"
	"github.com/synshard/synshard/train"
	"github.com/synshard/synshard/train/traintest"
)

// shim opens the real library, or skips the test, saying what it needs.
func shim(t testing.TB) *Shim {
	t.Helper()
	s, err := Open(nativetest.Torch(t))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func engine(t testing.TB, cfg train.EngineConfig) *Engine {
	t.Helper()
	return engineOf(t, traintest.Narrow(t), cfg)
}

func engineOf(t testing.TB, n *model.Network, cfg train.EngineConfig) *Engine {
	t.Helper()
	e, err := shim(t).New(n, cfg)
	return traintest.Filled(t, n, e, err)
}

// gradientFigures are of one tensor's gradient: its norm, and its values at
// some places.
type gradientFigures struct {
	Norm   float64   `json:"norm"`
	At     []int     `json:"at"`
	Values []float64 `json:"values"`
}

type figures struct {
	LogitsEval    [][]float64                `json:"logits_eval"`
	AuxEval       [][]float64                `json:"aux_eval"`
	LogitsSettled [][]float64                `json:"logits_settled"`
	LogitsTrain   [][]float64                `json:"logits_train"`
	AuxTrain      [][]float64                `json:"aux_train"`
	Loss          float64                    `json:"loss"`
	Gradients     map[string]gradientFigures `json:"gradients"`
	Losses        map[string][]float64       `json:"losses"`
}

func readGolden(t testing.TB) figures {
	t.Helper()
	var g figures
	golden.Read(t, "testdata/golden_inception_v3.json", &g)
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
		cfg := traintest.Config("rmsprop")
		cfg.ChannelsLast = layout
		e := engine(t, cfg)
		out, err := e.forward(inputs, 4, forwardOptions{Aux: true})
		if err != nil {
			t.Fatal(err)
		}
		near(t, "logits, evaluating", out[0], g.LogitsEval, 1e-4)
		near(t, "auxiliary logits, evaluating", out[1], g.AuxEval, 1e-4)
		if out, err = e.forward(inputs, 4, forwardOptions{Training: true, Aux: true}); err != nil {
			t.Fatal(err)
		}
		near(t, "logits, training", out[0], g.LogitsTrain, 1e-4)
		near(t, "auxiliary logits, training", out[1], g.AuxTrain, 1e-4)
		settleAndCompare(t, cfg, inputs, g)
	}
}

// settleAndCompare lets the running statistics follow the images first, so
// that images look different to the evaluated network.
func settleAndCompare(t *testing.T, cfg train.EngineConfig, inputs []float32, g figures) {
	t.Helper()
	cfg.BNMomentum = 0.5
	e := engine(t, cfg)
	for range 6 {
		if _, err := e.forward(inputs, 4, forwardOptions{Training: true, Aux: true}); err != nil {
			t.Fatal(err)
		}
	}
	out, err := e.forward(inputs, 4, forwardOptions{})
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
	e := engine(t, traintest.Config("rmsprop"))
	m, err := e.accumulate(traintest.Batch(4))
	if err != nil {
		t.Fatal(err)
	}
	if d := math.Abs(m.Loss - g.Loss); !(d <= 1e-4) {
		t.Errorf("loss %v, want %v", m.Loss, g.Loss)
	}
	gradientsNear(t, e, g, turning(e))
}

// TestGradientsPlain holds the path without kernels of ours to them, in both orders of
// memory: what is there where the kernels cannot be had, and what others are held to.
func TestGradientsPlain(t *testing.T) {
	raced.Skip(t, "steps run in native code")
	g := readGolden(t)
	for _, channelsLast := range []bool{false, true} {
		t.Run(fmt.Sprintf("channels_last %v", channelsLast), func(t *testing.T) {
			cfg := traintest.Config("rmsprop")
			cfg.Unfused, cfg.ChannelsLast = true, channelsLast
			e := engineOf(t, traintest.Narrow(t), cfg)
			if _, err := e.accumulate(traintest.Batch(4)); err != nil {
				t.Fatal(err)
			}
			may := turning(e)
			if !channelsLast && !onCard() {
				may = stemTurn
			}
			gradientsNear(t, e, g, may)
		})
	}
}

// oneTurn is the most that one thing which rounding decides may make of one tensor's
// gradient, as a share of its norm; allTurned of all gradients together. A loss is
// continuous in its weights, but gradients turn where a ReLU's input is 0 and where two
// values are the greatest that a max pool looks at. By scripts/golden/model_turns.py, of
// these weights and images 52 of 4,485,728 inputs and 126 groups of windows are within 1e-4
// of a turn, which is as far as float32 moves one (libtorch's batch norms in channels_last;
// 2e-5 in NCHW). Each turned by itself changes no gradient by more than 0.069, all together
// by no more than 0.0034 and their norm by 1.4e-4; all of them, by 0.0071.
const oneTurn, allTurned = 0.1, 0.02

// onCard says that engines are tested on a GPU, whose sums are made in orders of its own,
// so that anything may turn.
func onCard() bool { return strings.HasPrefix(nativetest.Device(), "cuda") }

func anyTurn(string) bool { return true }

func noTurn(string) bool { return false }

// stemTurn is so of the parameters before the max pool behind Conv2d_2b, two of whose
// windows have their greatest values 7e-8 apart: the emulation's sums turn them, and
// libtorch's in NCHW, which changes Conv2d_2a's bias by 0.0083, as it does in float64.
func stemTurn(name string) bool {
	return strings.HasPrefix(name, "Conv2d_1a_3x3.") || strings.HasPrefix(name, "Conv2d_2a_3x3.") || strings.HasPrefix(name, "Conv2d_2b_3x3.")
}

// TestLastPlace makes every batch norm's bias one place larger: gradients change by no more
// than oneTurn and allTurned allow, and by a hundredth of that where nothing turns: on the CPU
// all but the stem's, on a card nine tenths of them.
func TestLastPlace(t *testing.T) {
	n := traintest.Narrow(t)
	cfg := traintest.Config("rmsprop")
	cfg.Unfused = true
	of := func(place func(float32) float32) map[string][]float32 {
		e := engineOf(t, n, cfg)
		for _, x := range modeltest.Fill(n) {
			if !strings.HasSuffix(x.Name, "bn.bias") {
				continue
			}
			values := modeltest.Floats(t, x)
			for i, v := range values {
				values[i] = place(v)
			}
			if err := e.SetState([]model.Tensor{model.NewTensor(x.Name, x.Shape, values)}); err != nil {
				t.Fatal(err)
			}
		}
		return gradients(t, e, traintest.Batch(4))
	}
	got, want := of(func(v float32) float32 { return math.Nextafter32(v, math.MaxFloat32) }), of(func(v float32) float32 { return v })
	compareGradients(t, "one place larger", got, want, oneTurn, allTurned)
	var turned []string
	for name, w := range want {
		wide := make([]float64, len(w))
		for i, v := range w {
			wide[i] = float64(v)
		}
		if d := apart(got[name], wide); !(d <= 1e-3) && (onCard() || !stemTurn(name)) {
			turned = append(turned, fmt.Sprintf("%s by %.2g", name, d))
		}
	}
	most := 0
	if onCard() {
		most = len(want) / 10
	}
	t.Logf("of %d gradients these turned, the CPU's stem apart: %v", len(want), turned)
	if len(turned) > most {
		t.Errorf("%d gradients change by more than a thousandth of their norm, not %d", len(turned), most)
	}
}

// gradientsNear holds gradients to torchvision's. Those that may turn, sums being made in
// another order than there, may be off by as much as that makes.
func gradientsNear(t *testing.T, e *Engine, g figures, mayTurn func(name string) bool) {
	t.Helper()
	if len(g.Gradients) < 190 {
		t.Fatalf("golden data has %d gradients", len(g.Gradients))
	}
	var all, wantAll float64
	worst, where := 0.0, ""
	for name, want := range g.Gradients {
		got, err := e.gradient(name)
		if err != nil {
			t.Fatal(err)
		}
		var square float64
		for _, v := range got {
			square += float64(v) * float64(v)
		}
		all, wantAll = all+square, wantAll+want.Norm*want.Norm
		diffs := []float64{math.Abs(math.Sqrt(square) - want.Norm)}
		for i, at := range want.At {
			diffs = append(diffs, math.Abs(float64(got[at])-want.Values[i]))
		}
		d := slices.Max(diffs) / max(want.Norm, 1e-6)
		if mayTurn(name) && d <= oneTurn {
			continue
		}
		if d > worst {
			worst, where = d, name
		}
	}
	t.Logf("greatest difference relative to the gradient's norm: %.2g (%s)", worst, where)
	if !(worst <= 1e-3) {
		t.Errorf("gradients differ by %g of their norm, at %s", worst, where)
	}
	if d := math.Abs(math.Sqrt(all/wantAll) - 1); !(d <= 1e-3) {
		t.Errorf("the norm of all gradients differs by %g of it", d)
	}
}

// turning is what a GPU's path, or its emulation's, may turn.
func turning(e *Engine) func(string) bool {
	switch {
	case onCard():
		return anyTurn
	case strings.Contains(e.Note(), "fused kernels"):
		return stemTurn
	}
	return noTurn
}

// TestUpdates holds ten steps of each optimiser to the same arithmetic in
// PyTorch.
func TestUpdates(t *testing.T) {
	raced.Skip(t, "steps run in native code")
	g := readGolden(t)
	for kind, want := range g.Losses {
		e := engine(t, traintest.Config(kind))
		lr := 0.005
		if kind == "adamw" {
			lr = 1e-4
		}
		for i, w := range want {
			m := traintest.Step(t, e, traintest.Batch(4), train.Step{Seed: uint64(i), LR: lr})
			if d := math.Abs(m.Loss - w); !(d <= 1e-3) {
				t.Errorf("%s: loss of step %d is %v, want %v", kind, i+1, m.Loss, w)
			}
		}
	}
}

// TestStateContinues stops after three steps, puts the state into a new engine
// and expects the bits of an uninterrupted run.
func TestStateContinues(t *testing.T) {
	raced.Skip(t, "steps run in native code")
	for _, kind := range optimizers {
		cfg := traintest.Config(kind)
		cfg.EMA, cfg.ClipNorm = true, 2
		n := modeltest.Network(t, "inception_v3", model.Options{Classes: traintest.Classes, Aux: true, Width: 0.125, Dropout: 0.5})
		run := func(e *Engine, from, to int) []model.Tensor {
			for i := from; i < to; i++ {
				traintest.Step(t, e, traintest.Batch(4), train.Step{Seed: uint64(i), LR: 1e-3, EMADecay: 0.9})
			}
			return traintest.State(t, e)
		}
		whole := run(engineOf(t, n, cfg), 0, 5)
		resumed := engineOf(t, n, cfg)
		if err := resumed.SetState(run(engineOf(t, n, cfg), 0, 3)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(modeltest.Sums(whole), modeltest.Sums(run(resumed, 3, 5))); diff != "" {
			t.Errorf("%s: state (-uninterrupted +continued):\n%s", kind, diff)
		}
		other := run(engineOf(t, n, cfg), 0, 4)
		if slices.Equal(other[0].Data, whole[0].Data) {
			t.Errorf("%s: a fifth step changes nothing", kind)
		}
	}
}

// TestEvaluate counts what the logits say.
func TestEvaluate(t *testing.T) {
	e := engine(t, traintest.Config("sgd"))
	b := traintest.Batch(4)
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
	// One output that is not a number, then all of them.
	for _, bias := range [][]float32{{0, 0, 0, float32(math.NaN()), 0, 0, 0, 0}, slices.Repeat([]float32{float32(math.NaN())}, 8)} {
		if err := e.SetState([]model.Tensor{model.NewTensor("fc.bias", []int{8}, bias)}); err != nil {
			t.Fatal(err)
		}
		if m, err := e.Evaluate(b, false); err != nil || m.N != 4 || m.Top1 != 0 || m.Top5 != 0 || !math.IsNaN(m.Loss) {
			t.Errorf("outputs that are not numbers: %+v, %v", m, err)
		}
	}
}

// TestAccumulate expects a batch in two microbatches to give the gradients of the
// whole when batch norm's statistics are frozen.
func TestAccumulate(t *testing.T) {
	cfg := traintest.Config("sgd")
	whole := engine(t, cfg)
	cfg.Accumulate = 2
	halves := engine(t, cfg)
	step := train.Step{LR: 0.01, FreezeBN: true}
	a, b := traintest.Step(t, whole, traintest.Batch(4), step), traintest.Step(t, halves, traintest.Batch(4), step)
	if diff := cmp.Diff(a, b, traintest.Untimed, cmpopts.EquateApprox(1e-3, 1e-4)); diff != "" {
		t.Errorf("a step (-whole +in two):\n%s", diff)
	}
	if b.Counted != 4 {
		t.Errorf("%d labels counted of 4", b.Counted)
	}
}

// TestCrossEntropy: what a step says of its batch without label smoothing is what an
// evaluation of the same rows and weights finds.
func TestCrossEntropy(t *testing.T) {
	for _, c := range []struct {
		smoothing float64
		unfused   bool
	}{{0.1, false}, {0.1, true}, {0, false}} {
		cfg := traintest.Config("sgd")
		cfg.LabelSmoothing, cfg.Unfused = c.smoothing, c.unfused
		e := engine(t, cfg)
		b := traintest.Batch(4)
		b.Labels[1] = -1
		eval, err := e.Evaluate(b, false)
		if err != nil {
			t.Fatal(err)
		}
		m := traintest.Step(t, e, b, train.Step{LR: 0.01, FreezeBN: true})
		if want := eval.Loss / 3; !(math.Abs(m.CrossEntropy-want) <= 1e-5*want) {
			t.Errorf("smoothing %v, unfused %v: cross entropy %v, an evaluation's %v", c.smoothing, c.unfused, m.CrossEntropy, want)
		}
		if same := m.CrossEntropy == m.MainLoss; same != (c.smoothing == 0) {
			t.Errorf("smoothing %v: cross entropy %v, with it %v", c.smoothing, m.CrossEntropy, m.MainLoss)
		}
	}
}

// TestBF16 holds bfloat16 to float32 within its own precision.
func TestBF16(t *testing.T) {
	raced.Skip(t, "steps run in native code")
	cfg := traintest.Config("rmsprop")
	full := engine(t, cfg)
	cfg.Precision = "bf16"
	half := engine(t, cfg)
	for i := range 3 {
		step := train.Step{LR: 0.005}
		a, b := traintest.Step(t, full, traintest.Batch(4), step), traintest.Step(t, half, traintest.Batch(4), step)
		if !(math.Abs(a.Loss-b.Loss) <= 0.05*a.Loss) {
			t.Errorf("step %d: loss %v in bf16, %v in fp32", i, b.Loss, a.Loss)
		}
	}
}

// TestMistakes expects every misuse to come back as a message.
func TestMistakes(t *testing.T) {
	s := shim(t)
	n := traintest.Narrow(t)
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
		cfg := traintest.Config("sgd")
		c.change(&cfg)
		if e, err := s.New(n, cfg); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: engine %v, error %v", c.name, e, err)
		}
	}
	if cuda, err := s.CUDADevices(); err != nil || cuda > 0 {
		t.Logf("%d CUDA devices, %v", cuda, err)
	} else if _, err := s.New(n, func() train.EngineConfig { c := traintest.Config("sgd"); c.Device = "cuda"; return c }()); err == nil || !strings.Contains(err.Error(), "CUDA") {
		t.Errorf("cuda without a card: %v", err)
	}
	e := engine(t, traintest.Config("sgd"))
	b := traintest.Batch(2)
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
	e := engine(t, traintest.Config("sgd"))
	for i := range 2 {
		before := modeltest.Sums(traintest.State(t, e))
		bad := traintest.Batch(4)
		bad.Labels[1] = 8
		if _, err := e.Step(bad, train.Step{LR: 0.01}); err == nil || !strings.Contains(err.Error(), "label 8") {
			t.Fatalf("a label out of range: %v", err)
		}
		if diff := cmp.Diff(before, modeltest.Sums(traintest.State(t, e))); diff != "" {
			t.Fatalf("state after %d steps (-before +after a refused one):\n%s", i, diff)
		}
		traintest.Step(t, e, traintest.Batch(4), train.Step{LR: 0.01})
	}
}
