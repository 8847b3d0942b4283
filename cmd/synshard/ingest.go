package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/synshard/synshard/ingest"
	"github.com/synshard/synshard/internal/ui"
	"github.com/synshard/synshard/source"
	"github.com/synshard/synshard/source/layout"
)

// ingestFlags are the flags of ingest that are not options as they stand.
type ingestFlags struct {
	sources          map[string]*[]string // by flag
	classes, wordnet string
	out              string
	check, onBad     string
	job              string
	dryRun, join     bool
}

// sourceFlags name sources that cannot be told, or say what they must be.
var sourceFlags = []struct {
	name, usage string
	source      ingest.Source
}{
	{"train", "source of training images: an archive, a folder or a pipe (-); repeatable", ingest.Source{Split: "train"}},
	{"val", "source of validation images; repeatable", ingest.Source{Split: "val"}},
	{"test", "source of test images; repeatable", ingest.Source{Split: "test"}},
	{"folder", "source that must be a folder; repeatable", ingest.Source{Kind: source.Folder}},
	{"list", "source that must be a list of paths and labels (CSV, TSV or JSONL); repeatable", ingest.Source{Kind: source.List}},
	{"parquet", "source that must be a Parquet file; repeatable", ingest.Source{Kind: source.Parquet}},
	{"webdataset", "source that must be a WebDataset tar; repeatable", ingest.Source{Kind: source.Tar, Layout: ingest.WebDataset}},
	{"kaggle", "source that must be Kaggle's tree (with Data/CLS-LOC in it) or its archive", ingest.Source{Layout: ingest.Kaggle}},
}

const ingestLong = `Reads folders, tars, zips, lists of paths, Parquet and Arrow files, and writes Arrow
shards by class, an index, the classes and a manifest. What a source is, its bytes
tell; what the names in it mean (splits, classes), the names tell. Names that can be
read in two ways are refused with both readings and the flag that chooses. --dry-run
prints what was understood and changes nothing.

ILSVRC2012's archives, ImageNet-21k's, Kaggle's tree or zip, trees of train/ and
val/ with a directory a class, a directory a class alone, WebDataset and Hugging
Face's data sets are read as they are, in place and in parallel. A compressed tar,
or one from a pipe (-), is read front to back; a pipe needs --devkit or --classes,
because labels depend on all classes.

A class's label is its place in ascending order of the classes' names, or in
--classes. The labels of ILSVRC2012's validation images come from --devkit.

An image that cannot be decoded is kept under rejected/ with the reason in
rejected.ndjson; what is left out is counted by reason (exit 3, where it was an
image). The same command continues what was interrupted and does nothing when all is
done; the result is the same bytes whatever -j. A dataset made from other sources,
labels or options is refused with what differs, or with --overwrite made anew. A
split that a dataset lacks, classes without images in it, and boxes are added.

--job i/n is job i of n, in the directory that all of them share, on as many machines as
there are; --join makes of what they did, when all are done, the bytes that one call
would have made. Each may be stopped and run again.`

const ingestExample = `  synshard ingest --train ILSVRC2012_img_train.tar --val ILSVRC2012_img_val.tar \
      --devkit ILSVRC2012_devkit_t12.tar.gz --out imagenet
  curl -s https://example.org/train.tar | synshard ingest --train - --devkit kit.tar.gz --out imagenet
  synshard ingest archives --out imagenet
  synshard ingest imagenet-object-localization-challenge.zip --out imagenet
  synshard ingest photos --val-fraction 0.1 --out mine --dry-run
  synshard ingest fall11_whole.tar --out imagenet21k --job auto   # in each job of an array
  synshard ingest --join --out imagenet21k                        # when all are done`

func newIngestCmd(a *app) *cobra.Command {
	var o ingest.Options
	f := ingestFlags{sources: map[string]*[]string{}}
	cmd := &cobra.Command{
		Use:     "ingest [SOURCE...] --out DIR",
		Short:   "Turn archives, folders or tables of images into a dataset",
		Long:    ingestLong,
		Example: ingestExample,
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.join {
				return a.join(cmd, args, f.out)
			}
			// A copy: the flags hold on to theirs for the life of the process.
			o, err := a.ingestOptions(cmd, args, o, &f)
			if err != nil {
				return err
			}
			return a.ingest(cmd.Context(), o, f.dryRun)
		},
	}
	f.AddFlags(cmd, &o)
	return cmd
}

