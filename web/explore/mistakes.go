package explore

import (
	"cmp"
	"slices"

	"github.com/synshard/synshard/infer/prediction"
)

// Mistake is a row whose first prediction is not its truth.
type Mistake struct {
	Number int // of the row
	prediction.Row
	Image Ref  // which it is of
	Found bool // that image is known
}

// Between says which mistakes are meant: those over images whose truth is at or below one
// node, taken for what is at or below another. "" is any.
type Between struct {
	Truth, Predicted string // keys of nodes
}

// Mistakes gives a page of mistakes, the surest first, and how many there are.
func (p *Predictions) Mistakes(b Between, from, count int) (page []Mistake, total int, err error) {
	truths, predicted := p.among(b.Truth), p.among(b.Predicted)
	for _, q := range p.pairs {
		if truths[q.truth] && predicted[q.predicted] {
			total += int(q.n)
		}
	}
	var numbers []int
	skip := from
	for _, i := range p.wrong {
		if len(numbers) == count || from+len(numbers) >= total {
			break
		}
		if !truths[p.truth[i]] || !predicted[p.top[i]] {
			continue
		}
		if skip--; skip < 0 {
			numbers = append(numbers, int(i))
		}
	}
	rows, err := p.Rows(numbers)
	if err != nil {
		return nil, 0, err
	}
	for k, i := range numbers {
		m := Mistake{Number: i, Row: rows[k]}
		m.Image, m.Found = p.ImageOf(i)
		page = append(page, m)
	}
	return page, total, nil
}

// among marks the classes at or below a node.
func (p *Predictions) among(key string) []bool {
	out := make([]bool, len(p.Classes))
	for _, c := range p.members(key) {
		out[c] = true
	}
	return out
}

// members are the classes at or below a node; of "" all.
func (p *Predictions) members(key string) (out []int32) {
	if id, ok := p.e.node(key); ok {
		return p.below[id]
	}
	for c, k := range p.keys {
		if key == "" || k == key {
			out = append(out, int32(c))
		}
	}
	return out
}

// Worst is a node with its figures.
type Worst struct {
	*Node
	Figures
}

// Subtrees gives nodes below one, or of "" all, with their figures, at most so many: it is
// unfolded as a matrix is. Those with most mistakes come first.
func (p *Predictions) Subtrees(key string, most int) (out []Worst) {
	few := max(len(p.members(key))/2, 2) // or they would be the classes themselves
	_, parts := p.unfolded(key, min(most, few))
	for _, g := range parts {
		n, ok := p.e.Node(g.key)
		if f, judged := p.Figures(g.key); ok && judged && g.key != key {
			out = append(out, Worst{n, f})
		}
	}
	slices.SortStableFunc(out, func(a, b Worst) int {
		return cmp.Or(cmp.Compare(b.Wrong(), a.Wrong()), cmp.Compare(b.Images, a.Images))
	})
	return out[:min(len(out), most)]
}

// WorstClasses gives the classes at or below a node with the lowest accuracy, at most so many.
func (p *Predictions) WorstClasses(key string, most int) (out []Worst) {
	classes := slices.DeleteFunc(slices.Clone(p.members(key)), func(c int32) bool { return p.count[c] == p.right[c] })
	share := func(c int32) float64 { return float64(p.right[c]) / float64(p.count[c]) }
	slices.SortStableFunc(classes, func(a, b int32) int {
		return cmp.Or(cmp.Compare(share(a), share(b)), cmp.Compare(p.count[b], p.count[a]))
	})
	for _, c := range classes[:min(len(classes), most)] {
		if n, ok := p.e.Node(p.keys[c]); ok {
			out = append(out, Worst{n, Figures{p.count[c], p.right[c], p.right[c]}})
		}
	}
	return out
}
