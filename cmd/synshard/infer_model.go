package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/synshard/synshard/infer"
	"github.com/synshard/synshard/infer/images"
	"github.com/synshard/synshard/infer/ort"
	"github.com/synshard/synshard/internal/native"
	"github.com/synshard/synshard/internal/processors"
	"github.com/synshard/synshard/internal/regular"
	"github.com/synshard/synshard/model"
)

// networkOptions say what runs the network and, where it does not say so itself,
// what it takes and gives.
type networkOptions struct {
	engine, device, provider, ortLib, torchLib, precision string
	threads                                               int
	epOptions                                             map[string]string

	spec, classes, interpolation string
	size, resize                 int
	mean, std                    []float64
	choice                       ort.Choice
	changed                      func(flag string) bool
	whole                        bool // a batch is one run, whatever its memory
}

// AddFlags adds all of them.
func (f *networkOptions) AddFlags(cmd *cobra.Command) {
	fl := cmd.Flags()
	choiceVar(cmd, &f.engine, "engine", "onnx", "onnx: ONNX Runtime; torch: the training engine, on a run's model.safetensors", "onnx", "torch")
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
	fl.IntVar(&f.resize, "resize", 0, "pixels of the shorter side before the centre is cut out")
	choiceVar(cmd, &f.interpolation, "interpolation", "", "bilinear or bicubic", "bilinear", "bicubic")
	fl.Float64SliceVar(&f.mean, "mean", nil, "mean of red, green, blue in [0,1]; one number for all")
	fl.Float64SliceVar(&f.std, "std", nil, "standard deviation of red, green, blue in [0,1]; one number for all")
	choiceVar(cmd, &f.choice.Layout, "tensor-layout", "", "nchw or nhwc (default: by the input's shape)", ort.NCHW, ort.NHWC)
	fl.Var(fl.Lookup("tensor-layout").Value, "layout", "--tensor-layout's name of before; ingest's says how names are read")
	cobra.CheckErr(fl.MarkHidden("layout"))
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
	return nil
}

// network is a model that is open, and how it is best run.
type network struct {
	predictor infer.Predictor
	spec      model.Spec
	width     int    // of the embedding; 0: none
	runs      int    // at a time
	batch     int    // the default
	only      int    // the one batch it takes; 0: any
	fixed     bool   // every run a full batch
	sum       string // of every file of the model
	// ownClasses says that the classes came with the model.
	ownClasses bool
	backend    string
	notes      map[string]string
	close      func() error
}

// wanted is what predictions are to have beside probabilities.
type wanted struct{ logits, embedding bool }

// specOf is the Spec that a model would be run by, without opening what runs it.
func (a *app) specOf(path string, f *networkOptions) (model.Spec, error) {
	if err := f.check(); err != nil {
		return model.Spec{}, err
	}
	if f.engine == "torch" {
		_, spec, _, err := f.readTorch(path)
		return spec, err
	}
	c, err := ort.Describe(path, f.choice)
	if err != nil {
		return model.Spec{}, err
	}
	spec, _, err := f.resolve(a, c, path)
	if err != nil {
		return spec, fmt.Errorf("%s: %w", path, err)
	}
	return spec, nil
}

// openNetwork opens the model. On the CPU every run of the network has one
// thread, and as many run at a time as there are CPUs; on a GPU two batches are
// in flight. batch is what a GPU gets ready for; 0: the default.
func (a *app) openNetwork(ctx context.Context, path string, f *networkOptions, want wanted, batch int) (*network, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	if f.engine == "torch" {
		return a.openTorch(ctx, path, f, want, batch)
	}
	c, err := ort.Describe(path, f.choice)
	if err != nil {
		return nil, err
	}
	spec, notes, err := f.resolve(a, c, path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	lib, err := a.findORT(f.ortLib)
	if err != nil {
		return nil, err
	}
	provider, gpu, err := ortDevice(f.device, f.provider, func() bool { return search().GPUs() > 0 && native.HasCUDA(lib) })
	if err != nil {
		return nil, err
	}
	if err := ort.CheckProvider(provider, f.epOptions); err != nil {
		return nil, usagef("%w", err)
	}
	n := &network{spec: spec, notes: notes, batch: 8, backend: provider, sum: c.Identity}
	n.ownClasses = c.Spec != nil && f.classes == "" && f.spec == ""
	if n.runs = f.threads; n.runs == 0 {
		n.runs = processors.Count()
	}
	if provider != "cpu" {
		n.runs, n.batch, n.fixed = 2, 64, true
	}
	if batch > 0 {
		n.batch = batch
	}
	if c.Batch > 0 {
		n.batch, n.only, n.fixed = c.Batch, c.Batch, true
	}
	for _, k := range slices.Sorted(maps.Keys(f.epOptions)) {
		n.backend += fmt.Sprintf(" %s=%s", k, f.epOptions[k])
	}
	o := ort.Options{Library: lib, Model: path, Provider: provider, Device: gpu, Threads: 1, ProviderOptions: f.epOptions,
		Batch: n.batch, Spec: spec, Choice: f.choice, Logits: want.logits, Contract: c}
	if provider == "cpu" && !f.whole {
		o.Most = mostOnCPU
	}
	if provider == "tensorrt" {
		if o.Cache, err = engineCache(n.sum); err != nil {
			return nil, err
		}
	}
	s, err := ort.Open(o)
	if err != nil {
		return nil, unfit(err)
	}
	n.predictor, n.width, n.close = s, s.EmbeddingWidth(), s.Close
	return n, nil
}

// mostOnCPU is how many images a run of one thread takes at once: more are no
// faster (bench infer shows it), and a run keeps some 20 MiB for each.
const mostOnCPU = 8

// engineCache makes the directory in which TensorRT keeps the engines of a
// model; TensorRT itself tells GPUs and versions apart.
func engineCache(sum string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "synshard", "tensorrt", sum[:16])
	return dir, os.MkdirAll(dir, 0o777)
}

