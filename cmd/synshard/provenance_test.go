package main

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/weights"
	"github.com/synshard/synshard/train/checkpoint"
)

// TestProvenance follows predictions to the archives: through the model beside them, which says
// what it was made from, and the dataset, and sees what was changed.
func TestProvenance(t *testing.T) {
	if testing.Short() {
		t.Skip("trains")
	}
	lib, dir := needORT(t), t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	runVerb(t, 0, "sample", "--out", at("archives"), "--train-per-synset", "2", "--val-per-synset", "1", "--test-images", "1", "--progress", "off")
	runVerb(t, 0, "ingest", at("archives"), "--out", at("set"), "--progress", "off")
	train := smallRun(t, at("set"), at("run"), "--epochs", "1", "--dropout", "0", "--batch", "8")
	runVerb(t, 0, train...)
	runVerb(t, 0, "infer", at("run/model.onnx"), at("set"), "--split", "val", "--out", at("run/val.csv.gz"), "--ort-lib", lib, "--progress", "off")
	out, _ := runVerb(t, 0, "provenance", at("run/val.csv.gz"), at("set"), "--check")
	for _, want := range []string{"val.csv.gz  predictions  sha256 ", "made from model googlenet  sha256 ", ": " + at("run/model.onnx"), "made from dataset val/index.arrow", ": " + at("set"),
		"made from source ILSVRC2012_img_val.tar", "made by", "libtorch", "optimizer", "command ", "synshard train " + at("set"), "ok     " + at("set/train/index.arrow")} {
		if !strings.Contains(out, want) {
			t.Errorf("nothing of %q in\n%s", want, out)
		}
	}
	// A model that has changed is none that the predictions were made from.
	changed := at("changed.onnx")
	b, err := os.ReadFile(at("run/model.onnx"))
	check(t, err)
	check(t, os.WriteFile(changed, append(b, 0x7a, 0), 0o666)) // an empty field that no reader knows
	if out, stderr := runVerb(t, exitCorrupt, "provenance", at("run/val.csv.gz"), changed, "--check"); strings.Contains(out, "OTHER") || !strings.Contains(stderr, "nothing here was made from "+changed) {
		t.Errorf("another model:\n%s%s", out, stderr)
	}
	for _, of := range []string{"run/val.csv.gz", "run/model.onnx"} { // in the run that is named
		if _, stderr := runVerb(t, 0, "provenance", at(of), at("run"), at("set"), "--check"); stderr != "" {
			t.Errorf("%s: %s", of, stderr)
		}
	}
	cardOf(t, at, changed)
	// A model of 8 bits says of which it is, and what calibrated it.
	runVerb(t, 0, "model", "quantize", at("run/model.onnx"), at("set"), "--out", at("int8.onnx"), "--images", "2", "--max-drop", "100", "--ort-lib", lib, "--progress", "off")
	out, _ = runVerb(t, 0, "provenance", at("int8.onnx"), at("set"), at("run"))
	for _, want := range []string{"quantize calibration", "made from model fp32  sha256 ", ": " + at("run/model.onnx"), "made from dataset train/index.arrow"} {
		if !strings.Contains(out, want) {
			t.Errorf("nothing of %q in\n%s", want, out)
		}
	}
	// Weights in another form, and the run, say the same.
	runVerb(t, 0, "model", "export", at("run/model.onnx"), "--out", at("other.safetensors"))
	for _, of := range []string{at("other.safetensors"), at("run/best.safetensors"), at("run")} {
		if out, _ := runVerb(t, 0, "provenance", of, at("set")); !strings.Contains(out, "made from dataset train/index.arrow") || !strings.Contains(out, ": "+at("set")) {
			t.Errorf("%s:\n%s", of, out)
		}
	}
	// What an earlier version made, which did not record it, stays as it is.
	before := forget(t, at("run/model.safetensors"))
	if _, stderr := runVerb(t, 0, train...); stderr != "" {
		t.Errorf("over a run of before: %s", stderr)
	}
	after, err := os.ReadFile(at("run/model.safetensors"))
	check(t, err)
	if !bytes.Equal(before, after) {
		t.Error("weights of an earlier version were made anew")
	}
	// A list that is not what the manifest says, and none.
	index := at("set/val/index.arrow")
	flipByte(t, index, 100)
	rows, err := os.ReadFile(at("run/val.csv.gz"))
	check(t, err)
	rows[len(rows)/2] ^= 1
	check(t, os.WriteFile(at("run/val.csv.gz"), rows, 0o666))
	if _, stderr := runVerb(t, exitCorrupt, "provenance", at("run/val.csv.gz"), "--check"); !strings.Contains(stderr, "val.csv.gz: not a sound file of predictions") {
		t.Errorf("predictions that were changed: %s", stderr)
	}
	if out, _ := runVerb(t, exitCorrupt, "provenance", at("set"), "--check"); !strings.Contains(out, "OTHER  "+index) {
		t.Errorf("a flipped byte:\n%s", out)
	}
	check(t, os.Remove(index))
	if out, _ := runVerb(t, exitCorrupt, "provenance", at("set"), "--check"); !strings.Contains(out, "OTHER  "+index) {
		t.Errorf("a lost index:\n%s", out)
	}
	// A dataset that no longer says it.
	check(t, os.Remove(at("set/dataset.json")))
	if out, _ := runVerb(t, 0, "verify", "--repair", at("set")); !strings.Contains(out, "no longer says what the dataset was made from") {
		t.Errorf("repaired without a manifest:\n%s", out)
	}
	runVerb(t, exitCorrupt, "provenance", at("set"))
	check(t, os.WriteFile(at("words.txt"), []byte("no predictions"), 0o666))
	runVerb(t, exitCorrupt, "provenance", at("words.txt"))
	runVerb(t, exitCorrupt, "provenance", at("archives"))
}

