package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/synshard/synshard/eval"
	"github.com/synshard/synshard/infer"
	"github.com/synshard/synshard/infer/images"
	"github.com/synshard/synshard/infer/openvino"
	"github.com/synshard/synshard/infer/ort"
	"github.com/synshard/synshard/infer/prediction"
	"github.com/synshard/synshard/internal/native"
	"github.com/synshard/synshard/internal/ui"
	"github.com/synshard/synshard/source/layout"
	"github.com/synshard/synshard/storage/cached"
)

// inferOptions are infer's flags.
type inferOptions struct {
	in        inputOptions
	net       networkOptions
	rollup    rollupOptions
	selection *selectionOptions

	out, format, probabilities, embedding, truncated string
	batch                                            batchSize
	topK, workers                                    int
	logits, overwrite, dryRun                        bool
	form                                             prediction.Format // what format and out come to
}

// AddFlags adds them to the verb.
func (o *inferOptions) AddFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVarP(&o.out, "out", "o", "-", "file to write, or - for stdout")
	formatVar(cmd, &o.format)
	overwriteVar(cmd, &o.overwrite)
	f.BoolVar(&o.dryRun, "dry-run", false, "print what would be predicted over, and stop: rows, truths found, files left out")
	f.IntVar(&o.topK, "top-k", 5, "classes kept of each prediction")
	choiceVar(cmd, &o.probabilities, "probabilities", "top", "top, or all: a column with the probability of every class", "top", "all")
	f.BoolVar(&o.logits, "logits", false, "a column with the logit of every class")
	choiceVar(cmd, &o.embedding, "embedding", "", "a column with the embedding, as fp32 or fp16", "fp32", "fp16")
	f.Lookup("embedding").NoOptDefVal = "fp32"
	batchVar(cmd, &o.batch, "images a run of the network, or auto: a trial is made for few images, too, and shown (default 8 on the CPU, 64 on a GPU, or what a trial finds)")
	choiceVar(cmd, &o.truncated, "truncated", "error", "images that end early: error (the row has it), or accept what there is of them", "error", "accept")
	workersVar(f, &o.workers, "images decoded at a time (0: one a CPU)")
	memoryVar(cmd)
	o.in.AddFlags(cmd)
	o.net.AddFlags(cmd)
	o.selection = addSelectionFlags(cmd)
	o.rollup.AddFlags(cmd)
}

const inferLong = `Runs a model over images and writes a row each, in the order of the input: path,
label and synset (the truth, where it is known), then the most probable classes
with their probabilities (pred_label, pred_synset, pred_prob: lists of --top-k),
and error. An image that cannot be read keeps its row (exit 3).

INPUT is a dataset (with --split and a selection), folders of images, tars, zips, lists,
Parquet or Arrow files with a column of images, single images, or - for a list of paths on
stdin. What directories, names or a column say of an image's class is the truth, where it
is a class of the model. Files that are left out are counted and named (exit 3 where they
are images); --dry-run shows them, and stops.

--out has its name only when it is whole; until then finished chunks lie in OUT.chunks,
and the same command goes on from there and ends in the same bytes. What was made by
another model, of other images or with other options is refused, naming what differs:
--overwrite starts anew. Without --out, or with --out -, stdout gets an Arrow stream, or
what --format says.

On the CPU a run of the network has one thread and at most 8 images, and as many run at
a time as --threads; a larger batch is worked through in several. Where the network would
take 200 s or more, a trial of some 20 s finds the engine (--engine auto), threads and batch
that are fastest here among those that give the same probabilities, to 1e-5; it is
remembered, and 'bench infer' makes it anew. Else ONNX Runtime runs ONNX models, and the
training engine weights; where one of them is not set up, the other runs what it can. Who
wants the same bits on every call names --engine and --batch.

MODEL is an exported model, a run's weights or checkpoint (averaged weights where it has
them), or any ONNX classifier of images: what its metadata do not say is said by --spec or
flags, which win over both and are noted in the output.`

const inferExample = `  synshard infer runs/a/model.onnx imagenet --split val --out runs/a/val.arrow
  find photos -name '*.jpg' -print0 | synshard infer model.onnx - -0 --out photos.parquet
  synshard infer model.onnx photos/ more.tar --format ndjson | jq .pred_synset[0]
  synshard infer model.onnx imagenet --split train --embedding=fp16 --job auto --out job-$SLURM_ARRAY_TASK_ID.arrow
  synshard infer resnet50.onnx imagenet --classes imagenet --resize 256 --out val.arrow`

