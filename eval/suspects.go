package eval

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/synshard/synshard/infer/prediction"
)

// ErrNoProbabilities says that a file has no column of every class's probability.
var ErrNoProbabilities = errors.New("it has no probability of every class, by which suspects are found; 'infer --probabilities all' keeps them")

// Suspect is an image whose label is likely wrong.
type Suspect struct {
	Row            int     `json:"row"`             // its place in the predictions, from 0
	Path           string  `json:"path"`            // of the image
	Given          string  `json:"given"`           // the class that its label says
	Suggested      string  `json:"suggested"`       // the most probable class
	SelfConfidence float64 `json:"self_confidence"` // probability of the given class
	Confidence     float64 `json:"confidence"`      // probability of the suggested class
	Margin         float64 `json:"margin"`          // normalized: from 0, surely another class, to 1, surely the given one
}

// Suspects are the likely label errors among predicted images.
type Suspects struct {
	N         int       `json:"images"`    // with a label, and predicted
	NoTruth   int       `json:"no_truth"`  // left out
	Failed    int       `json:"rejected"`  // left out: the image could not be read
	RankedBy  string    `json:"ranked_by"` // BySelfConfidence or ByMargin
	Suspected []Suspect `json:"suspects"`  // the likeliest errors first
}

// By what suspects are ranked, the least first; of equals the earlier row comes first.
const (
	BySelfConfidence = "self_confidence" // the probability of the given class
	ByMargin         = "margin"          // that less the largest of the others, as (1 + difference) / 2
)

// nearly is how far apart two probabilities that are equal may be, as cleanlab has it.
const nearly = 1e-6

// FindSuspects lists likely label errors by confident learning (Northcutt, Jiang and Chuang,
// "Confident Learning: Estimating Uncertainty in Dataset Labels", JAIR 70, 2021): an image
// counts as of a class where the probability of that reaches the class's threshold, the mean
// self-confidence of the images labelled so (equations 1 and 2); of several such classes the
// most probable counts. Who so stands off the diagonal of the confident joint, and whose most
// probable class is not the given one, is a suspect. That is cleanlab's find_label_issues
// with filter_by="confident_learning". Predictions should be of images that the network was
// not fitted on, or it has learnt the errors too. Rows are gone through twice; without
// any truth it is ErrNoTruth, without probabilities of all classes ErrNoProbabilities.
func FindSuspects(rows *prediction.Rows, rankedBy string) (*Suspects, error) {
	if rankedBy != BySelfConfidence && rankedBy != ByMargin {
		return nil, fmt.Errorf("suspects ranked by %q: want %s or %s", rankedBy, BySelfConfidence, ByMargin)
	}
	out := &Suspects{RankedBy: rankedBy, Suspected: []Suspect{}}
	thresholds, err := out.thresholds(rows)
	if err != nil {
		return nil, err
	}
	err = rows.Each(func(i int, r *prediction.Row) error {
		if r.Label < 0 || r.Probabilities == nil || !suspected(r, thresholds) {
			return nil
		}
		p, given := r.Probabilities, int(r.Label)
		best := largest(p, given)
		s := Suspect{Row: i, Path: r.Path, Given: rows.Classes[given], Suggested: rows.Classes[best],
			SelfConfidence: float64(p[given]), Confidence: float64(p[best])}
		s.Margin = (s.SelfConfidence - s.Confidence + 1) / 2
		out.Suspected = append(out.Suspected, s)
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(out.Suspected, func(a, b Suspect) int {
		if rankedBy == ByMargin {
			return cmp.Compare(a.Margin, b.Margin)
		}
		return cmp.Compare(a.SelfConfidence, b.SelfConfidence)
	})
	return out, nil
}

// thresholds counts the rows, and gives each class's mean self-confidence; a class that no row
// has is beyond reach.
func (s *Suspects) thresholds(rows *prediction.Rows) ([]float64, error) {
	sums, counts := make([]float64, len(rows.Classes)), make([]int, len(rows.Classes))
	err := rows.Each(func(_ int, r *prediction.Row) error {
		switch {
		case r.Label < 0:
			s.NoTruth++
			return nil
		case r.Top == nil:
			s.Failed++
			return nil
		case r.Probabilities == nil:
			return ErrNoProbabilities
		}
		s.N++
		counts[r.Label]++
		sums[r.Label] += float64(r.Probabilities[r.Label])
		return nil
	})
	if err == nil && s.N == 0 {
		err = ErrNoTruth
	}
	for c := range sums {
		sums[c] = max(sums[c]/float64(max(counts[c], 1)), 2*nearly)
		if counts[c] == 0 {
			sums[c] = 2
		}
	}
	return sums, err
}

// suspected says whether a row counts as of another class than its label says.
func suspected(r *prediction.Row, thresholds []float64) bool {
	reached, counted := 0, 0
	for c, p := range r.Probabilities {
		if float64(p) >= thresholds[c]-nearly {
			reached, counted = reached+1, c
		}
	}
	given := int(r.Label)
	if reached > 1 {
		counted = largest(r.Probabilities, -1)
	}
	return reached > 0 && counted != given && float64(r.Probabilities[given])+nearly < float64(r.Probabilities[largest(r.Probabilities, given)])
}

// largest is the most probable class but one, the first of equals; -1 leaves none out.
func largest(p []float32, without int) int {
	best := -1
	for c, v := range p {
		if c != without && (best < 0 || v > p[best]) {
			best = c
		}
	}
	return best
}
