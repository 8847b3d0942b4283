package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"synshard/infer"
	"synshard/wordnet"
)

var _ = register(newEvalCmd)

func newEvalCmd(a *app) *cobra.Command {
	var confusions int
	var wordnetDir string
	cmd := &cobra.Command{
		Use:   "eval PREDICTIONS",
		Short: "Measure predictions against the truth",
		Long: `Reads what infer wrote and prints top-1 and top-5 accuracy, overall and by
synset, and what is taken for what. Rows without a truth are left out; an image
that could not be read counts as wrong.`,
		Example: "  synshard eval runs/a/val.arrow\n  synshard eval runs/a/val.arrow --json",
		Args:    exactly(1, 1, "a file of predictions"),
		RunE: func(_ *cobra.Command, args []string) error {
			if confusions < 0 {
				return usagef("--confusions %d: want 0 or more", confusions)
			}
			r, err := infer.Evaluate(args[0])
			if err != nil {
				return err
			}
			if r.Warning != "" {
				a.logf("warning: %s", r.Warning)
			}
			if a.jsonOut {
				return json.NewEncoder(a.stdout).Encode(r)
			}
			g, err := a.openWordNet(wordnetDir)
			if err != nil { // words are a convenience here
				a.logf("showing synsets without their words: %v", err)
			}
			return printReport(a.stdout, r, g, confusions)
		},
	}
	cmd.Flags().IntVar(&confusions, "confusions", 10, "pairs of synsets that are shown, commonest first")
	cmd.Flags().StringVar(&wordnetDir, "wordnet", "", "directory with data.noun of WordNet 3.0 (default: where packages put it)")
	return cmd
}

func printReport(out io.Writer, r infer.Report, g *wordnet.Graph, confusions int) error {
	word := func(synset string) string {
		id, err := wordnet.ParseID(synset)
		if g == nil || err != nil {
			return synset
		}
		if s, ok := g.Synset(id); ok {
			return synset + " " + s.Lemmas[0]
		}
		return synset
	}
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', tabwriter.AlignRight)
	percent := func(v float64) string { return fmt.Sprintf("%.2f %%", 100*v) }
	fmt.Fprintf(w, "n\ttop-1\ttop-%d\tprecision\t  synset\n", min(r.K, 5))
	for _, s := range r.Synsets {
		if s.N > 0 {
			fmt.Fprintf(w, "%d\t%s\t%s\t%s\t  %s\n", s.N, percent(s.Top1), percent(s.Top5), percent(s.Precision), word(s.Synset))
		}
	}
	fmt.Fprintf(w, "%d\t%s\t%s\t\t  overall\n", r.N, percent(r.Top1), percent(r.Top5))
	if err := w.Flush(); err != nil {
		return err
	}
	if r.Failed > 0 || r.NoTruth > 0 {
		fmt.Fprintf(out, "%d images failed and count as wrong; %d rows have no truth and are left out\n", r.Failed, r.NoTruth)
	}
	for i, p := range r.Pairs {
		if i == confusions {
			break
		}
		if i == 0 {
			fmt.Fprintln(out, "\ntaken for another")
		}
		if _, err := fmt.Fprintf(out, "%6d  %s for %s\n", p.N, word(p.Truth), word(p.Predicted)); err != nil {
			return err
		}
	}
	return nil
}
