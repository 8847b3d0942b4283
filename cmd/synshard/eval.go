package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/synshard/synshard/eval"
	"github.com/synshard/synshard/infer/prediction"
	"github.com/synshard/synshard/internal/ui"
	"github.com/synshard/synshard/wordnet"
)

// depthList is --superclass-depth, repeatable: whole numbers from 0.
type depthList []int

func (d *depthList) String() string { return strings.Trim(fmt.Sprint([]int(*d)), "[]") }
func (d *depthList) Type() string   { return "int" }

// GetSlice gives the depths as they would be typed.
func (d *depthList) GetSlice() []string { return strings.Fields(d.String()) }
func (d *depthList) Set(s string) error {
	n, err := strconv.ParseUint(s, 10, 16)
	if err == nil {
		*d = append(*d, int(n))
	}
	return err
}

// evalOptions are eval's flags.
type evalOptions struct {
	confusions, resamples   int
	seed                    uint64
	wordnet, only, real     string
	classes                 string
	superclasses            []string
	depths                  []int
	compare, noWordNet      bool
	perSynset               bool
	arrow                   string
	subtrees, minSubtreeRow int
	suspects                bool
	rankBy                  string
	labelStudio, imageURL   string
}

const evalLong = `Reads what infer wrote, in any of its formats, and prints first what is asked
first: top-1 and top-5 accuracy with their 95 % intervals, and how many images could
not be read. Then the expected calibration error; by WordNet how far off mistakes are
(the height of the lowest common ancestor of truth and prediction, over mistakes and
over all rows at 1 and 5 predictions) and the subtrees with the lowest accuracy; the
worst synsets, and what is taken for what. --per-synset prints every synset, --json
all there is. docs/EVALUATION.md defines each. Several files are the jobs of one
whole, as merge takes them.

--superclass and --superclass-depth measure accuracy after rolling predictions up. --only FILE
measures as a classifier of some of the classes (one synset or label a line), as
ImageNet-A and ImageNet-R are; --real takes reassessed labels (real.json). --compare takes two
files over the same images: the difference with a 95 % interval of the paired
bootstrap, and McNemar's test. Rows without a truth are left out; an image that
could not be read counts as wrong. --suspects lists the images whose label is likely
wrong instead.`

// AddFlags adds them to the verb.
func (f *evalOptions) AddFlags(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.BoolVar(&f.perSynset, "per-synset", false, "print all synsets, in their order, and not only the ten worst")
	fl.IntVar(&f.confusions, "confusions", 10, "pairs of synsets that are shown, commonest first")
	fl.IntVar(&f.subtrees, "subtrees", 5, "subtrees that are shown, worst first")
	fl.IntVar(&f.minSubtreeRow, "subtree-rows", 20, "rows a subtree must have to be shown")
	fl.StringArrayVar(&f.superclasses, "superclass", nil, "accuracy after rolling up to these synsets (id or word; repeatable)")
	fl.Var((*depthList)(&f.depths), "superclass-depth", "accuracy after rolling up to all synsets at this depth of WordNet; repeatable")
	fl.BoolVar(&f.noWordNet, "no-wordnet", false, "without what needs WordNet")
	fl.StringVar(&f.only, "only", "", "file of synsets or labels, one a line: measure as a classifier of these alone")
	classesVar(cmd, &f.classes, "for text that came without its .meta.json, the model's "+classesUsage)
	fl.StringVar(&f.real, "real", "", "reassessed labels (real.json)")
	fl.StringVar(&f.arrow, "arrow", "", "write the tables as Arrow files into this directory, too")
	fl.BoolVar(&f.compare, "compare", false, "compare two files over the same images")
	fl.IntVar(&f.resamples, "resamples", 10000, "bootstrap samples of --compare")
	fl.Uint64Var(&f.seed, "seed", 1, "seed of the bootstrap")
	wordnetVar(cmd, &f.wordnet)
	f.suspectsVars(cmd)
	completeSynsets(cmd, "superclass")
	cobra.CheckErr(cmd.MarkFlagFilename("only"))
	cobra.CheckErr(cmd.MarkFlagDirname("arrow"))
	for _, one := range []string{"superclass", "superclass-depth", "only", "real", "per-synset"} {
		cmd.MarkFlagsMutuallyExclusive("compare", one)
	}
	cmd.MarkFlagsMutuallyExclusive("no-wordnet", "superclass")
	cmd.MarkFlagsMutuallyExclusive("no-wordnet", "superclass-depth")
}

