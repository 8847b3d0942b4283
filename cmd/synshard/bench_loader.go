package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/synshard/synshard/internal/bench"
	"github.com/synshard/synshard/internal/processors"
	"github.com/synshard/synshard/loader"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/pixel"
	"github.com/synshard/synshard/storage/cached"
)

// benchLoaderOptions are bench loader's flags.
type benchLoaderOptions struct {
	split, path    string
	cache          *cacheOptions
	workers        []int
	batch          batchSize
	size           int
	resize, rounds int
	seconds        float64
	colour, again  bool
	limit          int
}

// AddFlags adds them to the verb.
func (b *benchLoaderOptions) AddFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	splitVar(cmd, &b.split, "split", "train", "split of the dataset")
	choiceVar(cmd, &b.path, "path", "train", "train (random resized crop, flip) or eval (resize, centre crop)", "train", "eval")
	b.cache = addCacheFlags(cmd)
	f.IntSliceVarP(&b.workers, "worker-counts", "j", nil, "numbers of workers; several numbers are measured in turns (default: one a CPU)")
	b.batch = batchSize{n: 64}
	batchVar(cmd, &b.batch, "images a batch; auto: 64")
	memoryVar(cmd)
	f.IntVar(&b.size, "size", 299, "pixels, height and width")
	f.IntVar(&b.resize, "resize", 342, "shorter side before the centre crop of --path eval")
	f.BoolVar(&b.colour, "colour", false, "distort colours too, as the paper's recipe does")
	f.BoolVar(&b.again, "again", false, "as in every epoch but the first: each image is loaded once before the clock runs (with --limit, of a large dataset)")
	f.IntVar(&b.rounds, "rounds", 5, "rounds of turns; the medians are printed")
	f.Float64Var(&b.seconds, "seconds", 10, "how long to measure in all, about")
	f.IntVar(&b.limit, "limit", 0, "use only the first so many images; 0 for all")
}

func newBenchLoaderCmd(a *app) *cobra.Command {
	var o benchLoaderOptions
	cmd := &cobra.Command{
		Use:   "loader DIR",
		Short: "Measure reading, decoding and cropping, beside decoding alone",
		Long: `Loads images of a dataset, or of a folder of images, as training or
evaluation does, and prints how many a second, where the workers' time goes,
and which resource is scarce. In the same run, in turns, the same images are
decoded whole from memory by libjpeg-turbo and nothing else: the limit of a
loader that decodes everything. A core's rate is images per second of
processor time, which other processes disturb little. Training decodes images that
come again faster: --again measures that.`,
		Example: `  synshard bench loader imagenet
  synshard bench loader imagenet --split val --path eval --worker-counts 1,2,4 --json
  synshard bench loader folder-of-images --seconds 3 --cache pin`,
		Args: exactly(1, 1, "a dataset or a folder of images"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runBenchLoader(cmd.Context(), args[0], o) },
	}
	o.AddFlags(cmd)
	return cmd
}

// benchLoaderJSON is what bench loader prints.
type benchLoaderJSON struct {
	*bench.LoaderReport
	Storage []cached.Figures `json:"storage,omitempty"` // of a dataset at a URL: what was asked of it
}

func (a *app) runBenchLoader(ctx context.Context, dir string, o benchLoaderOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	report, err := a.benchLoader(ctx, dir, o)
	if err != nil {
		return err
	}
	if err := a.Result(benchLoaderJSON{report, a.storageFigures()}, func(w io.Writer) { printLoader(w, report) }); err != nil {
		return err
	}
	if report.Unreadable > 0 {
		return refused(fmt.Errorf("%d of %d images could not be read and were passed over", report.Unreadable, report.Images))
	}
	return nil
}

