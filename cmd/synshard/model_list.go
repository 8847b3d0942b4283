package main

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/synshard/synshard/internal/ui"
	"github.com/synshard/synshard/model"
)

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
		Long:    "Lists the networks that train can fit, with 1000 classes: parameters with and\nwithout auxiliary heads, and multiply-adds of one image.",
		Example: "  synshard model list --json",
		Args:    exactly(0, 0, "no arguments"),
		RunE:    func(*cobra.Command, []string) error { return a.runModelList() },
	}
}

func (a *app) runModelList() error {
	var rows []modelRow
	for _, name := range model.Names() {
		n, err := model.New(name, model.Options{Aux: true, Dropout: -1})
		if err != nil {
			return err
		}
		rows = append(rows, modelRow{name, n.Input, n.Cost()})
	}
	return a.Result(map[string]any{"models": rows}, func(w io.Writer) {
		t := ui.NewTable(w, "name", "input", "parameters", "without aux", "multiply-adds")
		for _, r := range rows {
			t.Row(r.Name, r.Input, r.Parameters, r.MainParameters, r.Multiplies)
		}
		t.Flush() // into a bufio.Writer, which keeps the error
	})
}
