package main

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/synshard/synshard/infer"
	"github.com/synshard/synshard/infer/classifier"
	"github.com/synshard/synshard/model/quantize"
)

func TestModelQuantizeRefuses(t *testing.T) {
	dir := t.TempDir()
	at := func(name, text string) string {
		path := filepath.Join(dir, name)
		check(t, os.WriteFile(path, []byte(text), 0o666))
		return path
	}
	garbage, empty := at("garbage.onnx", "no model, but words"), at("empty.onnx", "")
	out := filepath.Join(dir, "out.onnx")
	for _, c := range []struct {
		code int
		want string
		args []string
	}{
		{2, "--method \"mean\": want mse", []string{garbage, dir, "--method", "mean"}},
		{2, "held out", []string{garbage, dir, "--eval-split", "train"}},
		{2, "--activations", []string{garbage, dir, "--activations", "int4"}},
		{2, "--images", []string{garbage, dir, "--images", "0"}},
		{2, "--max-drop -1", []string{garbage, dir, "--max-drop", "-1"}},
		{2, "--max-drop NaN", []string{garbage, dir, "--max-drop", "nan"}},
		{2, "percentile", []string{garbage, dir, "--method", "percentile", "--percentile", "101"}},
		{1, "garbage.onnx: quantize: ", []string{garbage, dir}},
		{1, "empty.onnx: quantize: ", []string{empty, dir}},
		{2, "is the model itself", []string{garbage, dir, "--out", garbage}},
		{1, "absent.onnx", []string{filepath.Join(dir, "absent.onnx"), dir}},
	} {
		code, stdout, stderr := verb(append([]string{"model", "quantize", "--out", out}, c.args...)...)
		if code != c.code || stdout != "" || !strings.Contains(stderr, c.want) {
			t.Errorf("%q: exit code %d, %q\n%s", c.args, code, stdout, stderr)
		}
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("a file was written")
	}
}

// TestModelQuantize quantises a model that synshard trained, in
// SYNSHARD_TEST_DEMO, by every method, and holds it to half a point of top-1.
func TestModelQuantize(t *testing.T) {
	demo := os.Getenv("SYNSHARD_TEST_DEMO")
	if demo == "" {
		t.Skip("needs what make demo leaves behind, its directory in SYNSHARD_TEST_DEMO")
	}
	for _, method := range quantize.Calibrations {
		out := filepath.Join(t.TempDir(), "int8.onnx")
		code, stdout, stderr := verb("model", "quantize", filepath.Join(demo, "run", "model.onnx"), filepath.Join(demo, "dataset"),
			"--out", out, "--method", method, "--images", "32", "--max-drop", "0.5", "--json", "--progress", "off")
		if code != 0 {
			t.Fatalf("%s: exit code %d\n%s", method, code, stderr)
		}
		var r quantized
		check(t, json.Unmarshal([]byte(stdout), &r))
		if r.Images != 32 || r.N == 0 || r.Tensors < 100 || r.Bytes*3 > r.BytesFP32 {
			t.Errorf("%s: %+v", method, r)
		}
		if !r.Written || r.Change < -0.0051 || math.Abs(r.Top1B-r.Top1A-r.Change) > 1e-9 {
			t.Errorf("%s: top-1 %.4f, fp32 %.4f", method, r.Top1B, r.Top1A)
		}
	}
}

// TestModelQuantizeSpec: what was said of a model that does not say it is in the model of 8 bits.
func TestModelQuantizeSpec(t *testing.T) {
	b := newInferBed(t)
	out := b.at("int8.onnx")
	spec := b.put("spec.json", `{"input_size": 32, "resize": 40, "interpolation": "bicubic", "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "classes": ["ant", "bee", "cat", "dog", "elk"]}`)
	runVerb(t, 0, "model", "quantize", filepath.Join(b.images, "nhwc_float.onnx"), "../../shard/testdata/v1", "--spec", spec, "--resize", "36",
		"--out", out, "--images", "2", "--max-drop", "100", "--ort-lib", b.lib, "--progress", "off")
	text, _ := runVerb(t, 0, "infer", out, b.images, "--format", "ndjson", "--ort-lib", b.lib, "--progress", "off")
	if strings.Count(text, "\n") != 6 {
		t.Errorf("its predictions: %s", text)
	}
	c, err := classifier.Describe(out, classifier.Choice{})
	check(t, err)
	if c.Spec == nil || c.Spec.Resize != 36 || c.Spec.Interpolation != "bicubic" || c.Spec.Mean != [3]float64{0.5, 0.5, 0.5} || len(c.Spec.Classes) != 5 {
		t.Errorf("its Spec: %+v", c.Spec)
	}
}

// TestQuantizedLoses: a loss above the bound is an error that says what else there is, and
// one of the bound itself is none.
func TestQuantizedLoses(t *testing.T) {
	f := quantizeOptions{out: "q.onnx", evalSplit: "val", images: 32, maxDrop: 1.5, calibrator: quantize.Calibrator{Method: "mse"}}
	r := quantized{Agreement: infer.Agreement{N: 200, Top1A: 0.9, Top1B: 0.885, Change: -0.015}, Images: 32}
	if err := f.lost(r, 32); err != nil {
		t.Errorf("3 of 200 lost, 1.5 allowed: %v", err)
	}
	f.maxDrop = 1.4
	err := f.lost(r, 32)
	for _, want := range []string{"loses 1.50 points", "--max-drop allows 1.4", "q.onnx is not written", "--method minmax, entropy or percentile", "--images 32"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: want %q", err, want)
		}
	}
	r.RateA, r.RateB = 100, 90
	if got := r.speed(); !strings.Contains(got, "0.90 times") || !strings.Contains(got, "does not pay") {
		t.Errorf("slower: %s", got)
	}
	if r.RateB = 250; strings.Contains(r.speed(), "does not pay") {
		t.Errorf("faster: %s", r.speed())
	}
}
