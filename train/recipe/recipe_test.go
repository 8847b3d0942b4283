package recipe

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestEmbeddedRecipes(t *testing.T) {
	if want := []string{"b1k", "demo", "finetune", "gluon", "modern", "szegedy2015"}; !slices.Equal(Names(), want) {
		t.Errorf("recipes %v, want %v", Names(), want)
	}
	for _, name := range Names() {
		r, err := Resolve(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		type filled struct {
			Name       string
			Accumulate int
			Width      float64
		}
		if d := cmp.Diff(filled{name, 1, 1}, filled{r.Name, r.Accumulate, r.Network.Width}); d != "" {
			t.Errorf("%s resolves to (-want +got):\n%s", name, d)
		}
		text, err := r.YAML()
		if err != nil {
			t.Fatal(err)
		}
		back, err := Parse(text)
		if err != nil {
			t.Errorf("%s does not read back: %v\n%s", name, err, text)
		} else if d := cmp.Diff(r, back); d != "" {
			t.Errorf("%s reads back differently: %s", name, d)
		}
	}
}

// The figures of the paper (section 8 and 6.4) and of its authors' code.
func TestPaperRecipe(t *testing.T) {
	r, err := Resolve("szegedy2015")
	if err != nil {
		t.Fatal(err)
	}
	want := r
	want.Optimizer = Optimizer{Kind: "rmsprop", Rho: 0.9, Momentum: 0.9, Eps: 1, WeightDecay: 4e-5}
	want.Clip, want.Epochs, want.EMA.Decay = Clip{Norm: 2}, 100, 0.9999
	want.Loss = Loss{LabelSmoothing: 0.1, AuxWeight: 0.4}
	want.Augment.AreaMin, want.Augment.Saturation, want.Augment.Hue = 0.05, 0.5, 0.2
	want.Augment.Contrast, want.Augment.Brightness = 0.5, 32./255
	if d := cmp.Diff(want, r, cmpopts.EquateApprox(0, 1e-12)); d != "" {
		t.Errorf("recipe (-paper +got):\n%s", d)
	}
	if got := r.Rate.Peak(50 * 32); math.Abs(got-0.045) > 1e-15 {
		t.Errorf("rate %v at 50 x 32", got)
	}
	if got := r.Rate.At(2, 100, 1600) / r.Rate.At(1.99, 100, 1600); math.Abs(got-0.94) > 1e-12 {
		t.Errorf("rate falls by %v after two epochs", got)
	}
}

func TestLayersOverride(t *testing.T) {
	set := func(s string) Layer {
		l, err := SetLayer("--set", s)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	r, err := Resolve("modern", Layer{"my.yaml", []byte("epochs: 7\nrate:\n  base: 0.3\noptimizer: {momentum: 0.8}\n")},
		set("rate.base=0.2"), set("mean=[0.1, 0.2, 0.3]"), set("augment.flip=false"), set("name=mine"))
	if err != nil {
		t.Fatal(err)
	}
	want, err := Resolve("modern")
	if err != nil {
		t.Fatal(err)
	}
	want.Epochs, want.Rate.Base, want.Optimizer.Momentum = 7, 0.2, 0.8
	want.Mean, want.Augment.Flip, want.Name = [3]float64{0.1, 0.2, 0.3}, false, "mine"
	if d := cmp.Diff(want, r); d != "" {
		t.Errorf("overridden (-want +got):\n%s", d)
	}
}

func TestBadRecipes(t *testing.T) {
	for _, c := range []struct{ yaml, want string }{
		{"epochs: 0", "epochs is 0"},
		{"epochs: many", "layer"},
		{"epoch: 3", "epoch"},
		{"mean: [124, 116, 104]\nstd: [58, 57, 57]", "mean 0.4863,0.4549,0.4078"},
		{"rate: {bass: 1}", "bass"},
		{"rate: {base: .nan}", "rate.base"},
		{"rate: {base: -1}", "rate.base"},
		{"rate: {schedule: linear}", `"linear"`},
		{"rate: {schedule: exponential}", "rate.factor"},
		{"rate: {schedule: step, factor: 0.1, milestones: [3, 2]}", "milestones"},
		{"rate: {base_batch: 0}", "base_batch"},
		{"batch: 10\naccumulate: 3", "divide"},
		{"optimizer: {kind: lamb}", `"lamb"`},
		{"optimizer: {kind: adamw, nesterov: false}", "beta1"},
		{"optimizer: {kind: rmsprop, nesterov: false}", "rho"},
		{"optimizer: {kind: adamw, beta1: 0.9, beta2: 0.99, eps: 1e-8}", "nesterov"},
		{"network: {dropout: 1}", "dropout"},
		{"augment: {area_min: 0.9, area_max: 0.5}", "area_min"},
		{"augment: {interpolation: lanczos}", "lanczos"},
		{"eval: {resize: 100}", "eval.resize"},
		{"precision: fp8", "fp8"},
		{"std: [0.2, 0, 0.2]", "std"},
		{"std: [0.2, 0.2]", ""},
		{"loss: {mixup: -1}", "mixup"},
		{"augment: {repeats: -1}", "augment.repeats"},
		{"rate: [1", ""},
	} {
		_, err := Resolve("modern", Layer{"layer", []byte(c.yaml)})
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: got %v, want one line with %q", c.yaml, err, c.want)
		}
	}
	if _, err := Resolve("nonesuch"); err == nil || !strings.Contains(err.Error(), "szegedy2015") {
		t.Errorf("unknown recipe: %v", err)
	}
	for _, s := range []string{"", "=3", "rate.base"} {
		if _, err := SetLayer("--set", s); err == nil {
			t.Errorf("--set %q accepted", s)
		}
	}
}

func TestModelBringsItsInput(t *testing.T) {
	r, err := Resolve("modern", Layer{"flag", []byte("model: googlenet")}, Layer{"flag", []byte("eval: {resize: 300}")})
	if err != nil {
		t.Fatal(err)
	}
	want, err := Resolve("modern")
	if err != nil {
		t.Fatal(err)
	}
	want.Model, want.Loss.AuxWeight, want.Eval.Size, want.Eval.Resize = "googlenet", 0.3, 224, 300
	if d := cmp.Diff(want, r); d != "" {
		t.Errorf("googlenet (-want +got):\n%s", d)
	}
	if r, err = Resolve("modern", Layer{"flag", []byte("model: resnet50\nloss: {label_smoothing: 0}")}); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(Loss{Mixup: 0.2}, r.Loss); d != "" {
		t.Errorf("resnet50's loss (-want +got):\n%s", d)
	}
}

func TestTable(t *testing.T) {
	r, err := Resolve("demo")
	if err != nil {
		t.Fatal(err)
	}
	rows, err := r.Table()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, row := range rows {
		got[row[0]] = row[1]
	}
	for key, want := range map[string]string{"name": "demo", "rate.schedule": "cosine", "optimizer.beta2": "0.98", "mean": "[0.5 0.5 0.5]"} {
		if strings.TrimSuffix(got[key], ".0") != want {
			t.Errorf("%s is %q in the table, want %q", key, got[key], want)
		}
	}
}

// TestFinetuneInput: a network that starts from published weights is fed as
// those were, unless somebody says otherwise.
func TestFinetuneInput(t *testing.T) {
	for _, c := range []struct {
		model string
		sets  []string
		want  float64
	}{
		{"inception_v3", nil, 0.5},
		{"googlenet", nil, 0.5},
		{"resnet50", nil, 0.485},
		{"resnet50", []string{"mean=[0.1, 0.2, 0.3]"}, 0.1},
	} {
		layers := []Layer{}
		for _, s := range append([]string{"model=" + c.model}, c.sets...) {
			l, err := SetLayer("--set", s)
			if err != nil {
				t.Fatal(err)
			}
			layers = append(layers, l)
		}
		r, err := Resolve("finetune", layers...)
		if err != nil {
			t.Fatal(err)
		}
		if r.Mean[0] != c.want {
			t.Errorf("%s %v: mean %v, want %v first", c.model, c.sets, r.Mean, c.want)
		}
	}
}
