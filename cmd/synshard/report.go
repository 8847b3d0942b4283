package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/synshard/synshard/eval"
	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/internal/ui"
	"github.com/synshard/synshard/web/report"
)

// reportOptions are report's flags.
type reportOptions struct {
	out, data, title   string
	wordnet, classes   string
	as                 string // its form; "": by the name
	compare, noWordNet bool
}

// The forms of a report.
const (
	formHTML = "html"
	formSVG  = "svg"
	formPNG  = "png"
)

var reportFormats = []string{formHTML, formSVG, formPNG}

// AddFlags adds them to the verb.
func (o *reportOptions) AddFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVarP(&o.out, "out", "o", "", "file to write (default: report.html in the run, or .html in the place of the predictions' ending; of plots alone curves.svg or .png in the run, or that ending)")
	choiceVar(cmd, &o.as, "as", "", "html, or the plots alone as svg or png (default: by the file's name)", reportFormats...)
	f.StringVar(&o.data, "data", "", "dataset whose images were predicted: shows them")
	f.StringVar(&o.title, "title", "", "title of the page (default: the names of the run and the predictions)")
	f.BoolVar(&o.compare, "compare", false, "the two files of predictions are two models' over the same images")
	f.BoolVar(&o.noWordNet, "no-wordnet", false, "without the classes' words and what else needs WordNet")
	classesVar(cmd, &o.classes, "for text that came without its .meta.json, the model's "+classesUsage)
	wordnetVar(cmd, &o.wordnet)
	cmd.MarkFlagsMutuallyExclusive("wordnet", "no-wordnet")
	cobra.CheckErr(cmd.MarkFlagFilename("out", reportFormats...))
	cobra.CheckErr(cmd.MarkFlagDirname("data"))
}

func newReportCmd(a *app) *cobra.Command {
	var o reportOptions
	cmd := &cobra.Command{
		Use:   "report RUN|PREDICTIONS...",
		Short: "Make a page to look at: curves, mistakes and their images",
		Long: `Makes one HTML file that stands alone: it fetches nothing and runs no script. Of a
run: curves, the best epoch, time, throughput, the recipe and what it was made from.
Of predictions: the headline with intervals, a reliability plot, the worst subtrees
and synsets, the commonest confusions and the surest mistakes, with their images
where --data names the dataset. With --compare, of two models over the same images:
what one has right and the other not. Figures are those of 'eval --json'. A run and
its predictions may be in one report. An older report of the same name is replaced.
--as svg or png, or an --out that ends so, gives the plots alone: a run's curves, or
of predictions their reliability, how sure they are, and accuracy by subtree.`,
		Example: `  synshard report runs/a
  synshard report runs/a --out curves.svg
  synshard report runs/a/val.arrow --as png
  synshard report runs/a runs/a/val.arrow --data imagenet --out a.html
  synshard report --compare a/val.arrow b/val.arrow --data imagenet --out ab.html`,
		Args: atLeast(1, "a run's directory or a file of predictions"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runReport(cmd.Context(), args, o) },
	}
	o.AddFlags(cmd)
	return cmd
}

// reportInputs are report's arguments: at most one run, and files of predictions.
type reportInputs struct {
	run   string // directory; "": none
	files []string
}

// inputs tells runs from predictions, and refuses what the flags do not go with.
func (o *reportOptions) inputs(args []string) (in reportInputs, err error) {
	for _, arg := range args {
		info, err := os.Stat(arg)
		switch {
		case err != nil:
			return in, err
		case !info.IsDir():
			in.files = append(in.files, arg)
		case in.run != "":
			return in, usagef("%s and %s: a report is of one run", in.run, arg)
		default:
			in.run = arg
		}
	}
	switch {
	case o.compare && len(in.files) != 2:
		return in, usagef("--compare takes two files of predictions")
	case o.data != "" && len(in.files) == 0:
		return in, usagef("--data has no effect without predictions")
	}
	return in, nil
}

