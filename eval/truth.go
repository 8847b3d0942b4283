package eval

import (
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"

	"github.com/synshard/synshard/infer/prediction"
	"github.com/synshard/synshard/internal/regular"
)

// RealReport is the accuracy by reassessed labels: an image may have several,
// and one without any is left out. Beyer et al., "Are we done with ImageNet?",
// arXiv:2006.07159.
type RealReport struct {
	N    int     `json:"images"` // with a reassessed label
	Top1 float64 `json:"top1"`   // share of them whose first prediction is one of theirs
}

// valNumber finds a validation image's number in its name.
var valNumber = regexp.MustCompile(`ILSVRC2012_val_(\d{8})`)

// MeasureReal measures against reassessed labels in the form they are published
// in (real.json at path): a list a validation image, in the order of their
// numbers, of places in the ascending list of the 1000 synsets, which the model's
// classes must be. A row's image is told by the number in its path; rows without
// one are left out, and no such row at all is an error.
func MeasureReal(p *prediction.Set, path string) (*RealReport, error) {
	text, err := regular.ReadFile(path, regular.Document)
	if err != nil {
		return nil, err
	}
	var lists [][]int32
	if err := json.Unmarshal(text, &lists); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if !slices.IsSorted(p.Classes) {
		return nil, fmt.Errorf("%s: its labels are places in ascending order of synsets, and the model's classes are in another", path)
	}
	r, right := &RealReport{}, 0
	for i, name := range p.Paths {
		m := valNumber.FindStringSubmatch(name)
		if m == nil {
			continue
		}
		n, err := strconv.Atoi(m[1])
		if err != nil || n < 1 || n > len(lists) {
			return nil, fmt.Errorf("%s: it has labels of %d images, not of %s", path, len(lists), name)
		}
		labels := lists[n-1]
		if len(labels) == 0 {
			continue
		}
		if top := slices.Max(labels); int(top) >= len(p.Classes) || slices.Min(labels) < 0 {
			return nil, fmt.Errorf("%s: image %d has label %d, and the model %d classes", path, n, top, len(p.Classes))
		}
		r.N++
		if !p.Failed[i] && slices.Contains(labels, p.Top[i*p.K]) {
			right++
		}
	}
	if r.N == 0 {
		return nil, fmt.Errorf("%s: no row is an image of the validation set by its name", path)
	}
	r.Top1 = share(right, r.N)
	return r, nil
}

// Restrict gives the predictions as a classifier of some of the classes would
// have made them, as ImageNet-A and ImageNet-R are measured: rows of other
// classes have no truth, and each row's predictions are the most probable of
// the set. Where the file has only the first K of each row, a set may have none
// among them: -1. Probabilities stay as they are. A list of numbers alone is of labels,
// from 0, any other one of names. A number by which one class stands and another is
// called is an error.
func Restrict(p *prediction.Set, classes []string) (*prediction.Set, error) {
	keep := make([]bool, len(p.Classes))
	names, err := named(classes, p.Classes)
	if err != nil {
		return nil, err
	}
	for _, c := range names {
		at := slices.Index(p.Classes, c)
		if at < 0 {
			return nil, fmt.Errorf("%s is none of the model's classes", c)
		}
		keep[at] = true
	}
	q := &prediction.Set{Classes: p.Classes, K: p.K, Paths: p.Paths, Failed: p.Failed, All: p.All}
	for i, truth := range p.Truth {
		if truth >= 0 && !keep[truth] {
			truth = -1
		}
		q.Truth = append(q.Truth, truth)
		kept := 0
		for _, r := range ranked(p, i) {
			if r.class >= 0 && keep[r.class] && kept < p.K {
				q.Top, q.Prob = append(q.Top, r.class), append(q.Prob, r.prob)
				kept++
			}
		}
		for ; kept < p.K; kept++ {
			q.Top, q.Prob = append(q.Top, -1), append(q.Prob, 0)
		}
	}
	return q, nil
}

// named turns labels, where all of a list are, into the classes they stand for; a label
// that is none stays what it is, as the name it may be. One that is the name of another
// class than its own is refused.
func named(list, classes []string) ([]string, error) {
	out := slices.Clone(list)
	for i, name := range list {
		n, err := strconv.Atoi(name)
		if err != nil {
			return list, nil
		}
		if n >= 0 && n < len(classes) {
			out[i] = classes[n]
		}
	}
	for i, name := range list {
		if at := slices.Index(classes, name); at >= 0 && out[i] != name {
			return nil, fmt.Errorf("label %q: it is the number of %q and the name of number %d", name, out[i], at)
		}
	}
	return out, nil
}

type rankedClass struct {
	class int32
	prob  float32
}

// ranked gives a row's classes, most probable first: all where the file has
// them, the first K otherwise.
func ranked(p *prediction.Set, i int) []rankedClass {
	var out []rankedClass
	if p.All == nil || p.Failed[i] {
		for j := i * p.K; j < (i+1)*p.K; j++ {
			out = append(out, rankedClass{p.Top[j], p.Prob[j]})
		}
		return out
	}
	c := len(p.Classes)
	for j, v := range p.All[i*c : (i+1)*c] {
		out = append(out, rankedClass{int32(j), v})
	}
	slices.SortStableFunc(out, func(a, b rankedClass) int { return cmp.Compare(b.prob, a.prob) })
	return out
}
