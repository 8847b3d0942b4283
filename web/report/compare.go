package report

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/synshard/synshard/eval"
	"github.com/synshard/synshard/web/look"
)

// comparisonSection is what a report says of two models over the same images.
type comparisonSection struct {
	Names        [2]string
	Of           eval.Comparison
	OnlyA, OnlyB []*Example
}

// How many examples each model gets; resamples and seed of the bootstrap are those that
// eval has by default.
const (
	examplesPerModel = 24

	resamples = 10000
	seed      = 1
)

func newComparisonSection(a, b Predictions, g *gallery) (*comparisonSection, error) {
	c, err := eval.Compare(a.Set, b.Set, resamples, seed)
	if err != nil {
		return nil, fmt.Errorf("%s and %s: %w", a.Name, b.Name, err)
	}
	section := &comparisonSection{Names: [2]string{a.Name, b.Name}, Of: c}
	right := func(p Predictions, i int) bool { return p.Top[i*p.K] == p.Truth[i] }
	var onlyA, onlyB []int
	for i := range a.Truth {
		switch {
		case a.Truth[i] < 0 || b.Truth[i] < 0:
		case right(a, i) && !right(b, i):
			onlyA = append(onlyA, i)
		case right(b, i) && !right(a, i):
			onlyB = append(onlyB, i)
		}
	}
	section.OnlyA, section.OnlyB = surestMistakesOf(a, b, onlyA, g), surestMistakesOf(b, a, onlyB, g)
	return section, nil
}

// surestMistakesOf gives examples of rows that one model has right and the other wrong,
// those first in which the wrong one is surest.
func surestMistakesOf(right, wrong Predictions, rows []int, g *gallery) []*Example {
	slices.SortStableFunc(rows, func(i, j int) int { return cmp.Compare(wrong.Prob[j*wrong.K], wrong.Prob[i*wrong.K]) })
	var out []*Example
	for _, i := range rows[:min(len(rows), examplesPerModel)] {
		e := g.add(wrong, i)
		e.Others = append(e.Others, fmt.Sprintf("%s: right, %s", right.Name, look.Percent(float64(right.Prob[i*right.K]))))
		out = append(out, e)
	}
	return out
}

// Points is the difference in percentage points, and Low and High its interval.
func (p *comparisonSection) Points() float64 { return 100 * p.Of.Difference }
func (p *comparisonSection) Low() float64    { return 100 * p.Of.Low }
func (p *comparisonSection) High() float64   { return 100 * p.Of.High }
