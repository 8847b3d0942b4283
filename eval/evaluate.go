// Package eval measures predictions: against the truth, against another model's, and
// by how far off they are in WordNet; and it makes columns of superclasses. It reads
// predictions through package prediction and writes figures as Arrow files.
package eval

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/synshard/synshard/infer/prediction"
)

// Report measures predictions against the truth. Accuracies are shares of N,
// the rows whose truth is known; a row that failed counts as wrong.
type Report struct {
	N           int              `json:"images"`
	NoTruth     int              `json:"no_truth"`            // rows left out
	Failed      int              `json:"rejected"`            // of N: the image could not be read
	Undecided   int              `json:"undecided,omitempty"` // of N, and wrong: none of a restricted set's classes is among a row's predictions
	Top1        float64          `json:"top1"`                // share of N whose first prediction is the truth
	Top1Within  Interval         `json:"top1_interval"`       // 95 %, by Wilson
	Top5        float64          `json:"top5"`                // of as many predictions as there are, if fewer than 5
	Top5Within  Interval         `json:"top5_interval"`       // 95 %, by Wilson
	K           int              `json:"k"`                   // predictions of a row
	Calibration Calibration      `json:"calibration"`         // of the first predictions
	Synsets     []SynsetReport   `json:"synsets"`             // ascending: those that are a truth or a first prediction
	Pairs       []Confusion      `json:"confusions"`          // commonest first
	Real        *RealReport      `json:"real,omitempty"`      // for MeasureReal to fill in
	Hierarchy   *HierarchyReport `json:"hierarchy,omitempty"` // for MeasureHierarchy to fill in
	Warning     string           `json:"warning,omitempty"`   // "": nothing looks wrong

	right1, right5 int
}

// SynsetReport is one class; its figures are shares, 0 of nothing. Recall is its top-1
// accuracy, Precision the share of its first predictions that are right.
type SynsetReport struct {
	Synset    string  `json:"synset"` // the class
	N         int     `json:"images"` // whose truth it is
	Top1      float64 `json:"top1"`   // share of N whose first prediction it is
	Top5      float64 `json:"top5"`   // share of N among whose first five predictions it is
	Precision float64 `json:"precision"`
	Recall    float64 `json:"recall"`
	Predicted int     `json:"predicted"` // times it was the first prediction
}

// Right is how many of N have it as their first prediction.
func (s SynsetReport) Right() int { return int(math.Round(s.Top1 * float64(s.N))) }

// Confusion counts how often one synset was taken for another.
type Confusion struct {
	Truth     string `json:"truth"`     // synset
	Predicted string `json:"predicted"` // synset, the first prediction
	N         int    `json:"images"`    // how often
}

// Calibration compares the probability of the first prediction with how often
// it is right, in equal intervals. ECE is the expected calibration error, the
// mean difference weighted by rows: Guo et al., "On Calibration of Modern
// Neural Networks", ICML 2017, equation 3. Rows that failed are left out.
type Calibration struct {
	ECE  float64          `json:"ece"`
	N    int              `json:"images"`     // rows, without those that failed
	Mean float64          `json:"confidence"` // mean probability of the first predictions
	True float64          `json:"accuracy"`   // share of them that are right
	Bins []CalibrationBin `json:"bins"`       // in ascending order, empty ones too
}

// CalibrationBin is the interval (Low, High] of the first prediction's probability.
type CalibrationBin struct {
	Low        float64 `json:"low"`
	High       float64 `json:"high"`
	N          int     `json:"images"`     // rows whose first prediction falls into it
	Confidence float64 `json:"confidence"` // mean probability
	Accuracy   float64 `json:"accuracy"`   // share that is right
}

const calibrationBins = 15

// tally counts one class.
type tally struct{ n, top1, top5, predicted int }

// Meter measures predictions that come row by row, and are not kept.
type Meter struct {
	classes []string
	k       int
	r       Report
	by      []tally
	pairs   map[[2]int32]int
	bins    [calibrationBins]bin
}

// bin is the first predictions of an interval of their probability.
type bin struct {
	sum      float64 // of the probabilities
	n, right int
}

// NewMeter begins to measure predictions of a model of these classes, in label order.
func NewMeter(classes []string) *Meter {
	return &Meter{classes: classes, r: Report{Synsets: []SynsetReport{}, Pairs: []Confusion{}}, by: make([]tally, len(classes)), pairs: map[[2]int32]int{}}
}

// Add measures a row: its truth, -1 where that is not known, whether it failed, its
// predictions, most probable first, -1 where there are fewer, and the probability of the
// first.
func (m *Meter) Add(truth int32, failed bool, top []int32, prob float32) {
	m.k = max(m.k, len(top))
	if truth < 0 {
		m.r.NoTruth++
		return
	}
	m.r.N++
	m.by[truth].n++
	switch {
	case failed:
		m.r.Failed++
		return
	case top[0] < 0:
		m.r.Undecided++
		return
	}
	m.by[top[0]].predicted++
	b := &m.bins[min(max(int(float64(prob)*calibrationBins-1e-9), 0), calibrationBins-1)]
	b.sum += float64(prob)
	b.n++
	if top[0] == truth {
		m.by[truth].top1++
		b.right++
	} else {
		m.pairs[[2]int32{truth, top[0]}]++
	}
	if slices.Contains(top[:min(len(top), 5)], truth) {
		m.by[truth].top5++
	}
}

