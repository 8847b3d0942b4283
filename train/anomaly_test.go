package train

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/synshard/synshard/train/checkpoint"
	"github.com/synshard/synshard/train/recipe"
	"github.com/synshard/synshard/train/runlog"
)

func TestOutOfMemoryHalves(t *testing.T) {
	whole := testOptions(t, t.TempDir())
	mustRun(t, whole)
	o := testOptions(t, t.TempDir())
	if _, err := census("training", pathLabels{0, 1, -1}, []string{"a", "b"}); err == nil || !strings.Contains(err.Error(), "training image 2 (cat/2.jpg) has no label") {
		t.Errorf("training without label: %v", err)
	}
	var warned []string
	o.OnWarn = func(text string) { warned = append(warned, text) }
	var made []int
	o.NewEngine = func(cfg EngineConfig) (Engine, error) {
		e := newFake(o.Network, cfg)
		e.largest = 1
		made = append(made, cfg.Accumulate)
		return e, nil
	}
	mustRun(t, o)
	if !slices.Equal(made, []int{1, 2, 4}) || len(warned) != 2 || !strings.Contains(warned[0], "batch 4 in 2 microbatches") {
		t.Errorf("engines with %v microbatches, warnings %q", made, warned)
	}
	sameEnd(t, whole.Dir, o.Dir)

	o.Recipe.Epochs, made = 4, nil // what was found out is remembered
	mustRun(t, o)
	if !slices.Equal(made, []int{4}) {
		t.Errorf("continued with engines of %v microbatches", made)
	}
	small := testOptions(t, t.TempDir())
	small.OnWarn = nil
	small.NewEngine = func(cfg EngineConfig) (Engine, error) {
		e := newFake(o.Network, cfg)
		e.largest = 0
		e.cfg.Batch = 1 << 20
		e.largest = 1
		return e, nil
	}
	if _, err := Run(t.Context(), small); !errors.Is(err, ErrOutOfMemory) {
		t.Errorf("nothing fits: %v", err)
	}
}

func TestNaNIsNamed(t *testing.T) {
	o := testOptions(t, t.TempDir())
	n := 0
	o.NewEngine = func(cfg EngineConfig) (Engine, error) {
		e := newFake(o.Network, cfg)
		e.bad = func() bool { n++; return n == 8 }
		return e, nil
	}
	var warned []string
	o.OnWarn = func(text string) { warned = append(warned, text) }
	_, err := Run(t.Context(), o)
	if !errors.Is(err, ErrDiverged) {
		t.Fatal(err)
	}
	for _, part := range []string{"step 8", "NaN", "learning rate", "checkpoint of step 5 is whole"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not in %q", part, err)
		}
	}
	if steps, _ := checkpoint.Steps(o.Dir); !slices.Equal(steps, []int64{5}) {
		t.Errorf("checkpoints %v: the broken state must not be saved", steps)
	}
	if !strings.Contains(string(slurp(t, filepath.Join(o.Dir, runlog.Name))), "NaN") {
		t.Error("the log does not tell")
	}
}

