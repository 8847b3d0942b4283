package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/synshard/synshard/internal/ui"
	"github.com/synshard/synshard/shard/census"
)

// lsOptions are ls's flags.
type lsOptions struct {
	splits    []string
	tree      bool
	depth     int
	selection *selectionOptions
}

// AddFlags adds them to the verb.
func (o *lsOptions) AddFlags(cmd *cobra.Command) {
	o.selection = addSelectionFlags(cmd)
	splitsVar(cmd, &o.splits, "split", "only these splits (default: all)")
	cmd.Flags().BoolVar(&o.tree, "tree", false, "synsets as WordNet's tree, with subtotals")
	cmd.Flags().IntVar(&o.depth, "depth", 0, "with --tree: levels to show; 0 for all")
}

func newLsCmd(a *app) *cobra.Command {
	var o lsOptions
	cmd := &cobra.Command{
		Use:   "ls DATASET",
		Short: "Show splits, synsets, counts and bytes",
		Long: `Shows the splits of a dataset and then its synsets, with the number of images
and bytes of each; or with --tree the synsets as WordNet has them, with
subtotals. An image is counted once in every subtotal, however many ways lead
down to it: so what stands under a synset may count together more than it.
The selection's flags leave out what they leave out elsewhere.`,
		Example: "  synshard ls imagenet\n  synshard ls imagenet --tree --depth 8 --synset dog\n  synshard ls imagenet --split val --json",
		Args:    exactly(1, 1, "a dataset"),
		RunE:    func(_ *cobra.Command, args []string) error { return a.runLs(args[0], o) },
	}
	o.AddFlags(cmd)
	return cmd
}

// listing is what ls prints.
type listing struct {
	Dataset string          `json:"dataset"`
	Splits  []census.Split  `json:"splits"`
	Synsets []census.Synset `json:"synsets,omitempty"`
	Tree    []*census.Node  `json:"tree,omitempty"`
}

func (a *app) runLs(dir string, o lsOptions) error {
	if o.depth < 0 || o.depth > 0 && !o.tree {
		return usagef("--depth %d: want 0 (all) or more, with --tree", o.depth)
	}
	set, views, err := a.openViews(dir, o.splits, o.selection)
	if err != nil {
		return err
	}
	defer set.Close()
	out := listing{Dataset: set.Dir}
	out.Splits, out.Synsets = census.Count(set, views)
	if !o.tree {
		return a.Result(out, func(w io.Writer) { out.table(w) })
	}
	g, err := a.openWordNet(o.selection.wordnet)
	if err != nil {
		return err
	}
	out.Tree = census.Tree(out.Synsets, g, o.depth)
	out.Synsets = nil
	return a.Result(out, func(w io.Writer) {
		for _, t := range out.Tree {
			drawTallies(w, t, "", "")
		}
	})
}

func (l *listing) table(w io.Writer) {
	t := ui.NewTable(w, "split", "images", "bytes", "synsets", "shards")
	heading := []string{"synset"}
	for _, s := range l.Splits {
		t.Row(s.Name, s.Images, s.Bytes, s.Synsets, s.Shards)
		heading = append(heading, s.Name)
	}
	t.Flush() // into a bufio.Writer, which keeps the error
	fmt.Fprintln(w)
	t = ui.NewTable(w, append(heading, "bytes", "words")...)
	for _, y := range l.Synsets {
		row := []any{cmp.Or(y.Synset, "-")}
		for _, s := range l.Splits {
			row = append(row, y.Splits[s.Name].Images)
		}
		t.Row(append(row, y.Bytes, strings.Join(y.Words, ", "))...)
	}
	t.Flush()
}

func drawTallies(w io.Writer, t *census.Node, first, rest string) {
	fmt.Fprintf(w, "%s%s  %s  %d images, %d bytes\n", first, ui.Text(cmp.Or(t.Synset, "-")), joined(t.Words), t.Images, t.Bytes)
	for i, c := range t.Children {
		if i < len(t.Children)-1 {
			drawTallies(w, c, rest+"├── ", rest+"│   ")
		} else {
			drawTallies(w, c, rest+"└── ", rest+"    ")
		}
	}
}
