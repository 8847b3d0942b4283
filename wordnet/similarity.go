package wordnet

import "slices"

// meeting is a synset above (or the same as) both of two others.
type meeting struct {
	node         int32
	distA, distB int32
}

// meetings gives all that are above both, nearest to a first.
func (g *Graph) meetings(a, b int32) []meeting {
	stepsB := g.climb(b)
	var out []meeting
	for _, s := range g.climb(a) {
		if d := distance(stepsB, s.node); d >= 0 {
			out = append(out, meeting{node: s.node, distA: s.dist, distB: d})
		}
	}
	return out
}

// lowest keeps the meetings that have no other below them. What is above a
// meeting is one too, so those are the ones that are no meeting's parent.
func (g *Graph) lowest(all []meeting) []meeting {
	var out []meeting
	for _, m := range all {
		if !slices.ContainsFunc(all, func(o meeting) bool { return slices.Contains(g.up.of(o.node), m.node) }) {
			out = append(out, m)
		}
	}
	return out
}

// LCA gives the lowest common ancestors of a and b, ascending: the synsets
// that are above or the same as both, and of which none is above another. In a
// DAG there can be several; there is none when the roots differ. The LCA of a
// synset and one above it is the latter.
func (g *Graph) LCA(a, b ID) []ID {
	i, okA := g.place.of(a)
	j, okB := g.place.of(b)
	if !okA || !okB {
		return nil
	}
	var nodes []int32
	for _, m := range g.lowest(g.meetings(i, j)) {
		nodes = append(nodes, m.node)
	}
	slices.Sort(nodes)
	return g.names(nodes)
}

// Distance is the number of edges on the shortest way from a up to a common
// ancestor and down to b; -1 when they have none. It is 0 only from a synset to
// itself.
func (g *Graph) Distance(a, b ID) int {
	i, okA := g.place.of(a)
	j, okB := g.place.of(b)
	if !okA || !okB {
		return -1
	}
	m, ok := g.nearest(i, j)
	if !ok {
		return -1
	}
	return int(m.distA + m.distB)
}

// nearest gives the meeting on the shortest way between two: of equals the
// deepest, then the smallest id.
func (g *Graph) nearest(a, b int32) (meeting, bool) {
	all := g.meetings(a, b)
	if len(all) == 0 {
		return meeting{}, false
	}
	return slices.MinFunc(all, func(x, y meeting) int {
		if d := x.distA + x.distB - y.distA - y.distB; d != 0 {
			return int(d)
		}
		if d := g.maxDepth[y.node] - g.maxDepth[x.node]; d != 0 {
			return int(d)
		}
		return int(x.node - y.node)
	}), true
}

// Path gives the way that Distance measures, from a to b with both included,
// and the position in it of its topmost synset. Where several are as short, the
// one with the deepest top and then the smallest ids, read from the top. It is
// nil, -1 when there is none.
func (g *Graph) Path(a, b ID) (way []ID, top int) {
	i, okA := g.place.of(a)
	j, okB := g.place.of(b)
	if !okA || !okB {
		return nil, -1
	}
	m, ok := g.nearest(i, j)
	if !ok {
		return nil, -1
	}
	nodes := g.descend(g.climb(i), step{node: m.node, dist: m.distA})
	slices.Reverse(nodes)
	nodes = append(nodes, g.descend(g.climb(j), step{node: m.node, dist: m.distB})[1:]...)
	return g.names(nodes), int(m.distA)
}

// PathSimilarity is 1 / (1 + Distance): 1 from a synset to itself, 0 where
// there is no way. It is the path measure of Pedersen, Patwardhan and
// Michelizzi, "WordNet::Similarity: Measuring the Relatedness of Concepts"
// (2004), and NLTK's path_similarity for nouns.
func (g *Graph) PathSimilarity(a, b ID) float64 {
	d := g.Distance(a, b)
	if d < 0 {
		return 0
	}
	return 1 / float64(1+d)
}

// WuPalmer is the similarity of Wu and Palmer, "Verb Semantics and Lexical
// Selection" (ACL 1994), section 4:
//
//	2 N3 / (N1 + N2 + 2 N3)
//
// with N1 and N2 the ways from a and b up to their least common superconcept C
// and N3 the way from C to the root. On a tree those are plain; on this graph
// N1 and N2 are the shortest ways in edges, N3 is MaxDepth(C) + 1 (the way
// counted in synsets, so that a root scores above 0, as WordNet::Similarity and
// NLTK count it), and C is the member of LCA(a, b) that gives the greatest
// value. So it is symmetric, 1 only from a synset to itself, and 0 where there
// is no common ancestor. NLTK's wup_similarity takes one C, the deepest by
// MinDepth, and so can be smaller.
func (g *Graph) WuPalmer(a, b ID) float64 {
	i, okA := g.place.of(a)
	j, okB := g.place.of(b)
	if !okA || !okB {
		return 0
	}
	best := 0.0
	for _, m := range g.lowest(g.meetings(i, j)) {
		n3 := float64(g.maxDepth[m.node] + 1)
		best = max(best, 2*n3/(float64(m.distA+m.distB)+2*n3))
	}
	return best
}
