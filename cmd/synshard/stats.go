package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/synshard/synshard/internal/ui"
	"github.com/synshard/synshard/loader"
	"github.com/synshard/synshard/pixel"
	"github.com/synshard/synshard/shard/census"
	"github.com/synshard/synshard/shard/stats"
	"github.com/synshard/synshard/storage"
)

// statsOptions are stats' flags.
type statsOptions struct {
	splits       []string
	pixels, plot string
	size, resize int
	cubic        string
	limit        int
	workers      int
	selection    *selectionOptions
}

// AddFlags adds them to the verb.
func (o *statsOptions) AddFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	o.selection = addSelectionFlags(cmd)
	splitsVar(cmd, &o.splits, "split", "only these splits (default: all)")
	choiceVar(cmd, &o.pixels, "pixels", "", "decode images and measure their pixels: raw (all of them), or eval (what the evaluation transform leaves)", stats.Raw, stats.Eval)
	f.IntVar(&o.size, "size", 224, "with --pixels eval: pixels, height and width")
	f.IntVar(&o.resize, "resize", 256, "with --pixels eval: pixels of the shorter side before the centre is cut out")
	choiceVar(cmd, &o.cubic, "interpolation", "bilinear", "with --pixels eval: bilinear or bicubic", "bilinear", "bicubic")
	f.IntVar(&o.limit, "limit", 0, "with --pixels: decode at most so many images of a split, evenly spread over it; 0 for all")
	workersVar(f, &o.workers, "with --pixels: images decoded at a time (0: one a CPU)")
	f.StringVar(&o.plot, "plot", "", "draw how images are distributed into this file, .svg or .png")
	cobra.CheckErr(cmd.MarkFlagFilename("plot", formSVG, formPNG))
}

func newStatsCmd(a *app) *cobra.Command {
	var o statsOptions
	cmd := &cobra.Command{
		Use:   "stats DATASET",
		Short: "Describe images: sizes, formats, balance of classes, pixels",
		Long: `Describes the images of each split: sizes in pixels and bytes, aspect ratios,
formats, modes, and how evenly they are spread over the classes. All of that is in
the index, and nothing is decoded.

--pixels decodes them and gives the mean and standard deviation of each channel,
from 0 to 1 as torchvision's ToTensor has them: raw of every pixel of every image,
eval of what is left by resizing and cutting out the centre. Every pixel counts
once; the mean of each image's own standard deviation stands beside. Images that
cannot be decoded are named and left out, and the verb ends with 3.
docs/HYGIENE.md says what each figure is.`,
		Example: "  synshard stats imagenet\n  synshard stats imagenet --split train --pixels eval --limit 20000\n  synshard stats imagenet --json --plot stats.svg",
		Args:    exactly(1, 1, "a dataset"),
		PreRunE: func(cmd *cobra.Command, _ []string) error { return o.check(cmd) },
		RunE:    func(cmd *cobra.Command, args []string) error { return a.runStats(cmd.Context(), args[0], o) },
	}
	o.AddFlags(cmd)
	return cmd
}

// check refuses what cannot be, and what has no effect.
func (o *statsOptions) check(cmd *cobra.Command) error {
	for _, flag := range []string{"size", "resize", "interpolation"} {
		if cmd.Flags().Changed(flag) && o.pixels != stats.Eval {
			return usagef("--%s has no effect without --pixels eval", flag)
		}
	}
	for _, flag := range []string{"limit", "workers"} {
		if cmd.Flags().Changed(flag) && o.pixels == "" {
			return usagef("--%s has no effect without --pixels", flag)
		}
	}
	switch lower := strings.ToLower(o.plot); {
	case o.plot != "" && !strings.HasSuffix(lower, "."+formSVG) && !strings.HasSuffix(lower, "."+formPNG):
		return usagef("--plot %s: the name of a plot ends in .svg or .png", storage.Shown(o.plot))
	case o.limit < 0:
		return usagef("--limit %d: want 0 (all) or more", o.limit)
	case o.size < 1 || o.resize < o.size:
		return usagef("--size %d of --resize %d: want 1 or more, and no more than is resized to", o.size, o.resize)
	}
	return nil
}

// described is what stats prints.
type described struct {
	Dataset string        `json:"dataset"`
	Splits  []stats.Split `json:"splits"`
}

