package report

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/synshard/synshard/eval"
	"github.com/synshard/synshard/train/runlog"
)

// How much is shown of each. With thumbnails of about 6 kB a report stays below 3 MB,
// and below a further 0.2 MB for each 1,000 classes.
const (
	worstSynsets  = 10
	shotsASynset  = 6
	confusions    = 10
	shotsAPair    = 3
	boldMistakes  = 36
	failedRows    = 50
	worstSubtrees = 12
	subtreeRows   = 20 // rows that a subtree must have to be shown
	compareShots  = 24
)

// predictionsPart is what a report says of one model's predictions.
type predictionsPart struct {
	Name        string
	Report      eval.Report
	Headline    eval.Headline
	Reliability *Chart
	Subtrees    []labelled[eval.SubtreeReport]
	Synsets     []labelled[eval.SynsetReport] // all, in their order
	Worst       []worstSynset
	Confusions  []confusion
	Mistakes    []*Shot // surest first
	Failed      []failure
}

// labelled is a figure of a class or a subtree, and what people call it.
type labelled[T any] struct {
	Label Label
	Of    T
}

type worstSynset struct {
	labelled[eval.SynsetReport]
	Shots []*Shot // wrong ones first
}

type confusion struct {
	Truth, Predicted Label
	N                int
	Wrong            []*Shot // of the truth, taken for the other
	Right            []*Shot // of the other, as it should be
}

type failure struct{ Path, Synset, Reason string }

func newPredictionsPart(p Predictions, h *eval.Hierarchy, w *wall) (*predictionsPart, error) {
	r, err := eval.Evaluate(p.Set)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.Name, err)
	}
	part := &predictionsPart{Name: p.Name, Headline: r.Headline(), Reliability: reliability(r.Calibration)}
	if h != nil {
		report := eval.Judge(p.Set, h)
		r.Hierarchy = &report
		for _, s := range report.Subtrees {
			if s.N >= subtreeRows && len(part.Subtrees) < worstSubtrees {
				part.Subtrees = append(part.Subtrees, labelled[eval.SubtreeReport]{w.label(s.Synset), s})
			}
		}
	}
	for _, s := range r.Synsets {
		part.Synsets = append(part.Synsets, labelled[eval.SynsetReport]{w.label(s.Synset), s})
	}
	rows := sortRows(p)
	for _, s := range r.Worst(worstSynsets) {
		if s.Top1 == 1 {
			break
		}
		part.Worst = append(part.Worst, worstSynset{labelled[eval.SynsetReport]{w.label(s.Synset), s}, rows.ofTruth(p, s.Synset, w)})
	}
	for _, c := range r.Pairs[:min(len(r.Pairs), confusions)] {
		part.Confusions = append(part.Confusions, rows.confusion(p, c, w))
	}
	for _, i := range rows.wrong[:min(len(rows.wrong), boldMistakes)] {
		part.Mistakes = append(part.Mistakes, w.shot(p, i))
	}
	for _, i := range rows.failed[:min(len(rows.failed), failedRows)] {
		part.Failed = append(part.Failed, failure{p.Paths[i], synsetOf(p, i), p.Errors[i]})
	}
	part.Report = r
	return part, nil
}

func synsetOf(p Predictions, i int) string {
	if p.Truth[i] < 0 {
		return ""
	}
	return p.Classes[p.Truth[i]]
}

// sorted is rows by what became of them, surest first.
type sorted struct{ wrong, right, failed []int }

func sortRows(p Predictions) sorted {
	var s sorted
	for i, truth := range p.Truth {
		switch top := p.Top[i*p.K]; {
		case p.Failed[i]:
			s.failed = append(s.failed, i)
		case truth < 0 || top < 0:
		case top == truth:
			s.right = append(s.right, i)
		default:
			s.wrong = append(s.wrong, i)
		}
	}
	surest := func(a, b int) int { return cmp.Compare(p.Prob[b*p.K], p.Prob[a*p.K]) }
	slices.SortStableFunc(s.wrong, surest)
	slices.SortStableFunc(s.right, surest)
	return s
}

