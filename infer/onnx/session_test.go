package onnx

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"synshard/loader"
	"synshard/model"
	"synshard/model/modeltest"
	"synshard/train"
	"synshard/train/torch"
)

// native gives a library set-up brings, or skips the test, saying which.
func native(t testing.TB, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "..", "lib", name))
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		if os.Getenv("SYNSHARD_TEST_NATIVE") != "" {
			t.Fatal(err)
		}
		t.Skipf("needs %s (scripts/setup.sh): %v", name, err)
	}
	return path
}

const classes = 8

func spec() model.Spec {
	half := [3]float64{0.5, 0.5, 0.5}
	s := model.Spec{Model: "inception_v3", InputSize: 299, Resize: 342, Interpolation: "bilinear", Mean: half, Std: half}
	for i := range classes {
		s.Classes = append(s.Classes, "class"+string(rune('a'+i)))
	}
	return s
}

// export writes a narrow network as ONNX.
func export(t testing.TB, settle func(*model.Network, []model.Tensor) []model.Tensor) (*model.Network, []model.Tensor, string) {
	t.Helper()
	n, err := model.New("inception_v3", model.Options{Classes: classes, Aux: true, Width: 0.125})
	if err != nil {
		t.Fatal(err)
	}
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
	if err := model.WriteONNX(f, n, weights, spec()); err != nil {
		t.Fatal(err)
	}
	return n, weights, path
}

// TestEqualsEngine holds the exported model, run by ONNX Runtime, to the
// training engine on the same pictures.
func TestEqualsEngine(t *testing.T) {
	lib, shimPath := native(t, "libonnxruntime.so"), native(t, "libsynshard_torch.so")
	shim, err := torch.Open(shimPath)
	if err != nil {
		t.Fatal(err)
	}
	pictures := modeltest.Pictures(4, 299)
	batch := &loader.Batch{Images: pictures, Labels: []int64{0, 2, 4, 6}, Size: 299, N: 4}
	var e *torch.Engine
	// Running statistics follow the pictures first, so that these look
	// different to the network.
	_, _, path := export(t, func(n *model.Network, weights []model.Tensor) []model.Tensor {
		e, err = shim.New(n, train.EngineConfig{Device: "cpu", Precision: "fp32", Threads: 2, Batch: 4, ChannelsLast: true, Optimizer: "sgd",
			BNMomentum: 0.5, Mean: spec().Mean, Std: spec().Std})
		if err != nil {
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
	want, err := e.Probabilities(batch, false)
	if err != nil {
		t.Fatal(err)
	}
	got, emb, err := s.Predict(t.Context(), pictures, 4)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) || len(emb) != 4*s.EmbeddingWidth() || s.EmbeddingWidth() != 256 {
		t.Fatalf("%d probabilities and %d numbers of embedding", len(got), len(emb))
	}
	worst, spread := 0.0, 0.0
	for i := range got {
		worst = max(worst, math.Abs(float64(got[i]-want[i])))
		spread = max(spread, math.Abs(float64(want[i]-want[i%classes])))
	}
	t.Logf("greatest difference %.2g; pictures differ by up to %.2g", worst, spread)
	if worst > 1e-4 {
		t.Errorf("probabilities differ by %g", worst)
	}
	if spread < 0.01 {
		t.Errorf("all pictures look alike to the network: this compares nothing")
	}

	// Many runs at a time give what one gives.
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			again, _, err := s.Predict(t.Context(), pictures, 4)
			if err != nil {
				t.Error(err)
				return
			}
			for i := range again {
				if math.Abs(float64(again[i]-got[i])) > 1e-6 {
					t.Errorf("concurrent runs differ by %g", again[i]-got[i])
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestOpenRefuses(t *testing.T) {
	lib := native(t, "libonnxruntime.so")
	_, _, path := export(t, nil)
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
