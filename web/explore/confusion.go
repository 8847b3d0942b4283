package explore

import (
	"cmp"
	"slices"

	"github.com/synshard/synshard/wordnet"
)

// Matrix says how often what is below one node was taken for what is below another. Every
// image is in one cell: a class that several of the nodes have below them is with the first.
type Matrix struct {
	Node      string  // whose parts they are; "": the whole
	Parts     []Part  // rows, and columns
	Cells     [][]int // images, [truth][predicted]
	Elsewhere []int   // of each row: taken for what is not below Node
	Left      int     // parts that are not shown
}

// Part is a row and a column of a matrix.
type Part struct {
	Key    string
	Images int  // whose truth is below it
	Whole  bool // the node itself, which is a class
	Opens  bool // it has parts of its own
}

// group is the classes that a part of a node stands for.
type group struct {
	key     string
	classes []int32
}

// groups cuts the classes at or below a node by the nodes right below it. Every class is in
// one of them: in that of the smallest id, or in the node's own where it is one.
func (p *Predictions) groups(key string) (out []group) {
	id, inGraph := p.e.node(key)
	if !inGraph && key != "" {
		return nil
	}
	var nodes []wordnet.ID
	if inGraph {
		nodes = p.e.graph.Children(id)
	} else {
		for id := range p.below {
			if p.e.graph.MinDepth(id) == 0 {
				nodes = append(nodes, id)
			}
		}
		slices.Sort(nodes)
	}
	taken := make([]bool, len(p.Classes))
	take := func(key string, classes []int32) {
		g := group{key: key}
		for _, c := range classes {
			if !taken[c] {
				taken[c] = true
				g.classes = append(g.classes, c)
			}
		}
		if len(g.classes) > 0 {
			out = append(out, g)
		}
	}
	if inGraph {
		for _, c := range p.below[id] {
			if p.keys[c] == key {
				take(key, []int32{c})
			}
		}
	}
	for _, n := range nodes {
		take(n.String(), p.below[n])
	}
	if key == "" {
		for c, k := range p.keys {
			if _, ok := p.e.node(k); !ok {
				take(k, []int32{int32(c)})
			}
		}
	}
	return out
}

// Confusion gives the matrix of a node, of its parts with most images at most so many. A
// node with one part alone gives that part's, so that no matrix is of one cell.
func (p *Predictions) Confusion(key string, most int) Matrix {
	groups := p.groups(key)
	for len(groups) == 1 && groups[0].key != key && len(p.groups(groups[0].key)) > 0 {
		key = groups[0].key
		groups = p.groups(key)
	}
	m := Matrix{Node: key}
	images := make([]int, len(groups))
	for g := range groups {
		for _, c := range groups[g].classes {
			images[g] += p.figures[p.keys[c]].Images
		}
	}
	order := make([]int, len(groups))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(images[b], images[a]) })
	shown := order[:min(len(order), most)]
	m.Left = len(order) - len(shown)
	slices.Sort(shown) // as WordNet has them, so that those alike stand together
	of := slices.Repeat([]int{-1}, len(p.Classes))
	for i, g := range shown {
		own := groups[g].key == key
		m.Parts = append(m.Parts, Part{groups[g].key, images[g], own, !own && len(p.groups(groups[g].key)) > 0})
		m.Cells, m.Elsewhere = append(m.Cells, make([]int, len(shown))), append(m.Elsewhere, 0)
		for _, c := range groups[g].classes {
			of[c] = i
			m.Cells[i][i] += p.right[c]
		}
	}
	for _, q := range p.pairs {
		switch row := of[q.truth]; {
		case row < 0:
		case of[q.predicted] < 0:
			m.Elsewhere[row] += int(q.n)
		default:
			m.Cells[row][of[q.predicted]] += int(q.n)
		}
	}
	return m
}