func newInferCmd(a *app) *cobra.Command {
	var o inferOptions
	cmd := &cobra.Command{
		Use:     "infer MODEL INPUT... [--out FILE]",
		Short:   "Predict over images and write Arrow, Parquet, NDJSON, CSV or TSV",
		Long:    inferLong,
		Example: inferExample,
		Args:    atLeast(2, "a model and what to predict over"),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.runInfer(cmd.Context(), args[0], args[1:], &o) },
	}
	o.AddFlags(cmd)
	return cmd
}

// atLeast wants n arguments or more.
func atLeast(n int, what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) < n {
			return usagef("want %s", what)
		}
		return nil
	}
}

// check holds the flags to each other.
func (f *inferOptions) check(a *app) error {
	if f.topK < 1 || f.workers < 0 {
		return usagef("--top-k %d, --workers %d: want 1 and 0 or more", f.topK, f.workers)
	}
	var err error
	if f.form, err = formatOf(f.format, f.out); err != nil {
		return err
	}
	if f.out == "-" && a.JSON && !f.dryRun {
		return usagef("--json is for what comes of it, and stdout gets the rows: give --out FILE, or --format ndjson for rows as JSON")
	}
	if f.out == "-" && !f.form.Text() && !f.dryRun {
		return a.refuseTerminal("the " + string(f.form) + " output")
	}
	return nil
}

func (a *app) runInfer(ctx context.Context, modelPath string, inputs []string, f *inferOptions) error {
	if err := f.check(a); err != nil {
		return err
	}
	index, count, err := parseJob(f.selection.job)
	if err != nil {
		return err
	}
	if f.dryRun {
		return a.planInfer(ctx, modelPath, inputs, f)
	}
	d, err := a.describeNetwork(modelPath, &f.net, wanted{f.logits, f.embedding != ""})
	if err != nil {
		return err
	}
	if err := a.findEngine(d, count <= 1); err != nil { // before all images are listed
		return err
	}
	in, err := a.openInput(ctx, inputs, &f.in, f.selection, d.spec)
	if err != nil {
		return err
	}
	defer in.close()
	net, way, err := a.openFastest(ctx, d, f, in.source.Len(), count)
	if err != nil {
		return err
	}
	defer net.Close()
	if err := f.fits(modelPath, net); err != nil {
		return err
	}
	o := net.Options()
	o.Source, o.Input, o.Job = in.source, in.identity, prediction.Job{Index: index, Count: count}
	o.Workers, o.Truncated, o.Overwrite = f.workers, f.truncated == "accept", f.overwrite
	o.Columns = prediction.Columns{TopK: f.topK, Probabilities: f.probabilities == "all", Logits: f.logits, Embedding: f.embedding, Width: net.Width}
	if o.Columns.Derived, err = f.rollup.columns(a, f.selection.wordnet, net.Spec.Classes); err != nil {
		return err
	}
	return a.predict(ctx, o, f, in.plan, way)
}

// fits refuses what the network cannot do.
func (f *inferOptions) fits(path string, n *infer.Network) error {
	switch {
	case f.embedding != "" && n.Width == 0:
		return fmt.Errorf("%s: the model gives no embedding", path)
	case f.batch.n > 0 && n.Only > 0 && f.batch.n != n.Only:
		return usagef("--batch %d: the model takes %d images a run and no other number", f.batch.n, n.Only)
	}
	return nil
}

// planInfer prints what would be predicted over.
func (a *app) planInfer(ctx context.Context, modelPath string, inputs []string, f *inferOptions) error {
	d, err := a.describeNetwork(modelPath, &f.net, wanted{})
	if err != nil {
		return err
	}
	in, err := a.openInput(ctx, inputs, &f.in, f.selection, d.spec)
	if err != nil {
		return err
	}
	defer in.close()
	p := in.plan
	err = a.Result(inferPlanJSON{p, allSkipped(p.Skipped), withDoubts(p.Notes, p.Skipped), missingOf(p.Missing)}, func(w io.Writer) {
		fmt.Fprintf(w, "%d rows; the truth of %d is a class of the model, that of %d is none, %d have none; %s\n", p.Rows, p.Known, p.Foreign, p.Rows-p.Known-p.Foreign, p.Layout)
		for _, s := range p.Skipped {
			if !s.Doubt {
				fmt.Fprintf(w, "left out\t%s\n", skippedLine(s))
			}
		}
		for _, note := range withDoubts(nil, p.Skipped) {
			fmt.Fprintf(w, "note\t%s\n", ui.Text(note))
		}
	})
	if err == nil && p.Missing != nil {
		return refused(fmt.Errorf("%d images are missing, such as %s", p.Missing.Count, p.Missing.Names[0]))
	}
	if err == nil {
		err = lostImages(p)
	}
	return err
}

