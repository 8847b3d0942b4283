package infer

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
)

// Report measures predictions against the truth. Accuracies are shares of N,
// the rows whose truth is known; a row that failed counts as wrong.
type Report struct {
	N       int            `json:"n"`
	NoTruth int            `json:"no_truth"` // rows left out
	Failed  int            `json:"failed"`
	Top1    float64        `json:"top1"`
	Top5    float64        `json:"top5"` // of as many predictions as there are, if fewer than 5
	K       int            `json:"k"`
	Synsets []SynsetReport `json:"synsets"`
	Pairs   []Confusion    `json:"confusions"` // commonest first
	Warning string         `json:"warning,omitempty"`
}

// SynsetReport is one class. Recall is its top-1 accuracy; Precision the share
// of its first predictions that are right, NaN-free: 0 where there are none.
type SynsetReport struct {
	Synset    string  `json:"synset"`
	N         int     `json:"n"`
	Top1      float64 `json:"top1"`
	Top5      float64 `json:"top5"`
	Precision float64 `json:"precision"`
	Predicted int     `json:"predicted"` // times it was the first prediction
}

// Confusion counts how often one synset was taken for another.
type Confusion struct {
	Truth     string `json:"truth"`
	Predicted string `json:"predicted"`
	N         int    `json:"n"`
}

// Evaluate reads a file of predictions.
func Evaluate(path string) (Report, error) {
	var r Report
	type tally struct{ n, top1, top5, predicted int }
	by := map[string]*tally{}
	at := func(s string) *tally {
		if by[s] == nil {
			by[s] = &tally{}
		}
		return by[s]
	}
	pairs := map[[2]string]int{}
	err := readFile(path, func(s *arrow.Schema) error {
		for i, name := range []string{"path", "label", "synset", "pred_label", "pred_synset", "pred_prob", "error"} {
			if i >= len(s.Fields()) || s.Field(i).Name != name {
				return fmt.Errorf("%w: column %d is not %s", ErrFormat, i, name)
			}
		}
		list, ok := s.Field(colPredSynset).Type.(*arrow.FixedSizeListType)
		if !ok {
			return fmt.Errorf("%w: pred_synset is %s", ErrFormat, s.Field(colPredSynset).Type)
		}
		r.K = int(list.Len())
		return nil
	}, func(rec arrow.Record) error {
		truth := rec.Column(colSynset).(*array.String)
		label := rec.Column(colLabel).(*array.Int64)
		lists := rec.Column(colPredSynset).(*array.FixedSizeList)
		preds := lists.ListValues().(*array.String)
		for i := range int(rec.NumRows()) {
			if truth.IsNull(i) || label.IsNull(i) {
				r.NoTruth++
				continue
			}
			want := string([]byte(truth.Value(i)))
			t := at(want)
			t.n++
			r.N++
			if lists.IsNull(i) {
				r.Failed++
				continue
			}
			first := (lists.Data().Offset() + i) * r.K
			got := string([]byte(preds.Value(first)))
			at(got).predicted++
			if got == want {
				t.top1++
			} else {
				pairs[[2]string{want, got}]++
			}
			for j := range min(r.K, 5) {
				if preds.Value(first+j) == want {
					t.top5++
					break
				}
			}
		}
		return nil
	})
	if err != nil {
		return r, fmt.Errorf("%s: %w", path, err)
	}
	var top1, top5 int
	for _, s := range slices.Sorted(maps.Keys(by)) {
		t := by[s]
		top1, top5 = top1+t.top1, top5+t.top5
		row := SynsetReport{Synset: s, N: t.n, Top1: share(t.top1, t.n), Top5: share(t.top5, t.n), Predicted: t.predicted, Precision: share(t.top1, t.predicted)}
		r.Synsets = append(r.Synsets, row)
	}
	r.Top1, r.Top5 = share(top1, r.N), share(top5, r.N)
	for p, n := range pairs {
		r.Pairs = append(r.Pairs, Confusion{p[0], p[1], n})
	}
	slices.SortFunc(r.Pairs, func(a, b Confusion) int {
		return cmp.Or(cmp.Compare(b.N, a.N), cmp.Compare(a.Truth, b.Truth), cmp.Compare(a.Predicted, b.Predicted))
	})
	if r.N == 0 {
		return r, fmt.Errorf("%s: no row has a truth that is one of the model's classes; nothing can be measured", path)
	}
	if chance := 1 / float64(len(by)); r.N >= 50*len(by) && r.Top1 < 1.5*chance && len(by) > 2 {
		r.Warning = fmt.Sprintf("top-1 is at the level of chance (%.2f %% for %d classes): the model's class order is probably not the dataset's", 100*chance, len(by))
	}
	return r, nil
}

func share(k, n int) float64 {
	if n == 0 {
		return 0
	}
	return float64(k) / float64(n)
}
