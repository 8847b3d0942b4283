package main

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/infer/ort"
	"github.com/synshard/synshard/infer/prediction"
	"github.com/synshard/synshard/infer/trial"
	"github.com/synshard/synshard/internal/native"
	"github.com/synshard/synshard/internal/native/nativetest"
)

// TestInferCheckpoint: a run's checkpoint is predicted with as what model export makes of it, averaged weights and all; what
// takes only ONNX models says what to do with it.
func TestInferCheckpoint(t *testing.T) {
	if testing.Short() {
		t.Skip("trains")
	}
	set, dir := writeTrainSet(t, 8, 9), t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	text, _ := runVerb(t, 0, smallRun(t, set, at("run"), "--epochs", "1", "--set", "ema.decay=0.5")...)
	best, exported := at("run/best.safetensors"), at("exported.onnx")
	runVerb(t, 0, "model", "export", best, "--out", exported)
	probabilities := func(out, model string, flags ...string) []float32 {
		args := append([]string{"infer", model, set, "--top-k", "3", "--probabilities", "all", "--out", at(out), "--ort-lib", needORT(t), "--torch-lib", needEngine(t), "--progress", "off"}, flags...)
		runVerb(t, 0, args...)
		return floatColumn(t, at(out), "probabilities")
	}
	want := probabilities("exported.arrow", exported)
	for _, engine := range []string{"torch", "onnx"} {
		got := probabilities(engine+".arrow", best, "--engine", engine)
		for i := range want {
			if d := math.Abs(float64(got[i] - want[i])); d > 1e-4 {
				t.Fatalf("--engine %s: %v, exported %v", engine, got[i], want[i])
			}
		}
	}
	// Of three classes there are three first predictions, whoever counts.
	predicted, _ := runVerb(t, 0, "infer", exported, set, "--out", at("five.arrow"), "--ort-lib", needORT(t), "--progress", "off")
	measured, _ := runVerb(t, 0, "eval", at("five.arrow"), "--no-wordnet")
	for verb, text := range map[string]string{"train": text, "infer": predicted, "eval": measured} {
		if !strings.Contains(text, "top-3") || strings.Contains(text, "top-5") {
			t.Errorf("%s: %s", verb, text)
		}
	}
	pth := at("x.pth")
	runVerb(t, 0, "model", "export", best, "--out", pth)
	for file, want := range map[string]string{best: "model export", pth: "model import"} {
		if _, talk := runVerb(t, exitUsage, "model", "quantize", file, set, "--out", at("int8.onnx")); !strings.Contains(talk, "it has weights") || !strings.Contains(talk, want) {
			t.Errorf("quantize %s: %s", file, talk)
		}
	}
	if _, talk := runVerb(t, exitUsage, "infer", pth, set, "--ort-lib", needORT(t)); !strings.Contains(talk, "model import") {
		t.Errorf("infer of a .pth: %s", talk)
	}
}

// TestInferEngineTorch: the training engine predicts what ONNX Runtime does,
// row for row, of a run of any width.
func TestInferEngineTorch(t *testing.T) {
	if testing.Short() {
		t.Skip("trains")
	}
	set, dir := writeTrainSet(t, 8, 9), t.TempDir()
	out := filepath.Join(dir, "run")
	runVerb(t, 0, smallRun(t, set, out, "--epochs", "1")...)
	a, b := filepath.Join(dir, "torch.arrow"), filepath.Join(dir, "onnx.arrow")
	runVerb(t, 0, "infer", filepath.Join(out, "model.safetensors"), set, "--engine", "torch", "--torch-lib", needEngine(t), "--top-k", "3", "--logits", "--embedding", "--out", a, "--progress", "off")
	runVerb(t, 0, "infer", filepath.Join(out, "model.onnx"), set, "--ort-lib", needORT(t), "--top-k", "3", "--logits", "--embedding", "--out", b, "--progress", "off")
	// How it computes is part of what predictions are known by.
	if file, err := os.ReadFile(a); err != nil || !bytes.Contains(file, []byte("torch folded whole cpu fp32")) {
		t.Errorf("the engine is not said: %v", err)
	}
	x, err := prediction.Read(a, nil)
	check(t, err)
	y, err := prediction.Read(b, nil)
	check(t, err)
	if diff := cmp.Diff([]int{9, 9}, []int{x.Len(), y.Len()}); diff != "" {
		t.Fatalf("rows of either engine (-want +got):\n%s", diff)
	}
	type rows struct {
		Paths []string
		Truth []int32
	}
	if diff := cmp.Diff(rows{y.Paths, y.Truth}, rows{x.Paths, x.Truth}); diff != "" {
		t.Errorf("rows (-ONNX Runtime +engine):\n%s", diff)
	}
	for i := range x.Prob {
		if d := math.Abs(float64(x.Prob[i] - y.Prob[i])); d > 1e-4 {
			t.Errorf("%s: probability %v by the engine, %v by ONNX Runtime", x.Paths[i/3], x.Prob[i], y.Prob[i])
		}
	}
	for _, column := range []string{"logits", "embedding"} {
		p, q := floatColumn(t, a, column), floatColumn(t, b, column)
		if len(p) != len(q) || len(p) < 9*3 {
			t.Fatalf("%s: %d values by the engine, %d by ONNX Runtime", column, len(p), len(q))
		}
		for i := range p {
			if d := math.Abs(float64(p[i] - q[i])); d > 1e-3*max(1, math.Abs(float64(q[i]))) {
				t.Fatalf("%s: value %d is %v by the engine, %v by ONNX Runtime", column, i, p[i], q[i])
			}
		}
	}
	eitherForm(t, set, out)
}