// TestNaNInValidation: a network whose outputs are not finite has nothing right, whatever was
// counted. The run goes on, and does not end in such weights.
func TestNaNInValidation(t *testing.T) {
	for _, averages := range []bool{false, true} {
		whose := "outputs of the weights"
		if averages {
			whose = "outputs of the averaged weights"
		}
		o := testOptions(t, t.TempDir())
		o.Recipe.Export = "best"
		bad := map[int]bool{} // batches of validations, of three each
		n := 0
		o.NewEngine = func(cfg EngineConfig) (Engine, error) {
			e := newFake(o.Network, cfg)
			e.badEval = func(ema bool) bool {
				if ema != averages {
					return false
				}
				n++
				return bad[n]
			}
			return e, nil
		}
		var warned []string
		o.OnWarn = func(text string) { warned = append(warned, text) }
		bad[5] = true // the second epoch's second
		res := mustRun(t, o)
		if res.Epochs != o.Recipe.Epochs || res.Best == nil || res.Best.Step == 10 || res.Exported == nil || res.Exported.Step != res.Best.Step {
			t.Errorf("%+v", res)
		}
		if got := strings.Join(warned, "\n"); !strings.Contains(got, "validation after epoch 2 (step 10): "+whose+" are not finite (loss NaN over 10 images)") {
			t.Errorf("warned %q", got)
		}

		// Where it ends so there is no model, now and again; and none by itself is measured.
		o.Dir = t.TempDir()
		o.Recipe.Export, n, bad = "last", 0, map[int]bool{3*o.Recipe.Epochs - 1: true}
		if averages {
			o.Recipe.Export = "ema"
		}
		for range 2 {
			if res, err := Run(t.Context(), o); !errors.Is(err, ErrDiverged) || !strings.Contains(err.Error(), whose) || res.Ended != "" {
				t.Errorf("%+v, %v", res, err)
			}
		}
		if _, err := os.Stat(filepath.Join(o.Dir, "model.onnx")); err == nil {
			t.Error("a model was made of it")
		}
		n = 3*o.Recipe.Epochs - 2
		if ev, err := Evaluate(t.Context(), o); err == nil || !strings.Contains(err.Error(), whose+" are not finite") {
			t.Errorf("evaluated alone: %+v, %v", ev, err)
		}
	}
}

// TestEarlierNaN: a run with a validation whose outputs were not finite, as earlier versions
// went on from, and its own best.
func TestEarlierNaN(t *testing.T) {
	o := testOptions(t, t.TempDir())
	o.Recipe.Export = "best"
	stopAfter(t, o, 10)
	was := readCheckpoint(t, o.Dir, 10)
	p := was.Position
	p.Epoch, p.Sample = 2, 0
	wrong := p.Evals[0]
	wrong.Step, wrong.Epoch, wrong.Raw.Top1 = 10, 2, 1
	wrong.EMA = &runlog.Score{N: 10, Top1: 1, Top5: 1, Loss: runlog.Number(math.NaN())}
	p.Evals = []runlog.Evaluation{p.Evals[0], wrong}
	if _, err := checkpoint.Write(o.Dir, p, was.Spec, was.Tensors); err != nil {
		t.Fatal(err)
	}
	must(t, checkpoint.Prune(o.Dir, 3, 10, true)) // as it was called the best
	o.OnWarn = func(string) {}
	res := mustRun(t, o)
	if res.Best.Step != 5 || res.Exported == nil || res.Exported.Step != 5 {
		t.Errorf("the best is of step %d, exported is %+v", res.Best.Step, res.Exported)
	}
	if got, err := os.Readlink(filepath.Join(o.Dir, "best.safetensors")); err != nil || got != "checkpoints/step-000000005.safetensors" {
		t.Errorf("best.safetensors -> %s, %v", got, err)
	}
	p.Evals = []runlog.Evaluation{wrong}
	if best, ok := p.BestEval(); ok {
		t.Errorf("the best is %+v", best)
	}
	must(t, checkpoint.Prune(o.Dir, 3, 0, false))
	if got, err := os.Readlink(filepath.Join(o.Dir, "best.safetensors")); err == nil {
		t.Errorf("best.safetensors -> %s, and none is best", got)
	}
	r := &runner{o: o, pos: p, finished: true}
	r.pos.Epoch = 3
	if res := r.result(); res.Best != nil || res.Exported != nil {
		t.Errorf("best %+v, exported %+v", res.Best, res.Exported)
	}
}

// pathLabels are labels of images that have paths, as those of datasets do.
type pathLabels []int64

func (p pathLabels) Len() int          { return len(p) }
func (p pathLabels) Label(i int) int64 { return p[i] }
func (p pathLabels) Path(i int) string { return fmt.Sprintf("cat/%d.jpg", i) }

