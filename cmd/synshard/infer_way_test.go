package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/synshard/synshard/infer/trial"
	"github.com/synshard/synshard/internal/native/nativetest"
)

// trials are the files of what is remembered.
func (b *inferBed) trials() []string {
	b.t.Helper()
	files, err := filepath.Glob(filepath.Join(os.Getenv("XDG_CACHE_HOME"), "synshard", "trials", "*.json"))
	check(b.t, err)
	return files
}

// way runs infer over a few images, or those on stdin, and gives how the network was run.
func (b *inferBed) way(args ...string) (w way, talk string) {
	b.t.Helper()
	text, talk := b.infer(0, "", append([]string{b.images, "--json"}, args...)...)
	var r struct{ Way way }
	check(b.t, json.Unmarshal([]byte(text), &r))
	return r.Way, talk
}

// bench makes the trial of the bed's model, too short to choose another way by.
func (b *inferBed) bench() (found trial.Result) {
	b.t.Helper()
	var out, talk bytes.Buffer
	args := []string{"bench", "infer", b.model, "--ort-lib", b.lib, "--classes", b.classes, "--resize", "40", "--batches", "1", "--runs", "1", "--max", "10ms", "--json", "--progress", "off"}
	if code := run(args, nil, &out, &talk); code != 0 {
		b.t.Fatalf("exit code %d: %s", code, &talk)
	}
	var r struct{ Trial *trial.Result }
	check(b.t, json.Unmarshal(out.Bytes(), &r))
	if r.Trial == nil {
		b.t.Fatalf("no trial: %s", &out)
	}
	return *r.Trial
}

// choose has a way remembered in place of the one that a trial found.
func (b *inferBed) choose(engine string, batch int) {
	b.t.Helper()
	for _, path := range b.trials() {
		text, err := os.ReadFile(path)
		check(b.t, err)
		var f map[string]any
		check(b.t, json.Unmarshal(text, &f))
		chosen := f["result"].(map[string]any)["chosen"].(map[string]any)
		chosen["engine"], chosen["batch"], chosen["threads"], chosen["runs"] = engine, batch, 1, 1
		text, err = json.Marshal(f)
		check(b.t, err)
		check(b.t, os.WriteFile(path, text, 0o666))
	}
}

// TestInferTrial: a few images are no reason for a trial, unless it is asked for; what one found
// is taken from then on, a file that is damaged or of something else is not believed, and
// where nothing can be remembered that is said.
func TestInferTrial(t *testing.T) {
	b := newInferBed(t)
	if w, talk := b.way("--out", b.at("a.arrow")); w.Why != "default" || w.Engine != "onnx" || w.Batch != 8 || len(b.trials()) != 0 || strings.Contains(talk, "trying") {
		t.Errorf("a few images: %+v, %q\n%s", w, b.trials(), talk)
	}
	found := b.bench()
	if len(found.Tried) == 0 || found.Chosen.Engine != "onnx" || len(b.trials()) != 1 {
		t.Errorf("found %+v, remembered in %q", found, b.trials())
	}
	w, talk := b.way("--out", b.at("b.arrow"))
	if w.Why != "remembered" || w.Way != found.Chosen.Way || !strings.Contains(talk, "remembered from an earlier trial") {
		t.Errorf("after bench infer: %+v\n%s", w, talk)
	}
	b.choose("onnx", 3)
	if w, _ := b.way("--out", b.at("c.arrow")); w.Why != "remembered" || w.Batch != 3 {
		t.Errorf("remembered with batch 3: %+v", w)
	}
	// What is asked for is, whatever is remembered; an output goes on as it began.
	if w, _ := b.way("--out", b.at("d.arrow"), "--engine", "onnx"); w.Why != "asked" || w.Batch != 8 {
		t.Errorf("--engine onnx: %+v", w)
	}
	if w, _ := b.way("--out", b.at("e.arrow"), "--batch", "2"); w.Why != "default" || w.Batch != 2 {
		t.Errorf("--batch 2: %+v", w)
	}
	if w, _ := b.way("--out", b.at("a.arrow")); w.Why != "begun" || w.Batch != 8 {
		t.Errorf("an output of batch 8: %+v", w)
	}
	b.choose("torch", 3)
	if w, talk := b.way("--out", b.at("f.arrow")); w.Why != "default" || !strings.Contains(talk, "is not believed") {
		t.Errorf("a way that cannot be chosen: %+v\n%s", w, talk)
	}
}

