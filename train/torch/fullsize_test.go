package torch

import (
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/synshard/synshard/internal/golden"
	"github.com/synshard/synshard/loader"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/modeltest"
	"github.com/synshard/synshard/train"
	"github.com/synshard/synshard/train/traintest"
)

// TestFullSize holds the whole Inception-v3 with 1000 classes to torchvision's:
// logits, gradients and ten updates of each optimiser. torchvision computes its
// side while the test runs.
func TestFullSize(t *testing.T) {
	python := os.Getenv("SYNSHARD_TEST_PYTHON")
	if python == "" {
		t.Skip("needs a Python with torch and torchvision, named by SYNSHARD_TEST_PYTHON")
	}
	s := shim(t)
	path := filepath.Join(t.TempDir(), "golden.json")
	cmd := exec.Command(python, filepath.Join("..", "..", "scripts", "golden", "model_torchvision.py"), "--full", path)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	var g figures
	golden.Read(t, path, &g)
	n := modeltest.Network(t, "inception_v3", model.Options{Classes: 1000, Aux: true})
	fresh := func(optimizer string) *Engine {
		e, err := s.New(n, traintest.Config(optimizer))
		if err != nil {
			t.Fatal(err)
		}
		if err := e.SetState(modeltest.Fill(n)); err != nil {
			t.Fatal(err)
		}
		return e
	}
	fullForward(t, fresh, g)
	fullGradients(t, fresh, g)
	for kind, want := range g.Losses {
		e := fresh(kind)
		lr := 0.0005
		if kind == "adamw" {
			lr = 1e-4
		}
		worst := 0.0
		for i, w := range want {
			m := traintest.Step(t, e, fullBatch(), train.Step{Seed: uint64(i), LR: lr})
			if d := math.Abs(m.Loss - w); !(d <= 1e-3) {
				t.Errorf("%s: loss of step %d is %v, want %v", kind, i+1, m.Loss, w)
			} else {
				worst = max(worst, d)
			}
		}
		t.Logf("%s: losses from %.3f to %.3f, greatest difference %.2g", kind, want[0], want[len(want)-1], worst)
		e.Close()
	}
}

// fullBatch has the generator's labels: twice the place, below 1000.
func fullBatch() *loader.Batch {
	b := traintest.Batch(4)
	for i := range b.Labels {
		b.Labels[i] = int64(2 * i)
	}
	return b
}

func fullForward(t *testing.T, fresh func(string) *Engine, g figures) {
	e := fresh("sgd")
	defer e.Close()
	inputs := normalised(modeltest.Images(4, 299), 299)
	for _, training := range []bool{false, true} {
		out, err := e.forward(inputs, 4, forwardOptions{Training: training, Aux: true})
		if err != nil {
			t.Fatal(err)
		}
		want := [][][]float64{g.LogitsEval, g.AuxEval}
		if training {
			want = [][][]float64{g.LogitsTrain, g.AuxTrain}
		}
		near(t, "logits", out[0], want[0], 1e-4)
		near(t, "auxiliary logits", out[1], want[1], 1e-4)
	}
}

func fullGradients(t *testing.T, fresh func(string) *Engine, g figures) {
	e := fresh("sgd")
	defer e.Close()
	m, err := e.accumulate(fullBatch())
	if err != nil {
		t.Fatal(err)
	}
	if d := math.Abs(m.Loss - g.Loss); !(d <= 1e-4) {
		t.Errorf("loss %v, want %v", m.Loss, g.Loss)
	}
	gradientsNear(t, e, g, turning(e))
}
