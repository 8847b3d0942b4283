package main

import (
	"github.com/spf13/cobra"

	"github.com/synshard/synshard/infer/prediction"
)

// formatVar adds --format: the form of a file of predictions.
func formatVar(cmd *cobra.Command, p *string) {
	choiceVar(cmd, p, "format", "", "arrow, stream (Arrow's), parquet, ndjson or csv (default: by the file's name)", prediction.Formats...)
}

// formatOf is the form of the output: --format, or what the file's name says.
func formatOf(format, out string) (string, error) {
	if format == "" {
		format = prediction.FormatOf(out)
	}
	return format, nil
}
