package wordnet

import "slices"

// step is a node and how many edges below it the walk began.
type step struct {
	node, dist int32
}

// climb gives node i and all above it, nearest first, each once with the
// length of the shortest way up to it. There are a few dozen at most, so a
// linear search beats a set.
func (g *Graph) climb(i int32) []step {
	steps := append(make([]step, 0, 32), step{node: i})
	for k := 0; k < len(steps); k++ {
		for _, parent := range g.up.of(steps[k].node) {
			if distance(steps, parent) < 0 {
				steps = append(steps, step{node: parent, dist: steps[k].dist + 1})
			}
		}
	}
	return steps
}

// distance finds node in steps, or gives -1.
func distance(steps []step, node int32) int32 {
	for _, s := range steps {
		if s.node == node {
			return s.dist
		}
	}
	return -1
}

// Ancestors gives every synset above id, not id itself, each once, ascending.
func (g *Graph) Ancestors(id ID) []ID {
	i, ok := g.place.of(id)
	if !ok {
		return nil
	}
	steps := g.climb(i)[1:]
	nodes := make([]int32, len(steps))
	for k, s := range steps {
		nodes[k] = s.node
	}
	slices.Sort(nodes)
	return g.names(nodes)
}

// Descendants gives id and every synset below it, each once however many ways
// lead to it, ascending.
func (g *Graph) Descendants(id ID) []ID {
	i, ok := g.place.of(id)
	if !ok {
		return nil
	}
	seen := make([]uint64, (len(g.synsets)+63)/64)
	seen[i/64] |= 1 << (i % 64)
	nodes := []int32{i}
	for k := 0; k < len(nodes); k++ {
		for _, child := range g.down.of(nodes[k]) {
			if bit := uint64(1) << (child % 64); seen[child/64]&bit == 0 {
				seen[child/64] |= bit
				nodes = append(nodes, child)
			}
		}
	}
	slices.Sort(nodes)
	return g.names(nodes)
}

// IsA says whether id is above, or the same as, below.
func (g *Graph) IsA(below, id ID) bool {
	b, okB := g.place.of(below)
	a, okA := g.place.of(id)
	return okA && okB && distance(g.climb(b), a) >= 0
}

// MinDepth is the number of edges on the shortest way from a root down to id:
// 0 for a root, 18 at most in WordNet 3.0's nouns.
func (g *Graph) MinDepth(id ID) int { return g.measured(id, g.minDepth) }

// MaxDepth is the number of edges on the longest way from a root down to id.
func (g *Graph) MaxDepth(id ID) int { return g.measured(id, g.maxDepth) }

// Height is the number of edges on the longest way from id down to a leaf: 0
// for a synset with nothing below it.
func (g *Graph) Height(id ID) int { return g.measured(id, g.height) }

func (g *Graph) measured(id ID, values []int32) int {
	if i, ok := g.place.of(id); ok {
		return int(values[i])
	}
	return -1
}

// HypernymPath gives the shortest way from a root to id, both included. Of
// several it is the one whose ids, read from the root, come first.
func (g *Graph) HypernymPath(id ID) []ID {
	i, ok := g.place.of(id)
	if !ok {
		return nil
	}
	steps := g.climb(i)
	root := step{node: -1}
	for _, s := range steps {
		if len(g.up.of(s.node)) > 0 {
			continue
		}
		if root.node < 0 || s.dist < root.dist || s.dist == root.dist && s.node < root.node {
			root = s
		}
	}
	return g.names(g.descend(steps, root))
}

// descend walks from a member of climb(i) to i by a shortest way, by the
// smallest ids where there is a choice.
func (g *Graph) descend(steps []step, from step) []int32 {
	way := []int32{from.node}
	for at := from; at.dist > 0; {
		next := step{node: -1}
		for _, s := range steps {
			if s.dist == at.dist-1 && (next.node < 0 || s.node < next.node) && slices.Contains(g.up.of(s.node), at.node) {
				next = s
			}
		}
		way = append(way, next.node)
		at = next
	}
	return way
}

// HypernymPaths gives every way from a root to id, both ends included,
// ascending by the ids read from the root. A synset of WordNet 3.0 has
// twelve at most.
func (g *Graph) HypernymPaths(id ID) [][]ID {
	i, ok := g.place.of(id)
	if !ok {
		return nil
	}
	var ways [][]ID
	var up func(i int32, below []int32)
	up = func(i int32, below []int32) {
		below = append(below, i)
		parents := g.up.of(i)
		if len(parents) == 0 {
			way := g.names(below)
			slices.Reverse(way)
			ways = append(ways, way)
		}
		for _, p := range parents {
			up(p, below)
		}
	}
	up(i, nil)
	slices.SortFunc(ways, slices.Compare[[]ID])
	return ways
}

// Tree is a synset with what is below it. WordNet is no tree: a synset that more than one
// way leads to has its children where it comes first, and is marked as repeated elsewhere.
type Tree struct {
	ID       ID       `json:"synset"`             // the synset
	Words    []string `json:"words"`              // its lemmas, commonest first
	Below    int      `json:"below"`              // synsets under this one, each once, in the tree or not
	Repeated bool     `json:"repeated,omitempty"` // it has children, which stand where it came first
	Children []*Tree  `json:"children,omitempty"` // its kinds and instances, by id
}

// Tree gives what is below a synset of this graph, so many levels of it; 0: all.
func (g *Graph) Tree(id ID, levels int) *Tree {
	if levels == 0 {
		levels = len(g.synsets) // no way is longer
	}
	return g.tree(id, levels, map[ID]bool{})
}

func (g *Graph) tree(id ID, levels int, opened map[ID]bool) *Tree {
	syn, _ := g.Synset(id)
	t := &Tree{ID: id, Words: syn.Lemmas, Below: len(g.Descendants(id)) - 1}
	switch {
	case levels == 0:
		return t
	case opened[id]:
		t.Repeated = t.Below > 0
		return t
	}
	opened[id] = true
	for _, child := range g.Children(id) {
		t.Children = append(t.Children, g.tree(child, levels-1, opened))
	}
	return t
}
