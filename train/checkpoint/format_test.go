package checkpoint

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/train/runlog"
)

// frozen is what the files of testdata hold.
func frozen() Checkpoint {
	classes := []string{"n01440764", "n01443537"}
	half := [3]float64{0.5, 0.5, 0.5}
	return Checkpoint{
		Position: Position{
			Version: 1, Step: 12, Epoch: 2, Images: 48, Seconds: 1.5, Seed: 7, Batch: 4, Rows: 26, Model: "resnet50", Width: 0.1,
			Classes: "2:8124f08fe238576425f", Microbatches: 2, Optimizer: "rmsprop",
			Evals: []runlog.Evaluation{{
				Kind: "eval", Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Step: 12, Epoch: 2, Seconds: 0.5, Skipped: 1,
				Raw: runlog.Score{N: 10, Top1: 0.25, Top5: 1, Loss: 0.5}, EMA: &runlog.Score{N: 10, Top1: 0.5, Top5: 1, Loss: 0.25},
			}},
		},
		Spec: model.Spec{Model: "resnet50", InputSize: 64, Resize: 72, Interpolation: "bilinear", Mean: half, Std: half, Classes: classes},
		Tensors: []model.Tensor{
			model.NewTensor("fc.bias", []int{2}, []float32{1, -2}), model.NewTensor("ema/fc.bias", []int{2}, []float32{0.5, -1}),
			model.NewTensor("opt/mom/fc.bias", []int{2}, []float32{0.25, 0}), model.NewTensor("opt/scalars", []int{3}, []float32{12, 0, 1}),
		},
	}
}

// TestFrozenFiles opens a file of each kind that was ever written, and writes the
// newest again to the byte.
func TestFrozenFiles(t *testing.T) {
	earlier, now := frozen(), frozen()
	now.Position.MadeFrom = Identity{"seed": "7", "batch": "4", "split": "train"}
	for name, want := range map[string]Checkpoint{"v1-without-made-from": earlier, "v1": now} {
		path := filepath.Join("testdata", name+".safetensors")
		got, err := Read(path)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(&want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		written, err := Write(t.TempDir(), want.Position, want.Spec, want.Tensors)
		if err != nil {
			t.Fatal(err)
		}
		a, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(written)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(a, b); diff != "" {
			t.Errorf("%s is written otherwise (-frozen +now):\n%s", name, diff)
		}
	}
}

// TestAnotherVersion: what a later program wrote is refused by its version.
func TestAnotherVersion(t *testing.T) {
	c := frozen()
	c.Position.Version = 2
	path, err := Write(t.TempDir(), c.Position, c.Spec, c.Tensors)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Read(path); err == nil || !strings.Contains(err.Error(), "checkpoint version 2, this program knows 1") {
		t.Errorf("got %v", err)
	}
}
