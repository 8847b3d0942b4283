package main

import (
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

// weightForms are the forms of files of weights that others read.
var weightForms = []string{"pth", "safetensors", "onnx"}

// exportWeightsOptions are model export's flags.
type exportWeightsOptions struct{ out, to string }

// AddFlags adds them to the verb.
func (o *exportWeightsOptions) AddFlags(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&o.out, "out", "o", "", "file to write")
	choiceVar(cmd, &o.to, "to", "", oneOf(weightForms)+" (default: as the file is called)", weightForms...)
	cobra.CheckErr(cmd.MarkFlagRequired("out"))
}

func newModelExportCmd(a *app) *cobra.Command {
	var o exportWeightsOptions
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
		RunE:    func(_ *cobra.Command, args []string) error { return a.runModelExport(args[0], o) },
	}
	o.AddFlags(cmd)
	return cmd
}

func (a *app) runModelExport(path string, o exportWeightsOptions) error {
	to, out := o.to, o.out
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
