package explore

import (
	"cmp"
	"slices"
)

// Matrix says how often what is below one node was taken for what is below another, of those
// that are a truth or a prediction at all. Every image is in one cell: a class that several of the nodes have below them is with the first.
type Matrix struct {
	Node      string   // whose branches they are; "": the whole
	Branches  []Branch // rows, and columns
	Cells     [][]int  // images, [truth][predicted]
	Elsewhere []int    // of each row: taken for what is not below Node
	Left      int      // branches that are not shown
}

// Branch is a row and a column of a matrix: classes at or below one node.
type Branch struct {
	Key    string // its part of an address
	Images int    // whose truth is below it
	Opens  bool   // it has branches of its own
	Whole  bool   // it is all that is at or below Key: no other branch has some, nor does it stand for Key alone
}

// group is the classes that a branch of a node stands for.
type group struct {
	key     string
	classes []int32
	images  int // whose truth is one of them
}

// groups cuts the classes at or below a node, those that members gives, by the nodes right below it. Every one is in
// one of them: in that of the smallest id, or in the node's own where it is one.
func (p *Predictions) groups(key string) (out []group) {
	id, inGraph := p.e.node(key)
	if !inGraph && key != "" {
		return nil
	}
	nodes := p.roots
	if inGraph {
		nodes = p.e.graph.Children(id)
	}
	taken := make([]bool, len(p.Classes))
	take := func(key string, classes []int32) {
		g := group{key: key}
		for _, c := range classes {
			if !taken[c] {
				taken[c] = true
				g.classes = append(g.classes, c)
				g.images += p.count[c]
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
			if _, ok := p.e.node(k); !ok && p.met[c] {
				take(k, []int32{int32(c)})
			}
		}
	}
	return out
}

// unfolded cuts the classes at or below a node by nodes further down: that with most images
// is opened first, as long as there are no more branches than most. node is the one whose
// branches they are, below which nothing else has classes.
func (p *Predictions) unfolded(key string, most int) (node string, branches []group) {
	node, branches = key, p.groups(key)
	done := map[string]bool{node: true} // opened, or not to be
	for {
		next := -1
		for i, g := range branches {
			if !done[g.key] && (next < 0 || g.images > branches[next].images) {
				next = i
			}
		}
		if next < 0 {
			return node, branches
		}
		g := branches[next]
		done[g.key] = true // also where it is itself a class, and a branch of its own
		inside := p.within(g)
		if len(inside) == 0 || len(branches)-1+len(inside) > most {
			continue
		}
		if len(branches) == 1 {
			node = g.key
		}
		branches = slices.Replace(branches, next, next+1, inside...)
	}
}

// within cuts a branch by the nodes right below it.
func (p *Predictions) within(g group) (out []group) {
	mine := make([]bool, len(p.Classes))
	for _, c := range g.classes {
		mine[c] = true
	}
	for _, sub := range p.groups(g.key) {
		sub.classes, sub.images = slices.DeleteFunc(sub.classes, func(c int32) bool { return !mine[c] }), 0
		for _, c := range sub.classes {
			sub.images += p.count[c]
		}
		if len(sub.classes) > 0 && sub.key != g.key || len(g.classes) > 1 && sub.key == g.key {
			out = append(out, sub)
		}
	}
	return out
}

// Confusion gives the matrix of a node, of at most so many branches: it is unfolded as far as
// they go, and where even the nodes right below it are more, those with fewest images are
// left out.
func (p *Predictions) Confusion(key string, most int) Matrix {
	key, groups := p.unfolded(key, most)
	m := Matrix{Node: key}
	order := make([]int, len(groups))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(groups[b].images, groups[a].images) })
	shown := order[:min(len(order), most)]
	m.Left = len(order) - len(shown)
	slices.Sort(shown) // those of one node stand together
	of := slices.Repeat([]int{-1}, len(p.Classes))
	for i, g := range shown {
		classes := len(groups[g].classes)
		m.Branches = append(m.Branches, Branch{groups[g].key, groups[g].images, classes > 1, classes == len(p.members(groups[g].key))})
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
