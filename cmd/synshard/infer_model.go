package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/spf13/cobra"

	"github.com/synshard/synshard/infer"
	"github.com/synshard/synshard/infer/classifier"
	"github.com/synshard/synshard/infer/images"
	"github.com/synshard/synshard/infer/openvino"
	"github.com/synshard/synshard/infer/ort"
	infertorch "github.com/synshard/synshard/infer/torch"
	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/internal/native"
	"github.com/synshard/synshard/internal/regular"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/onnx"
	"github.com/synshard/synshard/model/weights"
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
	choiceVar(cmd, &f.engine, "engine", "auto", "onnx: ONNX Runtime; openvino: OpenVINO, on the CPU, where it is set up; torch: the training engine, for networks of this program; auto: the fastest that can run the model and gives the same", "auto", "onnx", "openvino", "torch")
	fl.StringVar(&f.openVINOLib, "openvino-lib", "", "OpenVINO's C library (default: see 'synshard doctor')")
	fl.StringVar(&f.torchLib, "torch-lib", "", "the training engine's library (default: see 'synshard doctor')")
	choiceVar(cmd, &f.precision, "precision", "fp32", "of the training engine: "+oneOf(precisions), precisions...)
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
	threadsVar(fl, &f.threads, "CPUs the network takes (0: all this process may use)")
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
	ort := f.changed("provider") || f.changed("ep-option")
	switch {
	case f.engine != "openvino" && f.engine != "auto" && f.openVINOLib != "":
		return usagef("--openvino-lib is for --engine openvino")
	case f.engine == "openvino" && (ort || f.changed("ort-lib")):
		return usagef("--provider, --ep-option and --ort-lib are ONNX Runtime's, which --engine openvino does without")
	case f.engine == "openvino" && strings.HasPrefix(f.device, "cuda"):
		return usagef("--device %s: --engine openvino runs on the CPU", f.device)
	}
	return nil
}

// engineOf is the engine that runs a model unless a trial finds a faster one.
func (f *networkOptions) engineOf(path string) string {
	switch {
	case f.engine != "auto":
		return f.engine
	case isWeights(path):
		return "torch"
	}
	return "onnx"
}

// isWeights says whether a file is one of weights, and not an ONNX model.
func isWeights(path string) bool { return strings.HasSuffix(path, ".safetensors") }

// ifWeights makes of an error over a file that is no ONNX model one that says what to do, where it is a file of weights.
func ifWeights(path string, err error) error {
	if !errors.Is(err, model.ErrFormat) {
		return err
	}
	switch what := weights.KindOf(path); what {
	case "safetensors":
		return usagef("%s: it has weights (%s) and is no ONNX model: 'synshard model export %s --out model.onnx' makes one of those that say of which network they are", path, what, path)
	case "pth":
		return usagef("%s: it has weights (%s) and is no ONNX model: 'synshard model import %s --out weights.safetensors' and 'model export' make one of them", path, what, path)
	}
	return err
}

// wanted is what predictions are to have beside probabilities.
type wanted struct{ logits, embedding bool }

