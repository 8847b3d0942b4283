package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/internal/raced"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/modeltest"
	"github.com/synshard/synshard/model/onnx"
	"github.com/synshard/synshard/model/weights"
	"github.com/synshard/synshard/model/weights/pth"
	"github.com/synshard/synshard/train/checkpoint"
)

// verb runs a command line in this process.
func verb(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(args, strings.NewReader(""), &out, &errs)
	return code, out.String(), errs.String()
}

// foreignWeights writes GoogLeNet's fresh weights as a .pth of four classes,
// as somebody else's would be.
func foreignWeights(t *testing.T, dir string) (path string, values []model.Tensor) {
	t.Helper()
	n, err := model.New("googlenet", model.Options{Classes: 4, Aux: true, Dropout: -1})
	check(t, err)
	values, err = n.InitAs("he", 3)
	check(t, err)
	for i, x := range values { // statistics that a lost one would show
		if strings.HasSuffix(x.Name, "running_mean") || strings.HasSuffix(x.Name, "bn.bias") {
			floats, err := x.Floats()
			check(t, err)
			for k := range floats {
				floats[k] = float32(k%7) / 8
			}
			values[i] = model.NewTensor(x.Name, x.Shape, floats)
		}
	}
	path = filepath.Join(dir, "foreign.pth")
	var b bytes.Buffer
	check(t, pth.Write(&b, values))
	check(t, os.WriteFile(path, b.Bytes(), 0o666))
	return path, values
}

