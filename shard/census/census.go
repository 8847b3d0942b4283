// Package census counts a dataset's images: by split, by synset, and in WordNet's tree.
package census

import (
	"cmp"
	"slices"

	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/wordnet"
)

// Tally counts images.
type Tally struct {
	Images int64 `json:"images"` // how many
	Bytes  int64 `json:"bytes"`  // of the images as they are stored
}

func (t *Tally) add(o Tally) { t.Images += o.Images; t.Bytes += o.Bytes }

// Split is what was selected of a split.
type Split struct {
	Name string `json:"split"` // the split's
	Tally
	Shards  int `json:"shards"`  // that hold them
	Synsets int `json:"synsets"` // that have images among those selected
}

// Synset is the images of a synset, in all splits and in each.
type Synset struct {
	Synset string   `json:"synset"`          // "": images without a label
	Words  []string `json:"words,omitempty"` // of WordNet, commonest first; nil: not known
	Tally
	Splits map[string]Tally `json:"splits"` // by name, those that have images of it
}

// Node is a synset in WordNet's tree, with all that is below it.
type Node struct {
	Synset string   `json:"synset"`          // "": images without a label
	Words  []string `json:"words,omitempty"` // likewise, as Synset has them
	Tally
	Children []*Node `json:"children,omitempty"` // by id, those with images at or below them
}

// View is what was selected of a split of a dataset.
type View struct {
	Split string // its name
	*shard.View
}

// Count counts views of a dataset: by split, in the order of views, and by synset,
// ascending.
func Count(set *shard.Dataset, views []View) ([]Split, []Synset) {
	var splits []Split
	all := map[string]*Synset{}
	for _, v := range views {
		splits = append(splits, count(v, all))
	}
	words := map[string][]string{}
	for _, c := range set.Classes() {
		words[c.Synset] = c.Words
	}
	var synsets []Synset
	for _, s := range all {
		s.Words = words[s.Synset]
		synsets = append(synsets, *s)
	}
	slices.SortFunc(synsets, func(x, y Synset) int { return cmp.Compare(x.Synset, y.Synset) })
	return splits, synsets
}

// count counts a view, by synset into all.
func count(v View, all map[string]*Synset) Split {
	out := Split{Name: v.Split, Shards: v.Shards()}
	mine := map[string]*Tally{}
	for i := range v.Len() {
		s := v.Synset(i)
		t := mine[s]
		if t == nil {
			t = &Tally{}
			mine[s] = t
		}
		t.add(Tally{1, v.Length(i)})
	}
	for s, t := range mine {
		out.add(*t)
		if s != "" {
			out.Synsets++
		}
		if all[s] == nil {
			all[s] = &Synset{Synset: s, Splits: map[string]Tally{}}
		}
		all[s].add(*t)
		all[s].Splits[v.Split] = *t
	}
	return out
}

// Above counts images in every synset of WordNet at or above those given, each image once
// however many ways lead up from it. What is no synset of g is in others.
func Above(synsets []Synset, g *wordnet.Graph) (nodes map[wordnet.ID]Tally, others []Synset) {
	nodes = map[wordnet.ID]Tally{}
	for _, s := range synsets {
		id, err := wordnet.ParseID(s.Synset)
		if _, ok := g.Synset(id); err != nil || !ok {
			others = append(others, s)
			continue
		}
		for _, above := range append(g.Ancestors(id), id) {
			t := nodes[above]
			t.add(s.Tally)
			nodes[above] = t
		}
	}
	return nodes, others
}

// Tree puts synsets, each once, on their shortest ways from WordNet's root, as far down as
// depth (0: all). An image is counted once in every node above it. What is no synset
// stands beside the root.
func Tree(synsets []Synset, g *wordnet.Graph, depth int) []*Node {
	tallies, unknown := Above(synsets, g)
	nodes := map[wordnet.ID]*Node{}
	for id, t := range tallies {
		syn, _ := g.Synset(id)
		nodes[id] = &Node{Synset: id.String(), Words: syn.Lemmas, Tally: t}
	}
	var others []*Node
	for _, s := range unknown {
		others = append(others, &Node{Synset: s.Synset, Words: s.Words, Tally: s.Tally})
	}
	ids := make([]wordnet.ID, 0, len(nodes))
	for id := range nodes {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	var roots []*Node
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