// output is --out, or a file in the run or beside the first predictions, and its form:
// --as, or what the name says.
func (o *reportOptions) output(in reportInputs) (out, form string, err error) {
	form = o.as
	if ext := strings.ToLower(strings.TrimPrefix(filepath.Ext(o.out), ".")); form == "" && (ext == formSVG || ext == formPNG) {
		form = ext
	}
	form = cmp.Or(form, formHTML)
	if form != formHTML {
		if err := o.plotsAlone(in, form); err != nil {
			return "", "", err
		}
	}
	switch out = o.out; {
	case out != "":
	case in.run != "" && form != formHTML:
		out = filepath.Join(in.run, "curves."+form)
	case in.run != "":
		out = filepath.Join(in.run, "report.html")
	default:
		out = strings.TrimSuffix(in.files[0], filepath.Ext(in.files[0])) + "." + form
	}
	switch ext := strings.ToLower(filepath.Ext(out)); {
	case form != formHTML && ext != "."+form:
		return "", "", usagef("--out %s: the name of plots as %s ends in .%s", out, form, form)
	case form == formHTML && ext != ".html" && ext != ".htm":
		return "", "", usagef("--out %s: a report's name ends in .html", out)
	}
	return out, form, nil
}

// plotsAlone refuses what plots alone are not of.
func (o *reportOptions) plotsAlone(in reportInputs, form string) error {
	switch {
	case in.run != "" && len(in.files) > 0:
		return usagef("%s is the form of the plots of a run or of predictions, and %s and %s are both", form, in.run, in.files[0])
	case o.compare, o.data != "", o.title != "":
		return usagef("--compare, --data and --title have no effect on plots alone")
	case in.run != "" && (o.classes != "" || o.wordnet != "" || o.noWordNet):
		return usagef("--classes, --wordnet and --no-wordnet have no effect on a run's curves alone")
	}
	return nil
}

func (a *app) runReport(ctx context.Context, args []string, o reportOptions) error {
	if o.out == "" && a.remote.paths.Shown(args[0]) != args[0] {
		return usagef("--out is needed for a run or predictions at a URL")
	}
	in, err := o.inputs(args)
	if err != nil {
		return err
	}
	out, form, err := o.output(in)
	if err != nil {
		return err
	}
	if form != formHTML {
		return a.drawPlots(in, out, o)
	}
	opts := report.Options{Title: o.title}
	if opts.Title == "" {
		opts.Title = a.remote.paths.Shown(titleOf(in))
	}
	if in.run != "" {
		if opts.Run, err = a.readRun(in.run); err != nil {
			return err
		}
	}
	if err := a.reportSets(in.files, o, &opts); err != nil {
		return err
	}
	lost := 0
	if o.data != "" {
		set, err := a.openSet(o.data)
		if err != nil {
			return err
		}
		defer set.Close()
		opts.Images = &report.Dataset{Set: set, OnError: func(path string, err error) {
			lost++
			a.Logf("%s: %v; its thumbnail is left out", path, err)
		}}
	}
	if err := durable.WriteFile(out, func(w io.Writer) error { return report.Write(ctx, w, opts) }); err != nil {
		return err
	}
	err = a.printReport(out)
	if err == nil && lost > 0 {
		err = refused(fmt.Errorf("%d images could not be shown", lost))
	}
	return err
}

// printReport prints what was written.
func (a *app) printReport(out string) error {
	return a.Result(struct {
		Out string `json:"out"`
	}{out}, func(w io.Writer) { fmt.Fprintln(w, ui.Text(out)) })
}

func titleOf(in reportInputs) string {
	var names []string
	for _, path := range append([]string{in.run}, in.files...) {
		if path != "" {
			names = append(names, ui.Text(path))
		}
	}
	return strings.Join(names, " and ")
}

// reportSets reads the predictions, and WordNet where it is there.
func (a *app) reportSets(files []string, o reportOptions, opts *report.Options) error {
	groups := [][]string{files}
	switch {
	case len(files) == 0:
		return nil
	case o.compare:
		groups = [][]string{files[:1], files[1:]}
	}
	for _, g := range groups {
		set, err := a.predictions(o.classes, g...)
		if err != nil {
			return err
		}
		opts.Sets = append(opts.Sets, report.Predictions{Name: ui.Text(a.remote.paths.Shown(g[0])), Set: set})
	}
	if o.noWordNet {
		return nil
	}
	g, err := a.wordNetOrWithout(o.wordnet, "words and WordNet's measures")
	if g == nil || err != nil {
		return err
	}
	opts.Words = g.FirstWord
	if opts.Hierarchy, err = eval.NewHierarchy(g, opts.Sets[0].Classes); err != nil {
		a.Logf("without WordNet's measures: %v", err)
	}
	return nil
}
