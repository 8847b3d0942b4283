package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/synshard/synshard/infer"
	"github.com/synshard/synshard/infer/ort"
	"github.com/synshard/synshard/internal/processors"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/shard"
)

// networkFlags say what runs the network and, where it does not say so itself,
// what it takes and gives.
type networkFlags struct {
	engine, provider, ortLib, torchLib, precision string
	device, threads                               int
	epOptions                                     map[string]string

	spec, classes, interpolation string
	size, resize                 int
	mean, std                    []float64
	choice                       ort.Choice
	changed                      func(flag string) bool
	whole                        bool // a batch is one run, whatever its memory
}

func (f *networkFlags) add(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringVar(&f.engine, "engine", "onnx", "onnx: ONNX Runtime; torch: the training engine, on a run's model.safetensors")
	fl.StringVar(&f.torchLib, "torch-lib", "", "the training engine's library, with --engine torch (default: see 'synshard doctor')")
	fl.StringVar(&f.precision, "precision", "fp32", "of --engine torch: fp32, tf32, bf16 or fp16")
	fl.IntVar(&f.threads, "threads", 0, "CPUs the network takes (0: all this process may use)")
	fl.StringVar(&f.provider, "provider", "cpu", "execution provider: cpu, cuda or tensorrt")
	fl.StringToStringVar(&f.epOptions, "ep-option", nil, "an option k=v of the execution provider, by ONNX Runtime's name; repeatable")
	fl.IntVar(&f.device, "device", 0, "which GPU, with --provider cuda or tensorrt")
	fl.StringVar(&f.ortLib, "ort-lib", "", "ONNX Runtime's library (default: see 'synshard doctor')")
	fl.StringVar(&f.spec, "spec", "", "JSON file that says how images are made ready and what the classes are")
	fl.StringVar(&f.classes, "classes", "", "class list: a dataset, or a file with a name a line in label order, or a JSON list")
	fl.IntVar(&f.size, "input-size", 0, "pixels, height and width, that the network takes")
	fl.IntVar(&f.resize, "resize", 0, "pixels of the shorter side before the centre is cut out")
	fl.StringVar(&f.interpolation, "interpolation", "", "bilinear or bicubic")
	fl.Float64SliceVar(&f.mean, "mean", nil, "mean of red, green, blue in [0,1]; one number for all")
	fl.Float64SliceVar(&f.std, "std", nil, "standard deviation of red, green, blue in [0,1]; one number for all")
	fl.StringVar(&f.choice.Layout, "layout", "", "nchw or nhwc (default: by the input's shape)")
	fl.StringVar(&f.choice.Input, "input", "", "name of the model's input (default: the only one)")
	fl.StringVar(&f.choice.Output, "output", "", "name of the output with the scores (default: the only one that fits)")
	fl.StringVar(&f.choice.Embedding, "embedding-output", "", "name of the output with the embedding (default: embedding)")
	fl.StringVar(&f.choice.Scores, "scores", "", "what the scores are: probabilities or logits (default: a first run tells)")
	cobra.CheckErr(cmd.RegisterFlagCompletionFunc("provider", cobra.FixedCompletions(ort.Providers, cobra.ShellCompDirectiveNoFileComp)))
	f.changed = cmd.Flags().Changed
}

func (f *networkFlags) check() error {
	if f.threads < 0 || f.device < 0 {
		return usagef("infer: --threads %d, --device %d", f.threads, f.device)
	}
	switch {
	case f.engine != "onnx" && f.engine != "torch":
		return usagef("infer: --engine %q: want onnx or torch", f.engine)
	case f.engine == "onnx" && f.changed("precision"):
		return usagef("infer: --precision is for --engine torch; an ONNX model has its own")
	case !slices.Contains([]string{"fp32", "tf32", "bf16", "fp16"}, f.precision):
		return usagef("infer: --precision %q: want fp32, tf32, bf16 or fp16", f.precision)
	}
	if s := f.choice.Scores; s != "" && s != "probabilities" && s != "logits" {
		return usagef("infer: --scores %q: want probabilities or logits", s)
	}
	if l := f.choice.Layout; l != "" && l != ort.NCHW && l != ort.NHWC {
		return usagef("infer: --layout %q: want %s or %s", l, ort.NCHW, ort.NHWC)
	}
	if err := ort.CheckProvider(f.provider, f.epOptions); err != nil {
		return usagef("infer: %w", err)
	}
	return nil
}