func newEvalCmd(a *app) *cobra.Command {
	var o evalOptions
	cmd := &cobra.Command{
		Use:   "eval PREDICTIONS... | -",
		Short: "Measure predictions against the truth",
		Long:  evalLong,
		Example: `  synshard eval runs/a/val.arrow
  synshard eval runs/a/val.arrow --superclass dog --superclass bird --superclass-depth 5 --json
  synshard eval runs/a/r.arrow --only imagenet-r.txt
  synshard infer model.onnx imagenet --split val | synshard eval -
  synshard eval job-*.arrow
  synshard eval runs/a/val.arrow --suspects | head -40
  synshard eval --compare runs/a/val.arrow runs/b/val.arrow`,
		Args:    atLeast(1, "a file of predictions"),
		PreRunE: func(cmd *cobra.Command, _ []string) error { return o.check(cmd.Flags().Changed) },
		RunE:    func(_ *cobra.Command, args []string) error { return a.runEval(args, o) },
	}
	o.AddFlags(cmd)
	return cmd
}

func (a *app) runEval(args []string, o evalOptions) error {
	args, err := a.copies(args)
	if err != nil {
		return err
	}
	if o.compare && len(args) != 2 { // a URL may stand for several
		return usagef("--compare takes two files of predictions")
	}
	if o.compare {
		return a.evalCompare(args[0], args[1], o)
	}
	if o.suspects {
		return a.evalSuspects(args, o)
	}
	return a.eval(args, o)
}

// check refuses what cannot be; given says that a flag was.
func (f *evalOptions) check(given func(flag string) bool) error {
	for _, flag := range []string{"rank-by", "label-studio"} {
		if given(flag) && !f.suspects {
			return usagef("--%s has no effect without --suspects", flag)
		}
	}
	switch {
	case given("image-url") && f.labelStudio == "":
		return usagef("--image-url has no effect without --label-studio")
	case !strings.Contains(f.imageURL, "{path}"):
		return usagef("--image-url %s: it has no {path}, by which images differ", f.imageURL)
	}
	if f.confusions < 0 || f.subtrees < 0 || f.minSubtreeRow < 1 || f.resamples < 100 {
		return usagef("--confusions and --subtrees cannot be negative, --subtree-rows must be above 0, --resamples at least 100")
	}
	return nil
}

func (a *app) eval(paths []string, f evalOptions) error {
	path := paths[0] // in messages
	p, err := a.predictions(f.classes, paths...)
	if err != nil {
		return err
	}
	if f.only != "" {
		list, err := a.readClasses("only", f.only)
		if err != nil {
			return err
		}
		if p, err = eval.Restrict(p, list.Names); err != nil {
			return fmt.Errorf("%s: %w", f.only, err)
		}
	}
	r, err := eval.Evaluate(p)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	a.cameTo(int64(r.N), int64(r.Failed))
	if f.real != "" {
		if r.Real, err = eval.MeasureReal(p, f.real); err != nil {
			return err
		}
	}
	var g *wordnet.Graph
	if !f.noWordNet {
		if g, err = a.judge(p, &r, f); err != nil {
			return err
		}
	}
	if r.Warning != "" {
		a.Warnf("%s", r.Warning)
	}
	if f.arrow != "" {
		to, err := a.openDir(f.arrow)
		if err != nil {
			return err
		}
		if err := eval.WriteReport(to, r); err != nil {
			return err
		}
	}
	return a.Result(r, func(w io.Writer) { printReport(w, r, g, f) })
}

