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
	cmd := &cobra.Command{
		Use:   "merge PART... --out FILE",
		Short: "Join the parts that infer --job wrote",
		Long: `Joins the Arrow files that the jobs of an array wrote with 'infer --job i/n', given in
any order, to one file: the bytes that one job without --job would have written.
All n parts must be there and come from the same model, input and options. Where
the whole is there already nothing is done.`,
		Example: `  synshard merge val-*.arrow --out val.arrow
  synshard merge part-0.arrow part-1.arrow --out all.parquet`,
		Args: atLeast(1, "the parts"),
		RunE: func(_ *cobra.Command, args []string) error {
			format, err := formatOf(format, out)
			if err != nil {
				return err
			}
			if out == "-" {
				return usagef("--out names a file; parts are of no use before all are there")
			}
			sum, err := prediction.Merge(args, out, format)
			if err != nil {
				return err
			}
			return a.result(sum, func(w io.Writer) {
				fmt.Fprintf(w, "%s: %d predictions of %d parts, %d images failed\n", ui.Text(out), sum.Rows, len(args), sum.Failed)
			})
		},
	}
	cmd.Flags().StringVarP(&out, "out", "o", "", "file to write")
	formatVar(cmd, &format)
	cobra.CheckErr(cmd.MarkFlagRequired("out"))
	return cmd
}
