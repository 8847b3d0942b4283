package main

import (
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/provenance/modelcard"
)

// cardOptions are model card's flags.
type cardOptions struct{ out, title string }

// AddFlags adds them to the verb.
func (o *cardOptions) AddFlags(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&o.out, "out", "o", "-", "file to write; -: stdout")
	cmd.Flags().StringVar(&o.title, "title", "", "what the model is called (default: its network's name)")
}

func newModelCardCmd(a *app) *cobra.Command {
	var o cardOptions
	cmd := &cobra.Command{
		Use:   "card MODEL [PREDICTIONS...]",
		Short: "Write a model's card for Hugging Face's hub",
		Long: `Writes README.md for a model's page on Hugging Face's hub, in the hub's own form: what
the network takes and gives, how to use it with synshard and in Python, and what it was
made from, by what the file says of itself; and with PREDICTIONS of it how right it is
over their images, in front of the card too, for the hub's tables. Predictions of another
model are refused. What the model is good for, its licence and its limits are yours to
add.`,
		Example: "  synshard model card runs/a/model.onnx runs/a/val.arrow --title \"Inception-v3 of our birds\" --out runs/a/README.md",
		Args:    atLeast(1, "a model"),
		RunE:    func(_ *cobra.Command, args []string) error { return a.runModelCard(args[0], args[1:], o) },
	}
	o.AddFlags(cmd)
	return cmd
}

func (a *app) runModelCard(path string, predictions []string, o cardOptions) error {
	if o.out == "-" && a.JSON {
		return usagef("--json has no effect on a card that goes to stdout; give --out")
	}
	card, err := modelcard.Read(path, predictions)
	if err != nil {
		return ifWeights(path, err)
	}
	card.Title, card.File = o.title, filepath.Base(a.remote.paths.Shown(path))
	if o.out == "-" {
		return card.Write(a.Stdout)
	}
	return a.wrote(o.out, durable.WriteFile(o.out, func(w io.Writer) error { return card.Write(w) }))
}
