package eval

import (
	"cmp"
	"slices"

	"github.com/synshard/synshard/infer/prediction"
)

// HierarchyReport says how far from the truth mistakes are. Heights are edges
// in the Hierarchy: Bertinetto et al., "Making Better Mistakes", CVPR 2020,
// section 4, with the height of a directed graph for that of a tree.
type HierarchyReport struct {
	// MistakeHeight is the mean height of the lowest common ancestor of truth
	// and prediction over the rows predicted wrongly; 0 if there are none.
	MistakeHeight float64 `json:"mistake_height"`
	Mistakes      int     `json:"mistakes"` // rows predicted wrongly
	// Distance1 and Distance5 are the mean of that height over all rows, and
	// over the five most probable classes of all rows, right ones counting 0.
	Distance1 float64          `json:"distance_at_1"`
	Distance5 float64          `json:"distance_at_5"`
	Subtrees  []SubtreeReport  `json:"subtrees"`          // worst first
	Rollups   []RollupAccuracy `json:"rollups,omitempty"` // accuracies by superclass, where they were asked for
}

// SubtreeReport is the accuracy over the rows whose truth lies at or below a
// synset; Inside is the share whose prediction does, too.
type SubtreeReport struct {
	Synset  string  `json:"synset"`  // its top
	Classes int     `json:"classes"` // at or below it
	N       int     `json:"images"`  // rows whose truth it holds
	Top1    float64 `json:"top1"`    // share of them that are right
	Inside  float64 `json:"inside"`
}

// RollupAccuracy counts a prediction as right when truth and prediction belong
// to one superclass. N leaves out the rows whose truth belongs to none.
type RollupAccuracy struct {
	Name   string  `json:"name"`   // as the caller calls the superclasses
	Groups int     `json:"groups"` // how many these are
	N      int     `json:"images"`
	Top1   float64 `json:"top1"` // share of N that is right
}

// judged says whether a row has a truth and a prediction. Where predictions are
// restricted to some classes, a row may have none.
func judged(p *prediction.Set, i int) bool {
	return p.Truth[i] >= 0 && !p.Failed[i] && p.Top[i*p.K] >= 0
}

// MeasureHierarchy measures mistakes in a hierarchy, which must be that of p's classes. Rows
// without a truth or a prediction are left out.
func MeasureHierarchy(p *prediction.Set, h *Hierarchy) HierarchyReport {
	var r HierarchyReport
	meets := map[[2]int32]int{}
	meet := func(a, b int32) int {
		key := [2]int32{min(a, b), max(a, b)}
		m, ok := meets[key]
		if !ok {
			m = h.meet(a, b)
			meets[key] = m
		}
		return m
	}
	n, first, wrong, top, counted := 0, 0, 0, 0, 0
	for i, truth := range p.Truth {
		if !judged(p, i) {
			continue
		}
		n++
		row := p.Top[i*p.K : (i+1)*p.K]
		d := meet(truth, row[0])
		first += d
		if row[0] != truth {
			r.Mistakes++
			wrong += d
		}
		for _, c := range row[:min(5, p.K)] {
			if c >= 0 {
				top += meet(truth, c)
				counted++
			}
		}
	}
	r.MistakeHeight = share(wrong, r.Mistakes)
	r.Distance1, r.Distance5 = share(first, n), share(top, counted)
	r.Subtrees = h.subtrees(p)
	return r
}

// subtrees measures every node with two classes or more; of nodes with the same
// classes, the lowest.
func (h *Hierarchy) subtrees(p *prediction.Set) []SubtreeReport {
	perClass := make([][2]int, len(h.classes)) // rows, right
	wrong := map[[2]int32]int{}                // truth, prediction
	for i, truth := range p.Truth {
		if !judged(p, i) {
			continue
		}
		perClass[truth][0]++
		if got := p.Top[i*p.K]; got == truth {
			perClass[truth][1]++
		} else {
			wrong[[2]int32{truth, got}]++
		}
	}
	byNode := make([]int, len(h.nodes)) // wrong, but inside
	for pair, n := range wrong {
		for _, x := range h.above[pair[0]] {
			if slices.Contains(h.above[pair[1]], x) {
				byNode[x] += n
			}
		}
	}
	var out []SubtreeReport
	for i, id := range h.nodes {
		if len(h.below[i]) < 2 || h.sameAsChild(int32(i)) {
			continue
		}
		rows, right := 0, 0
		for _, c := range h.below[i] {
			rows, right = rows+perClass[c][0], right+perClass[c][1]
		}
		if rows > 0 {
			out = append(out, SubtreeReport{id.String(), len(h.below[i]), rows, share(right, rows), share(right+byNode[i], rows)})
		}
	}
	slices.SortStableFunc(out, func(a, b SubtreeReport) int { return cmp.Or(cmp.Compare(a.Top1, b.Top1), cmp.Compare(b.N, a.N)) })
	return out
}

// sameAsChild says whether a child of the node has all its classes.
func (h *Hierarchy) sameAsChild(i int32) bool {
	for _, child := range h.graph.Children(h.nodes[i]) {
		if c, ok := h.place[child]; ok && len(h.below[c]) == len(h.below[i]) {
			return true
		}
	}
	return false
}

// Rollup measures accuracy by superclass; a row without a prediction is wrong.
// name is what the result is called.
func Rollup(p *prediction.Set, name string, g Groups) RollupAccuracy {
	r := RollupAccuracy{Name: name, Groups: len(g.Synsets)}
	right := 0
	for i, truth := range p.Truth {
		if truth < 0 || g.Of[truth] < 0 {
			continue
		}
		r.N++
		if judged(p, i) && g.Of[p.Top[i*p.K]] == g.Of[truth] {
			right++
		}
	}
	r.Top1 = share(right, r.N)
	return r
}