// network is a model that is open, and how it is best run.
type network struct {
	predictor infer.Predictor
	spec      model.Spec
	width     int  // of the embedding; 0: none
	runs      int  // at a time
	batch     int  // the default
	only      int  // the one batch it takes; 0: any
	fixed     bool // every run a full batch
	sum       string
	backend   string
	notes     map[string]string
	close     func() error
}

// wanted is what predictions are to have beside probabilities.
type wanted struct{ logits, embedding bool }

// openNetwork opens the model. On the CPU every run of the network has one
// thread, and as many run at a time as there are CPUs; on a GPU two batches are
// in flight. batch is what a GPU gets ready for; 0: the default.
func (a *app) openNetwork(path string, f *networkFlags, want wanted, batch int) (*network, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	if f.engine == "torch" {
		return a.openTorch(path, f, want, batch)
	}
	c, err := ort.Describe(path, f.choice)
	if err != nil {
		return nil, err
	}
	spec, notes, err := f.resolve(c, path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	lib, err := a.findORT(f.ortLib)
	if err != nil {
		return nil, err
	}
	n := &network{spec: spec, notes: notes, batch: 8, backend: f.provider}
	if n.sum, err = fileSum(path); err != nil {
		return nil, err
	}
	if n.runs = f.threads; n.runs == 0 {
		n.runs = processors.Count()
	}
	if f.provider != "cpu" {
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
	o := ort.Options{Library: lib, Model: path, Provider: f.provider, Device: f.device, Threads: 1, ProviderOptions: f.epOptions,
		Batch: n.batch, Spec: spec, Choice: f.choice, Logits: want.logits}
	if f.provider == "cpu" && !f.whole {
		o.Most = mostOnCPU
	}
	if f.provider == "tensorrt" {
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
func (f *networkFlags) resolve(c *ort.Contract, path string) (model.Spec, map[string]string, error) {
	notes := map[string]string{}
	var s model.Spec
	switch {
	case f.spec != "":
		text, err := os.ReadFile(f.spec)
		if err != nil {
			return s, nil, err
		}
		if err := json.Unmarshal(text, &s); err != nil {
			return s, nil, fmt.Errorf("--spec %s: %w", f.spec, err)
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
	if err := f.override(&s, notes); err != nil {
		return s, nil, err
	}
	if s.Resize == 0 && !s.Square {
		s.Resize = s.InputSize
	}
	switch {
	case s.InputSize == 0:
		return s, nil, usagef("the model takes images of any size: say which with --input-size")
	case len(s.Classes) == 0:
		return s, nil, usagef("the model does not name its classes, and no order is guessed: give --classes DATASET, or a file with a name a line in label order")
	}
	if err := c.CheckClasses(len(s.Classes)); err != nil {
		return s, nil, err
	}
	return s, notes, s.Check()
}

// override sets what was given as flags.
func (f *networkFlags) override(s *model.Spec, notes map[string]string) error {
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
	var err error
	s.Classes, err = namesInOrder(f.classes)
	notes["classes"] = f.classes
	return err
}

// namesInOrder reads names in label order.
func namesInOrder(path string) ([]string, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		set, err := shard.Open(path)
		if err != nil {
			return nil, fmt.Errorf("--classes: %w", err)
		}
		defer set.Close()
		var names []string
		for _, c := range set.Classes() {
			names = append(names, c.Synset)
		}
		return names, nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("--classes: %w", err)
	}
	var names []string
	if strings.HasPrefix(strings.TrimSpace(string(b)), "[") {
		if err := json.Unmarshal(b, &names); err != nil {
			return nil, fmt.Errorf("--classes %s: %w", path, err)
		}
		return names, nil
	}
	seen := map[string]int{}
	for i, line := range strings.Split(strings.TrimRight(string(b), "\r\n \t"), "\n") {
		name := strings.TrimSpace(line)
		if name == "" {
			return nil, fmt.Errorf("--classes %s: line %d is empty", path, i+1)
		}
		if at, twice := seen[name]; twice && len(name) == 9 && name[0] == 'n' {
			return nil, fmt.Errorf("--classes %s: lines %d and %d are both %s", path, at, i+1, name)
		}
		seen[name] = i + 1
		names = append(names, name)
	}
	if len(names) == 0 {
		return nil, errors.New("--classes: no names")
	}
	return names, nil
}