func (a *app) runStats(ctx context.Context, dir string, o statsOptions) error {
	set, views, err := a.openViews(dir, o.splits, o.selection)
	if err != nil {
		return err
	}
	defer set.Close()
	out := described{set.Dir, stats.Describe(views)}
	var rejected int64
	if o.pixels != "" {
		if rejected, err = a.measurePixels(ctx, views, out.Splits, o); err != nil {
			return err
		}
	}
	if o.plot != "" {
		if err := stats.WritePlot(o.plot, out.Splits); err != nil {
			return err
		}
	}
	err = a.Result(out, func(w io.Writer) { out.table(w) })
	if err == nil && rejected > 0 {
		err = refused(fmt.Errorf("%d images could not be decoded", rejected))
	}
	return err
}

// measurePixels measures each view's pixels into splits, and counts the images that could not
// be decoded.
func (a *app) measurePixels(ctx context.Context, views []census.View, splits []stats.Split, o statsOptions) (rejected int64, err error) {
	total := 0
	for _, v := range views {
		if n := v.Len(); o.limit > 0 {
			total += min(n, o.limit)
		} else {
			total += n
		}
	}
	bar := a.imageBar(int64(total), "measuring")
	defer bar.Finish()
	m := stats.MeasureOptions{Limit: o.limit, EachOptions: loader.EachOptions{Workers: o.workers, OnImage: func() { bar.Add64(1) }}}
	if o.pixels == stats.Eval {
		m.Eval = &pixel.Eval{Size: o.size, Resize: o.resize, Interpolation: o.cubic}
	}
	for i, v := range views {
		m.OnError = func(row int, err error) error {
			a.Logf("%s: %v; it is left out", ui.Text(v.Path(row)), err)
			return nil
		}
		if splits[i].Pixels, err = stats.Measure(ctx, v, m); err != nil {
			return 0, err
		}
		rejected += splits[i].Pixels.Rejected
	}
	a.cameTo(int64(total), rejected)
	return rejected, nil
}

func (d *described) table(w io.Writer) {
	for i, s := range d.Splits {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%s: %d images, %d bytes\n", ui.Text(s.Name), s.Images, s.Bytes)
		t := ui.NewTable(w, "", "min", "5 %", "25 %", "median", "75 %", "95 %", "max", "mean")
		for _, row := range []struct {
			name   string
			of     stats.Spread
			digits int
		}{{"width", s.Width, 0}, {"height", s.Height, 0}, {"shorter side", s.Shorter, 0}, {"width/height", s.Aspect, 3}, {"bytes", s.Length, 0}} {
			cells := []any{row.name}
			for _, v := range []float64{row.of.Min, row.of.P5, row.of.P25, row.of.Median, row.of.P75, row.of.P95, row.of.Max} {
				cells = append(cells, fmt.Sprintf("%.*f", row.digits, v))
			}
			t.Row(append(cells, fmt.Sprintf("%.*f", max(row.digits, 1), row.of.Mean))...)
		}
		t.Flush()
		if s.Unsized > 0 {
			fmt.Fprintf(w, "of unknown size  %d\n", s.Unsized)
		}
		fmt.Fprintf(w, "formats  %s\nmodes    %s\n", counts(s.Formats), counts(s.Modes))
		printBalance(w, s.Classes)
		printPixels(w, s.Pixels)
	}
}

// counts lists names with their counts, the commonest first.
func counts(of map[string]int64) string {
	var words []string
	for _, name := range stats.Names(of) {
		words = append(words, fmt.Sprintf("%s %d", ui.Text(cmp.Or(name, "unknown")), of[name]))
	}
	return strings.Join(words, ", ")
}

func printBalance(w io.Writer, b stats.Balance) {
	fmt.Fprintf(w, "classes  %d", b.Listed)
	if b.Largest > 0 {
		fmt.Fprintf(w, ", as even as %.1f equal ones: %d to %d images, median %d", b.Effective, b.Smallest, b.Largest, b.Median)
	}
	if b.Empty > 0 {
		fmt.Fprintf(w, "; %d without images", b.Empty)
	}
	if b.Unlabeled > 0 {
		fmt.Fprintf(w, "; %d images without a label", b.Unlabeled)
	}
	fmt.Fprintln(w)
}

func printPixels(w io.Writer, p *stats.Pixels) {
	if p == nil {
		return
	}
	rgb := func(v [3]float64) string { return fmt.Sprintf("%.5f %.5f %.5f", v[0], v[1], v[2]) }
	fmt.Fprintf(w, "pixels   %s, %d of %d images\n", p.Of, p.Pixels, p.Images)
	fmt.Fprintf(w, "  mean   %s\n  std    %s\n  std of an image, on average  %s\n", rgb(p.Mean), rgb(p.Std), rgb(p.ImageStd))
}