// eitherForm: each engine runs a run's weights and its ONNX model, and gives the same of both; a trial has both engines
// for both; and what one began it goes on with.
func eitherForm(t *testing.T, set, run string) {
	t.Helper()
	t.Setenv("XDG_CACHE_HOME", t.TempDir()) // no trial is remembered
	libs := []string{"--ort-lib", needORT(t), "--torch-lib", needEngine(t), "--progress", "off"}
	byEngine := map[string][]float32{}
	for _, engine := range []string{"onnx", "torch"} {
		for _, form := range []string{"model.safetensors", "model.onnx"} {
			out := filepath.Join(t.TempDir(), "p.arrow")
			args := append([]string{"infer", filepath.Join(run, form), set, "--out", out, "--json"}, libs...)
			runVerb(t, 0, append(args, "--engine", engine)...)
			p, err := prediction.Read(out, nil)
			check(t, err)
			if byEngine[engine] == nil {
				byEngine[engine] = p.Prob
			}
			for i, want := range byEngine[engine] {
				if d := math.Abs(float64(p.Prob[i] - want)); d > 1e-6 {
					t.Errorf("%s on %s: probability %v, and %v of the other form", engine, form, p.Prob[i], want)
				}
			}
			text, _ := runVerb(t, 0, args...)
			var r struct{ Way way }
			check(t, json.Unmarshal([]byte(text), &r))
			if r.Way.Why != "begun" || r.Way.Engine != engine {
				t.Errorf("an output of %s goes on by %+v", engine, r.Way)
			}
			// What is said of the model beside it is not left out for an output that the other engine began.
			said := map[string]string{"model.onnx": "--resize=80", "model.safetensors": "--precision=bf16"}[form]
			if _, talk := runVerb(t, exitFailure, append(args, said)...); !strings.Contains(talk, "--overwrite replaces") {
				t.Errorf("an output of %s, with %s: %s", engine, said, talk)
			}
		}
	}
	if n := ort.PerRun("cpu with 3 threads a run exported"); n != 3 { // of weights, as openExported calls it
		t.Errorf("%d threads a run", n)
	}
	other := filepath.Join(t.TempDir(), "other.arrow")
	runVerb(t, 0, append([]string{"infer", filepath.Join(run, "model.onnx"), set, "--out", other, "--engine", "torch"}, libs...)...)
	foreign, classes := "../../infer/ort/testdata/nhwc_uint8.onnx", filepath.Join(t.TempDir(), "classes.txt")
	check(t, os.WriteFile(classes, []byte("ant\nbee\ncat\ndog\nelk\n"), 0o666))
	if _, talk := runVerb(t, exitFailure, append([]string{"infer", foreign, set, "--classes", classes, "--out", other}, libs...)...); !strings.Contains(talk, "--overwrite replaces") {
		t.Errorf("another model at an output of the training engine: %s", talk)
	}
	for form, first := range map[string]string{"model.safetensors": "torch", "model.onnx": "onnx"} {
		text, _ := runVerb(t, 0, append([]string{"bench", "infer", filepath.Join(run, form), "--batches", "1", "--runs", "1", "--max", "10ms", "--json"}, libs...)...)
		var r struct{ Trial *trial.Result }
		check(t, json.Unmarshal([]byte(text), &r))
		tried := map[string]bool{}
		for _, x := range r.Trial.Tried {
			if tried[x.Engine] = true; x.LeftOut != "" {
				t.Errorf("%s: tried %s", form, x)
			}
		}
		if !tried["torch"] || !tried["onnx"] || r.Trial.Tried[0].Engine != first {
			t.Errorf("%s: tried %v", form, r.Trial.Tried)
		}
	}
	for _, not := range []string{foreign, classes} {
		runVerb(t, exitUsage, append([]string{"infer", not, set, "--engine", "torch"}, libs...)...)
	}
	runVerb(t, exitUsage, append([]string{"infer", filepath.Join(run, "model.safetensors"), set, "--engine", "onnx", "--resize", "80"}, libs...)...)
	runVerb(t, exitUsage, append([]string{"infer", filepath.Join(run, "model.safetensors"), set, "--provider", "cpu"}, libs...)...)
	t.Run("one library set up", func(t *testing.T) {
		for _, key := range native.Variables {
			t.Setenv(key, "")
		}
		every := libs
		for form, only := range map[string]string{"model.safetensors": "onnx", "model.onnx": "torch"} {
			libs := map[string][]string{"onnx": every[:2], "torch": every[2:4]}[only]
			out := filepath.Join(t.TempDir(), "p.arrow")
			args := append([]string{"infer", filepath.Join(run, form), set, "--out", out, "--progress", "off", "--json"}, libs...)
			text, talk := runVerb(t, 0, args...)
			var r struct{ Way way }
			check(t, json.Unmarshal([]byte(text), &r))
			if r.Way.Engine != only || !strings.Contains(talk, "is run by --engine "+only) {
				t.Errorf("%s by %+v: %s", form, r.Way, talk)
			}
			p, err := prediction.Read(out, nil)
			check(t, err)
			for i, want := range byEngine[only] {
				if d := math.Abs(float64(p.Prob[i] - want)); d > 1e-6 {
					t.Errorf("%s on %s: probability %v, and %v of the other form", only, form, p.Prob[i], want)
				}
			}
			// Who names an engine or a library has that one, what the other cannot do is not left out, jobs are alike, and
			// an output goes on with the engine that began it.
			own := map[string]string{"onnx": "torch", "torch": "onnx"}[only]
			flag := map[string]string{"onnx": "--precision=bf16", "torch": "--resize=80"}[only]
			lib := map[string]string{"onnx": "--torch-lib=", "torch": "--ort-lib="}[only] + out
			for _, said := range []string{"--engine=" + own, flag, lib + "x", "--job=1/2"} {
				runVerb(t, exitNative, append(args, "--overwrite", said)...)
			}
			runVerb(t, exitNative, "infer", filepath.Join(run, form), set, "--out", out, "--progress", "off")
			runVerb(t, 0, append([]string{"infer", filepath.Join(run, form), set, "--out", out, "--overwrite", "--engine", own}, every...)...)
			if _, talk := runVerb(t, exitNative, args...); !strings.Contains(talk, "was begun by --engine "+own) {
				t.Error(talk)
			}
			bench := append([]string{"bench", "infer", filepath.Join(run, form), "--batches", "1", "--runs", "1", "--max", "10ms"}, libs...)
			if text, talk := runVerb(t, 0, bench...); !strings.Contains(talk, "is run by --engine "+only) || !strings.Contains(text, "'infer' takes "+only) {
				t.Errorf("%s: %s", talk, text)
			}
			if only == "torch" { // which finds OpenVINO to try, or what was named in its place
				if _, talk := runVerb(t, exitNative, append(bench, "--openvino-lib="+out+"x")...); !strings.Contains(talk, "OpenVINO") {
					t.Error(talk)
				}
			}
		}
		runVerb(t, exitNative, append([]string{"infer", foreign, set, "--classes", classes, "--out", other, "--overwrite"}, every[2:]...)...)
		if _, talk := runVerb(t, exitNative, append([]string{"infer", filepath.Join(run, "model.safetensors"), set, "--device", "cuda"}, every[:2]...)...); !strings.Contains(talk, "training engine") {
			t.Error(talk)
		}
	})
	t.Run("OpenVINO", func(t *testing.T) {
		nativetest.OpenVINO(t)
		for _, form := range []string{"model.safetensors", "model.onnx"} { // beside the training engine, without ONNX Runtime
			t.Setenv("SYNSHARD_ORT_LIB", filepath.Join(run, "not-there"))
			args := []string{"bench", "infer", filepath.Join(run, form), "--batches", "1", "--runs", "1", "--max", "10ms"}
			if form == "model.onnx" {
				t.Setenv("SYNSHARD_ORT_LIB", "")
				t.Setenv("ONNXRUNTIME_SHARED_LIBRARY_PATH", "")
			}
			if text, talk := runVerb(t, 0, append(args, libs[2:]...)...); !strings.Contains(text, "tried openvino") {
				t.Errorf("%s: %s, %s", form, text, talk)
			}
		}
		args := []string{"bench", "infer", filepath.Join(run, "model.safetensors"), "--engine", "openvino", "--batches", "1,3", "--runs", "1", "--max", "10ms"}
		if text, _ := runVerb(t, 0, append(args, libs[4:]...)...); !strings.Contains(text, "openvino") {
			t.Error(text)
		}
	})
}

// floatColumn is all values of a column of lists.
func floatColumn(t *testing.T, path, name string) (out []float32) {
	t.Helper()
	f, err := os.Open(path)
	check(t, err)
	defer f.Close()
	r, err := ipc.NewFileReader(f)
	check(t, err)
	defer r.Close()
	at := r.Schema().FieldIndices(name)
	if len(at) != 1 {
		t.Fatalf("%s has no column %s", path, name)
	}
	for i := range r.NumRecords() {
		rec, err := r.Record(i)
		check(t, err)
		out = append(out, rec.Column(at[0]).(*array.FixedSizeList).ListValues().(*array.Float32).Float32Values()...)
	}
	return out
}
