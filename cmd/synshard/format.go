package main

import (
	"github.com/spf13/cobra"

	"github.com/synshard/synshard/infer/prediction"
)

// formatVar adds --format: the form of a file of predictions.
func formatVar(cmd *cobra.Command, p *string) {
	choiceVar(cmd, p, "format", "", "arrow, stream (Arrow's), parquet, ndjson, csv or tsv (default: by the file's name)", prediction.Formats...)
}

// formatOf is the form of the output: --format, or what the file's name says.
func formatOf(format, out string) (prediction.Format, error) {
	f, err := prediction.Format(format), prediction.CheckName(out)
	if format == "" {
		f, err = prediction.FormatOf(out)
	}
	if err != nil {
		return f, usagef("--out %w", err)
	}
	if packing := prediction.PackingOf(out); format != "" && packing != "" {
		if !f.Text() {
			return f, usagef("--out %s: %s is not packed as a whole, text is", out, f)
		}
		f = f.Packed(packing)
	}
	return f, nil
}

// overwriteVar adds --overwrite.
func overwriteVar(cmd *cobra.Command, p *bool) {
	cmd.Flags().BoolVar(p, "overwrite", false, "start anew where the output holds other predictions")
}
