package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/synshard/synshard/infer"
	"github.com/synshard/synshard/infer/classifier"
	"github.com/synshard/synshard/infer/images"
	"github.com/synshard/synshard/infer/openvino"
	"github.com/synshard/synshard/infer/ort"
	infertorch "github.com/synshard/synshard/infer/torch"
	"github.com/synshard/synshard/internal/native"
	"github.com/synshard/synshard/internal/regular"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/train/torch"
)

// networkOptions say what runs the network and, where it does not say so itself,
// what it takes and gives.
type networkOptions struct {
	engine, device, provider, precision string
	ortLib, torchLib, openVINOLib       string
	threads                             int
	epOptions                           map[string]string

	spec, classes string
	size          int
	images        preparation
	choice        classifier.Choice
	changed       func(flag string) bool
	whole         bool // a batch is one run, whatever its memory
}

// AddFlags adds all of them.
func (f *networkOptions) AddFlags(cmd *cobra.Command) {
	fl := cmd.Flags()
	choiceVar(cmd, &f.engine, "engine", "onnx", "onnx: ONNX Runtime; openvino: OpenVINO, on the CPU, where it is set up; torch: the training engine, on a run's model.safetensors", "onnx", "openvino", "torch")
	fl.StringVar(&f.openVINOLib, "openvino-lib", "", "OpenVINO's C library, with --engine openvino (default: see 'synshard doctor')")
	fl.StringVar(&f.torchLib, "torch-lib", "", "the training engine's library, with --engine torch (default: see 'synshard doctor')")
	choiceVar(cmd, &f.precision, "precision", "fp32", "of --engine torch: "+oneOf(precisions), precisions...)
	deviceVar(cmd, &f.device)
	choiceVar(cmd, &f.provider, "provider", "", "ONNX Runtime's execution provider on that device: cpu, cuda or tensorrt (default: cpu or cuda)", ort.Providers...)
	fl.StringToStringVar(&f.epOptions, "ep-option", nil, "an option k=v of the execution provider, by ONNX Runtime's name; repeatable")
	f.addContract(cmd)
	fl.StringVar(&f.choice.Embedding, "embedding-output", "", "name of the output with the embedding (default: embedding)")
}

// addContract adds those that say what an ONNX model takes and gives, and the
// CPU's.
func (f *networkOptions) addContract(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.IntVar(&f.threads, "threads", 0, "CPUs the network takes (0: all this process may use)")
	fl.StringVar(&f.ortLib, "ort-lib", "", "ONNX Runtime's library (default: see 'synshard doctor')")
	fl.StringVar(&f.spec, "spec", "", "JSON file that says how images are made ready and what the classes are")
	classesVar(cmd, &f.classes, classesUsage)
	fl.IntVar(&f.size, "input-size", 0, "pixels, height and width, that the network takes")
	f.images.AddFlags(cmd)
	choiceVar(cmd, &f.choice.Layout, "tensor-layout", "", "nchw or nhwc (default: by the input's shape)", classifier.NCHW, classifier.NHWC)
	fl.StringVar(&f.choice.Input, "input", "", "name of the model's input (default: the only one)")
	fl.StringVar(&f.choice.Output, "output", "", "name of the output with the scores (default: the only one that fits)")
	choiceVar(cmd, &f.choice.Scores, "scores", "", "what the scores are: probabilities or logits (default: a first run tells)", "probabilities", "logits")
	f.changed = fl.Changed
}

func (f *networkOptions) check() error {
	if f.threads < 0 {
		return usagef("--threads %d: want 0 (all) or more", f.threads)
	}
	if f.engine != "torch" && f.changed("precision") {
		return usagef("--precision is for --engine torch; an ONNX model has its own")
	}
	if f.engine != "openvino" {
		if f.openVINOLib != "" {
			return usagef("--openvino-lib is for --engine openvino")
		}
		return nil
	}
	for _, flag := range []string{"provider", "ep-option", "ort-lib"} {
		if f.changed(flag) {
			return usagef("--%s is ONNX Runtime's, which --engine openvino does without", flag)
		}
	}
	if strings.HasPrefix(f.device, "cuda") {
		return usagef("--device %s: --engine openvino runs on the CPU", f.device)
	}
	return nil
}

// wanted is what predictions are to have beside probabilities.
type wanted struct{ logits, embedding bool }

// describe finds out what an ONNX model takes and gives, and the Spec that it would be
// run by.
func (f *networkOptions) describe(a *app, path string) (ort.NetworkOptions, error) {
	o := ort.NetworkOptions{Whole: f.whole, Options: ort.Options{Model: path, Threads: f.threads, ProviderOptions: f.epOptions, Choice: f.choice}}
	var err error
	if o.Contract, err = classifier.Describe(path, f.choice); err != nil {
		return o, err
	}
	if o.Given, err = f.given(); err != nil {
		return o, err
	}
	own, err := o.Contract.Own(path, o.Given)
	if err != nil {
		return o, err
	}
	if f.classes != "" {
		list, err := a.readClasses("classes", f.classes)
		if err != nil {
			return o, err
		}
		if text := images.CompareClasses(own.Classes, list.Names); text != "" {
			a.Warnf("--classes %s: %s; the list given is taken", f.classes, text)
		}
		o.Given.Classes = list.Names
	}
	o.Spec, err = o.Contract.Resolve(path, o.Given)
	return o, err
}