func TestModelConvert(t *testing.T) {
	raced.Skip(t, "one goroutine does it all")
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	pth, values := foreignWeights(t, dir)
	check(t, os.WriteFile(at("classes.txt"), []byte("n02129604\nn02391049\nn07747607\nn07749582\n"), 0o666))

	steps := [][]string{
		{"import", pth, "--classes", at("classes.txt"), "--resize", "230", "--out", at("ours.safetensors")},
		{"export", at("ours.safetensors"), "--out", at("back.pth")},
		{"export", at("ours.safetensors"), "--out", at("model.onnx")},
		{"import", at("model.onnx"), "--out", at("unfolded.safetensors")},
		{"export", at("unfolded.safetensors"), "--out", at("again.onnx")},
	}
	for _, s := range steps {
		if code, _, stderr := verb(append([]string{"model"}, s...)...); code != 0 {
			t.Fatalf("model %s: exit %d: %s", strings.Join(s, " "), code, stderr)
		}
	}
	for _, file := range []string{"ours.safetensors", "back.pth"} {
		read, err := weights.ReadFile(at(file), weights.Options{})
		check(t, err)
		got, meta := read.Tensors, read.Metadata
		if diff := cmp.Diff(modeltest.Sums(values), modeltest.Sums(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", file, diff)
		}
		if file == "ours.safetensors" {
			spec, err := model.ParseSpec(meta[model.SpecKey])
			check(t, err)
			type kept struct {
				Model           string
				Resize, Classes int
				Red             float64
			}
			if diff := cmp.Diff(kept{"googlenet", 230, 4, 0.5}, kept{spec.Model, spec.Resize, len(spec.Classes), spec.Mean[0]}); diff != "" {
				t.Errorf("spec (-want +got):\n%s", diff)
			}
		}
	}
	a, _, err := onnx.ReadWeights(at("model.onnx"))
	check(t, err)
	b, _, err := onnx.ReadWeights(at("again.onnx"))
	check(t, err)
	if worst := apart(t, a, b); !(worst <= 1e-6) {
		t.Errorf("weights differ by %g after the way there and back", worst)
	}
}

func TestModelConvertRefuses(t *testing.T) {
	raced.Skip(t, "one goroutine does it all")
	dir := t.TempDir()
	path, values := foreignWeights(t, dir)
	out := filepath.Join(dir, "out.safetensors")
	var b bytes.Buffer
	check(t, pth.Write(&b, append(values, model.NewTensor("inception5c.branch1.conv.weight", []int{1}, []float32{1}))))
	deeper := filepath.Join(dir, "deeper.pth")
	check(t, os.WriteFile(deeper, b.Bytes(), 0o666))
	three := filepath.Join(dir, "three.txt")
	check(t, os.WriteFile(three, []byte("a\nb\nc\n"), 0o666))
	four := filepath.Join(dir, "four.txt")
	check(t, os.WriteFile(four, []byte("a\nb\nc\nd\n"), 0o666))
	twice := filepath.Join(dir, "twice.txt")
	check(t, os.WriteFile(twice, []byte("a\nb\na\n"), 0o666))
	for _, c := range []struct {
		code int
		say  string
		args []string
	}{
		{exitUsage, "give --classes", []string{"import", path, "--out", out}},
		{exitFailure, "want [3 1024]", []string{"import", path, "--classes", three, "--out", out}},
		{exitFailure, "line 3", []string{"import", path, "--classes", twice, "--out", out}},
		{exitFailure, "features.0.weight", []string{"import", path, "--model", "alexnet", "--classes", three, "--out", out}},
		{exitFailure, "no place for, inception5c.branch1.conv.weight: they are of another network", []string{"import", deeper, "--classes", twice, "--out", out}},
		{exitFailure, "no place for, inception5c.branch1.conv.weight: they are of another network", []string{"import", deeper, "--model", "googlenet", "--classes", four, "--out", out}},
		{exitUsage, "nosuch", []string{"import", path, "--model", "nosuch", "--classes", three, "--out", out}},
		{exitUsage, "want one or three", []string{"import", path, "--classes", three, "--mean", "0.5,0.5", "--out", out}},
		{exitUsage, "mean 0.4863,0.4549,0.4078", []string{"import", path, "--classes", three, "--mean", "124,116,104", "--out", out}},
		{exitUsage, "-1", []string{"import", path, "--classes", three, "--resize", "-1", "--out", out}},
		{exitFailure, "twice.txt: safetensors: malformed", []string{"import", twice, "--classes", three, "--out", out}},
		{exitFailure, "synshard.spec", []string{"export", path, "--out", filepath.Join(dir, "x.onnx")}},
		{exitUsage, "not one of pth", []string{"export", path, "--out", filepath.Join(dir, "x.bin")}},
		{exitFailure, "no such file", []string{"export", filepath.Join(dir, "gone.safetensors"), "--out", filepath.Join(dir, "x.pth")}},
	} {
		code, _, stderr := verb(append([]string{"model"}, c.args...)...)
		if code != c.code || !strings.Contains(stderr, c.say) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("model %s: exit %d, %q; want %d and %q", strings.Join(c.args, " "), code, stderr, c.code, c.say)
		}
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("something refused left a file")
	}
}

// TestTorchReadsPTH loads what is written here with torch.load.
func TestTorchReadsPTH(t *testing.T) {
	python := os.Getenv("SYNSHARD_TEST_PYTHON")
	if python == "" {
		python = "python3"
	}
	if err := exec.Command(python, "-c", "import torch").Run(); err != nil {
		t.Skipf("needs a Python with torch (SYNSHARD_TEST_PYTHON): %v", err)
	}
	pth, values := foreignWeights(t, t.TempDir())
	cmd := exec.Command(python, "-c", `import sys, torch
d = torch.load(sys.argv[1], weights_only=True)
print(len(d), *d["conv1.conv.weight"].shape, d["conv1.bn.bias"][3].item())`, pth)
	cmd.Stderr = os.Stderr
	got, err := cmd.Output()
	check(t, err)
	if want := fmt.Sprintf("%d 64 3 7 7 0.375\n", len(values)); string(got) != want {
		t.Errorf("torch sees %q, want %q", got, want)
	}
}

