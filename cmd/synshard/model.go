package main

import (
	"encoding/json"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"synshard/model"
)

var _ = register(newModelCmd)

func newModelCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "model",
		Short:   "Show networks: layers, parameters, costs",
		Example: "  synshard model list\n  synshard model describe inception_v3",
	}
	cmd.AddCommand(newModelListCmd(a), newModelDescribeCmd(a))
	return cmd
}

// modelRow is a line of model list.
type modelRow struct {
	Name  string `json:"name"`
	Input int    `json:"input_size"`
	model.Cost
}

func newModelListCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the networks",
		Long:    "Lists the networks that train can fit, with 1000 classes: parameters with and\nwithout auxiliary heads, and multiply-adds of one picture.",
		Example: "  synshard model list --json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			var rows []modelRow
			for _, name := range model.Names() {
				n, err := model.New(name, model.Options{Aux: true, Dropout: -1})
				if err != nil {
					return err
				}
				rows = append(rows, modelRow{name, n.Input, n.Cost()})
			}
			if a.jsonOut {
				return json.NewEncoder(a.stdout).Encode(rows)
			}
			w := tabwriter.NewWriter(a.stdout, 0, 8, 2, ' ', 0)
			fmt.Fprintln(w, "name\tinput\tparameters\twithout aux\tmultiply-adds")
			for _, r := range rows {
				fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\n", r.Name, r.Input, r.Parameters, r.MainParameters, r.Multiplies)
			}
			return w.Flush()
		},
	}
}

func newModelDescribeCmd(a *app) *cobra.Command {
	var classes int
	var noAux bool
	cmd := &cobra.Command{
		Use:   "describe NAME",
		Short: "Show a network layer by layer",
		Long: `Prints the layer table of a network: name, operation, window, output for one
picture (channels x height x width), parameters, and multiply-adds of
convolutions and linear layers; then the sums.`,
		Example: "  synshard model describe inception_v3\n  synshard model describe inception_v3 --no-aux --classes 8 --json",
		Args:    exactly(1, 1, "the name of a network"),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return model.Names(), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			n, err := model.New(args[0], model.Options{Classes: classes, Aux: !noAux, Dropout: -1})
			if err != nil {
				return usagef("%w", err)
			}
			return a.describe(n)
		},
	}
	cmd.Flags().IntVar(&classes, "classes", 1000, "width of the heads")
	cmd.Flags().BoolVar(&noAux, "no-aux", false, "without the auxiliary heads")
	return cmd
}

func (a *app) describe(n *model.Network) error {
	layers, cost := n.Layers(), n.Cost()
	if a.jsonOut {
		return json.NewEncoder(a.stdout).Encode(map[string]any{
			"name": n.Name, "input_size": n.Input, "classes": n.Classes, "cost": cost, "layers": layers,
		})
	}
	w := tabwriter.NewWriter(a.stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "layer\toperation\twindow\toutput\tparameters\tmultiply-adds")
	for _, l := range layers {
		window := ""
		if l.Kernel[0] > 0 {
			window = fmt.Sprintf("%dx%d", l.Kernel[0], l.Kernel[1])
			if l.Stride[0] > 1 {
				window += fmt.Sprintf(" /%d", l.Stride[0])
			}
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%dx%dx%d\t%d\t%d\n", l.Name, l.Op, window, l.Output[0], l.Output[1], l.Output[2], l.Parameters, l.Multiplies)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(a.stdout, "\n%d parameters, %d without the auxiliary heads; %d multiply-adds and %d convolution outputs a picture\n",
		cost.Parameters, cost.MainParameters, cost.Multiplies, cost.Activations)
	return err
}