// TestInferTrialAsked: --batch auto has a trial made for few images, too, and shown.
func TestInferTrialAsked(t *testing.T) {
	if testing.Short() {
		t.Skip("tries ways for seconds")
	}
	b := newInferBed(t)
	t.Setenv("XDG_CACHE_HOME", "/proc/none")
	w, talk := b.way("--out", b.at("a.arrow"), "--engine", "onnx", "--batch", "auto")
	if w.Why != "tried" || !strings.Contains(talk, "tried onnx, ") || !strings.Contains(talk, "found in a trial") || strings.Count(talk, "is not remembered") != 1 {
		t.Errorf("%+v\n%s", w, talk)
	}
	if w, _ := b.way("--out", b.at("a.arrow"), "--engine", "onnx", "--batch", "auto"); w.Why != "begun" {
		t.Errorf("again: %+v", w)
	}
	for _, flags := range [][]string{{"--batch", "auto"}, {"--engine", "auto"}} {
		if _, talk := b.infer(exitUsage, "", append(flags, b.images, "--job", "0/2", "--out", b.at("job.arrow"))...); !strings.Contains(talk, "--job") {
			t.Errorf("%q as a job: %s", flags, talk)
		}
	}
}

// TestInferGoesOnAsItBegan ends a run with one engine in the middle and has another remembered:
// it goes on with the first, to the bytes of one that was left alone.
func TestInferGoesOnAsItBegan(t *testing.T) {
	if testing.Short() {
		t.Skip("predicts over thousands of images")
	}
	b := newInferBed(t)
	nativetest.OpenVINO(t)
	var tried []string
	for _, x := range b.bench().Tried { // the real engines, which agree
		if tried = append(tried, x.Engine); x.LeftOut != "" || !(x.PerSecond > 0) {
			t.Errorf("tried: %s", x)
		}
	}
	if engines := strings.Join(tried, " "); !strings.HasPrefix(engines, "onnx ") || !strings.Contains(engines, " openvino") {
		t.Errorf("tried %s", engines)
	}
	b.choose("openvino", 8)
	whole := b.at("whole.arrow")
	b.infer(0, b.long, "-", "--out", whole)
	if file, err := os.ReadFile(whole); err != nil || !bytes.Contains(file, []byte("openvino cpu")) {
		t.Fatalf("what is remembered was not taken: %v", err)
	}
	out := b.at("killed.arrow")
	cmd := b.command(b.long, "-", "--out", out)
	cmd.Stderr = io.Discard
	check(t, cmd.Start())
	begun(t, out, 1)
	check(t, cmd.Process.Kill())
	cmd.Wait() // by a signal
	b.choose("onnx", 4)
	text, _ := b.infer(0, b.long, "-", "--out", out, "--json")
	if strings.Contains(text, `"kept": 0`) || !strings.Contains(text, `"why": "begun"`) || !strings.Contains(text, `"engine": "openvino"`) {
		t.Errorf("gone on: %s", text)
	}
	b.same("whole.arrow", "killed.arrow")
	if text, _ := b.infer(0, b.long, "-", "--out", whole); !strings.Contains(text, "nothing to do") {
		t.Errorf("the whole again: %s", text)
	}
	if _, talk := b.infer(1, b.long, "-", "--out", whole, "--engine", "onnx"); !strings.Contains(talk, "backend is openvino cpu, not cpu") {
		t.Errorf("by another engine: %s", talk)
	}
}