// resolve makes the Spec: the file's, or --spec's, or what the model's shape
// says, and over it what was given as flags, which is noted.
func (f *networkOptions) resolve(a *app, c *ort.Contract, path string) (model.Spec, map[string]string, error) {
	notes := map[string]string{}
	var s model.Spec
	switch {
	case f.spec != "":
		text, err := regular.ReadFile(f.spec, regular.Document)
		if err != nil {
			return s, nil, err
		}
		if err := json.Unmarshal(text, &s); err != nil {
			return s, nil, usagef("--spec %s: %w", f.spec, err)
		}
		notes["spec"] = f.spec
	case c.Spec != nil:
		s = *c.Spec
	default:
		s = model.Spec{Model: strings.TrimSuffix(filepath.Base(path), ".onnx"), InputSize: c.Size, Interpolation: "bilinear", Std: [3]float64{1, 1, 1}}
		if c.Type == "float" && (f.mean == nil || f.std == nil) {
			return s, nil, usagef("the model has no %s in its metadata, and takes floats: say how colours are normalised with --mean and --std (torchvision's: --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225; none: --mean 0 --std 1), or all with --spec FILE", model.SpecKey)
		}
	}
	if c.Type == "uint8" && (f.mean != nil || f.std != nil) {
		return s, nil, usagef("the model takes uint8 and normalises inside: --mean and --std would change nothing")
	}
	if err := f.override(a, &s, notes); err != nil {
		return s, nil, err
	}
	if s.Resize == 0 {
		s.Resize = s.InputSize
	}
	switch {
	case s.InputSize == 0:
		return s, nil, usagef("the model takes images of any size: say which with --input-size")
	case len(s.Classes) == 0:
		return s, nil, usagef("the model does not name its classes, and no order is guessed: give --classes DATASET, a file of names in label order, or imagenet-1k")
	}
	if err := c.CheckClasses(len(s.Classes)); err != nil {
		return s, nil, err
	}
	if err := s.Check(); err != nil { // a model's own Spec was checked as it was read
		return s, nil, usagef("%w", err)
	}
	return s, notes, nil
}

// override sets what was given as flags.
func (f *networkOptions) override(a *app, s *model.Spec, notes map[string]string) error {
	number := func(flag string, v int, to *int) {
		if v != 0 {
			*to, notes[flag] = v, strconv.Itoa(v)
		}
	}
	number("input-size", f.size, &s.InputSize)
	number("resize", f.resize, &s.Resize)
	if f.interpolation != "" {
		s.Interpolation, notes["interpolation"] = f.interpolation, f.interpolation
	}
	for _, c := range []struct {
		flag string
		v    []float64
		to   *[3]float64
	}{{"mean", f.mean, &s.Mean}, {"std", f.std, &s.Std}} {
		switch len(c.v) {
		case 0:
			continue
		case 1:
			*c.to = [3]float64{c.v[0], c.v[0], c.v[0]}
		case 3:
			*c.to = [3]float64(c.v)
		default:
			return usagef("--%s: %d numbers, want one or three", c.flag, len(c.v))
		}
		notes[c.flag] = fmt.Sprint(*c.to)
	}
	for _, c := range [][2]string{{"layout", f.choice.Layout}, {"input", f.choice.Input}, {"output", f.choice.Output}, {"embedding-output", f.choice.Embedding}, {"scores", f.choice.Scores}} {
		if c[1] != "" {
			notes[c[0]] = c[1]
		}
	}
	if f.classes == "" {
		return nil
	}
	list, err := a.readClasses("classes", f.classes)
	if err != nil {
		return err
	}
	if text := images.CompareClasses(s.Classes, list.Names); text != "" {
		a.Warnf("--classes %s: %s; the list given is taken", f.classes, text)
	}
	s.Classes, notes["classes"] = list.Names, f.classes
	return nil
}
