package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/synshard/synshard/infer/trial"
	"github.com/synshard/synshard/internal/bench"
	"github.com/synshard/synshard/internal/ui"
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
they cost.

Then it makes the trial that 'infer --engine auto' makes, whatever is remembered of an earlier
one: all engines that are here and can run the model, in turns of a fraction of a second,
and of the fastest all batches. What differs from the default's probabilities by more than
1e-5 is not chosen. What is found is remembered, and 'infer' takes it from then on.`,
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
	d, err := a.describeNetwork(path, &f.net, wanted{})
	if err == nil {
		err = a.findEngine(d, true)
	}
	if err != nil {
		return err
	}
	a.sayEngine(d)
	r, err := a.measureSettings(ctx, d, f)
	if err != nil {
		return err
	}
	r.Model = path
	if r.Trial, err = a.benchTrial(ctx, d, f.most); err != nil {
		return err
	}
	return a.Result(r, func(w io.Writer) { printInferBench(w, r) })
}

// benchTrial makes the trial of a model, and has what it finds remembered. There is none where the
// engine was asked for, or on a GPU.
func (a *app) benchTrial(ctx context.Context, d *describedModel, budget time.Duration) (*trial.Result, error) {
	d.f.whole = false // as infer has it
	t, err := a.newTrial(d, batchSize{})
	if err != nil || d.f.engine != "auto" || t.onGPU {
		return nil, err
	}
	n, r, err := t.run(ctx, 0, min(budget, 2*trial.Budget))
	if err != nil {
		return nil, err
	}
	return &r, n.Close()
}

// measureSettings measures a model in each setting, on the engine that runs it unless another
// is asked for.
func (a *app) measureSettings(ctx context.Context, d *describedModel, f benchInferOptions) (bench.NetworkReport, error) {
	n, err := a.open(ctx, d, d.engine, 0, 0)
	if err != nil {
		return bench.NetworkReport{}, err
	}
	defer n.Close()
	o := bench.NetworkOptions{Batches: f.batches, Runs: f.runs, Most: f.most}
	bar := a.Bar(int64(len(o.Settings(n))), "measuring", "settings")
	defer bar.Finish()
	o.OnTried = func() { bar.Add64(1) }
	return bench.MeasureNetwork(ctx, n, o)
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
	if b.Trial == nil {
		return
	}
	for _, t := range b.Trial.Tried {
		fmt.Fprintf(out, "tried %s\n", ui.Text(t.String()))
	}
	fmt.Fprintf(out, "'infer' takes %s\n", ui.Text(b.Trial.Chosen.String()))
}
