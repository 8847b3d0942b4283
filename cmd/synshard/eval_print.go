package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/synshard/synshard/eval"
	"github.com/synshard/synshard/internal/ui"
	"github.com/synshard/synshard/wordnet"
)

// namer gives a synset with its first word, where WordNet is there.
func namer(g *wordnet.Graph) func(string) string {
	return func(synset string) string {
		id, err := wordnet.ParseID(synset)
		if g != nil && err == nil {
			if s, ok := g.Synset(id); ok {
				return ui.Text(synset + " " + s.Lemmas[0])
			}
		}
		return ui.Text(synset)
	}
}

func percent(v float64) string { return fmt.Sprintf("%.2f %%", 100*v) }

// printReport writes the report's tables; out keeps the first error.
func printReport(out io.Writer, r eval.Report, g *wordnet.Graph, f evalOptions) {
	word := namer(g)
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "n\ttop-1\ttop-%d\tprecision\trecall\t  synset\n", min(r.K, 5))
	for _, s := range r.Synsets {
		if s.N > 0 {
			fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t  %s\n", s.N, percent(s.Top1), percent(s.Top5), percent(s.Precision), percent(s.Recall), word(s.Synset))
		}
	}
	fmt.Fprintf(w, "%d\t%s\t%s\t\t\t  overall\n", r.N, percent(r.Top1), percent(r.Top5))
	w.Flush()
	if r.Failed > 0 || r.NoTruth > 0 {
		fmt.Fprintf(out, "%d images failed and count as wrong; %d rows have no truth and are left out\n", r.Failed, r.NoTruth)
	}
	if r.Undecided > 0 {
		fmt.Fprintf(out, "%d rows have none of the set among their %d predictions and count as wrong ('infer --probabilities all' keeps all)\n", r.Undecided, r.K)
	}
	if r.Real != nil {
		fmt.Fprintf(out, "reassessed labels: top-1 %s of %d\n", percent(r.Real.Top1), r.Real.N)
	}
	for i, p := range r.Pairs[:min(len(r.Pairs), f.confusions)] {
		if i == 0 {
			fmt.Fprintln(out, "\ntaken for another")
		}
		fmt.Fprintf(out, "%6d  %s for %s\n", p.N, word(p.Truth), word(p.Predicted))
	}
	printCalibration(out, r.Calibration)
	if r.Hierarchy != nil {
		printHierarchy(out, *r.Hierarchy, word, f)
	}
}

func printCalibration(out io.Writer, c eval.Calibration) {
	fmt.Fprintf(out, "\nexpected calibration error %.4f\n", c.ECE)
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "n\tprobability\tright\t")
	for _, b := range c.Bins {
		if b.N > 0 {
			fmt.Fprintf(w, "%d\t%.3f\t%.3f\t\n", b.N, b.Confidence, b.Accuracy)
		}
	}
	w.Flush()
}

func printHierarchy(out io.Writer, h eval.HierarchyReport, word func(string) string, f evalOptions) {
	fmt.Fprintf(out, "\nheight of the lowest common ancestor: %.3f over %d mistakes; %.3f over all rows, %.3f over their 5 best\n",
		h.MistakeHeight, h.Mistakes, h.Distance1, h.Distance5)
	for _, r := range h.Rollups {
		fmt.Fprintf(out, "rolled up to %s (%d superclasses): top-1 %s of %d\n", ui.Text(r.Name), r.Groups, percent(r.Top1), r.N)
	}
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', tabwriter.AlignRight)
	shown := 0
	for _, s := range h.Subtrees {
		if s.N < f.minSubtreeRow || shown == f.subtrees {
			continue
		}
		if shown == 0 {
			fmt.Fprintln(w, "\nn\ttop-1\tinside\tclasses\t  worst subtrees")
		}
		shown++
		fmt.Fprintf(w, "%d\t%s\t%s\t%d\t  %s\n", s.N, percent(s.Top1), percent(s.Inside), s.Classes, word(s.Synset))
	}
	w.Flush()
}
