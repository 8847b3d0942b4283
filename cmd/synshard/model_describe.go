package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/describe"
	"github.com/synshard/synshard/web/network"
)

// describeOptions are model describe's flags.
type describeOptions struct {
	classes        int
	noAux, savings bool
	out            string
	memory         trainingMemory
}

// AddFlags adds them to the verb.
func (o *describeOptions) AddFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.IntVar(&o.classes, "class-count", 1000, "width of the heads")
	f.BoolVar(&o.noAux, "no-aux", false, "without the auxiliary heads")
	f.BoolVar(&o.savings, "savings", false, "what factorised and bottlenecked blocks save")
	f.StringVarP(&o.out, "out", "o", "", "write this file instead: a drawing (.svg; - is stdout), or with --savings a page to look at (.html)")
	o.memory.AddFlags(cmd)
	cmd.MarkFlagsMutuallyExclusive("savings", "gpu-memory")
	cmd.MarkFlagsMutuallyExclusive("out", "gpu-memory")
}

func newModelDescribeCmd(a *app) *cobra.Command {
	var o describeOptions
	cmd := &cobra.Command{
		Use:   "describe NAME",
		Short: "Show a network layer by layer, what its blocks save, or a drawing",
		Long: `Prints the layer table of a network: name, operation, window, output for one
image (channels x height x width), receptive field in pixels of the input,
parameters, and multiply-adds of convolutions and linear layers; then the sums,
with the memory that outputs kept for the backward pass take.

--savings lists instead each pair of convolutions that stands for a single one
(1x1 bottlenecks, 1xn with nx1, two 3x3) with what it costs and what the single
one from the same input to the same output would, and the textbook's cases; with
--out x.html as a page that shows them beside each other below the network's drawing.
--out x.svg draws the network on a page across, block by block, with shapes and
parameters; so does --out -, to stdout.
--gpu-memory accounts for what a training step takes of a GPU's memory: of --batch
images, or of as many as fit.`,
		Example: "  synshard model describe inception_v3\n  synshard model describe googlenet --savings --json\n  synshard model describe resnet50 --out resnet50.svg\n  synshard model describe inception_v3 --savings --out inception_v3.html\n  synshard model describe inception_v3 --gpu-memory=11GB --precision fp16",
		Args:    exactly(1, 1, "the name of a network"),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return model.Names(), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error { return a.runModelDescribe(args[0], o) },
	}
	o.AddFlags(cmd)
	return cmd
}

func (a *app) runModelDescribe(name string, o describeOptions) error {
	n, err := model.New(name, model.Options{Classes: o.classes, Aux: !o.noAux, Dropout: -1})
	if err != nil {
		return usagef("%w", err)
	}
	if err := o.memory.check(); err != nil {
		return err
	}
	switch {
	case o.out == "-" && a.JSON:
		return usagef("--json has no effect on a drawing that goes to stdout")
	case o.out == "-" && !o.savings:
		return describe.WriteSVG(a.Stdout, n)
	case o.out != "":
		return a.wrote(o.out, o.write(n))
	case o.memory.wanted:
		return a.describeMemory(n, o.memory)
	case o.savings:
		return a.describeSavings(n)
	}
	return a.describe(n)
}

// wrote tells of a file that was written, unless err says otherwise.
func (a *app) wrote(out string, err error) error {
	if err != nil {
		return err
	}
	return a.Result(map[string]any{"out": out}, func(io.Writer) {})
}

// write makes the file that --out names.
func (o *describeOptions) write(n *model.Network) error {
	draw := describe.WriteSVG
	switch ext := strings.ToLower(filepath.Ext(o.out)); {
	case o.savings && (ext == ".html" || ext == ".htm"):
		draw = network.Write
	case o.savings:
		return usagef("--out %s: with --savings a page is written, whose name ends in .html", o.out)
	case ext != ".svg":
		return usagef("--out %s: a drawing's name ends in .svg", o.out)
	}
	return durable.WriteFile(o.out, func(w io.Writer) error { return draw(w, n) })
}

// describedLayer is a row of the layer table.
type describedLayer struct {
	model.Layer
	Field [2]int `json:"receptive_field"` // pixels, height and width
}

func (a *app) describe(n *model.Network) error {
	cost, fields := n.Cost(), describe.ReceptiveFields(n)
	var layers []describedLayer
	for i, l := range n.Layers() {
		layers = append(layers, describedLayer{l, fields[i]})
	}
	kept := n.KeptActivations()
	return a.Result(map[string]any{
		"name": n.Name, "input_size": n.Input, "classes": n.Classes, "cost": cost, "kept_activations": kept, "layers": layers,
	}, func(out io.Writer) {
		w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
		fmt.Fprintln(w, "layer\toperation\twindow\toutput\tfield\tparameters\tmultiply-adds")
		for _, l := range layers {
			window := ""
			if l.Kernel[0] > 0 {
				window = fmt.Sprintf("%dx%d", l.Kernel[0], l.Kernel[1])
				if l.Stride[0] > 1 {
					window += fmt.Sprintf(" /%d", l.Stride[0])
				}
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%dx%dx%d\t%dx%d\t%d\t%d\n", l.Name, l.Op, window, l.Output[0], l.Output[1], l.Output[2], l.Field[0], l.Field[1], l.Parameters, l.Multiplies)
		}
		w.Flush() // out keeps the first error
		fmt.Fprintf(out, "\n%d parameters, %d without the auxiliary heads; %d multiply-adds and %d convolution outputs an image\n",
			cost.Parameters, cost.MainParameters, cost.Multiplies, cost.Activations)
		fmt.Fprintf(out, "activations kept for the backward pass: %.1f MB an image in fp32, %.1f MB in bf16 or fp16\n", 4*float64(kept)/1e6, 2*float64(kept)/1e6)
	})
}

func (a *app) describeSavings(n *model.Network) error {
	savings, principles := describe.Savings(n), describe.Principles()
	return a.Result(map[string]any{"name": n.Name, "blocks": savings, "principles": principles}, func(out io.Writer) {
		w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
		fmt.Fprintln(w, "convolutions\twhat\tweights\tplain\tsaved\tmultiplications\tplain")
		for _, s := range savings {
			fmt.Fprintf(w, "%s, %s\t%s\t%d\t%d\t%.0f %%\t%d\t%d\n", s.First, s.Second, s.What, s.Weights, s.PlainWeights, 100*s.Saved, s.Multiplies, s.PlainMultiplies)
		}
		if len(savings) == 0 {
			fmt.Fprintf(w, "%s has none\n", n.Name)
		}
		fmt.Fprintln(w, "\nprinciple\tplain\tfactorised\tsaved\tunit\t\t")
		for _, p := range principles {
			fmt.Fprintf(w, "%s\t%d\t%d\t%.0f %%\t%s\t\t\n", p.What, p.Plain, p.Ours, 100*(1-float64(p.Ours)/float64(p.Plain)), p.Unit)
		}
		w.Flush() // out keeps the first error
	})
}
