package ort

import (
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/synshard/synshard/internal/native/nativetest"
	"github.com/synshard/synshard/loader"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/weights"
	"github.com/synshard/synshard/pixel"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/train"
	"github.com/synshard/synshard/train/torch"
)

// TestDemoEqualsEngine holds the model that the demo trained and exported, run
// by ONNX Runtime, to the training engine with the same weights, on every
// validation image of the demo: probabilities and the most probable class.
func TestDemoEqualsEngine(t *testing.T) {
	dir := os.Getenv("SYNSHARD_TEST_DEMO")
	if dir == "" {
		t.Skip("needs what make demo leaves behind, its directory in SYNSHARD_TEST_DEMO")
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	tensors, meta, err := weights.ReadSafetensorsFile(filepath.Join(dir, "run", "model.safetensors"))
	must(err)
	spec, err := model.ParseSpec(meta[model.SpecKey])
	must(err)
	n, err := model.New(spec.Model, model.Options{Classes: len(spec.Classes), Aux: true, Dropout: -1})
	must(err)
	shim, err := torch.Open(nativetest.Torch(t))
	must(err)
	const batch = 20
	e, err := shim.New(n, train.EngineConfig{Device: "cpu", Precision: "fp32", Threads: 2, Batch: batch, ChannelsLast: true, Optimizer: "sgd", Mean: spec.Mean, Std: spec.Std})
	must(err)
	defer e.Close()
	must(e.SetState(tensors))
	s, err := Open(Options{Library: nativetest.ORT(t), Model: filepath.Join(dir, "run", "model.onnx"), Threads: 2})
	must(err)
	defer s.Close()

	set, err := shard.Open(filepath.Join(dir, "dataset"))
	must(err)
	defer set.Close()
	split, err := set.Split("val")
	must(err)
	view, err := split.Select(shard.Selection{}, nil)
	must(err)
	l, err := loader.New(t.Context(), view, loader.Options{Batch: batch, Size: spec.InputSize, Eval: &pixel.Eval{
		Size: spec.InputSize, Resize: spec.Resize, Interpolation: spec.Interpolation, Square: spec.Square}})
	must(err)
	defer l.Close()
	images, worst := 0, 0.0
	for {
		b, err := l.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		must(err)
		predicted, err := e.Predict(b, torch.PredictOptions{})
		must(err)
		want := predicted.Probabilities
		out, err := s.Predict(t.Context(), b.Images, b.N)
		must(err)
		got := out.Probabilities
		c := len(spec.Classes)
		best := func(p []float32) int { return slices.Index(p, slices.Max(p)) }
		for i := range b.N {
			if g, w := best(got[i*c:(i+1)*c]), best(want[i*c:(i+1)*c]); g != w {
				t.Errorf("%s: ONNX Runtime says %s, the engine %s", view.Path(int(b.Rows[i])), spec.Classes[g], spec.Classes[w])
			}
		}
		for i := range b.N * c {
			worst = max(worst, math.Abs(float64(got[i]-want[i])))
		}
		images += b.N
		b.Release()
	}
	t.Logf("%d images, greatest difference of a probability %.2g", images, worst)
	if images == 0 || images != view.Len() {
		t.Errorf("%d of %d images compared", images, view.Len())
	}
	if !(worst <= 1e-4) {
		t.Errorf("greatest difference %g", worst)
	}
}