// AddFlags adds them to the verb; those that are the library's options are o's.
func (f *ingestFlags) AddFlags(cmd *cobra.Command, o *ingest.Options) {
	fl := cmd.Flags()
	for _, s := range sourceFlags {
		f.sources[s.name] = fl.StringArray(s.name, nil, s.usage)
	}
	fl.StringVar(&o.Devkit, "devkit", "", "ILSVRC2012's development kit: classes, labels of the validation images")
	fl.StringArrayVar(&o.Boxes, "boxes", nil, "archive or directory of bounding boxes; repeatable")
	splitVar(cmd, &o.Split, "as-split", "", "split of the images whose sources have none of their own: train (the default), val or test")
	fl.Float64Var(&o.ValFraction, "val-fraction", 0, "share of the training images, of each class, that becomes val")
	fl.Uint64Var(&o.Seed, "seed", 0, "which images --val-fraction takes")
	followLinksVar(cmd, &o.FollowLinks)
	classesVar(cmd, &f.classes, "all "+classesUsage)
	fl.StringVar(&o.Layout, "layout", "", "how names are read where that cannot be told: "+strings.Join(layoutWords(), ", "))
	complete(cmd, "layout", layoutWords()...)
	fl.IntVar(&o.Resize, "shrink", 0, "make images smaller whose shorter side is longer, in pixels (0: keep the originals)")
	fl.IntVar(&o.Quality, "quality", 90, "JPEG quality of images made smaller")
	fl.StringVarP(&f.out, "out", "o", "", "directory of the dataset; made when missing, continued when there")
	fl.BoolVar(&o.Overwrite, "overwrite", false, "make a dataset anew that was made otherwise")
	workersVar(fl, &o.Workers, "classes worked on at a time (0: one more than CPUs)")
	memoryVar(cmd)
	fl.Int64Var(&o.ShardBytes, "shard-bytes", 256<<20, "bytes of images where a shard is cut")
	choiceVar(cmd, &f.check, "check-images", "decode", "what an image must survive: header or decode", "decode", "header")
	choiceVar(cmd, &f.onBad, "on-bad", "quarantine", "what becomes of an image that fails --check-images: fail, skip or quarantine", "quarantine", "skip", "fail")
	fl.StringVar(&f.job, "job", "", "do job i of n of an array, i/n with i from 0, or auto: from Slurm's or Kubernetes' variables")
	complete(cmd, "job", "auto")
	fl.BoolVar(&f.join, "join", false, "make the dataset of what the jobs of an array did; takes --out alone")
	fl.BoolVar(&f.dryRun, "dry-run", false, "print the plan and stop")
	wordnetVar(cmd, &f.wordnet)
	cobra.CheckErr(cmd.MarkFlagRequired("out"))
}

// layoutWords are what --layout takes.
func layoutWords() []string { return slices.Sorted(maps.Keys(layout.Layouts)) }

// ingestOptions completes the options from flags and arguments.
func (a *app) ingestOptions(cmd *cobra.Command, args []string, o ingest.Options, f *ingestFlags) (ingest.Options, error) {
	for _, path := range args {
		o.Sources = append(o.Sources, ingest.Source{Path: path})
	}
	for _, s := range sourceFlags {
		for _, path := range *f.sources[s.name] {
			one := s.source
			one.Path = path
			o.Sources = append(o.Sources, one)
		}
	}
	set := cmd.Flags().Changed
	switch {
	case len(o.Sources) == 0 && len(o.Boxes) == 0:
		return o, usagef("nothing to read: give a source, or --boxes for a dataset")
	case f.job != "" && o.Overwrite:
		return o, usagef("--overwrite with --job: the jobs of an array make a dataset where none is; remove what is to be made anew")
	case set("seed") && o.ValFraction == 0:
		return o, usagef("--seed has no effect without --val-fraction")
	case set("quality") && o.Resize == 0:
		return o, usagef("--quality has no effect without --shrink")
	}
	if err := errors.Join(o.Check.UnmarshalText([]byte(f.check)), o.OnBad.UnmarshalText([]byte(f.onBad))); err != nil {
		return o, err
	}
	var err error
	if o.Job, o.Jobs, err = parseJob(f.job); err != nil {
		return o, err
	}
	if f.classes != "" {
		if o.Classes, err = a.readClasses("classes", f.classes); err != nil {
			return o, err
		}
	}
	if o.Out, err = a.openWritten(f.out); err != nil {
		return o, err
	}
	o.Stdin, o.OpenDir = a.Stdin, a.openDir
	o.WordNet, err = a.openWordNet(f.wordnet)
	return o, err
}

func (a *app) ingest(ctx context.Context, o ingest.Options, dryRun bool) error {
	var bar ui.Progress = ui.NoProgress{}
	var images atomic.Int64
	o.OnRead = func(n int64, k int) {
		done := images.Add(int64(k))
		a.metrics.Images.Set(done)
		bar.Describe(fmt.Sprintf("%d images", done))
		bar.Add64(n)
	}
	p, err := ingest.MakePlan(ctx, o)
	if err != nil {
		return ingestError(ctx, err)
	}
	defer p.Close()
	if dryRun {
		if err := a.printPlan(p); err != nil {
			return err
		}
		if n := p.MissingImages(); n > 0 {
			return refused(fmt.Errorf("ingest: %d images are missing, such as %s", n, p.Missing.Names[0]))
		}
		if n := p.LostImages(); n > 0 {
			return refused(fmt.Errorf("ingest: %d images are left out", n))
		}
		return nil
	}
	bar = a.imageByteBar(p.Bytes(), "ingesting")
	a.continues.Store(true)
	sum, err := ingest.Run(ctx, p)
	bar.Finish()
	if err != nil {
		return ingestError(ctx, err)
	}
	return a.ingested(sum)
}

