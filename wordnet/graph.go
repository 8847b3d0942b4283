package wordnet

import (
	"cmp"
	"fmt"
	"math/bits"
	"slices"
	"sync"
)

// Graph is WordNet's nouns. It does not change once made and is safe for
// concurrent use.
//
// Methods given an id that is not in the graph return nil, -1 (depths) or 0
// (similarities).
type Graph struct {
	version  string
	synsets  []Synset // ascending ids
	place    places
	up, down adjacency
	minDepth []int32
	maxDepth []int32
	height   []int32

	index      []entry // from index.noun, ascending words; nil without it
	exceptions map[string][]string
	byLemma    func() []entry // stands in for index
	spelled    func() []string
}

// adjacency holds, for each node, a list of nodes.
type adjacency struct {
	start []int32
	nodes []int32
}

func (a *adjacency) of(i int32) []int32 { return a.nodes[a.start[i]:a.start[i+1]] }

// places finds where a synset is among the ascending ids. It cuts the range of
// ids into as many buckets as there are synsets or fewer, which beats a map by
// far in the walks over all pointers.
type places struct {
	synsets []Synset
	shift   int
	start   []int32 // of the bucket id >> shift; one more at the end
}

func newPlaces(synsets []Synset) places {
	last := synsets[len(synsets)-1].ID
	p := places{synsets: synsets, shift: bits.Len(uint(last) / uint(len(synsets)))}
	p.start = make([]int32, int(last>>p.shift)+2)
	for i := range synsets {
		p.start[synsets[i].ID>>p.shift+1]++
	}
	for i := 1; i < len(p.start); i++ {
		p.start[i] += p.start[i-1]
	}
	return p
}

func (p *places) of(id ID) (int32, bool) {
	bucket := int(id >> p.shift)
	if bucket >= len(p.start)-1 {
		return 0, false
	}
	first, end := p.start[bucket], p.start[bucket+1]
	i, ok := slices.BinarySearchFunc(p.synsets[first:end], id, func(s Synset, id ID) int { return cmp.Compare(s.ID, id) })
	return first + int32(i), ok
}

// link makes the graph of the parsed synsets. On error it says which line is
// to blame.
func link(p *parser) (*Graph, int, error) {
	lines, down, err := order(p)
	if err != nil {
		return nil, 0, err
	}
	g := &Graph{synsets: p.synsets}
	for i := 1; i < len(g.synsets); i++ {
		if id := g.synsets[i].ID; id == g.synsets[i-1].ID {
			return nil, int(lines[i]), fmt.Errorf("synset %08d: defined before, on line %d", id, lines[i-1])
		}
	}
	g.place = newPlaces(g.synsets)
	if i, err := g.linkUp(); err != nil {
		return nil, int(lines[i]), err
	}
	g.linkDown()
	for _, e := range down {
		if err := g.checkDown(e); err != nil {
			return nil, int(lines[e.from]), err
		}
	}
	if i, err := g.measure(); err != nil {
		return nil, int(lines[i]), err
	}
	g.byLemma = sync.OnceValue(g.lemmaIndex)
	g.spelled = sync.OnceValue(g.spellings)
	return g, 0, nil
}

// order sorts the synsets by id, which in a real data.noun they are already,
// and takes their lines and edges along.
func order(p *parser) ([]int32, []edge, error) {
	less := func(a, b Synset) int { return cmp.Compare(a.ID, b.ID) }
	if slices.IsSortedFunc(p.synsets, less) {
		return p.lines, p.down, nil
	}
	n := len(p.synsets)
	perm := make([]int32, n)
	for i := range perm {
		perm[i] = int32(i)
	}
	slices.SortStableFunc(perm, func(a, b int32) int { return less(p.synsets[a], p.synsets[b]) })
	synsets, lines, at := make([]Synset, n), make([]int32, n), make([]int32, n)
	for to, from := range perm {
		synsets[to], lines[to], at[from] = p.synsets[from], p.lines[from], int32(to)
	}
	p.synsets = synsets
	for i := range p.down {
		p.down[i].from = at[p.down[i].from]
	}
	return lines, p.down, nil
}

// linkUp finds the place of every parent. On error it gives the place of the
// synset to blame.
func (g *Graph) linkUp() (int32, error) {
	n := len(g.synsets)
	g.up = adjacency{start: make([]int32, n+1), nodes: make([]int32, 0, n+n/32)}
	for i := range g.synsets {
		s := &g.synsets[i]
		for _, list := range [2][]ID{s.Hypernyms, s.InstanceHypernyms} {
			for _, id := range list {
				parent, ok := g.place.of(id)
				if !ok {
					return int32(i), fmt.Errorf("synset %08d: its hypernym %08d is not in the file", s.ID, id)
				}
				if slices.Contains(g.up.nodes[g.up.start[i]:], parent) {
					return int32(i), fmt.Errorf("synset %08d: its hypernym %08d is given twice", s.ID, id)
				}
				g.up.nodes = append(g.up.nodes, parent)
			}
		}
		g.up.start[i+1] = int32(len(g.up.nodes))
	}
	return 0, nil
}

