package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/synshard/synshard/internal/ui"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/wordnet"
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

// tally counts images.
type tally struct {
	Images int64 `json:"images"`
	Bytes  int64 `json:"bytes"`
}

func (t *tally) add(o tally) { t.Images += o.Images; t.Bytes += o.Bytes }

// listing is what ls prints.
type listing struct {
	Dataset string         `json:"dataset"`
	Splits  []splitListing `json:"splits"`
	Synsets []synsetTally  `json:"synsets,omitempty"`
	Tree    []*treeTally   `json:"tree,omitempty"`
}

type splitListing struct {
	Name string `json:"name"`
	tally
	Shards  int `json:"shards"` // of the whole split
	Synsets int `json:"synsets"`
}

type synsetTally struct {
	Synset string `json:"synset"` // "" = images without a label
	Words  string `json:"words,omitempty"`
	tally
	Splits map[string]tally `json:"splits"`
}

type treeTally struct {
	Synset string `json:"synset"`
	Words  string `json:"words,omitempty"`
	tally
	Children []*treeTally `json:"children,omitempty"`
}

func (a *app) runLs(dir string, o lsOptions) error {
	if o.depth < 0 || o.depth > 0 && !o.tree {
		return usagef("--depth %d: want 0 (all) or more, with --tree", o.depth)
	}
	set, err := shard.Open(dir)
	if err != nil {
		return err
	}
	defer set.Close()
	views, err := a.openViews(set, o.splits, o.selection)
	if err != nil {
		return err
	}
	out := listing{Dataset: dir}
	all := map[string]*synsetTally{}
	for _, v := range views {
		out.Splits = append(out.Splits, tallySplit(v.View, v.split, set.Manifest.Splits[v.split].Shards, all))
	}
	words := map[string]string{}
	for _, c := range set.Classes() {
		words[c.Synset] = strings.Join(c.Words, ", ")
	}
	for _, t := range all {
		t.Words = words[t.Synset]
		out.Synsets = append(out.Synsets, *t)
	}
	slices.SortFunc(out.Synsets, func(x, y synsetTally) int { return cmp.Compare(x.Synset, y.Synset) })
	if !o.tree {
		return a.Result(out, func(w io.Writer) { out.table(w) })
	}
	g, err := a.openWordNet(o.selection.wordnet)
	if err != nil {
		return err
	}
	out.Tree = tallyTree(out.Synsets, g, o.depth)
	out.Synsets = nil
	return a.Result(out, func(w io.Writer) {
		for _, t := range out.Tree {
			t.draw(w, "", "")
		}
	})
}

// tallySplit counts a view, by synset into all.
func tallySplit(v *shard.View, name string, shards int, all map[string]*synsetTally) splitListing {
	out := splitListing{Name: name, Shards: shards}
	mine := map[string]*tally{}
	for i := range v.Len() {
		s := v.Synset(i)
		t := mine[s]
		if t == nil {
			t = &tally{}
			mine[s] = t
		}
		t.add(tally{1, v.Length(i)})
	}
	for s, t := range mine {
		out.add(*t)
		if s != "" {
			out.Synsets++
		}
		if all[s] == nil {
			all[s] = &synsetTally{Synset: s, Splits: map[string]tally{}}
		}
		all[s].add(*t)
		all[s].Splits[name] = *t
	}
	return out
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
		t.Row(append(row, y.Bytes, y.Words)...)
	}
	t.Flush()
}

// tallyTree puts synsets, each once, on their shortest ways from the root. What
// is no synset stands beside the root.
func tallyTree(synsets []synsetTally, g *wordnet.Graph, depth int) []*treeTally {
	nodes := map[wordnet.ID]*treeTally{}
	var others []*treeTally
	for _, s := range synsets {
		id, err := wordnet.ParseID(s.Synset)
		if _, ok := g.Synset(id); err != nil || !ok {
			others = append(others, &treeTally{Synset: cmp.Or(s.Synset, "-"), Words: s.Words, tally: s.tally})
			continue
		}
		for _, above := range append(g.Ancestors(id), id) {
			if nodes[above] == nil {
				syn, _ := g.Synset(above)
				nodes[above] = &treeTally{Synset: above.String(), Words: syn.Words()}
			}
			nodes[above].add(s.tally)
		}
	}
	ids := make([]wordnet.ID, 0, len(nodes))
	for id := range nodes {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	var roots []*treeTally
	for _, id := range ids {
		way := g.HypernymPath(id)
		if depth > 0 && len(way) > depth {
			continue
		}
		if len(way) == 1 {
			roots = append(roots, nodes[id])
		} else {
			up := nodes[way[len(way)-2]]
			up.Children = append(up.Children, nodes[id])
		}
	}
	return append(roots, others...)
}

func (t *treeTally) draw(w io.Writer, first, rest string) {
	fmt.Fprintf(w, "%s%s  %s  %d images, %d bytes\n", first, ui.Text(t.Synset), ui.Text(t.Words), t.Images, t.Bytes)
	for i, c := range t.Children {
		if i < len(t.Children)-1 {
			c.draw(w, rest+"├── ", rest+"│   ")
		} else {
			c.draw(w, rest+"└── ", rest+"    ")
		}
	}
}
