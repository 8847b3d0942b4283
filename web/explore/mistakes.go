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
	numbers := p.surest(truths, predicted, from, min(count, total-from), total == len(p.wrong))
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

// surest gives the rows of mistakes over some classes that were taken for some, from number
// from on, of which there are count. all: every mistake is one of them.
func (p *Predictions) surest(truths, predicted []bool, from, count int, all bool) (rows []int) {
	wrong := p.wrong
	if all && count > 0 {
		wrong, from = wrong[from:], 0
	}
	for i := range wrong {
		if len(rows) >= count {
			break
		}
		if m := &wrong[i]; truths[m.truth] && predicted[m.top] {
			if from--; from < 0 {
				rows = append(rows, int(m.row))
			}
		}
	}
	return rows
}

// among marks the classes at or below a node.
func (p *Predictions) among(key string) []bool {
	out := make([]bool, len(p.Classes))
	for _, c := range p.members(key) {
		out[c] = true
	}
	return out
}

// members are the classes at or below a node that are a truth or a first prediction; of "" all such.
func (p *Predictions) members(key string) (out []int32) {
	if id, ok := p.e.node(key); ok {
		return p.below[id]
	}
	for c, k := range p.keys {
		if p.met[c] && (key == "" || k == key) {
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

// byAccuracy are the classes with mistakes, the lowest accuracy first.
func (p *Predictions) byAccuracy() (out []int32) {
	for c := range p.Classes {
		if p.count[c] > p.right[c] {
			out = append(out, int32(c))
		}
	}
	share := func(c int32) float64 { return float64(p.right[c]) / float64(p.count[c]) }
	slices.SortStableFunc(out, func(a, b int32) int {
		return cmp.Or(cmp.Compare(share(a), share(b)), cmp.Compare(p.count[b], p.count[a]))
	})
	return out
}

// WorstClasses gives the classes at or below a node with the lowest accuracy, at most so many.
func (p *Predictions) WorstClasses(key string, most int) (out []Worst) {
	among := p.among(key)
	for _, c := range p.worst {
		if len(out) == most {
			break
		}
		if !among[c] {
			continue
		}
		if n, ok := p.e.Node(p.keys[c]); ok {
			out = append(out, Worst{n, Figures{p.count[c], p.right[c], p.right[c]}})
		}
	}
	return out
}
