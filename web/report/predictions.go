package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/synshard/synshard/eval"
	"github.com/synshard/synshard/train/runlog"
	"github.com/synshard/synshard/web/look"
)

// How much is shown of each. With thumbnails of about 6 kB a report stays below 3 MB,
// and below a further 0.2 MB for each 1,000 classes.
const (
	worstSynsets      = 10
	examplesPerSynset = 6
	confusions        = 10
	examplesPerPair   = 3
	surestMistakes    = 36
	failedRows        = 50
	worstSubtrees     = 12
	subtreeRows       = 20 // rows that a subtree must have to be shown
)

// predictionsSection is what a report says of one model's predictions.
type predictionsSection struct {
	Name        string
	Report      eval.Report
	Headline    eval.Headline
	Reliability *Chart
	Sureness    *Chart
	Subtrees    []subtree
	Synsets     []labelled[eval.SynsetReport] // all, in their order
	Worst       []worstSynset
	AsBad       int // more synsets with the accuracy of the last of Worst
	Confusions  []confusion
	Mistakes    []*Example // surest first
	Failed      []failure
}

// labelled is a figure of a class or a subtree, and what people call it.
type labelled[T any] struct {
	Label look.Label
	Of    T
}

// subtree is a subtree's figures with the 95 % interval of its top-1.
type subtree struct {
	labelled[eval.SubtreeReport]
	Within eval.Interval
}

type worstSynset struct {
	labelled[eval.SynsetReport]
	Examples []*Example // wrong ones first
}

type confusion struct {
	Truth, Predicted look.Label
	N                int
	Wrong            []*Example // of the truth, taken for the other
	Right            []*Example // of the other, as it should be
}

type failure struct{ Path, Synset, Reason string }

func newPredictionsSection(p Predictions, h *eval.Hierarchy, g *gallery) (*predictionsSection, error) {
	section, err := measured(p, h, g)
	if err != nil {
		return nil, err
	}
	r, rows := &section.Report, sortRows(p)
	for _, s := range r.Worst(len(r.Synsets)) {
		switch n := len(section.Worst); {
		case s.Top1 == 1:
		case n < worstSynsets:
			section.Worst = append(section.Worst, worstSynset{labelled[eval.SynsetReport]{g.label(s.Synset), s}, rows.ofTruth(p, s.Synset, g)})
		case s.Top1 == section.Worst[n-1].Of.Top1:
			section.AsBad++
		}
	}
	for _, c := range r.Pairs[:min(len(r.Pairs), confusions)] {
		section.Confusions = append(section.Confusions, rows.confusion(p, c, g))
	}
	for _, i := range rows.wrong[:min(len(rows.wrong), surestMistakes)] {
		section.Mistakes = append(section.Mistakes, g.add(p, i))
	}
	for _, i := range rows.failed[:min(len(rows.failed), failedRows)] {
		section.Failed = append(section.Failed, failure{p.Paths[i], synsetOf(p, i), p.Errors[i]})
	}
	return section, nil
}

// measured is the section's figures, without any image.
func measured(p Predictions, h *eval.Hierarchy, g *gallery) (*predictionsSection, error) {
	r, err := eval.Evaluate(p.Set)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.Name, err)
	}
	section := &predictionsSection{Name: p.Name, Headline: r.Headline(), Reliability: reliability(r.Calibration), Sureness: sureness(r.Calibration)}
	if h != nil {
		report := eval.MeasureHierarchy(p.Set, h)
		r.Hierarchy = &report
		for _, s := range report.Subtrees {
			if s.N >= subtreeRows && len(section.Subtrees) < worstSubtrees {
				section.Subtrees = append(section.Subtrees, subtree{labelled[eval.SubtreeReport]{g.label(s.Synset), s}, eval.Wilson(count(s.Top1, s.N), s.N)})
			}
		}
	}
	for _, s := range r.Synsets {
		section.Synsets = append(section.Synsets, labelled[eval.SynsetReport]{g.label(s.Synset), s})
	}
	section.Report = r
	return section, nil
}

// count is how many of n a share is.
func count(share float64, n int) int { return int(math.Round(share * float64(n))) }

func synsetOf(p Predictions, i int) string {
	if p.Truth[i] < 0 {
		return ""
	}
	return p.Classes[p.Truth[i]]
}

// rowsByOutcome are the rows whose first prediction is wrong, those in which it is
// right, both surest first, and those without a prediction.
type rowsByOutcome struct{ wrong, right, failed []int }

func sortRows(p Predictions) rowsByOutcome {
	var s rowsByOutcome
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
func (s *rowsByOutcome) ofTruth(p Predictions, synset string, g *gallery) []*Example {
	var out []*Example
	for _, rows := range [][]int{s.wrong, s.right} {
		for _, i := range rows {
			if len(out) < examplesPerSynset && synsetOf(p, i) == synset {
				out = append(out, g.add(p, i))
			}
		}
	}
	return out
}

func (s *rowsByOutcome) confusion(p Predictions, c eval.Confusion, g *gallery) confusion {
	out := confusion{Truth: g.label(c.Truth), Predicted: g.label(c.Predicted), N: c.N}
	for _, i := range s.wrong {
		if len(out.Wrong) < examplesPerPair && synsetOf(p, i) == c.Truth && p.Classes[p.Top[i*p.K]] == c.Predicted {
			out.Wrong = append(out.Wrong, g.add(p, i))
		}
	}
	for _, i := range s.right {
		if len(out.Right) < examplesPerPair && synsetOf(p, i) == c.Predicted {
			out.Right = append(out.Right, g.add(p, i))
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
			in := eval.Wilson(count(b.Accuracy, b.N), b.N)
			ch.Bars = append(ch.Bars, Bar{100 * b.Low, 100 * b.High, 100 * b.Accuracy, &[2]float64{100 * in.Low, 100 * in.High},
				fmt.Sprintf("%s images: mean probability %.1f %%, right %.1f %%", look.Count(b.N), 100*b.Confidence, 100*b.Accuracy)})
		}
	}
	return ch
}

// sureness draws how many first predictions have which probability.
func sureness(c eval.Calibration) *Chart {
	ch := &Chart{Name: "How many images have a first prediction of a probability", X: "probability of the first prediction, %", Y: "images",
		XRange: &[2]float64{0, 100}, Square: true}
	most := 1
	for _, b := range c.Bins {
		if most = max(most, b.N); b.N > 0 {
			ch.Bars = append(ch.Bars, Bar{100 * b.Low, 100 * b.High, float64(b.N), nil, look.Count(b.N) + " images"})
		}
	}
	ch.YRange = &[2]float64{0, 1.05 * float64(most)}
	return ch
}
