package serve

import (
	"fmt"
	"net/http"

	"github.com/synshard/synshard/web/explore"
)

type mistakesPage struct {
	Truth, Predicted *explore.Node // nil: any
	Figures          explore.Figures
	Subtrees         []explore.Worst
	Worst            []explore.Worst
	Shots            []shot
	Pager            pager
}

// asked is the node that a key of the address means; nil: none was given.
func (s *site) asked(r *http.Request, name string) (*explore.Node, string, error) {
	key := r.URL.Query().Get(name)
	if key == "" {
		return nil, "", nil
	}
	n, ok := s.e.Node(key)
	if !ok {
		return nil, "", &notFound{fmt.Sprintf("there is no synset %q", key)}
	}
	return n, key, nil
}

func (s *site) mistakes(r *http.Request) (any, error) {
	judged, err := s.predictions()
	if err != nil {
		return nil, err
	}
	var p mistakesPage
	var b explore.Between
	if p.Truth, b.Truth, err = s.asked(r, "truth"); err != nil {
		return nil, err
	}
	if p.Predicted, b.Predicted, err = s.asked(r, "predicted"); err != nil {
		return nil, err
	}
	if p.Pager, err = newPager(r); err != nil {
		return nil, err
	}
	found, total, err := judged.Mistakes(b, p.Pager.from(mistakesAPage), mistakesAPage)
	if err != nil {
		return nil, err
	}
	if err := p.Pager.of(total, mistakesAPage); err != nil {
		return nil, err
	}
	for _, m := range found {
		p.Shots = append(p.Shots, shot{Ref: m.Image, Found: m.Found, Path: m.Path, Alt: s.e.Label(m.Synset).String() + ", " + m.Path, Judgment: s.judge(m.Row)})
	}
	p.Figures, _ = judged.Figures(b.Truth)
	if p.Predicted == nil {
		p.Subtrees, p.Worst = judged.Subtrees(b.Truth, subtrees), judged.WorstClasses(b.Truth, worstClasses)
	}
	return p, nil
}

// cell is a cell of a confusion matrix.
type cell struct {
	N     int
	Shade int    // 0 to 9, by its share of the row
	Right bool   // on the diagonal
	Href  string // the mistakes that it counts; "": no list has just these
	Says  string // for who listens
}

// branch is a row of the matrix, and a column.
type branch struct {
	class
	explore.Branch
	Cells []cell
}

type confusionPage struct {
	Node     *explore.Node // nil: the whole
	Above    []*explore.Node
	Branches []branch
	Left     int
}

func (s *site) confusion(r *http.Request) (any, error) {
	judged, err := s.predictions()
	if err != nil {
		return nil, err
	}
	_, key, err := s.asked(r, "node")
	if err != nil {
		return nil, err
	}
	m := judged.Confusion(key, matrixBranches)
	p := confusionPage{Left: m.Left}
	if m.Node != "" {
		p.Node, _ = s.e.Node(m.Node)
		if ways := s.e.Paths(m.Node); len(ways) > 0 {
			p.Above = ways[0]
		}
	}
	for _, q := range m.Branches {
		n, _ := s.e.Node(q.Key)
		one := branch{Branch: q, class: class{Key: q.Key}}
		if n != nil {
			one.Label = n.Label
		}
		p.Branches = append(p.Branches, one)
	}
	for i := range p.Branches {
		row := &p.Branches[i]
		put := func(n int, right bool, to, href string) {
			c := cell{N: n, Right: right, Shade: min(10*n/max(row.Images, 1), 9), Says: fmt.Sprintf("%d of %s taken for %s", n, row.Short(), to)}
			if n > 0 {
				c.Href = href
			}
			row.Cells = append(row.Cells, c)
		}
		for j, n := range m.Cells[i] {
			column, href := &p.Branches[j], ""
			if i != j && row.Whole && column.Whole { // the diagonal counts right ones, too
				href = query("/mistakes", "truth", row.Branch.Key, "predicted", column.Branch.Key)
			}
			put(n, i == j, column.Short(), href)
		}
		put(m.Elsewhere[i], false, "something else", "")
	}
	return p, nil
}
