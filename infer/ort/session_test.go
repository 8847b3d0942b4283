package ort

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/synshard/synshard/internal/native/nativetest"
	"github.com/synshard/synshard/internal/raced"
	"github.com/synshard/synshard/loader"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/modeltest"
	"github.com/synshard/synshard/model/onnx"
	"github.com/synshard/synshard/train"
	"github.com/synshard/synshard/train/torch"
)

const classes = 8

func spec(input int) model.Spec {
	half := [3]float64{0.5, 0.5, 0.5}
	s := model.Spec{Model: "test", InputSize: input, Resize: input, Interpolation: "bilinear", Mean: half, Std: half}
	for i := range classes {
		s.Classes = append(s.Classes, "class"+string(rune('a'+i)))
	}
	return s
}

// export writes a narrow network as onnx.
func export(t testing.TB, name string, settle func(*model.Network, []model.Tensor) []model.Tensor) (*model.Network, []model.Tensor, string) {
	t.Helper()
	n := modeltest.Network(t, name, model.Options{Classes: classes, Aux: true, Width: 0.125})
	weights := modeltest.Fill(n)
	if settle != nil {
		weights = settle(n, weights)
	}
	path := filepath.Join(t.TempDir(), "model.onnx")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := onnx.Write(f, n, weights, spec(n.Input)); err != nil {
		t.Fatal(err)
	}
	return n, weights, path
}

// TestEqualsEngine holds every network's export, run by ONNX Runtime, to the
// training engine on the same images.
func TestEqualsEngine(t *testing.T) {
	raced.Skip(t, "the networks run in native code")
	lib, shimPath := nativetest.ORT(t), nativetest.Torch(t)
	shim, err := torch.Open(shimPath)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range model.Names() {
		t.Run(name, func(t *testing.T) { equalsEngine(t, name, lib, shim) })
	}
}

func equalsEngine(t *testing.T, name, lib string, shim *torch.Shim) {
	var batch *loader.Batch
	var e *torch.Engine
	// Running statistics follow the images first, so that these look
	// different to the network.
	_, _, path := export(t, name, func(n *model.Network, weights []model.Tensor) []model.Tensor {
		var err error
		batch = &loader.Batch{Images: modeltest.Images(4, n.Input), Labels: []int64{0, 2, 4, 6}, Size: n.Input, N: 4}
		if e, err = shim.New(n, train.EngineConfig{Device: "cpu", Precision: "fp32", Threads: 2, Batch: 4, ChannelsLast: true, Optimizer: "sgd",
			BNMomentum: 0.5, Mean: spec(1).Mean, Std: spec(1).Std}); err != nil {
			t.Fatal(err)
		}
		if err := e.SetState(weights); err != nil {
			t.Fatal(err)
		}
		for range 6 {
			if _, err := e.Step(batch, train.Step{}); err != nil {
				t.Fatal(err)
			}
		}
		if weights, err = e.State(); err != nil {
			t.Fatal(err)
		}
		return weights
	})
	defer e.Close()
	s, err := Open(Options{Library: lib, Model: path, Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	predicted, err := e.Predict(batch, torch.PredictOptions{Logits: true})
	if err != nil {
		t.Fatal(err)
	}
	want := predicted.Probabilities
	mapsEqualLogits(t, lib, path, batch.Images, predicted.Logits)
	out, err := s.Predict(t.Context(), batch.Images, 4)
	if err != nil {
		t.Fatal(err)
	}
	got, emb := out.Probabilities, out.Embedding
	if s.EmbeddingWidth() == 0 {
		t.Fatal("no embedding")
	}
	if diff := cmp.Diff([]int{len(want), 4 * s.EmbeddingWidth()}, []int{len(got), len(emb)}); diff != "" {
		t.Fatalf("probabilities and numbers of embedding (-want +got):\n%s", diff)
	}
	worst, spread := 0.0, 0.0
	for i := range got {
		worst = max(worst, math.Abs(float64(got[i]-want[i])))
		spread = max(spread, math.Abs(float64(want[i]-want[i%classes])))
	}
	t.Logf("greatest difference %.2g; images differ by up to %.2g", worst, spread)
	if worst > 1e-4 {
		t.Errorf("probabilities differ by %g", worst)
	}
	if spread < 0.001 {
		t.Errorf("all images look alike to the network (%g): this compares nothing", spread)
	}
	manyRuns(t, s, batch.Images, got)
}

// manyRuns expects many runs at a time to give what one gives.
func manyRuns(t *testing.T, s *Session, images []byte, want []float32) {
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			out, err := s.Predict(t.Context(), images, 4)
			if err != nil {
				t.Error(err)
				return
			}
			again := out.Probabilities
			for i := range again {
				if math.Abs(float64(again[i]-want[i])) > 1e-6 {
					t.Errorf("concurrent runs differ by %g", again[i]-want[i])
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestOpenRefuses(t *testing.T) {
	lib := nativetest.ORT(t)
	_, _, path := export(t, "inception_v3", nil)
	dir := t.TempDir()
	text := filepath.Join(dir, "text.onnx")
	if err := os.WriteFile(text, []byte("this is no model"), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		o     Options
		want  string
		unfit bool
	}{
		{"no file", Options{Library: lib, Model: filepath.Join(dir, "none.onnx")}, "no such file", false},
		{"no model", Options{Library: lib, Model: text}, "not an ONNX model", false},
		{"provider", Options{Library: lib, Model: path, Provider: "abacus"}, "abacus", false},
		{"no CUDA in this library", Options{Library: lib, Model: path, Provider: "cuda"}, "cuda", true},
	} {
		s, err := Open(c.o)
		if c.unfit && err == nil {
			s.Close() // a GPU build of the library, and a card
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.want) || errors.Is(err, ErrUnfit) != c.unfit {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