// ingested tells what came of it.
func (a *app) ingested(sum ingest.Summary) error {
	a.cameTo(sum.Images, sum.Rejected)
	a.metrics.Bytes.Set(sum.Bytes)
	if err := a.printIngest(sum); err != nil {
		return err
	}
	switch n := sum.LostImages(); {
	case sum.Rejected > 0 && sum.Job != "":
		return refused(fmt.Errorf("ingest: %d images were refused; --join lists them in %s/rejected.ndjson", sum.Rejected, sum.Out))
	case sum.Rejected > 0:
		return refused(fmt.Errorf("ingest: %d images were refused; see %s/rejected.ndjson", sum.Rejected, sum.Out))
	case n > 0:
		return refused(fmt.Errorf("ingest: %d images were left out", n))
	}
	return nil
}

// join ends an array of jobs.
func (a *app) join(cmd *cobra.Command, args []string, out string) error {
	if len(args) > 0 {
		return usagef("--join takes --out alone, and %s was given: the jobs left what it needs to know", args[0])
	}
	var vain string
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if f.Name != "join" && f.Name != "out" && cmd.Root().PersistentFlags().Lookup(f.Name) == nil {
			vain = f.Name
		}
	})
	if vain != "" {
		return usagef("--%s has no effect with --join, which takes --out alone: the jobs left what it needs to know", vain)
	}
	a.continues.Store(true)
	to, err := a.openWritten(out)
	if err != nil {
		return err
	}
	sum, err := ingest.Join(cmd.Context(), to)
	if err != nil {
		return ingestError(cmd.Context(), err)
	}
	return a.ingested(sum)
}

// ingestError gives an error its exit code.
func ingestError(ctx context.Context, err error) error {
	var differ *ingest.DifferError
	switch {
	case ctx.Err() != nil:
		return stopped(errors.New("ingest: stopped; the same command continues"))
	case errors.As(err, &differ):
		return fmt.Errorf("ingest: %w; --overwrite makes it anew, another --out leaves it", err)
	}
	return fmt.Errorf("ingest: %w", err)
}

func (a *app) printPlan(p *ingest.Plan) error {
	err := a.Result(ingestPlanJSON{p, allSkipped(p.Skipped), withDoubts(p.Notes, p.Skipped), missingOf(p.Missing)}, func(w io.Writer) {
		job := ""
		if p.Job != "" {
			job = ", job " + p.Job
		}
		fmt.Fprintf(w, "%s: %s%s, %d classes; %s\n", ui.Text(p.Out), p.State, job, len(p.Classes), ui.Text(fmt.Sprint(p.Layout)))
		for _, s := range p.Splits {
			images := fmt.Sprint(s.Images)
			if s.Images < 0 {
				images = "unlisted"
			}
			fmt.Fprintf(w, "%s\t%s images, %d units, %d done, %d bytes to read\t%s\n", ui.Text(s.Split), images, s.Units, s.Done, s.Bytes, ui.Text(fmt.Sprint(s.Source)))
		}
	})
	if !a.JSON {
		a.tellLeftOut(p.Skipped, p.Notes)
	}
	return err
}

// tellLeftOut says what was left out, and what else is worth knowing.
func (a *app) tellLeftOut(skipped []layout.Skipped, notes []string) {
	for _, k := range skipped {
		if !k.Doubt {
			a.Logf("ingest: %d %s left out: %s (%s)", k.Count, k.What(), k.Reason, k.Examples())
		}
	}
	for _, note := range withDoubts(notes, skipped) {
		a.Logf("ingest: %s", note)
	}
}

func (a *app) printIngest(s ingest.Summary) error {
	if !a.JSON {
		if s.Inner > 0 {
			s.Notes = append([]string{fmt.Sprintf("%d of the classes are ancestors of others", s.Inner)}, s.Notes...)
		}
		a.tellLeftOut(s.Skipped, s.Notes)
	}
	return a.Result(ingestJSON{s, allSkipped(s.Skipped), withDoubts(s.Notes, s.Skipped), a.outFigures()}, func(w io.Writer) {
		already := ""
		if s.Already {
			already = " (nothing to do)"
		}
		if s.Job != "" {
			fmt.Fprintf(w, "%s: job %s has %d images, %d bytes, %d refused%s\n", ui.Text(s.Out), s.Job, s.Images, s.Bytes, s.Rejected, already)
			return
		}
		fmt.Fprintf(w, "%s: %d images in %d classes, %d bytes, %d refused%s\n", ui.Text(s.Out), s.Images, s.Classes, s.Bytes, s.Rejected, already)
	})
}