// lostImages is the outcome where images were left out.
func lostImages(p images.Plan) error {
	if n := p.SkippedImages(); n > 0 {
		return refused(fmt.Errorf("%d images are left out", n))
	}
	return nil
}

// skippedLine tells of a kind of files that are left out.
func skippedLine(s layout.Skipped) string {
	return ui.Text(fmt.Sprintf("%d %s: %s (%s)", s.Count, s.What(), s.Reason, s.Examples()))
}

// inferResult is what infer prints.
type inferResult struct {
	Out string `json:"out"`
	infer.Summary
	Way     way              `json:"way"`
	Skipped []skippedJSON    `json:"skipped,omitempty"` // files left out, by reason
	Notes   []string         `json:"notes,omitempty"`
	Storage []cached.Figures `json:"storage,omitempty"` // of a dataset at a URL: what was asked of it
}

// predict runs the pipeline, to a file or to stdout.
func (a *app) predict(ctx context.Context, o infer.Options, f *inferOptions, p images.Plan, w way) error {
	for _, s := range p.Skipped {
		if !s.Doubt {
			a.Logf("left out: %s", skippedLine(s))
		}
	}
	for _, note := range withDoubts(p.Notes, p.Skipped) {
		a.Logf("%s", note)
	}
	bar := a.imageBar(int64(o.Rows()), "predicting")
	defer bar.Finish()
	o.OnRow = func(n int) { bar.Add64(int64(n)) }
	o.OnKept = func(n int) { bar.Set(int64(n)) }
	complaints := 0
	o.OnError = func(path, reason string) {
		if complaints++; complaints <= maxComplaints {
			a.Logf("%s: %s; its row has the error", path, reason)
		}
	}
	var sum infer.Summary
	var err error
	if f.out == "-" {
		sum, err = infer.Stream(ctx, o, a.Stdout, f.form)
	} else {
		a.continues.Store(true)
		sum, err = infer.Run(ctx, o, f.out, f.form)
	}
	bar.Finish()
	switch {
	case err != nil && ctx.Err() != nil && f.out == "-":
		return context.Canceled
	case err != nil && ctx.Err() != nil:
		return stopped(fmt.Errorf("stopped with %d rows done; the same command continues", sum.Rows))
	case err != nil:
		return err
	}
	return a.predicted(f.out, min(f.topK, len(o.Spec.Classes)), sum, p, w)
}

// predicted tells what was predicted, and what was not; topK are as many classes as a row has.
func (a *app) predicted(out string, topK int, sum infer.Summary, p images.Plan, w way) error {
	a.cameTo(int64(sum.Rows), int64(sum.Failed))
	var err error
	if out != "-" {
		already := ""
		if sum.Already {
			already = " (nothing to do)"
		}
		err = a.Result(inferResult{out, sum, w, allSkipped(p.Skipped), withDoubts(p.Notes, p.Skipped), a.storageFigures()}, func(w io.Writer) {
			fmt.Fprintf(w, "%s: %d predictions, %d images failed%s\n", ui.Text(out), sum.Rows, sum.Failed, already)
			printInferHeadline(w, sum, topK)
		})
	}
	if sum.Warning != "" {
		a.Warnf("%s", sum.Warning)
	}
	switch {
	case err != nil:
		return err
	case sum.Failed > 0:
		return refused(fmt.Errorf("%d images could not be read or predicted; their rows say why", sum.Failed))
	}
	return lostImages(p)
}

// printInferHeadline prints how many of the predictions made now are right, where the
// truth of any is known.
func printInferHeadline(w io.Writer, sum infer.Summary, topK int) {
	if sum.Known == 0 {
		return
	}
	if sum.Kept > 0 {
		fmt.Fprintf(w, "%d rows were there; of the others:\n", sum.Kept)
	}
	fmt.Fprint(w, eval.Headline{Images: sum.Known, Unreadable: sum.Lost, Right1: sum.Right, Right5: sum.Right5, K: min(topK, 5)}.Lines())
	if sum.NoTruth > 0 {
		fmt.Fprintf(w, "no truth %6d    by names or columns; they are not counted\n", sum.NoTruth)
	}
}

// unfit adds to an error of ONNX Runtime what mends it.
func unfit(err error) error {
	switch {
	case errors.Is(err, ort.ErrUnfit):
		return fmt.Errorf("%w; %s", err, native.MendORT)
	case errors.Is(err, openvino.ErrUnfit):
		return fmt.Errorf("%w; %s", err, native.MendOpenVINO)
	case errors.Is(err, ort.ErrOption):
		return fmt.Errorf("--ep-option: %w", err)
	}
	return err
}