// given is what the flags say of a model, but for its classes.
func (f *networkOptions) given() (classifier.Given, error) {
	g := classifier.Given{Size: f.size, Resize: f.images.resize, Interpolation: f.images.interpolation}
	var err error
	if g.Mean, g.Std, err = f.images.colours(); err != nil || f.spec == "" {
		return g, err
	}
	text, err := regular.ReadFile(f.spec, regular.Document)
	if err != nil {
		return g, err
	}
	g.Spec = &model.Spec{}
	if err := json.Unmarshal(text, g.Spec); err != nil {
		return g, usagef("--spec %s: %w", f.spec, err)
	}
	return g, nil
}

// notes are what the flags say of a model, for the output.
func (f *networkOptions) notes(a *app, g classifier.Given) map[string]string {
	notes := g.Notes(f.choice)
	for flag, file := range map[string]string{"spec": f.spec, "classes": f.classes} {
		if file != "" {
			notes[flag] = a.remote.paths.Shown(file)
		}
	}
	return notes
}

// specOf is the Spec that a model would be run by, without opening what runs it.
func (a *app) specOf(path string, f *networkOptions) (model.Spec, error) {
	if err := f.check(); err != nil {
		return model.Spec{}, err
	}
	if f.engine == "torch" {
		w, err := f.readTorch(path)
		if err != nil {
			return model.Spec{}, err
		}
		return w.Spec, nil
	}
	o, err := f.describe(a, path)
	return o.Spec, err
}

// openNetwork opens the model. batch is what a GPU gets ready for; 0: the default.
func (a *app) openNetwork(ctx context.Context, path string, f *networkOptions, want wanted, batch int) (*infer.Network, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	if f.engine == "torch" {
		return a.openTorch(ctx, path, f, want, batch)
	}
	o, err := f.describe(a, path)
	if err != nil {
		return nil, err
	}
	o.Logits, o.Batch = want.logits, batch
	var n *infer.Network
	if f.engine == "openvino" {
		n, err = a.openOpenVINO(o, f)
	} else {
		n, err = a.openORT(o, f)
	}
	if err != nil {
		return nil, err
	}
	n.Notes = f.notes(a, o.Given)
	return n, nil
}

// openORT opens a model for --engine onnx.
func (a *app) openORT(o ort.NetworkOptions, f *networkOptions) (*infer.Network, error) {
	var err error
	if o.Library, err = a.findORT(f.ortLib); err != nil {
		return nil, err
	}
	gpuFits := func() bool { return search().GPUs() > 0 && native.HasCUDA(o.Library) }
	if o.Provider, o.Device, err = ortDevice(f.device, f.provider, gpuFits); err != nil {
		return nil, err
	}
	if err := ort.CheckProvider(o.Provider, f.epOptions); err != nil {
		return nil, usagef("%w", err)
	}
	if o.Provider == "tensorrt" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return nil, err
		}
		o.CacheDir = filepath.Join(cache, "synshard", "tensorrt")
	}
	n, err := ort.OpenNetwork(o)
	return n, unfit(err)
}

// openOpenVINO opens a model for --engine openvino.
func (a *app) openOpenVINO(o ort.NetworkOptions, f *networkOptions) (*infer.Network, error) {
	library, err := search().OpenVINO(f.openVINOLib)
	if err != nil {
		return nil, err
	}
	n, err := openvino.Open(openvino.Options{
		Library: library, Model: o.Model, Contract: o.Contract, Given: o.Given, Spec: o.Spec,
		Threads: o.Threads, Batch: o.Batch, Logits: o.Logits,
	})
	return n, unfit(err)
}

// openTorch opens weights for --engine torch.
func (a *app) openTorch(ctx context.Context, path string, f *networkOptions, want wanted, batch int) (*infer.Network, error) {
	w, err := f.readTorch(path)
	if err != nil {
		return nil, err
	}
	shim, _, err := a.openShim(f.torchLib)
	if err != nil {
		return nil, err
	}
	device, err := chooseDevice(shim, f.device)
	if err != nil {
		return nil, err
	}
	return infertorch.Open(shim, w, infertorch.Options{
		Device: device, Precision: torch.Precision(ctx, f.precision, device), Threads: f.threads, Batch: batch,
		Logits: want.logits, Embedding: want.embedding,
	})
}

// readTorch reads weights for --engine torch, and refuses flags that it does not have
// rather than leave them out.
func (f *networkOptions) readTorch(path string) (*infertorch.Weights, error) {
	if !strings.HasSuffix(path, ".safetensors") {
		return nil, usagef("--engine torch takes weights, such as a run's model.safetensors, not %s", path)
	}
	for _, flag := range []string{"ep-option", "spec", "classes", "input-size", "resize", "interpolation", "mean", "std", "tensor-layout", "layout", "input", "output", "embedding-output", "scores"} {
		if f.changed(flag) {
			return nil, usagef("--%s is for ONNX Runtime; with --engine torch the weights' own metadata decide", flag)
		}
	}
	if f.provider != "" {
		return nil, usagef("--provider is ONNX Runtime's; with --engine torch say --device")
	}
	return infertorch.Read(path)
}

// chooseBatch settles how many images a run takes.
func (a *app) chooseBatch(ctx context.Context, f *inferOptions, n *infer.Network) (int, error) {
	switch {
	case f.batch.auto:
		out := f.out
		if out == "-" {
			out = ""
		}
		return n.FastestBatch(ctx, out, func(m infer.Measurement) { a.Logf("batch %d: %.1f images/s in a trial", m.Batch, m.PerSecond) })
	case f.batch.n == 0:
		return n.Batch, nil
	case n.Only > 0 && f.batch.n != n.Only:
		return 0, usagef("--batch %d: the model takes %d images a run and no other number", f.batch.n, n.Only)
	}
	return f.batch.n, nil
}
