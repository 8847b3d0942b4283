package explore

import (
	"cmp"
	"slices"

	"github.com/synshard/synshard/wordnet"
)

// Matrix says how often what is below one node was taken for what is below another. Every
// image is in one cell: a class that several of the nodes have below them is with the first.
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

// unfolded cuts the classes at or below a node by nodes further down: that with most images
// is opened first, as long as there are no more branches than most. node is the one whose
// branches they are, below which nothing else has classes.
func (p *Predictions) unfolded(key string, most int) (node string, branches []group) {
	node, branches = key, p.groups(key)
	whole := map[string]bool{node: true} // what is not opened
	for {
		next, inside := -1, []group(nil)
		for i := range branches {
			if whole[branches[i].key] || next >= 0 && p.images(branches[i]) <= p.images(branches[next]) {
				continue
			}
			sub := p.within(branches[i])
			if len(sub) == 0 || len(branches)-1+len(sub) > most {
				whole[branches[i].key] = true
				continue
			}
			next, inside = i, sub
		}
		if next < 0 {
			return node, branches
		}
		if len(branches) == 1 {
			node = branches[0].key
		}
		whole[branches[next].key] = true // where it is itself a class
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
		sub.classes = slices.DeleteFunc(sub.classes, func(c int32) bool { return !mine[c] })
		if len(sub.classes) > 0 && sub.key != g.key || len(g.classes) > 1 && sub.key == g.key {
			out = append(out, sub)
		}
	}
	return out
}

// images counts those whose truth is one of a branch's classes.
func (p *Predictions) images(g group) (n int) {
	for _, c := range g.classes {
		n += p.count[c]
	}
	return n
}

// Confusion gives the matrix of a node, of at most so many branches: it is unfolded as far as
// they go, and where even the nodes right below it are more, those with fewest images are
// left out.
func (p *Predictions) Confusion(key string, most int) Matrix {
	key, groups := p.unfolded(key, most)
	m := Matrix{Node: key}
	images := make([]int, len(groups))
	for i, g := range groups {
		images[i] = p.images(g)
	}
	order := make([]int, len(groups))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(images[b], images[a]) })
	shown := order[:min(len(order), most)]
	m.Left = len(order) - len(shown)
	slices.Sort(shown) // those of one node stand together
	of := slices.Repeat([]int{-1}, len(p.Classes))
	for i, g := range shown {
		classes := len(groups[g].classes)
		m.Branches = append(m.Branches, Branch{groups[g].key, images[g], classes > 1, classes == len(p.members(groups[g].key))})
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
