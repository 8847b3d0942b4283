package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/synshard/synshard/wordnet"
)

func (s *synsetApp) treeCmd() *cobra.Command {
	var depth int
	cmd := &cobra.Command{
		Use:   "tree SYNSET",
		Short: "Draw what is below a synset",
		Long: `Draws kinds and instances of a synset, their kinds and so on, with the number
of synsets below each. WordNet is not a tree: a synset that is met again is
marked and not opened a second time.`,
		Example: "  synshard synset tree zebra\n  synshard synset tree dog --depth 1 --json",
		Args:    exactly(1, 1, "one synset"),
		RunE: func(_ *cobra.Command, args []string) error {
			if depth < 0 {
				return usagef("--depth %d: want 0 (all) or more", depth)
			}
			if err := s.open(); err != nil {
				return err
			}
			id, err := s.one(args[0])
			if err != nil {
				return err
			}
			tree := s.g.Tree(id, depth)
			return s.Result(tree, func(w io.Writer) { drawTree(w, tree, "", "") })
		},
	}
	cmd.Flags().IntVar(&depth, "depth", 0, "levels below the synset; 0 for all")
	return cmd
}

// drawTree writes the tree; first goes before the node's own line and rest before
// those of its children.
func drawTree(w io.Writer, t *wordnet.Tree, first, rest string) {
	note := ""
	switch {
	case t.Repeated:
		note = fmt.Sprintf("  (%d below, shown above)", t.Below)
	case t.Below > 0:
		note = fmt.Sprintf("  (%d below)", t.Below)
	}
	fmt.Fprintf(w, "%s%s  %s%s\n", first, t.ID, joined(t.Words), note)
	for i, c := range t.Children {
		if i < len(t.Children)-1 {
			drawTree(w, c, rest+"├── ", rest+"│   ")
		} else {
			drawTree(w, c, rest+"└── ", rest+"    ")
		}
	}
}

func (s *synsetApp) pathCmd() *cobra.Command {
	var every bool
	cmd := &cobra.Command{
		Use:   "path SYNSET [SYNSET]",
		Short: "Show the way from the root to a synset, or between two",
		Long: `With one synset, shows the shortest way from the root (entity) down to it, or
with --all every way, a line a step. With two, shows the shortest way from the
first up to a common ancestor and down to the second; "up", "top" and "down"
say which leg a step is on.`,
		Example: "  synshard synset path zebra\n  synshard synset path n02084071 --all\n  synshard synset path dog cat --json",
		Args:    exactly(1, 2, "one synset or two"),
		RunE: func(_ *cobra.Command, args []string) error {
			if every && len(args) == 2 {
				return usagef("--all shows the ways from the root to one synset; two were given")
			}
			if err := s.open(); err != nil {
				return err
			}
			a, err := s.one(args[0])
			if err != nil {
				return err
			}
			if len(args) == 1 {
				return s.rootWays(a, every)
			}
			b, err := s.one(args[1])
			if err != nil {
				return err
			}
			return s.between(a, b)
		},
	}
	cmd.Flags().BoolVar(&every, "all", false, "every way from the root, not only the shortest")
	return cmd
}

func (s *synsetApp) rootWays(id wordnet.ID, every bool) error {
	ways := [][]wordnet.ID{s.g.HypernymPath(id)}
	if every {
		ways = s.g.HypernymPaths(id)
	}
	out := struct {
		nodeJSON
		Paths [][]nodeJSON `json:"paths"`
	}{nodeJSON: s.node(id, false)}
	for _, way := range ways {
		out.Paths = append(out.Paths, s.nodes(way))
	}
	return s.Result(out, func(w io.Writer) {
		for i, way := range ways {
			if i > 0 {
				fmt.Fprintln(w)
			}
			for depth, id := range way {
				fmt.Fprintf(w, "%d\t%s\t%s\n", depth, id, s.words(id))
			}
		}
	})
}

// relation holds the measures between two synsets.
type relation struct {
	A        nodeJSON `json:"a"`
	B        nodeJSON `json:"b"`
	Distance *int     `json:"distance"` // null where there is no way
	Path     float64  `json:"path_similarity"`
	WuPalmer float64  `json:"wu_palmer"`
}

func (s *synsetApp) relate(a, b wordnet.ID) relation {
	r := relation{A: s.node(a, false), B: s.node(b, false), Path: s.g.PathSimilarity(a, b), WuPalmer: s.g.WuPalmer(a, b)}
	if d := s.g.Distance(a, b); d >= 0 {
		r.Distance = &d
	}
	return r
}

func (r relation) text(w io.Writer) {
	if r.Distance == nil {
		fmt.Fprintln(w, "no common ancestor")
		return
	}
	fmt.Fprintf(w, "distance\t%d\npath similarity\t%.4f\nWu-Palmer\t%.4f\n", *r.Distance, r.Path, r.WuPalmer)
}

func (s *synsetApp) between(a, b wordnet.ID) error {
	way, top := s.g.Path(a, b)
	out := struct {
		relation
		Way []nodeJSON `json:"path"`
		Top int        `json:"top"` // place in path of the common ancestor
	}{s.relate(a, b), s.nodes(way), top}
	return s.Result(out, func(w io.Writer) {
		for i, id := range way {
			leg := "up"
			if i == top {
				leg = "top"
			} else if i > top {
				leg = "down"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\n", leg, id, s.words(id))
		}
		out.text(w)
	})
}

func (s *synsetApp) lcaCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "lca SYNSET SYNSET",
		Short: "Show the lowest common ancestors of two synsets, and how alike they are",
		Long: `Shows the lowest common ancestors of two synsets, of which WordNet can have
several, each with its depth by the longest way from the root; then the number
of edges between the two, path similarity, 1 / (1 + distance), and Wu and
Palmer's similarity (1994), 2 N3 / (N1 + N2 + 2 N3).`,
		Example: "  synshard synset lca dog cat\n  synshard synset lca n02099601 tabby.n.02 --json",
		Args:    exactly(2, 2, "two synsets"),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := s.open(); err != nil {
				return err
			}
			a, err := s.one(args[0])
			if err != nil {
				return err
			}
			b, err := s.one(args[1])
			if err != nil {
				return err
			}
			return s.lca(a, b)
		},
	}
}

func (s *synsetApp) lca(a, b wordnet.ID) error {
	type common struct {
		nodeJSON
		MinDepth int `json:"min_depth"`
		MaxDepth int `json:"max_depth"`
		Height   int `json:"height"`
	}
	out := struct {
		relation
		LCA []common `json:"lca"`
	}{s.relate(a, b), []common{}}
	for _, id := range s.g.LCA(a, b) {
		out.LCA = append(out.LCA, common{s.node(id, true), s.g.MinDepth(id), s.g.MaxDepth(id), s.g.Height(id)})
	}
	return s.Result(out, func(w io.Writer) {
		for _, c := range out.LCA {
			fmt.Fprintf(w, "%s\t%s\tdepth %d\n", c.ID, joined(c.Words), c.MaxDepth)
		}
		out.text(w)
	})
}