func TestModelDescribe(t *testing.T) {
	svg := filepath.Join(t.TempDir(), "a.svg")
	for _, c := range []struct {
		say  string
		args []string
	}{
		{"fc  ", []string{"describe", "inception_v3"}},
		{"\"receptive_field\": [\n", []string{"describe", "vgg16", "--json"}},
		{"120422400  12443648", []string{"describe", "googlenet", "--savings"}},
		{"\"plain_weights\": 307200", []string{"describe", "inception_v3", "--savings", "--json"}},
		{"</svg>", []string{"describe", "alexnet", "--out", "-"}},
		{"", []string{"describe", "alexnet", "--out", svg}},
		{"inception_v3  299    27161264    23834568     5713216096", []string{"list"}},
	} {
		code, stdout, stderr := verb(append([]string{"model"}, c.args...)...)
		if code != 0 || !strings.Contains(stdout, c.say) {
			t.Errorf("model %s: exit %d, no %q in %.200q; %s", strings.Join(c.args, " "), code, c.say, stdout, stderr)
		}
	}
	if b, err := os.ReadFile(svg); err != nil || !bytes.HasPrefix(b, []byte("<svg ")) {
		t.Errorf("%s: %v", svg, err)
	}
}

// TestModelWidth takes weights of a narrow network through every form, by a
// spec with a width and by one of an older run, which has none.
func TestModelWidth(t *testing.T) {
	raced.Skip(t, "one goroutine does it all")
	spec := model.Spec{Model: "inception_v3", Width: 0.125, InputSize: 299, Resize: 342, Interpolation: "bilinear", Std: [3]float64{1, 1, 1}, Classes: []string{"a", "b", "c"}}
	net, err := spec.Network(true)
	check(t, err)
	for _, width := range []float64{0.125, 0} {
		dir := t.TempDir()
		at := func(name string) string { return filepath.Join(dir, name) }
		recorded := spec
		recorded.Width = width
		var b bytes.Buffer
		check(t, weights.WriteSafetensors(&b, net.Init(1), map[string]string{model.SpecKey: recorded.JSON()}))
		check(t, os.WriteFile(at("model.safetensors"), b.Bytes(), 0o666))
		for _, s := range [][]string{
			{"export", at("model.safetensors"), "--out", at("model.onnx")},
			{"export", at("model.onnx"), "--out", at("back.safetensors")},
			{"export", at("back.safetensors"), "--out", at("back.pth")},
			{"import", at("model.onnx"), "--out", at("imported.safetensors")},
		} {
			code, stdout, stderr := verb(append([]string{"model"}, s...)...)
			if code != 0 || !strings.Contains(stdout, "inception_v3 of width 0.125, 3 classes") {
				t.Fatalf("recorded width %v: model %s: exit %d: %s%s", width, strings.Join(s, " "), code, stdout, stderr)
			}
		}
		file, err := weights.ReadFile(at("imported.safetensors"), weights.Options{})
		check(t, err)
		got, err := model.ParseSpec(file.Metadata[model.SpecKey])
		check(t, err)
		if diff := cmp.Diff(spec, got); diff != "" {
			t.Errorf("recorded width %v: spec (-want +got):\n%s", width, diff)
		}
	}
}

