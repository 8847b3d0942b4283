package main

import (
	"math"
	"path/filepath"
	"testing"

	"synshard/infer"
)

// TestInferEngineTorch: the training engine predicts what ONNX Runtime does,
// row for row.
func TestInferEngineTorch(t *testing.T) {
	if testing.Short() {
		t.Skip("trains")
	}
	set, dir := writeTrainSet(t, 8, 9), t.TempDir()
	out := filepath.Join(dir, "run")
	runVerb(t, 0, smallRun(t, set, out, "--epochs", "1", "--width", "1")...)
	a, b := filepath.Join(dir, "torch.arrow"), filepath.Join(dir, "onnx.arrow")
	runVerb(t, 0, "infer", filepath.Join(out, "model.safetensors"), set, "--engine", "torch", "--torch-lib", needEngine(t), "--top-k", "3", "--out", a, "--progress", "off")
	runVerb(t, 0, "infer", filepath.Join(out, "model.onnx"), set, "--ort-lib", needORT(t), "--top-k", "3", "--out", b, "--progress", "off")
	x, err := infer.ReadPredictions(a, nil)
	check(t, err)
	y, err := infer.ReadPredictions(b, nil)
	check(t, err)
	if x.Len() != 9 || x.Len() != y.Len() {
		t.Fatalf("%d rows and %d", x.Len(), y.Len())
	}
	for i := range x.Prob {
		if d := math.Abs(float64(x.Prob[i] - y.Prob[i])); d > 1e-4 || x.Paths[i/3] != y.Paths[i/3] || x.Truth[i/3] != y.Truth[i/3] {
			t.Errorf("%s: probability %v by the engine, %v by ONNX Runtime", x.Paths[i/3], x.Prob[i], y.Prob[i])
		}
	}
}
