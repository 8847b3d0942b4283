package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/onnx"
	"github.com/synshard/synshard/model/weights"
	"github.com/synshard/synshard/model/weights/pth"
	"github.com/synshard/synshard/train/checkpoint"
)

// convertFlags are what foreign weights do not say of themselves.
type convertFlags struct {
	network, classes, out, interpolation string
	resize                               int
	square                               bool
	mean, std                            []float64
	from                                 weights.Options
}

func newModelImportCmd(a *app) *cobra.Command {
	var f convertFlags
	cmd := &cobra.Command{
		Use:   "import WEIGHTS --out FILE",
		Short: "Turn .pth, safetensors or ONNX weights into ours",
		Long: `Reads weights of torchvision (.pth), timm (safetensors) or an ONNX file whose
initializers have torchvision's names, and writes safetensors with a Spec: which
network, how images are made ready, and the classes. What the file does not
say comes from the flags; without them images are made ready as for
torchvision's published weights. Batch norm that an ONNX file has folded into
its convolutions comes back as a shift: the network predicts the same, but its
statistics are gone. Nothing in a .pth is executed.

A training script's checkpoint, a whole module and the names of wrappers
(DataParallel, torch.compile, Lightning) are understood, and what was taken is
said. Where a file has averaged weights beside the plain ones, --weights-ema
takes them; where several dictionaries could be meant, --weights-key names one.

The classes of a file that does not name them come from --classes: a dataset, a
file of names in label order, or the built-in list imagenet-1k.`,
		Example: `  synshard model import inception_v3_google-0cc3c7bd.pth --classes imagenet --out inception.safetensors
  synshard model import timm.safetensors --network inception_v3 --classes synsets.txt --interpolation bicubic --resize 341 --out inception.safetensors
  synshard model import runs/a/model.onnx --out back.safetensors`,
		Args: exactly(1, 1, "a file of weights"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.modelImport(cmd, args[0], f) },
	}
	fl := cmd.Flags()
	fl.StringVarP(&f.out, "out", "o", "", "safetensors file to write")
	fl.StringVar(&f.network, "network", "", "which network (default: as the file says, or the one whose parameters these are)")
	classesVar(cmd, &f.classes, classesUsage)
	fl.Float64SliceVar(&f.mean, "mean", nil, "mean of pixels in [0,1], by channel")
	fl.Float64SliceVar(&f.std, "std", nil, "standard deviation of pixels in [0,1], by channel")
	fl.IntVar(&f.resize, "resize", 0, "size of the shorter side before the centre crop")
	fl.BoolVar(&f.square, "square", false, "resize both sides to the input size instead")
	choiceVar(cmd, &f.interpolation, "interpolation", "", "bilinear or bicubic", "bilinear", "bicubic")
	complete(cmd, "network", model.Names()...)
	addWeightsFlags(cmd, &f.from)
	fl.BoolVar(&f.from.EMA, "ema", false, "--weights-ema")
	cobra.CheckErr(fl.MarkHidden("ema")) // train's is the decay of averages
	cobra.CheckErr(cmd.MarkFlagRequired("out"))
	return cmd
}

func (a *app) modelImport(cmd *cobra.Command, path string, f convertFlags) error {
	file, err := readAnyWeights(path, f.from)
	if err != nil {
		return chosenBy(err)
	}
	tensors := checkpoint.Weights(file.Tensors, true)
	spec, err := a.specOfImport(cmd, path, f, tensors, file.Metadata)
	if err != nil {
		return err
	}
	net, values, err := weights.Fit(spec, tensors)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := writeOurs(f.out, values, spec); err != nil {
		return err
	}
	return a.converted(f.out, net, spec, file.Taken)
}

// addWeightsFlags are those that choose among what a checkpoint holds.
func addWeightsFlags(cmd *cobra.Command, o *weights.Options) {
	cmd.Flags().BoolVar(&o.EMA, "weights-ema", false, "take the averaged (EMA) weights of a checkpoint that has them")
	cmd.Flags().StringVar(&o.Key, "weights-key", "", "the dictionary of a checkpoint that has the weights, as model.state_dict (default: found by its name)")
}

// chosenBy names the flags that choose where a file's weights could not be.
func chosenBy(err error) error {
	if errors.Is(err, weights.ErrSeveral) || errors.Is(err, weights.ErrAbsent) {
		return usagef("%w (--weights-ema takes averaged weights, --weights-key names a dictionary)", err)
	}
	return err
}

// readAnyWeights reads a file of weights, or an ONNX file's.
func readAnyWeights(path string, o weights.Options) (*weights.File, error) {
	if !strings.EqualFold(filepath.Ext(path), ".onnx") {
		return weights.ReadFile(path, o)
	}
	if o != (weights.Options{}) {
		return nil, usagef("--weights-ema and --weights-key are for checkpoints, not for %s", path)
	}
	tensors, meta, err := onnx.ReadWeights(path)
	return &weights.File{Tensors: tensors, Metadata: meta}, err
}

