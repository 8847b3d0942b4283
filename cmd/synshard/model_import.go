package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/synshard/synshard/internal/ui"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/weights"
	"github.com/synshard/synshard/train/checkpoint"
)

// importOptions are what foreign weights do not say of themselves.
type importOptions struct {
	network, classes, out string
	images                preparation
	square                bool
	from                  weights.Options
}

// AddFlags adds them to the verb.
func (o *importOptions) AddFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVarP(&o.out, "out", "o", "", "safetensors file to write")
	f.StringVar(&o.network, "model", "", "which network (default: as the file says, or the one whose parameters these are)")
	complete(cmd, "model", model.Names()...)
	classesVar(cmd, &o.classes, classesUsage)
	o.images.AddFlags(cmd)
	f.BoolVar(&o.square, "square", false, "resize both sides to the input size instead")
	addWeightsFlags(cmd, &o.from)
	cobra.CheckErr(cmd.MarkFlagRequired("out"))
}

func newModelImportCmd(a *app) *cobra.Command {
	var o importOptions
	cmd := &cobra.Command{
		Use:   "import WEIGHTS --out FILE",
		Short: "Convert the .pth, safetensors or ONNX weights of others",
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
takes them, and of a run's own checkpoint they are taken anyhow, unless
--weights-ema=false is given; where several dictionaries could be meant,
--weights-key names one.

The classes of a file that does not name them come from --classes: a dataset, a
file of names in label order, or the built-in list imagenet-1k.`,
		Example: `  synshard model import inception_v3_google-0cc3c7bd.pth --classes imagenet --out inception.safetensors
  synshard model import timm.safetensors --model inception_v3 --classes synsets.txt --interpolation bicubic --resize 341 --out inception.safetensors
  synshard model import runs/a/model.onnx --out back.safetensors`,
		Args: exactly(1, 1, "a file of weights"),
		RunE: func(_ *cobra.Command, args []string) error { return a.runModelImport(args[0], o) },
	}
	o.AddFlags(cmd)
	return cmd
}

func (a *app) runModelImport(path string, o importOptions) error {
	if err := wantEnding(o.out, ".safetensors", "weights that are imported"); err != nil {
		return err
	}
	if checkpoint.FormOf(path) == "onnx" && o.from != (weights.Options{}) {
		return usagef("--weights-ema and --weights-key are for checkpoints, not for %s", path)
	}
	file, err := checkpoint.ReadAny(path, o.from)
	if err != nil {
		return chosenBy(err)
	}
	spec, err := a.specOfImport(path, o, file.Tensors, file.Metadata)
	if err != nil {
		return err
	}
	fitted, err := checkpoint.Fit(spec, file.Tensors)
	if err != nil {
		if text := takenText(file.Taken); text != "" {
			err = fmt.Errorf("%w (taken: %s)", err, text)
		}
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := fitted.Write(o.out, "safetensors"); err != nil {
		return err
	}
	return a.converted(o.out, fitted, file.Taken, takenText(file.Taken))
}

// addWeightsFlags are those that choose among what a checkpoint holds.
func addWeightsFlags(cmd *cobra.Command, o *weights.Options) {
	ema := cmd.Flags().VarPF(averages{o}, "weights-ema", "", "take the averaged (EMA) weights of a checkpoint that has them, =false the plain ones (default: averages of a run's checkpoints, plain ones of others')")
	ema.NoOptDefVal = "true"
	cmd.Flags().StringVar(&o.Key, "weights-key", "", "the dictionary of a checkpoint that has the weights, as model.state_dict (default: found by its name)")
}

// averages is --weights-ema, which chooses where it is given, false too.
type averages struct{ *weights.Options }

func (v averages) String() string {
	if v.Options == nil || !v.EMA && !v.Plain {
		return ""
	}
	return strconv.FormatBool(v.EMA)
}
func (averages) Type() string { return "bool" }
func (v averages) Set(s string) error {
	b, err := strconv.ParseBool(s)
	v.EMA, v.Plain = b, !b
	return err
}

// takenText says what was taken of a file, and the flag that would have taken
// others instead.
func takenText(t weights.Taken) string {
	text := t.String()
	switch {
	case t.Other != "":
		text += " (--weights-ema takes them)"
	case t.Plain:
		text += " (--weights-ema=false takes the plain ones)"
	}
	return text
}

// chosenBy names the flags that choose where a file's weights could not be.
func chosenBy(err error) error {
	if errors.Is(err, weights.ErrSeveral) || errors.Is(err, weights.ErrAbsent) {
		return usagef("%w (--weights-ema takes averaged weights, --weights-ema=false plain ones, --weights-key names a dictionary)", err)
	}
	return err
}

// specOfImport takes what the file says and lets the flags win.
func (a *app) specOfImport(path string, o importOptions, tensors []model.Tensor, meta map[string]string) (model.Spec, error) {
	spec, err := weights.SpecOf(tensors, meta[model.SpecKey], o.network)
	switch {
	case errors.Is(err, weights.ErrNetwork):
		return spec, usagef("%s: --model: %w", path, err)
	case errors.Is(err, weights.ErrUnknown):
		return spec, fmt.Errorf("%s: %w; name the network with --model", path, err)
	case err != nil:
		return spec, fmt.Errorf("%s: %w", path, err)
	}
	if o.classes != "" {
		list, err := a.readClasses("classes", o.classes)
		if err != nil {
			return spec, err
		}
		spec.Classes = list.Names
	}
	if len(spec.Classes) == 0 {
		return spec, usagef("%s does not name its classes; give --classes", path)
	}
	return spec, o.apply(&spec)
}

// apply sets what was given as flags.
func (o importOptions) apply(spec *model.Spec) error {
	mean, std, err := o.images.colours()
	if err != nil {
		return err
	}
	if mean != nil {
		spec.Mean = *mean
	}
	if std != nil {
		spec.Std = *std
	}
	spec.Resize = cmp.Or(o.images.resize, spec.Resize)
	spec.Interpolation = cmp.Or(o.images.interpolation, spec.Interpolation)
	spec.Square = spec.Square || o.square
	if err := spec.Check(); err != nil {
		return usagef("%w", err)
	}
	return nil
}

// converted tells of weights that were written; said is what was taken, for people.
func (a *app) converted(path string, f checkpoint.Fitted, taken weights.Taken, said string) error {
	spec := f.Spec
	if name := f.NotFinite(); name != "" {
		a.Warnf("%s has values that are not finite, with which nothing can be predicted", name)
	}
	return a.Result(map[string]any{"out": path, "spec": spec, "auxiliary_heads": len(f.Network.Aux), "taken": taken}, func(w io.Writer) {
		name := spec.Model
		if spec.Width != 0 {
			name += fmt.Sprintf(" of width %v", spec.Width)
		}
		fmt.Fprintf(w, "%s: %s, %d classes, %d parameters; images: shorter side %d %s, %d x %d, mean %v, deviation %v\n",
			ui.Text(path), ui.Text(name), len(spec.Classes), f.Network.Parameters(), spec.Resize, spec.Interpolation, spec.InputSize, spec.InputSize, spec.Mean, spec.Std)
		if said != "" {
			fmt.Fprintf(w, "taken: %s\n", ui.Text(said))
		}
	})
}