// predictions reads a file, or stdin.
func (a *app) predictions(classList string, paths ...string) (*prediction.Set, error) {
	classes, err := a.classNames(classList)
	if err != nil {
		return nil, err
	}
	switch {
	case len(paths) > 1:
		s, err := prediction.ReadJobs(paths, classes)
		return s, asUsage(err)
	case paths[0] != "-":
		if md, err := prediction.Metadata(paths[0]); err == nil && md[prediction.KeyJob] != "" {
			a.Warnf("%s is job %s of an array: its rows alone are counted; give the files of all jobs, or what merge makes of them", a.remote.paths.Shown(paths[0]), md[prediction.KeyJob])
		}
		return prediction.Read(paths[0], classes)
	}
	p, err := prediction.ReadFrom(a.Stdin, classes)
	if err != nil {
		return nil, fmt.Errorf("stdin: %w", err)
	}
	return p, nil
}

// classNames reads --classes; nil where it was not given.
func (a *app) classNames(classList string) ([]string, error) {
	if classList == "" {
		return nil, nil
	}
	list, err := a.readClasses("classes", classList)
	if err != nil {
		return nil, err
	}
	return list.Names, nil
}

// asUsage makes files that are no jobs of one whole an error of usage.
func asUsage(err error) error {
	if errors.Is(err, prediction.ErrJobs) {
		return usagef("several files are the jobs of one whole, or two with --compare: %w", err)
	}
	return err
}

// judge adds what WordNet says of the mistakes. Classes that are no synsets
// leave that out, aloud, unless it was asked for.
func (a *app) judge(p *prediction.Set, r *eval.Report, f evalOptions) (*wordnet.Graph, error) {
	asked := len(f.superclasses)+len(f.depths) > 0
	open := a.openWordNet
	if !asked {
		open = func(flag string) (*wordnet.Graph, error) { return a.wordNetOrWithout(flag, "WordNet's measures") }
	}
	g, err := open(f.wordnet)
	if g == nil || err != nil {
		return nil, err
	}
	h, err := eval.NewHierarchy(g, p.Classes)
	if err != nil {
		if asked {
			return nil, usagef("%w", err)
		}
		a.Logf("without WordNet's measures: %v", err)
		return g, nil
	}
	report := eval.MeasureHierarchy(p, h)
	if len(f.superclasses) > 0 {
		groups, err := a.groups(g, h, f.superclasses)
		if err != nil {
			return nil, err
		}
		report.Rollups = append(report.Rollups, eval.Rollup(p, strings.Join(f.superclasses, ", "), groups))
	}
	for _, depth := range f.depths {
		report.Rollups = append(report.Rollups, eval.Rollup(p, fmt.Sprintf("depth %d", depth), h.AtDepth(depth)))
	}
	r.Hierarchy = &report
	return g, nil
}

func (a *app) evalCompare(first, second string, f evalOptions) error {
	x, err1 := a.predictions(f.classes, first)
	y, err2 := a.predictions(f.classes, second)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	c, err := eval.Compare(x, y, f.resamples, f.seed)
	if err != nil {
		return fmt.Errorf("%s and %s: %w", first, second, err)
	}
	if f.arrow != "" {
		to, err := a.openDir(f.arrow)
		if err != nil {
			return err
		}
		if err := eval.WriteComparison(to, c); err != nil {
			return err
		}
	}
	return a.Result(comparisonJSON{first, second, c}, func(w io.Writer) {
		fmt.Fprintf(w, "rows         %d\n", c.N)
		fmt.Fprintf(w, "top-1        %.2f %%  %s\n", 100*c.A, ui.Text(first))
		fmt.Fprintf(w, "top-1        %.2f %%  %s\n", 100*c.B, ui.Text(second))
		fmt.Fprintf(w, "difference   %+.2f points, 95 %% interval %+.2f to %+.2f (%d paired bootstrap samples)\n", 100*c.Difference, 100*c.Low, 100*c.High, c.Resamples)
		fmt.Fprintf(w, "right alone  %d and %d; McNemar's test: p = %.4g exact, %.4g mid-p\n", c.OnlyA, c.OnlyB, c.PExact, c.PMid)
	})
}