func TestLabelsAreChecked(t *testing.T) {
	o := testOptions(t, t.TempDir())
	o.Data.(*fakeData).train[7] = 3
	if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "image 7 has label 3") {
		t.Errorf("label out of range: %v", err)
	}
	o.Data.(*fakeData).train[7] = 1
	o.Data.(*fakeData).val[2] = -1
	if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "validation image 2 has no label (-1): make the dataset anew") {
		t.Errorf("validation without label: %v", err)
	}
	var warned []string
	o.OnWarn = func(text string) { warned = append(warned, text) }
	d := newData(23, 10, 2)
	o.Data = d
	mustRun(t, o)
	if len(warned) != 1 || !strings.Contains(warned[0], "1 of 3 classes") || !strings.Contains(warned[0], "n01484850") {
		t.Errorf("warnings %q", warned)
	}
}

func TestLossAtChanceIsNamed(t *testing.T) {
	o := testOptions(t, t.TempDir())
	r := &runner{o: o}
	var warned []string
	r.o.OnWarn = func(text string) { warned = append(warned, text) }
	r.pos.Epoch = 1
	r.epochSteps, r.epochLoss = 100, 100*0.9
	if r.checkChance(); len(warned) != 0 { // ln 3 = 1.0986
		t.Errorf("warned %q about a loss that fell", warned)
	}
	r.epochLoss = 100 * 1.09
	if r.checkChance(); len(warned) != 1 || !strings.Contains(warned[0], "ln 3 = 1.099") {
		t.Errorf("warned %q", warned)
	}
	r.o.Recipe.Rate.WarmupEpochs = 5
	if r.checkChance(); len(warned) != 1 {
		t.Error("warned during the warm-up")
	}
}

// TestWarmupWithoutEnd: a run too short for its warm-up says what rate it comes to.
func TestWarmupWithoutEnd(t *testing.T) {
	for _, c := range []struct {
		epochs, warmup float64
		batch          int
		want           string // "": no warning
	}{
		{3, 2.5, 4, ""},
		{3, 2.8, 4, ""}, // what the last of 15 steps has
		{3, 2.9, 4, "warms up for 2.9 epochs and the run has 3: the last step has 0.0966 of the peak 0.1"},
		{3, 6, 4, "the last step has 0.0467 of the peak 0.1"},
		{1, 5, 23, "warms up for 5 epochs and the run has 1: all steps have 0, and nothing is learnt"},
	} {
		o := testOptions(t, t.TempDir())
		o.Recipe.Epochs, o.Recipe.Batch = int(c.epochs), c.batch
		o.Recipe.Rate = recipe.Rate{Base: 0.1, Scaling: "none", Schedule: "constant", WarmupEpochs: c.warmup}
		var warned []string
		o.OnWarn = func(text string) { warned = append(warned, text) }
		mustRun(t, o)
		if got := strings.Join(warned, "|"); (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%v epochs of %v: warned %q, want %q", c.warmup, c.epochs, got, c.want)
		}
	}
}

func TestEndlessOverflowIsNamed(t *testing.T) {
	o := testOptions(t, t.TempDir())
	o.Recipe.Epochs = 1000
	var overflowed int
	o.OnStep = func(s runlog.Step) {
		if s.Overflow {
			overflowed++
		}
	}
	o.NewEngine = func(cfg EngineConfig) (Engine, error) {
		e := newFake(o.Network, cfg)
		e.overflow = func(step int) bool { return step != 3 && step < 1000 }
		return e, nil
	}
	if _, err := Run(t.Context(), o); !errors.Is(err, ErrDiverged) || !strings.Contains(err.Error(), "step 103: the last 100 steps overflowed") {
		t.Errorf("got %v", err)
	}
	if overflowed != 101 { // two before the third, 99 before the last
		t.Errorf("%d steps were logged as overflowed", overflowed)
	}
}