// specOfImport takes what the file says, else torchvision's transforms, and
// lets the flags win.
func (a *app) specOfImport(cmd *cobra.Command, path string, f convertFlags, tensors []model.Tensor, meta map[string]string) (model.Spec, error) {
	var spec model.Spec
	var err error
	if text := meta[model.SpecKey]; text != "" {
		if spec, err = model.ParseSpec(text); err != nil {
			return spec, fmt.Errorf("%s: %w", path, err)
		}
		spec = weights.WithWidth(spec, tensors)
	} else {
		name := f.network
		if name == "" {
			if name, _, err = weights.GuessNetwork(tensors); err != nil {
				return spec, fmt.Errorf("%s: %w; name the network with --network", path, err)
			}
		}
		if spec, err = weights.PublishedSpec(name); err != nil {
			return spec, usagef("model import: %w", err)
		}
	}
	if f.network != "" && f.network != spec.Model {
		return spec, usagef("model import: %s says it is %s, --network %s", path, spec.Model, f.network)
	}
	if f.classes != "" {
		list, err := a.readClasses("classes", f.classes)
		if err != nil {
			return spec, err
		}
		spec.Classes = list.Names
	}
	if len(spec.Classes) == 0 {
		return spec, usagef("model import: %s does not name its classes; give --classes", path)
	}
	return spec, f.apply(cmd, &spec)
}

func (f convertFlags) apply(cmd *cobra.Command, spec *model.Spec) error {
	for _, c := range []struct {
		flag   string
		values []float64
		to     *[3]float64
	}{{"mean", f.mean, &spec.Mean}, {"std", f.std, &spec.Std}} {
		if !cmd.Flags().Changed(c.flag) {
			continue
		}
		if len(c.values) != 3 {
			return usagef("model import: --%s takes three numbers", c.flag)
		}
		copy(c.to[:], c.values)
	}
	if f.resize > 0 {
		spec.Resize = f.resize
	}
	if f.interpolation != "" {
		spec.Interpolation = f.interpolation
	}
	spec.Square = spec.Square || f.square
	if err := spec.Check(); err != nil {
		return usagef("model import: %w", err)
	}
	return nil
}

func writeOurs(path string, tensors []model.Tensor, spec model.Spec) error {
	return durable.WriteFile(path, func(w io.Writer) error {
		return weights.WriteSafetensors(w, tensors, map[string]string{"format": "pt", model.SpecKey: spec.JSON()})
	})
}

func (a *app) converted(path string, net *model.Network, spec model.Spec, taken weights.Taken) error {
	return a.result(map[string]any{"file": path, "spec": spec, "auxiliary_heads": len(net.Aux), "taken": taken}, func(w io.Writer) {
		name := spec.Model
		if spec.Width != 0 {
			name += fmt.Sprintf(" of width %v", spec.Width)
		}
		fmt.Fprintf(w, "%s: %s, %d classes, %d parameters; images: shorter side %d %s, %d x %d, mean %v, deviation %v\n",
			path, name, len(spec.Classes), net.Parameters(), spec.Resize, spec.Interpolation, spec.InputSize, spec.InputSize, spec.Mean, spec.Std)
		if text := taken.String(); text != "" {
			fmt.Fprintf(w, "taken: %s\n", text)
		}
	})
}

// weightForms are the forms of files of weights that others read.
var weightForms = []string{"pth", "safetensors", "onnx"}

func newModelExportCmd(a *app) *cobra.Command {
	var out, to string
	cmd := &cobra.Command{
		Use:   "export WEIGHTS --out FILE",
		Short: "Turn our weights into .pth, safetensors or ONNX",
		Long: `Reads weights with a Spec (a checkpoint, model.safetensors or model.onnx) and
writes them for others: .pth is a state dict that torch.load reads and
torchvision's network of that name loads; .safetensors the same tensors with the
Spec; .onnx the network for prediction (uint8 images in, probabilities and
embedding out). Averaged weights are taken where a checkpoint has them.`,
		Example: "  synshard model export runs/a/best.safetensors --out inception.pth\n  synshard model export inception.safetensors --out model.onnx",
		Args:    exactly(1, 1, "a file of weights"),
		RunE:    func(_ *cobra.Command, args []string) error { return a.modelExport(args[0], out, to) },
	}
	cmd.Flags().StringVarP(&out, "out", "o", "", "file to write")
	choiceVar(cmd, &to, "to", "", "pth, safetensors or onnx (default: as the file is called)", weightForms...)
	cobra.CheckErr(cmd.MarkFlagRequired("out"))
	return cmd
}

func (a *app) modelExport(path, out, to string) error {
	if to == "" {
		to = strings.TrimPrefix(strings.ToLower(filepath.Ext(out)), ".")
	}
	if !slices.Contains(weightForms, to) {
		return usagef("--out %s: its ending is none of %s; give --to", out, strings.Join(weightForms, ", "))
	}
	file, err := readAnyWeights(path, weights.Options{})
	if err != nil {
		return err
	}
	meta := file.Metadata
	if meta[model.SpecKey] == "" {
		return fmt.Errorf("%s: no %s in its metadata; 'synshard model import' gives it one", path, model.SpecKey)
	}
	spec, err := model.ParseSpec(meta[model.SpecKey])
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	tensors := checkpoint.Weights(file.Tensors, true)
	spec = weights.WithWidth(spec, tensors)
	net, values, err := weights.Fit(spec, tensors)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	switch to {
	case "pth":
		err = durable.WriteFile(out, func(w io.Writer) error { return pth.Write(w, values) })
	case "safetensors":
		err = writeOurs(out, values, spec)
	case "onnx":
		err = durable.WriteFile(out, func(w io.Writer) error { return onnx.Write(w, net, values, spec) })
	}
	if err != nil {
		return err
	}
	return a.converted(out, net, spec, file.Taken)
}
