package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"github.com/synshard/synshard/eval"
	"github.com/synshard/synshard/internal/ui"
	"github.com/synshard/synshard/wordnet"
)

// namer gives a synset with its first word, where WordNet is there.
func namer(g *wordnet.Graph) func(string) string {
	return func(synset string) string {
		if word := g.FirstWord(synset); word != "" {
			return ui.Text(synset + " " + word)
		}
		return ui.Text(synset)
	}
}

func percent(v float64) string { return fmt.Sprintf("%.2f %%", 100*v) }

// worstShown is how many synsets are shown, worst first, unless all are asked for.
const worstShown = 10

// printReport writes the report: what was asked first comes first.
func printReport(out io.Writer, r eval.Report, g *wordnet.Graph, f evalOptions) {
	word := namer(g)
	fmt.Fprint(out, r.Headline().Lines())
	if r.NoTruth > 0 {
		fmt.Fprintf(out, "%d rows have no truth and are left out\n", r.NoTruth)
	}
	if r.Undecided > 0 {
		fmt.Fprintf(out, "%d rows have none of the set among their %d predictions and count as wrong ('infer --probabilities all' keeps all)\n", r.Undecided, r.K)
	}
	if r.Real != nil {
		fmt.Fprintf(out, "reassessed labels: top-1 %s of %d\n", percent(r.Real.Top1), r.Real.N)
	}
	printCalibration(out, r.Calibration)
	if r.Hierarchy != nil {
		printHierarchy(out, *r.Hierarchy, word, f)
	}
	printSynsets(out, r, word, f.perSynset)
	for i, p := range r.Pairs[:min(len(r.Pairs), f.confusions)] {
		if i == 0 {
			fmt.Fprintln(out, "\ntaken for another")
		}
		fmt.Fprintf(out, "%6d  %s for %s\n", p.N, word(p.Truth), word(p.Predicted))
	}
}

// printSynsets writes all synsets in their order, or the worst.
func printSynsets(out io.Writer, r eval.Report, word func(string) string, all bool) {
	rows := r.Worst(len(r.Synsets))
	title := "synsets"
	switch {
	case all:
		rows = slices.DeleteFunc(slices.Clone(r.Synsets), func(s eval.SynsetReport) bool { return s.N == 0 })
	case len(rows) > worstShown:
		title = fmt.Sprintf("the worst %d of %d synsets", worstShown, len(rows))
		rows = rows[:worstShown]
	}
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(out)
	fmt.Fprintf(w, "images\ttop-1\ttop-%d\tprecision\t  %s\n", min(r.K, 5), title)
	for _, s := range rows {
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t  %s\n", s.N, percent(s.Top1), percent(s.Top5), percent(s.Precision), word(s.Synset))
	}
	w.Flush()
}

func printCalibration(out io.Writer, c eval.Calibration) {
	if c.N == 0 {
		return
	}
	fmt.Fprintf(out, "\nexpected calibration error %.4f: first predictions have a probability of %s on average, and %s of them are right\n", c.ECE, percent(c.Mean), percent(c.True))
}

func printHierarchy(out io.Writer, h eval.HierarchyReport, word func(string) string, f evalOptions) {
	fmt.Fprintf(out, "height of the lowest common ancestor: %.3f over %d mistakes; %.3f over all rows, %.3f over their 5 best\n",
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
			fmt.Fprintln(out)
			fmt.Fprintln(w, "images\ttop-1\tinside\tclasses\t  worst subtrees")
		}
		shown++
		fmt.Fprintf(w, "%d\t%s\t%s\t%d\t  %s\n", s.N, percent(s.Top1), percent(s.Inside), s.Classes, word(s.Synset))
	}
	w.Flush()
}