// forget takes away what weights say that they were made from, and gives the file's bytes.
func forget(t *testing.T, path string) []byte {
	t.Helper()
	file, err := weights.ReadFile(path, weights.Options{})
	check(t, err)
	f, err := checkpoint.Recorded(file)
	check(t, err)
	if f.MadeFrom == "" || file.Metadata[model.MadeFromKey] != f.MadeFrom {
		t.Errorf("%s says nothing of what it was made from", path)
	}
	f.MadeFrom = ""
	check(t, f.Write(path, "safetensors"))
	b, err := os.ReadFile(path)
	check(t, err)
	return b
}

// cardOf writes the card of a run's model, and holds it to what the run and its predictions say.
func cardOf(t *testing.T, at func(string) string, changed string) {
	t.Helper()
	runVerb(t, 0, "model", "card", at("run/model.onnx"), at("run/val.csv.gz"), "--title", `a "card": 1`, "--out", at("README.md"))
	b, err := os.ReadFile(at("README.md"))
	check(t, err)
	_, front, _ := strings.Cut(string(b), "---\n")
	front, body, _ := strings.Cut(front, "---\n")
	var got struct {
		Library string `yaml:"library_name"`
		Index   []struct {
			Name    string
			Results []struct {
				Metrics []struct {
					Name  string
					Value float64
				}
			}
		} `yaml:"model-index"`
	}
	check(t, yaml.Unmarshal([]byte(front), &got))
	out, _ := runVerb(t, 0, "eval", at("run/val.csv.gz"), "--json", "--no-wordnet")
	var want struct{ Top1, Top5 float64 }
	check(t, json.Unmarshal([]byte(out), &want))
	metrics := got.Index[0].Results[0].Metrics
	if got.Library != "onnx" || got.Index[0].Name != `a "card": 1` || len(metrics) != 2 || metrics[1].Name != "top-5" ||
		math.Abs(metrics[0].Value-want.Top1) > 1e-6 || math.Abs(metrics[1].Value-want.Top5) > 1e-6 {
		t.Errorf("%+v, eval says %+v", got, want)
	}
	for _, want := range []string{"googlenet with ", "uint8 N x 64 x 64 x 3", "| dataset train/index.arrow | sha256 ", "| command | synshard train ", "session.run", "synshard infer model.onnx"} {
		if !strings.Contains(body, want) {
			t.Errorf("nothing of %q in\n%s", want, body)
		}
	}
	if _, stderr := runVerb(t, exitFailure, "model", "card", changed, at("run/val.csv.gz")); !strings.Contains(stderr, "another model's predictions") {
		t.Error(stderr)
	}
	if _, stderr := runVerb(t, exitFailure, "model", "card", "../../infer/ort/testdata/nhwc_uint8.onnx"); !strings.Contains(stderr, "synshard.spec") {
		t.Error(stderr)
	}
}
