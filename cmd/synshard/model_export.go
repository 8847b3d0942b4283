package main

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/synshard/synshard/model/weights"
	"github.com/synshard/synshard/train/checkpoint"
)

// exportWeightsOptions are model export's flags.
type exportWeightsOptions struct{ out, to string }

// AddFlags adds them to the verb.
func (o *exportWeightsOptions) AddFlags(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&o.out, "out", "o", "", "file to write")
	choiceVar(cmd, &o.to, "to", "", oneOf(checkpoint.Forms)+" (default: as the file is called)", checkpoint.Forms...)
	cobra.CheckErr(cmd.MarkFlagRequired("out"))
}

func newModelExportCmd(a *app) *cobra.Command {
	var o exportWeightsOptions
	cmd := &cobra.Command{
		Use:   "export WEIGHTS --out FILE",
		Short: "Write weights as .pth, safetensors or ONNX for others",
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
	form := cmp.Or(o.to, checkpoint.FormOf(o.out))
	if form == "" {
		return usagef("--out %s: its ending is not one of %s; give --to", o.out, strings.Join(checkpoint.Forms, ", "))
	}
	file, err := checkpoint.ReadAny(path, weights.Options{})
	if err != nil {
		return err
	}
	fitted, err := checkpoint.Recorded(file)
	switch {
	case errors.Is(err, checkpoint.ErrNoSpec):
		return fmt.Errorf("%s: %w; 'synshard model import' gives it one", path, err)
	case err != nil:
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := fitted.Write(o.out, form); err != nil {
		return err
	}
	return a.converted(o.out, fitted, file.Taken, file.Taken.String())
}