// ErrNoTruth says that no row has a truth.
var ErrNoTruth = errors.New("no row has a truth that is one of the model's classes; nothing can be measured")

// Report gives the figures of the rows added. Without any truth it is ErrNoTruth.
func (m *Meter) Report() (Report, error) {
	r := m.r
	r.K = m.k
	if r.N == 0 {
		return r, ErrNoTruth
	}
	r.classes(m.classes, m.by, m.pairs)
	r.Calibration = m.calibration()
	return r, nil
}

// Evaluate compares predictions with the truth. Without any truth it is ErrNoTruth.
func Evaluate(p *prediction.Set) (Report, error) {
	m := NewMeter(p.Classes)
	m.k = p.K
	for i, truth := range p.Truth {
		m.Add(truth, p.Failed[i], p.Top[i*p.K:(i+1)*p.K], p.Prob[i*p.K])
	}
	r, err := m.Report()
	if half := p.Len() / 2; twice(p) {
		r.Warning = fmt.Sprintf("the last %d rows are the first %d again, with the same paths and predictions: these images count twice", half, half)
	}
	return r, err
}

// twice says whether the second half of a table is the first again, as where a file was appended
// to itself. Single images may stand in it more than once.
func twice(p *prediction.Set) bool {
	n := p.Len()
	return n >= 4 && n%2 == 0 && len(p.Paths) == n && p.Paths[0] != "" && again(p.Paths) && again(p.Truth) && again(p.Top) && again(p.Prob)
}

func again[T comparable](list []T) bool {
	return slices.Equal(list[:len(list)/2], list[len(list)/2:])
}

// classes sums the tallies up.
func (r *Report) classes(names []string, by []tally, pairs map[[2]int32]int) {
	top1, top5, seen := 0, 0, 0
	for c, t := range by {
		if t.n == 0 && t.predicted == 0 {
			continue
		}
		if t.n > 0 {
			seen++
		}
		top1, top5 = top1+t.top1, top5+t.top5
		r.Synsets = append(r.Synsets, SynsetReport{Synset: names[c], N: t.n, Top1: share(t.top1, t.n), Top5: share(t.top5, t.n),
			Precision: share(t.top1, t.predicted), Recall: share(t.top1, t.n), Predicted: t.predicted})
	}
	slices.SortFunc(r.Synsets, func(a, b SynsetReport) int { return cmp.Compare(a.Synset, b.Synset) })
	r.right1, r.right5 = top1, top5
	r.Top1, r.Top5 = share(top1, r.N), share(top5, r.N)
	r.Top1Within, r.Top5Within = Wilson(top1, r.N), Wilson(top5, r.N)
	for p, n := range pairs {
		r.Pairs = append(r.Pairs, Confusion{names[p[0]], names[p[1]], n})
	}
	slices.SortFunc(r.Pairs, func(a, b Confusion) int {
		return cmp.Or(cmp.Compare(b.N, a.N), cmp.Compare(a.Truth, b.Truth), cmp.Compare(a.Predicted, b.Predicted))
	})
	if chance := 1 / float64(len(names)); seen > 2 && r.N >= 50*seen && r.Top1 < 1.5*chance {
		r.Warning = fmt.Sprintf("top-1 is at the level of chance (%.2f %% for %d classes): the model's class order is probably not the dataset's", 100*chance, len(names))
	}
}

// Worst gives the n synsets with the lowest top-1 accuracy; of equal ones those with
// more rows first, and none without rows.
func (r *Report) Worst(n int) []SynsetReport {
	rows := slices.DeleteFunc(slices.Clone(r.Synsets), func(s SynsetReport) bool { return s.N == 0 })
	slices.SortStableFunc(rows, func(a, b SynsetReport) int { return cmp.Or(cmp.Compare(a.Top1, b.Top1), cmp.Compare(b.N, a.N)) })
	return rows[:min(n, len(rows))]
}

func (m *Meter) calibration() Calibration {
	var c Calibration
	for _, b := range m.bins {
		c.N += b.n
	}
	for i, b := range m.bins {
		bin := CalibrationBin{Low: float64(i) / calibrationBins, High: float64(i+1) / calibrationBins, N: b.n,
			Confidence: b.sum / float64(max(b.n, 1)), Accuracy: share(b.right, b.n)}
		c.Bins = append(c.Bins, bin)
		c.ECE += abs(bin.Accuracy-bin.Confidence) * share(b.n, c.N)
		c.Mean += b.sum / float64(max(c.N, 1))
		c.True += share(b.right, c.N)
	}
	return c
}

func abs(v float64) float64 { return max(v, -v) }

func share(k, n int) float64 {
	if n == 0 {
		return 0
	}
	return float64(k) / float64(n)
}
