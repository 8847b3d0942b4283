package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/synshard/synshard/infer/prediction"
	"github.com/synshard/synshard/internal/ui"
)

func newMergeCmd(a *app) *cobra.Command {
	var out, format string
	var overwrite bool
	cmd := &cobra.Command{
		Use:   "merge FILE... --out FILE",
		Short: "Join what the jobs of infer --job wrote",
		Long: `Joins the Arrow files that the jobs of an array wrote with 'infer --job i/n', given in
any order, to one file: the bytes that one job without --job would have written.
All n must be there, undamaged, and come from the same model, input and options. Where
the whole is there already nothing is done.`,
		Example: `  synshard merge val-*.arrow --out val.arrow
  synshard merge job-0.arrow job-1.arrow --out all.parquet`,
		Args: atLeast(1, "the jobs' files"),
		RunE: func(_ *cobra.Command, args []string) error {
			format, err := formatOf(format, out)
			if err != nil {
				return err
			}
			if out == "-" {
				return usagef("--out names a file: jobs are of no use before all are there")
			}
			sum, err := prediction.Merge(args, prediction.MergeOptions{Path: out, Format: format, Overwrite: overwrite})
			if err != nil {
				return err
			}
			return a.result(sum, func(w io.Writer) {
				fmt.Fprintf(w, "%s: %d predictions of %d jobs, %d images failed\n", ui.Text(out), sum.Rows, len(args), sum.Failed)
			})
		},
	}
	cmd.Flags().StringVarP(&out, "out", "o", "", "file to write")
	formatVar(cmd, &format)
	overwriteVar(cmd, &overwrite)
	cobra.CheckErr(cmd.MarkFlagRequired("out"))
	return cmd
}
