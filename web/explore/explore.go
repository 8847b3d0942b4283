// Package explore answers what people ask of a dataset, and of predictions over it, who
// walk through them: what is below a synset, which images it has, what was taken for what.
// Rows stay in their files: memory is by synsets and, of predictions, a few bytes a row.
package explore

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/shard/census"
	"github.com/synshard/synshard/web/look"
	"github.com/synshard/synshard/wordnet"
)

// Unlabelled is the key of the images without a class.
const Unlabelled = "unlabelled"

// Explorer is an open dataset with its counts. It may be used from many goroutines, and does
// not change, but that predictions that were opened are there when they were read.
type Explorer struct {
	set     *shard.Dataset
	graph   *wordnet.Graph // nil: classes are a flat list
	splits  []*shard.Browser
	classes map[string]shard.Class // by synset
	synsets []synset               // those that have images, or are classes; by name
	place   map[string]int         // in synsets, by key
	below   map[wordnet.ID][]int32 // places in synsets of what has images at or below a node
	above   map[wordnet.ID]census.Tally
	roots   []wordnet.ID // of below
	loose   []int32      // places in synsets of what is not in the graph
	total   census.Tally
	opened  *Predictions
	ready   atomic.Bool // opened was read
}

// synset is one class, or images of none, with where its rows are.
type synset struct {
	census.Synset
	key string
	in  []int // its number in each split's Synsets; -1: it has no rows there
}

// Open counts a dataset. g may be nil; predictions come with OpenPredictions. Close must be called,
// before the dataset's.
func Open(set *shard.Dataset, g *wordnet.Graph) (*Explorer, error) {
	e := &Explorer{set: set, graph: g, classes: map[string]shard.Class{}, place: map[string]int{}, below: map[wordnet.ID][]int32{}}
	for _, c := range set.Classes() {
		e.classes[c.Synset] = c
	}
	for _, name := range set.Splits() {
		b, err := set.Browse(name)
		if err != nil {
			e.Close()
			return nil, err
		}
		e.splits = append(e.splits, b)
	}
	e.count()
	return e, nil
}

// Close closes the indexes and the predictions.
func (e *Explorer) Close() {
	for _, b := range e.splits {
		b.Close()
	}
	if e.opened != nil {
		e.opened.Close()
	}
}

// count brings the splits' counts together.
func (e *Explorer) count() {
	numbers := map[string]*synset{}
	of := func(name string) *synset {
		s := numbers[name]
		if s == nil {
			s = &synset{Synset: census.Synset{Synset: name, Splits: map[string]census.Tally{}}, in: slices.Repeat([]int{-1}, len(e.splits))}
			numbers[name] = s
		}
		return s
	}
	for _, c := range e.set.Classes() {
		of(c.Synset)
	}
	for i, b := range e.splits {
		for n, rows := range b.Synsets() {
			s, t := of(rows.Synset), census.Tally{Images: rows.Images, Bytes: rows.Bytes}
			s.in[i] = n
			s.Splits[b.Name] = t
			s.Images, s.Bytes = s.Images+t.Images, s.Bytes+t.Bytes
			e.total.Images, e.total.Bytes = e.total.Images+t.Images, e.total.Bytes+t.Bytes
		}
	}
	names := make([]census.Synset, 0, len(numbers))
	for _, s := range numbers {
		s.key = e.keyOf(s.Synset.Synset)
		e.synsets = append(e.synsets, *s)
		names = append(names, s.Synset)
	}
	slices.SortFunc(e.synsets, func(a, b synset) int { return cmp.Compare(a.Synset.Synset, b.Synset.Synset) })
	if e.graph != nil {
		e.above, _ = census.Above(names, e.graph)
	}
	for i := range e.synsets {
		s := &e.synsets[i]
		e.place[s.key] = i
		id, ok := e.node(s.key)
		if !ok {
			e.loose = append(e.loose, int32(i))
			continue
		}
		for _, above := range append(e.graph.Ancestors(id), id) {
			e.below[above] = append(e.below[above], int32(i))
		}
	}
	e.roots = rootsOf(e.graph, e.below)
}