// linkDown inverts the parents: children ascend, and so do the two lists of
// hyponyms that each synset gets.
func (g *Graph) linkDown() {
	n := len(g.synsets)
	start := make([]int32, n+1)
	var plain, inst int
	for i := range g.synsets {
		for _, parent := range g.up.of(int32(i)) {
			start[parent+1]++
		}
		plain += len(g.synsets[i].Hypernyms)
		inst += len(g.synsets[i].InstanceHypernyms)
	}
	for i := range n {
		start[i+1] += start[i]
	}
	nodes := make([]int32, start[n])
	fill := slices.Clone(start[:n])
	plainIDs, instIDs := make([]ID, 0, plain), make([]ID, 0, inst)
	for i := range g.synsets {
		for _, parent := range g.up.of(int32(i)) {
			nodes[fill[parent]] = int32(i)
			fill[parent]++
		}
	}
	g.down = adjacency{start: start, nodes: nodes}
	for i := range g.synsets {
		s := &g.synsets[i]
		p0, i0 := len(plainIDs), len(instIDs)
		for _, child := range g.down.of(int32(i)) {
			c := &g.synsets[child]
			if slices.Contains(c.Hypernyms, s.ID) {
				plainIDs = append(plainIDs, c.ID)
			} else {
				instIDs = append(instIDs, c.ID)
			}
		}
		s.Hyponyms, s.InstanceHyponyms = take(plainIDs, p0), take(instIDs, i0)
	}
}

// checkDown holds a hyponym pointer of the file against the other end's
// hypernyms.
func (g *Graph) checkDown(e edge) error {
	from := g.synsets[e.from].ID
	child, ok := g.place.of(e.to)
	if !ok {
		return fmt.Errorf("synset %08d: its hyponym %08d is not in the file", from, e.to)
	}
	list := g.synsets[child].Hypernyms
	if e.instance {
		list = g.synsets[child].InstanceHypernyms
	}
	if !slices.Contains(list, from) {
		return fmt.Errorf("synset %08d: its hyponym %08d does not point back to it", from, e.to)
	}
	return nil
}

// measure fills in the depths and heights in topological order, and finds
// cycles. On error it gives the place of a synset on one.
func (g *Graph) measure() (int32, error) {
	n := len(g.synsets)
	g.minDepth, g.maxDepth, g.height = make([]int32, n), make([]int32, n), make([]int32, n)
	waiting := make([]int32, n)
	done := make([]int32, 0, n)
	for i := range int32(n) {
		waiting[i] = int32(len(g.up.of(i)))
		if waiting[i] == 0 {
			done = append(done, i)
		}
	}
	for k := 0; k < len(done); k++ {
		i := done[k]
		for j, parent := range g.up.of(i) {
			if j == 0 || g.minDepth[parent]+1 < g.minDepth[i] {
				g.minDepth[i] = g.minDepth[parent] + 1
			}
			g.maxDepth[i] = max(g.maxDepth[i], g.maxDepth[parent]+1)
		}
		for _, child := range g.down.of(i) {
			if waiting[child]--; waiting[child] == 0 {
				done = append(done, child)
			}
		}
	}
	if len(done) < n {
		i := g.onCycle(waiting)
		return i, fmt.Errorf("synset %08d: it is above itself", g.synsets[i].ID)
	}
	for _, i := range slices.Backward(done) {
		for _, parent := range g.up.of(i) {
			g.height[parent] = max(g.height[parent], g.height[i]+1)
		}
	}
	return 0, nil
}

// onCycle finds a synset that is its own ancestor: from any that never became
// ready, going up through such ones must come round.
func (g *Graph) onCycle(waiting []int32) int32 {
	i := int32(slices.IndexFunc(waiting, func(w int32) bool { return w > 0 }))
	seen := map[int32]bool{}
	for !seen[i] {
		seen[i] = true
		for _, parent := range g.up.of(i) {
			if waiting[parent] > 0 {
				i = parent
				break
			}
		}
	}
	return i
}

// Version is the version the file's licence names: "3.0", or "" when there is
// no licence on it.
func (g *Graph) Version() string { return g.version }

// Len is the number of synsets.
func (g *Graph) Len() int { return len(g.synsets) }

// Synset gives a synset by its id.
func (g *Graph) Synset(id ID) (*Synset, bool) {
	i, ok := g.place.of(id)
	if !ok {
		return nil, false
	}
	return &g.synsets[i], true
}

// FirstWord is the first word of the synset whose id this is; "" where the graph has none,
// or is nil.
func (g *Graph) FirstWord(id string) string {
	n, err := ParseID(id)
	if g == nil || err != nil {
		return ""
	}
	if s, ok := g.Synset(n); ok {
		return s.Lemmas[0]
	}
	return ""
}

// Children gives hyponyms and instance hyponyms, ascending.
func (g *Graph) Children(id ID) []ID { return g.neighbours(id, &g.down) }

func (g *Graph) neighbours(id ID, a *adjacency) []ID {
	i, ok := g.place.of(id)
	if !ok {
		return nil
	}
	return g.names(a.of(i))
}

// names turns places into ids.
func (g *Graph) names(places []int32) []ID {
	if len(places) == 0 {
		return nil
	}
	ids := make([]ID, len(places))
	for k, i := range places {
		ids[k] = g.synsets[i].ID
	}
	return ids
}
