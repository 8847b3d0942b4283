package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/synshard/synshard/infer/prediction"
	"github.com/synshard/synshard/internal/ui"
)

// mergeOptions are merge's flags.
type mergeOptions struct {
	out, format string
	overwrite   bool
}

// AddFlags adds them to the verb.
func (o *mergeOptions) AddFlags(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&o.out, "out", "o", "", "file to write")
	formatVar(cmd, &o.format)
	overwriteVar(cmd, &o.overwrite)
	cobra.CheckErr(cmd.MarkFlagRequired("out"))
}

func newMergeCmd(a *app) *cobra.Command {
	var o mergeOptions
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
		RunE: func(_ *cobra.Command, args []string) error { return a.runMerge(args, o) },
	}
	o.AddFlags(cmd)
	return cmd
}

func (a *app) runMerge(files []string, o mergeOptions) error {
	format, err := formatOf(o.format, o.out)
	if err != nil {
		return err
	}
	if o.out == "-" {
		return usagef("--out names a file: jobs are of no use before all are there")
	}
	if files, err = a.copies(files); err != nil {
		return err
	}
	sum, err := prediction.Merge(files, prediction.MergeOptions{Path: o.out, Format: format, Overwrite: o.overwrite})
	if err != nil {
		return err
	}
	a.cameTo(int64(sum.Rows), int64(sum.Failed))
	return a.Result(struct {
		Out string `json:"out"`
		prediction.Merged
	}{o.out, sum}, func(w io.Writer) {
		fmt.Fprintf(w, "%s: %d predictions of %d jobs, %d images failed\n", ui.Text(o.out), sum.Rows, len(files), sum.Failed)
	})
}