// TestModelImportSaysWhatItTook: averaged weights beside the plain ones, and
// names behind a wrapper's.
func TestModelImportSaysWhatItTook(t *testing.T) {
	raced.Skip(t, "one goroutine does it all")
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	spec := model.Spec{Model: "googlenet", InputSize: 224, Classes: []string{"a", "b"}}
	net, err := spec.Network(false)
	check(t, err)
	var tensors []model.Tensor
	for i, prefix := range []string{"module.", "ema.module."} {
		for _, x := range net.Init(uint64(i)) {
			x.Name = prefix + x.Name
			tensors = append(tensors, x)
		}
	}
	var b bytes.Buffer
	check(t, weights.WriteSafetensors(&b, tensors, nil))
	check(t, os.WriteFile(at("both.safetensors"), b.Bytes(), 0o666))
	check(t, os.WriteFile(at("classes.txt"), []byte("a\nb\n"), 0o666))
	for i, c := range []struct {
		flags []string
		said  string
	}{
		{nil, "taken: weights; their names without \"module.\"; averaged weights are under \"ema.\" too (--weights-ema takes them)\n"},
		{[]string{"--weights-ema"}, "taken: averaged weights; their names without \"ema.module.\"\n"},
	} {
		code, stdout, stderr := verb(append([]string{"model", "import", at("both.safetensors"), "--classes", at("classes.txt"), "--out", at("out.safetensors")}, c.flags...)...)
		if code != 0 || !strings.HasSuffix(stdout, c.said) {
			t.Fatalf("%v: exit %d: %s%s", c.flags, code, stdout, stderr)
		}
		file, err := weights.ReadFile(at("out.safetensors"), weights.Options{})
		check(t, err)
		want := net.Init(uint64(i))[0]
		if diff := cmp.Diff(want.Data, model.ByName(file.Tensors)[want.Name].Data); diff != "" {
			t.Errorf("%v: other weights", c.flags)
		}
	}
	broken := net.Init(1)
	copy(broken[3].Data[4:], "\x00\x00\xc0\x7f") // a NaN
	b.Reset()
	check(t, weights.WriteSafetensors(&b, broken, nil))
	check(t, os.WriteFile(at("broken.safetensors"), b.Bytes(), 0o666))
	if code, _, stderr := verb("model", "import", at("broken.safetensors"), "--classes", at("classes.txt"), "--out", at("nan.safetensors")); code != 0 || !strings.Contains(stderr, broken[3].Name+" has values that are not finite") {
		t.Errorf("a weight that is no number: exit %d: %s", code, stderr)
	}
	code, _, stderr := verb("model", "import", at("out.safetensors"), "--weights-ema", "--out", at("none.safetensors"))
	if code != 2 || !strings.Contains(stderr, "no averaged (EMA) weights") {
		t.Errorf("averages that are not there: exit %d: %s", code, stderr)
	}
}

// TestWeightsOfOwnCheckpoint: of a run's checkpoint the averages are taken, which were
// validated, unless the plain ones are asked for; it is said which.
func TestWeightsOfOwnCheckpoint(t *testing.T) {
	raced.Skip(t, "one goroutine does it all")
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	spec := model.Spec{Model: "googlenet", InputSize: 224, Resize: 256, Interpolation: "bilinear", Mean: [3]float64{0.5, 0.5, 0.5}, Std: [3]float64{0.5, 0.5, 0.5}, Classes: []string{"a", "b"}}
	net, err := spec.Network(false)
	check(t, err)
	var tensors []model.Tensor
	for i, prefix := range []string{"", checkpoint.EMAPrefix} {
		for _, x := range net.Init(uint64(i)) {
			x.Name = prefix + x.Name
			tensors = append(tensors, x)
		}
	}
	path, err := checkpoint.Write(dir, checkpoint.Position{Version: checkpoint.Version}, spec, tensors)
	check(t, err)
	for _, c := range []struct {
		flags []string
		seed  uint64
		said  string
	}{
		{nil, 1, "taken: averaged weights (--weights-ema=false takes the plain ones)\n"},
		{[]string{"--weights-ema"}, 1, "taken: averaged weights (--weights-ema=false takes the plain ones)\n"},
		{[]string{"--weights-ema=false"}, 0, "taken: weights; averaged weights are under \"ema/\" too (--weights-ema takes them)\n"},
	} {
		code, stdout, stderr := verb(append([]string{"model", "import", path, "--out", at("out.safetensors")}, c.flags...)...)
		if code != 0 || !strings.HasSuffix(stdout, c.said) {
			t.Fatalf("%v: exit %d: %s%s", c.flags, code, stdout, stderr)
		}
		file, err := weights.ReadFile(at("out.safetensors"), weights.Options{})
		check(t, err)
		want := net.Init(c.seed)[0]
		if diff := cmp.Diff(want.Data, model.ByName(file.Tensors)[want.Name].Data); diff != "" {
			t.Errorf("%v: other weights", c.flags)
		}
	}
	code, _, stderr := verb("train", "nowhere", "--out", at("run"), "--weights-ema=false")
	if code != 2 || !strings.Contains(stderr, "--weights-ema and --weights-key choose among what --weights has") {
		t.Errorf("without --weights: exit %d: %s", code, stderr)
	}
}