func (b *benchLoaderOptions) check() error {
	switch {
	case b.size < 1 || b.rounds < 1 || !(b.seconds > 0 && b.seconds <= 1e6) || b.limit < 0:
		return usagef("--size, --rounds and --seconds must be above 0, --limit not below")
	case b.size > model.MaxSize || b.resize > model.MaxResize:
		return usagef("--size goes to %d and --resize to %d", model.MaxSize, model.MaxResize)
	case b.path == "eval" && b.resize < b.size:
		return usagef("--resize %d is below --size %d", b.resize, b.size)
	case b.path == "eval" && b.again:
		return usagef("--again goes with --path train")
	case b.path == "eval" && b.colour:
		return usagef("--colour goes with --path train")
	}
	if len(b.workers) == 0 {
		b.workers = []int{processors.Count()}
	}
	for _, n := range b.workers {
		if n < 1 || n > maxWorkers {
			return usagef("--worker-counts %d: want 1 to %d", n, maxWorkers)
		}
	}
	return b.cache.check()
}

// options are the loader's, without what changes from turn to turn.
func (b benchLoaderOptions) options() loader.Options {
	o := loader.Options{Batch: cmp.Or(b.batch.n, 64), Size: b.size, Shuffle: true, Seed: 1}
	if b.path == "eval" {
		o.Shuffle = false
		o.Eval = &pixel.Eval{Size: b.size, Resize: b.resize}
		return o
	}
	o.Train = &pixel.Train{Size: b.size, AreaMin: 0.05, AreaMax: 1, AspectMin: 3.0 / 4, AspectMax: 4.0 / 3, Flip: true}
	if b.colour {
		o.Train.Brightness, o.Train.Contrast, o.Train.Saturation, o.Train.Hue = 0.125, 0.5, 0.5, 0.2
	}
	return o
}

// benchLoader measures, in turns.
func (a *app) benchLoader(ctx context.Context, dir string, b benchLoaderOptions) (*bench.LoaderReport, error) {
	src, err := bench.OpenImages(dir, b.split, b.limit, a.openSet)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	o := b.options()
	if src.Row == nil && b.cache.mode == "none" {
		return nil, usagef("--cache none is for datasets; %s is a folder of images", dir)
	}
	switch remote := src.Set != nil && src.Set.Remote(); {
	case remote && b.cache.mode == "none":
		return nil, usagef("--cache none is for datasets in a directory")
	case remote && b.cache.mode == "page":
		if o.Advisor, err = a.keepImages(src); err != nil {
			return nil, err
		}
	case src.Row != nil || b.cache.mode == "pin":
		src.Source = b.cache.apply(src.Source, src.Set, src.Row, &o)
	}
	bar := a.Bar(int64(2*b.rounds*len(b.workers)), "measuring", "turns")
	defer bar.Finish()
	r, err := bench.MeasureLoader(ctx, src.Source, bench.LoaderOptions{
		Loader: o, Workers: b.workers, Rounds: b.rounds, Time: time.Duration(b.seconds * float64(time.Second)), Checksums: src.Row != nil, Again: b.again,
		OnTurn:       func() { bar.Add64(1) },
		OnUnreadable: func(row int, why string) { a.Warnf("image %d: %s; passed over", row, why) },
	})
	if err != nil {
		return nil, err
	}
	r.Dir, r.Path, r.Cache = dir, b.path, b.cache.mode
	return r, nil
}

// printLoader writes the report as a table and a verdict.
func printLoader(out io.Writer, r *bench.LoaderReport) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "workers\timages/s\timages/s/core\tMB/s\tdecode only/s/core\tratio\tread\tcrc\tdecode\tresize\tidle\t")
	for _, x := range r.Runs {
		fmt.Fprintf(w, "%d\t%.0f\t%.0f\t%.1f\t%.0f\t%.2f\t%.0f%%\t%.0f%%\t%.0f%%\t%.0f%%\t%.0f%%\t\n", x.Workers, x.ImagesPerSecond, x.ImagesPerCore,
			x.BytesPerSecond/1e6, x.DecodeOnlyPerCore, x.Ratio, 100*x.Share.Read, 100*x.Share.CRC, 100*x.Share.Decode, 100*x.Share.Resize, 100*x.Share.Idle)
	}
	w.Flush() // into a bufio.Writer, which keeps the error
	fmt.Fprintf(out, "%s path, %d images of %.0f kB on average, kernels %s, peak memory %.0f MiB\nscarce: %s\n",
		r.Path, r.Images, r.BytesPerImage/1e3, r.Kernels, float64(r.PeakBytes)/(1<<20), r.Scarce)
}
