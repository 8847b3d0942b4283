package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/synshard/synshard/eval"
	"github.com/synshard/synshard/infer/prediction"
	"github.com/synshard/synshard/internal/ui"
)

// suspectsVars adds the flags of eval's list of likely label errors, which is instead of all that
// eval measures.
func (f *evalOptions) suspectsVars(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.suspects, "suspects", false, "list likely label errors instead, by confident learning: needs 'infer --probabilities all'")
	choiceVar(cmd, &f.rankBy, "rank-by", eval.BySelfConfidence, "with --suspects: self_confidence (the label's probability), or margin (that less the largest other)", eval.BySelfConfidence, eval.ByMargin)
	cmd.Flags().StringVar(&f.labelStudio, "label-studio", "", "with --suspects: write them into this directory as tasks for Label Studio, with the configuration they go with")
	cmd.Flags().StringVar(&f.imageURL, "image-url", "/data/local-files/?d={synset}/{path}", "with --label-studio: where an image lies; {synset} (of its label) and {path} are filled in")
	cobra.CheckErr(cmd.MarkFlagDirname("label-studio"))
	for _, one := range []string{"compare", "superclass", "superclass-depth", "only", "real", "per-synset", "confusions", "subtrees", "subtree-rows", "resamples", "seed"} {
		cmd.MarkFlagsMutuallyExclusive("suspects", one)
	}
}

// stream is predictions that are gone through, of files or stdin.
func (a *app) stream(classList string, paths []string) (*prediction.Rows, error) {
	if paths[0] == "-" {
		set, err := a.predictions(classList, paths...)
		if err != nil {
			return nil, err
		}
		return set.Rows(), nil
	}
	classes, err := a.classNames(classList)
	if err != nil {
		return nil, err
	}
	s, err := prediction.OpenRows(paths, classes)
	return s, asUsage(err)
}

func (a *app) evalSuspects(paths []string, f evalOptions) error {
	rows, err := a.stream(f.classes, paths)
	if err != nil {
		return err
	}
	s, err := eval.FindSuspects(rows, f.rankBy)
	if errors.Is(err, eval.ErrNoTruth) || errors.Is(err, eval.ErrNoProbabilities) {
		err = fmt.Errorf("%s: %w", paths[0], err)
	}
	if err != nil {
		return err
	}
	a.cameTo(int64(s.N+s.Failed), int64(s.Failed))
	if f.arrow != "" {
		to, err := a.openDir(f.arrow)
		if err != nil {
			return err
		}
		if err := eval.WriteSuspects(to, s); err != nil {
			return err
		}
	}
	word := ui.Text
	if !f.noWordNet && (!a.JSON || f.labelStudio != "") {
		g, err := a.wordNetOrWithout(f.wordnet, "the classes' words")
		if err != nil {
			return err
		}
		word = namer(g)
	}
	if f.labelStudio != "" {
		if err := a.labelStudio(paths[0], s, f, eval.LabelStudio{Classes: rows.Classes, Words: word, ImageURL: f.imageURL}); err != nil {
			return err
		}
	}
	return a.Result(s, func(w io.Writer) { printSuspects(w, s, word) })
}

// labelStudio writes suspects among the predictions in a file as tasks.
func (a *app) labelStudio(predictions string, s *eval.Suspects, f evalOptions, o eval.LabelStudio) error {
	o.Model = "unknown"
	if predictions != "-" {
		md, err := prediction.Metadata(predictions)
		if err != nil {
			return err
		}
		o.Model = cmp.Or(md[prediction.KeyModel], o.Model)
	}
	to, err := a.openDir(f.labelStudio)
	if err != nil {
		return err
	}
	return eval.WriteLabelStudio(to, s, o)
}

// printSuspects writes how many there are and all of them, the likeliest errors first.
func printSuspects(out io.Writer, s *eval.Suspects, word func(string) string) {
	fmt.Fprintf(out, "suspects %d of %d images (%.2f %%), by %s\n", len(s.Suspected), s.N, 100*float64(len(s.Suspected))/float64(s.N), s.RankedBy)
	if s.NoTruth+s.Failed > 0 {
		fmt.Fprintf(out, "left out %d without a truth, %d unreadable\n", s.NoTruth, s.Failed)
	}
	if len(s.Suspected) == 0 {
		return
	}
	fmt.Fprintln(out)
	t := ui.NewTable(out, "given", "suggested", "margin", "label", "more likely", "path")
	for _, r := range s.Suspected {
		t.Row(percent(r.SelfConfidence), percent(r.Confidence), fmt.Sprintf("%.4f", r.Margin), word(r.Given), word(r.Suggested), r.Path)
	}
	t.Flush()
}