// describe finds out what an ONNX model takes and gives, and the Spec that it would be
// run by.
func (f *networkOptions) describe(a *app, path string) (ort.NetworkOptions, error) {
	o := ort.NetworkOptions{Options: ort.Options{Model: path, Threads: f.threads, ProviderOptions: f.epOptions, Choice: f.choice}}
	var err error
	if o.Contract, err = classifier.Describe(path, f.choice); err != nil {
		return o, ifWeights(path, err)
	}
	if o.Given, err = f.given(o.Contract.Type == "uint8"); err != nil {
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

// given is what the flags say of a model, but for its classes; normalises is of one that
// takes pixels as they are.
func (f *networkOptions) given(normalises bool) (classifier.Given, error) {
	g := classifier.Given{Size: f.size, Resize: f.images.resize, Interpolation: f.images.interpolation}
	var err error
	if g.Mean, g.Std, err = f.images.colours(); err != nil || f.spec == "" {
		return g, err
	}
	text, err := regular.ReadFile(f.spec, regular.Document)
	if err != nil {
		return g, err
	}
	spec, lacks, err := model.ParseGivenSpec(text)
	if err != nil {
		return g, usagef("--spec %s: %w", f.spec, err)
	}
	for _, key := range lacks {
		inside := normalises && (key == "mean" || key == "std")
		if flag := strings.ReplaceAll(key, "_", "-"); !inside && !f.changed(flag) {
			return g, usagef("--spec %s: no %s, which is not guessed: say it there, or by --%s", f.spec, key, flag)
		}
		if inside && key == "std" {
			spec.Std = [3]float64{1, 1, 1}
		}
	}
	g.Spec = &spec
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

// describedModel is a model that has been read, and what is wanted of it: engines can open it.
type describedModel struct {
	f       *networkOptions
	want    wanted
	engine  string              // that runs it unless a trial finds a faster one
	lacks   error               // why that is not the engine it would be; nil: it is
	weights *infertorch.Weights // what was read: either these, as a file of weights or for engine torch
	onnx    ort.NetworkOptions  // or this, of an ONNX model
	spec    model.Spec          // by which it is run
}

// describeNetwork reads a model, without opening what runs it.
func (a *app) describeNetwork(path string, f *networkOptions, want wanted) (*describedModel, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	d := &describedModel{f: f, want: want, engine: f.engineOf(path)}
	var err error
	if d.engine != "torch" && f.changed("precision") {
		return nil, usagef("--precision is for --engine torch; other engines compute as the model says")
	}
	if d.engine == "torch" || isWeights(path) {
		if d.weights, err = f.readWeights(path); err != nil {
			return nil, err
		}
		d.spec = d.weights.Spec
		return d, nil
	}
	if d.onnx, err = f.describe(a, path); err != nil {
		return nil, err
	}
	d.spec = d.onnx.Spec
	return d, nil
}

// anyEngine says whether the model may be one that the training engine runs as well as others: weights, or an ONNX
// model that may be written of such; and nothing was said that one of them would do without.
func (d *describedModel) anyEngine() bool {
	for _, flag := range []string{"precision", "provider", "ep-option"} {
		if d.f.changed(flag) {
			return false
		}
	}
	return d.weights != nil || d.onnx.Contract.Spec != nil && d.f.choice == classifier.Choice{} && reflect.DeepEqual(d.onnx.Given, classifier.Given{})
}

// sum tells the model from others, by every file of it.
func (d *describedModel) sum() string {
	if d.weights != nil {
		return d.weights.Sum
	}
	return d.onnx.Contract.Identity.Sum
}

// findEngine is an error where the library of the model's engine is missing. Where nobody set that up, named an engine or
// wants jobs to be alike, ONNX Runtime takes the training engine's place or the other way round, if it runs the model.
func (a *app) findEngine(d *describedModel, alone bool) error {
	err := a.findLibrary(d.f, d.engine)
	if !errors.Is(err, native.ErrNowhere) || d.f.engine != "auto" || !alone || !d.anyEngine() {
		return err
	}
	if d.engine == "torch" {
		library, lerr := a.findORT(d.f.ortLib)
		if lerr != nil || strings.HasPrefix(d.f.device, "cuda") && !native.HasCUDA(library) {
			return err
		}
		d.engine, d.lacks = "onnx", err
		return nil
	}
	if a.findLibrary(d.f, "torch") != nil {
		return err
	}
	w, werr := infertorch.ReadONNX(d.onnx.Model)
	if werr != nil || w.Sum != d.sum() {
		return err
	}
	d.weights, d.engine, d.lacks = w, "torch", err
	return nil
}

// sayEngine tells where the model is run by an engine because its own is not set up.
func (a *app) sayEngine(d *describedModel) {
	if d.lacks != nil {
		a.Logf("%v; the model is run by --engine %s", d.lacks, d.engine)
	}
}

func (a *app) findLibrary(f *networkOptions, engine string) (err error) {
	switch engine {
	case "torch":
		_, err = a.findTorch(f.torchLib)
	case "openvino":
		_, err = search().OpenVINO(f.openVINOLib)
	default:
		_, err = a.findORT(f.ortLib)
	}
	return err
}

// openNetwork opens a model on the engine that was asked for. batch is what a GPU gets ready
// for; 0: the default.
func (a *app) openNetwork(ctx context.Context, path string, f *networkOptions, want wanted, batch int) (*infer.Network, error) {
	d, err := a.describeNetwork(path, f, want)
	if err != nil {
		return nil, err
	}
	return a.open(ctx, d, d.engine, 0, batch)
}

// open opens a model on an engine, with so many threads a run (0: the engine's default). Weights are
// written as an ONNX model for the engines that take one, and an ONNX model's are read for the one that does not.
func (a *app) open(ctx context.Context, d *describedModel, engine string, perRun, batch int) (*infer.Network, error) {
	switch {
	case engine != "torch" && d.weights != nil:
		return a.openExported(d, engine, perRun, batch)
	case engine != "torch":
		return a.openONNX(d.onnx, d, engine, perRun, batch)
	case d.weights != nil:
		return a.openTorch(ctx, d, d.weights, d.f.device, batch)
	}
	w, err := infertorch.ReadONNX(d.onnx.Model)
	if err != nil {
		return nil, err
	}
	if w.Sum != d.sum() {
		return nil, fmt.Errorf("%s: it was changed while it was read", d.onnx.Model)
	}
	return a.openTorch(ctx, d, w, "cpu", batch) // beside ONNX Runtime there
}

// openONNX opens an ONNX model on ONNX Runtime or OpenVINO.
func (a *app) openONNX(o ort.NetworkOptions, d *describedModel, engine string, perRun, batch int) (n *infer.Network, err error) {
	f := d.f
	o.Logits, o.Whole, o.PerRun, o.Batch = d.want.logits, f.whole, perRun, batch
	if engine == "openvino" {
		n, err = a.openOpenVINO(o, f)
	} else {
		n, err = a.openORT(o, f)
	}
	if err != nil {
		return nil, err
	}
	n.Notes, n.Chosen = f.notes(a, o.Given), o.Contract.Chosen
	return n, nil
}

// openExported opens weights on an engine that takes an ONNX model, through a file without a name, which
// is there until the network is closed: OpenVINO reads it again for each size of a batch.
func (a *app) openExported(d *describedModel, engine string, perRun, batch int) (n *infer.Network, err error) {
	aside, err := durable.Nameless("synshard-exported")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			aside.Close()
			err = fmt.Errorf("%s, as an ONNX model: %w", d.weights.Path, err)
		}
	}()
	if err := d.weights.WriteONNX(aside); err != nil {
		return nil, err
	}
	o, err := d.f.describe(a, fmt.Sprintf("/proc/self/fd/%d", aside.Fd()))
	if err != nil {
		return nil, err
	}
	o.Contract.Identity.Sum = d.weights.Sum // predictions are the weights'
	if n, err = a.openONNX(o, d, engine, perRun, batch); err != nil {
		return nil, err
	}
	n.Backend += " exported" // which another version may do otherwise: what was predicted so is not continued
	end := n.Close
	n.Close = func() error { return errors.Join(end(), aside.Close()) }
	return n, nil
}

// placeORT settles where ONNX Runtime runs a model: its library, the execution provider and the
// number of the GPU.
func (a *app) placeORT(f *networkOptions) (library, provider string, device int, err error) {
	if library, err = a.findORT(f.ortLib); err != nil {
		return library, provider, device, err
	}
	gpuFits := func() bool { return search().GPUs() > 0 && native.HasCUDA(library) }
	provider, device, err = ortDevice(f.device, f.provider, gpuFits)
	return library, provider, device, err
}

// openORT opens a model for --engine onnx.
func (a *app) openORT(o ort.NetworkOptions, f *networkOptions) (*infer.Network, error) {
	var err error
	if o.Library, o.Provider, o.Device, err = a.placeORT(f); err != nil {
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

// openTorch opens weights on the training engine.
func (a *app) openTorch(ctx context.Context, d *describedModel, w *infertorch.Weights, device string, batch int) (*infer.Network, error) {
	f := d.f
	shim, _, err := a.openShim(f.torchLib)
	if err != nil {
		return nil, err
	}
	if device, err = chooseDevice(shim, device); err != nil {
		return nil, err
	}
	precision, err := a.choosePrecision(shim, f.precision, device, 1)
	if err != nil {
		return nil, err
	}
	return infertorch.Open(shim, w, infertorch.Options{
		Device: device, Precision: precision, Threads: f.threads, Batch: batch,
		Logits: d.want.logits, Embedding: d.want.embedding,
	})
}

// readWeights reads weights, of an ONNX model for --engine torch, and refuses flags that
// they do without rather than leave them out.
func (f *networkOptions) readWeights(path string) (*infertorch.Weights, error) {
	for _, flag := range []string{"spec", "classes", "input-size", "resize", "interpolation", "mean", "std", "tensor-layout", "layout", "input", "output", "embedding-output", "scores"} {
		if f.changed(flag) {
			return nil, usagef("--%s is for ONNX models; of weights, and with --engine torch, their own metadata decide", flag)
		}
	}
	for _, flag := range []string{"provider", "ep-option"} {
		if f.changed(flag) && f.engineOf(path) == "torch" {
			return nil, usagef("--%s is ONNX Runtime's; with --engine torch say --device", flag)
		}
	}
	if isWeights(path) {
		w, err := infertorch.Read(path)
		if errors.Is(err, infertorch.ErrNoSpec) {
			err = usagef("%w; 'synshard model import' gives it one", err)
		}
		return w, err
	}
	w, err := infertorch.ReadONNX(path)
	if errors.Is(err, infertorch.ErrForeign) || errors.Is(err, model.ErrFormat) && !errors.Is(err, onnx.ErrDamaged) {
		err = usagef("%w; --engine torch runs networks of this program: their weights (model.safetensors), or ONNX models that it wrote of them", err)
	}
	return w, err
}
