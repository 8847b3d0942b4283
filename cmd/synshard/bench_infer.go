package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/synshard/synshard/internal/bench"
)

// benchInferOptions say what is tried.
type benchInferOptions struct {
	net           networkOptions
	batches, runs []int
	most          time.Duration
}

// AddFlags adds them to the verb.
func (o *benchInferOptions) AddFlags(cmd *cobra.Command) {
	cmd.Flags().IntSliceVar(&o.batches, "batches", []int{1, 2, 4, 8, 16, 32}, "batches that are tried")
	cmd.Flags().IntSliceVar(&o.runs, "runs", nil, "runs at a time that are tried (default: 1, and as many as there are CPUs or, on a GPU, 2)")
	cmd.Flags().DurationVar(&o.most, "max", 20*time.Second, "longest time for a setting")
	o.net.AddFlags(cmd)
}

func newBenchInferCmd(a *app) *cobra.Command {
	var o benchInferOptions
	cmd := &cobra.Command{
		Use:   "infer MODEL",
		Short: "Find the batch and the number of runs at a time that are fastest",
		Long: `Runs a model over ready images, in batches of several sizes and with several runs at a
time, each until three windows of a second agree within 2 % (or --max is up), and prints
images a second and how long a batch takes: the median, and what 95 and 99 of a hundred
do not exceed. Decoding and writing are not in it: 'infer' on the same machine shows what
they cost.`,
		Example: `  synshard bench infer runs/a/model.onnx
  synshard bench infer runs/a/model.onnx --batches 1,8,32 --runs 1,2 --json
  synshard bench infer runs/a/model.onnx --device cuda --batches 64,128,256`,
		Args:    exactly(1, 1, "a model"),
		PreRunE: func(*cobra.Command, []string) error { return o.check() },
		RunE:    func(cmd *cobra.Command, args []string) error { return a.runBenchInfer(cmd.Context(), args[0], o) },
	}
	o.AddFlags(cmd)
	return cmd
}

// check holds the flags to what can be measured.
func (f *benchInferOptions) check() error {
	for _, n := range slices.Concat(f.batches, f.runs) {
		if n < 1 {
			return usagef("--batches and --runs want numbers from 1")
		}
	}
	if f.most <= 0 || len(f.batches) == 0 {
		return usagef("--max %s, %d batches", f.most, len(f.batches))
	}
	return f.net.check()
}

func (a *app) runBenchInfer(ctx context.Context, path string, f benchInferOptions) error {
	f.net.whole = true
	n, err := a.openNetwork(ctx, path, &f.net, wanted{}, 0)
	if err != nil {
		return err
	}
	defer n.Close()
	o := bench.NetworkOptions{Batches: f.batches, Runs: f.runs, Most: f.most}
	bar := a.Bar(int64(len(o.Settings(n))), "measuring", "settings")
	defer bar.Finish()
	o.OnTried = func() { bar.Add64(1) }
	r, err := bench.MeasureNetwork(ctx, n, o)
	if err != nil {
		return err
	}
	r.Model = path
	bar.Finish()
	return a.Result(r, func(w io.Writer) { printInferBench(w, r) })
}

func printInferBench(out io.Writer, b bench.NetworkReport) {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "batch\truns\timages/s\tp50 ms\tp95 ms\tp99 ms\tbatches\t  ")
	for _, m := range b.Settings {
		note := ""
		if !m.Stable {
			note = "not stable"
		}
		fmt.Fprintf(w, "%d\t%d\t%.1f\t%.1f\t%.1f\t%.1f\t%d\t  %s\n", m.Batch, m.Runs, m.PerSecond, 1e3*m.P50, 1e3*m.P95, 1e3*m.P99, m.Batches, note)
	}
	w.Flush() // out keeps its errors for the caller
	fmt.Fprintf(out, "best: --batch %d with %d runs at a time on %s: %.1f images/s\n", b.Best.Batch, b.Best.Runs, b.Backend, b.Best.PerSecond)
	if b.How != "" {
		fmt.Fprintln(out, b.How)
	}
}