// ofTruth gives images of a class, wrong ones first.
func (s *sorted) ofTruth(p Predictions, synset string, w *wall) []*Shot {
	var out []*Shot
	for _, rows := range [][]int{s.wrong, s.right} {
		for _, i := range rows {
			if len(out) < shotsASynset && synsetOf(p, i) == synset {
				out = append(out, w.shot(p, i))
			}
		}
	}
	return out
}

func (s *sorted) confusion(p Predictions, c eval.Confusion, w *wall) confusion {
	out := confusion{Truth: w.label(c.Truth), Predicted: w.label(c.Predicted), N: c.N}
	for _, i := range s.wrong {
		if len(out.Wrong) < shotsAPair && synsetOf(p, i) == c.Truth && p.Classes[p.Top[i*p.K]] == c.Predicted {
			out.Wrong = append(out.Wrong, w.shot(p, i))
		}
	}
	for _, i := range s.right {
		if len(out.Right) < shotsAPair && synsetOf(p, i) == c.Predicted {
			out.Right = append(out.Right, w.shot(p, i))
		}
	}
	return out
}

// reliability draws how often first predictions are right by their probability.
func reliability(c eval.Calibration) *Chart {
	ch := &Chart{Name: "Reliability: how often a first prediction is right, by its probability", X: "probability of the first prediction, %", Y: "right, %",
		XRange: &[2]float64{0, 100}, YRange: &[2]float64{0, 100}, Square: true,
		Lines: []Line{{Name: "perfectly calibrated", Style: "ideal", Points: runlog.Curve{{X: 0, Y: 0}, {X: 100, Y: 100}}}}}
	for _, b := range c.Bins {
		if b.N > 0 {
			ch.Bars = append(ch.Bars, Bar{100 * b.Low, 100 * b.High, 100 * b.Accuracy, fmt.Sprintf("%d images: mean probability %.1f %%, right %.1f %%", b.N, 100*b.Confidence, 100*b.Accuracy)})
		}
	}
	return ch
}

// comparedPart is what a report says of two models over the same images.
type comparedPart struct {
	Names        [2]string
	Of           eval.Comparison
	OnlyA, OnlyB []*Shot
}

// The bootstrap of a comparison is eval's own by default.
const (
	resamples = 10000
	seed      = 1
)

func newComparedPart(a, b Predictions, w *wall) (*comparedPart, error) {
	c, err := eval.Compare(a.Set, b.Set, resamples, seed)
	if err != nil {
		return nil, fmt.Errorf("%s and %s: %w", a.Name, b.Name, err)
	}
	part := &comparedPart{Names: [2]string{a.Name, b.Name}, Of: c}
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
	part.OnlyA, part.OnlyB = surestShots(a, b, onlyA, w), surestShots(b, a, onlyB, w)
	return part, nil
}

// surestShots shows what p has wrong in the place of the truth that other has right: the
// rows in which the wrong one is surest.
func surestShots(right, wrong Predictions, rows []int, w *wall) []*Shot {
	slices.SortStableFunc(rows, func(i, j int) int { return cmp.Compare(wrong.Prob[j*wrong.K], wrong.Prob[i*wrong.K]) })
	var out []*Shot
	for _, i := range rows[:min(len(rows), compareShots)] {
		s := w.shot(wrong, i)
		s.Others = append(s.Others, fmt.Sprintf("%s: right, at %.1f %%", right.Name, 100*right.Prob[i*right.K]))
		out = append(out, s)
	}
	return out
}

// Points is the difference in percentage points, and Low and High its interval.
func (p *comparedPart) Points() float64 { return 100 * p.Of.Difference }
func (p *comparedPart) Low() float64    { return 100 * p.Of.Low }
func (p *comparedPart) High() float64   { return 100 * p.Of.High }
