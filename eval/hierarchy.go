package eval

import (
	"fmt"
	"slices"

	"github.com/synshard/synshard/wordnet"
)

// Hierarchy is the part of WordNet that a model's classes span: the classes and
// everything above them. It is a graph without cycles, not a tree: a node may
// have several parents.
type Hierarchy struct {
	graph   *wordnet.Graph
	classes []wordnet.ID
	nodes   []wordnet.ID         // ascending
	place   map[wordnet.ID]int32 // in nodes
	above   [][]int32            // of each class: itself and all nodes above it
	below   [][]int32            // of each node: the classes at or below it
	height  []int32              // of each node
}

// NewHierarchy spans the classes, synset ids in label order. One that is no synset
// of the graph is an error.
func NewHierarchy(g *wordnet.Graph, classes []string) (*Hierarchy, error) {
	h := &Hierarchy{graph: g, place: map[wordnet.ID]int32{}}
	for _, c := range classes {
		id, err := wordnet.ParseID(c)
		if err != nil {
			return nil, fmt.Errorf("class %q is not a synset, and has no place in WordNet", c)
		}
		if _, ok := g.Synset(id); !ok {
			return nil, fmt.Errorf("class %s is not in WordNet %s", c, g.Version())
		}
		h.classes = append(h.classes, id)
		h.nodes = append(append(h.nodes, id), g.Ancestors(id)...)
	}
	slices.Sort(h.nodes)
	h.nodes = slices.Compact(h.nodes)
	for i, n := range h.nodes {
		h.place[n] = int32(i)
	}
	h.below = make([][]int32, len(h.nodes))
	for c, id := range h.classes {
		up := []int32{h.place[id]}
		for _, a := range g.Ancestors(id) {
			up = append(up, h.place[a])
		}
		h.above = append(h.above, up)
		for _, n := range up {
			h.below[n] = append(h.below[n], int32(c))
		}
	}
	h.measure()
	return h, nil
}

// measure finds each node's height: the edges on the longest way down to a
// class, by nodes of this hierarchy only.
func (h *Hierarchy) measure() {
	h.height = make([]int32, len(h.nodes))
	for i := range h.height {
		h.height[i] = -1
	}
	var of func(i int32) int32
	of = func(i int32) int32 {
		if h.height[i] >= 0 {
			return h.height[i]
		}
		most := int32(0)
		for _, child := range h.graph.Children(h.nodes[i]) {
			if c, ok := h.place[child]; ok {
				most = max(most, of(c)+1)
			}
		}
		h.height[i] = most
		return most
	}
	for i := range h.nodes {
		of(int32(i))
	}
}

// meet is the height of the lowest common ancestor of two classes: the least
// height of a node at or above both. Of one class with itself it is 0. It is
// -1 where nothing is above both, which WordNet's one root rules out.
func (h *Hierarchy) meet(a, b int32) int {
	if a == b {
		return 0
	}
	least := int32(-1)
	for _, x := range h.above[a] {
		if (least < 0 || h.height[x] < least) && slices.Contains(h.above[b], x) {
			least = h.height[x]
		}
	}
	return int(least)
}

// Groups are superclasses, and to which of them each class belongs. Groups and
// classes are numbered from 0, in their orders.
type Groups struct {
	Synsets []string  // in the order asked for, or ascending
	Of      []int32   // the group of each class, or -1
	Members [][]int32 // of each group: the classes at or below it
}

// Named groups the classes under the given synsets. A class below several
// belongs to the one with the least height, of equals to the first; it is a
// member of each. A synset named twice, or without a class at or below it, is an
// error.
func (h *Hierarchy) Named(ids []wordnet.ID) (Groups, error) {
	g := Groups{Of: make([]int32, len(h.classes))}
	for c := range g.Of {
		g.Of[c] = -1
	}
	var places []int32
	for _, id := range ids {
		p, ok := h.place[id]
		if !ok {
			return g, fmt.Errorf("superclass %s has none of the classes below it", id)
		}
		if slices.Contains(places, p) {
			return g, fmt.Errorf("superclass %s is named twice", id)
		}
		n := int32(len(places))
		places = append(places, p)
		g.Synsets, g.Members = append(g.Synsets, id.String()), append(g.Members, h.below[p])
		for _, c := range h.below[p] {
			if g.Of[c] < 0 || h.height[p] < h.height[places[g.Of[c]]] {
				g.Of[c] = n
			}
		}
	}
	return g, nil
}

// AtDepth groups each class under the node of that depth on its shortest way
// from the root (wordnet.Graph.HypernymPath; the root has depth 0). A class
// above that depth stands for itself.
func (h *Hierarchy) AtDepth(depth int) Groups {
	g := Groups{Of: make([]int32, len(h.classes))}
	top := make([]wordnet.ID, len(h.classes))
	var all []wordnet.ID
	for c, id := range h.classes {
		path := h.graph.HypernymPath(id)
		top[c] = path[min(depth, len(path)-1)]
		all = append(all, top[c])
	}
	slices.Sort(all)
	all = slices.Compact(all)
	g.Members = make([][]int32, len(all))
	for _, id := range all {
		g.Synsets = append(g.Synsets, id.String())
	}
	for c := range h.classes {
		at, _ := slices.BinarySearch(all, top[c])
		g.Of[c] = int32(at)
		g.Members[at] = append(g.Members[at], int32(c))
	}
	return g
}