// rootsOf are the nodes that have nothing above them, ascending.
func rootsOf(g *wordnet.Graph, below map[wordnet.ID][]int32) (out []wordnet.ID) {
	for id := range below {
		if g.MinDepth(id) == 0 {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out
}

// keyOf is a class's part of an address: the synset's id, or the number of a class that
// is none.
func (e *Explorer) keyOf(name string) string {
	if _, err := wordnet.ParseID(name); err == nil {
		return name
	}
	if name == "" {
		return Unlabelled
	}
	if c, ok := e.classes[name]; ok {
		return fmt.Sprintf("class-%d", c.Label)
	}
	return fmt.Sprintf("name-%x", name)
}

// node is the node of the graph that a key means.
func (e *Explorer) node(key string) (wordnet.ID, bool) {
	id, err := wordnet.ParseID(key)
	if err != nil || e.graph == nil {
		return 0, false
	}
	_, ok := e.graph.Synset(id)
	return id, ok
}

// Node is a synset of WordNet, or a class that is none, with what it has.
type Node struct {
	Key         string       // its part of an address
	Label       look.Label   // what it is called
	Gloss       string       // WordNet's; "" where it is not known
	Own, Below  census.Tally // images of itself; of it and of all below it, each once
	Splits      []SplitTally // its own, in the order of the splits
	Classes     int          // classes at or below it that have images
	ILSVRC2012  int32        // the devkit's number; 0: none
	IsClass     bool         // of the dataset
	Number      int          // its label, where it is a class
	HasChildren bool         // with images
}

// SplitTally counts a split.
type SplitTally struct {
	Split string // its name
	census.Tally
}

// Node finds a node by its key.
func (e *Explorer) Node(key string) (*Node, bool) {
	id, inGraph := e.node(key)
	at, known := e.place[key]
	if !inGraph && !known {
		return nil, false
	}
	n := &Node{Key: key}
	if known {
		s := &e.synsets[at]
		n.Label.Synset, n.Own, n.Below, n.Classes = s.Synset.Synset, s.Tally, s.Tally, 1
		for _, b := range e.splits {
			if t := s.Splits[b.Name]; t.Images > 0 {
				n.Splits = append(n.Splits, SplitTally{b.Name, t})
			}
		}
		if c, ok := e.classes[s.Synset.Synset]; ok {
			n.IsClass, n.Number, n.ILSVRC2012 = true, c.Label, c.ILSVRC2012ID
			n.Label.Words, n.Gloss = strings.Join(c.Words, ", "), c.Gloss
		}
	}
	if key == Unlabelled {
		n.Label = look.Label{Words: "images without a class"}
	}
	if inGraph {
		s, _ := e.graph.Synset(id)
		n.Label, n.Gloss = look.Label{Synset: key, Words: s.Words()}, s.Gloss
		n.Below, n.Classes = e.above[id], len(e.below[id])
		n.HasChildren = slices.ContainsFunc(e.graph.Children(id), func(c wordnet.ID) bool { return len(e.below[c]) > 0 })
	}
	return n, true
}

// nodes gives those of several keys.
func (e *Explorer) nodes(keys []wordnet.ID) (out []*Node) {
	for _, k := range keys {
		n, _ := e.Node(k.String())
		out = append(out, n)
	}
	return out
}

// Label is what a class is called, whether the dataset has it or not.
func (e *Explorer) Label(name string) look.Label {
	if n, ok := e.Node(e.keyOf(name)); ok {
		return n.Label
	}
	return look.Label{Synset: name}
}

// Key is a class's part of an address; "" where there is no page of it.
func (e *Explorer) Key(name string) string {
	key := e.keyOf(name)
	if _, ok := e.Node(key); !ok {
		return ""
	}
	return key
}

// Children gives the nodes right below one that have images at or below them, most
// images first, and how many others there are. Of "" they are the roots, and the classes
// that are in no tree.
func (e *Explorer) Children(key string) (with []*Node, without int) {
	id, ok := e.node(key)
	switch {
	case key == "":
		with = e.nodes(e.roots)
		for _, i := range e.loose {
			n, _ := e.Node(e.synsets[i].key)
			with = append(with, n)
		}
	case ok:
		for _, n := range e.nodes(e.graph.Children(id)) {
			if n.Classes == 0 {
				without++
				continue
			}
			with = append(with, n)
		}
	}
	slices.SortFunc(with, func(a, b *Node) int {
		return cmp.Or(cmp.Compare(b.Below.Images, a.Below.Images), cmp.Compare(a.Key, b.Key))
	})
	return with, without
}

// Paths gives every way from a root down to a node, the node left out.
func (e *Explorer) Paths(key string) (out [][]*Node) {
	id, ok := e.node(key)
	if !ok {
		return nil
	}
	for _, way := range e.graph.HypernymPaths(id) {
		if len(way) > 1 {
			out = append(out, e.nodes(way[:len(way)-1]))
		}
	}
	return out
}

// Search gives the nodes that a text may mean, those with images first, at most so many;
// and how many there are.
func (e *Explorer) Search(text string, most int) (out []*Node, all int) {
	text = strings.TrimSpace(text)
	if text == "" {
		return nil, 0
	}
	keys := []string{text}
	if e.graph != nil {
		for _, id := range e.graph.Search(text) {
			keys = append(keys, id.String())
		}
	}
	for _, i := range e.loose {
		s := &e.synsets[i]
		if strings.Contains(strings.ToLower(s.Synset.Synset+" "+strings.Join(e.classes[s.Synset.Synset].Words, " ")), strings.ToLower(text)) {
			keys = append(keys, s.key)
		}
	}
	seen := map[string]bool{}
	for _, with := range []bool{true, false} {
		for _, key := range keys {
			n, ok := e.Node(key)
			if !ok || seen[key] || with != (n.Below.Images > 0) {
				continue
			}
			seen[key] = true
			if all++; len(out) < most {
				out = append(out, n)
			}
		}
	}
	return out, all
}

// Summary is what the dataset is.
type Summary struct {
	Dir     string       // where it is, for people
	Images  census.Tally // of all splits
	Splits  []SplitTally // ascending
	Synsets int          // with images
	WordNet bool         // there is a tree
}

// Summary sums the dataset up.
func (e *Explorer) Summary() Summary {
	s := Summary{Dir: e.set.Dir, Images: e.total, WordNet: e.graph != nil}
	for _, b := range e.splits {
		t := SplitTally{Split: b.Name}
		for _, rows := range b.Synsets() {
			t.Images, t.Bytes = t.Images+rows.Images, t.Bytes+rows.Bytes
		}
		s.Splits = append(s.Splits, t)
	}
	for i := range e.synsets {
		if e.synsets[i].Images > 0 && e.synsets[i].key != Unlabelled {
			s.Synsets++
		}
	}
	return s
}
