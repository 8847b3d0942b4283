package eval

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/infer/prediction"
	"github.com/synshard/synshard/internal/arrowipc"
	"github.com/synshard/synshard/internal/golden"
	"github.com/synshard/synshard/storage/files"
)

// cleanlabGolden is what cleanlab finds: scripts/golden/eval_cleanlab.py.
type cleanlabGolden struct {
	Labels         []int32     `json:"labels"`
	Probabilities  [][]float32 `json:"probabilities"`
	Thresholds     []float64   `json:"thresholds"`
	SelfConfidence []int       `json:"self_confidence"`
	Margin         []int       `json:"margin"`
}

// set is the golden rows as a file of predictions has them, between one without a truth and one
// that could not be read.
func (g *cleanlabGolden) set() *prediction.Set {
	s := &prediction.Set{K: 1}
	for c := range g.Probabilities[0] {
		s.Classes = append(s.Classes, fmt.Sprintf("class%d", c))
	}
	add := func(truth int32, failed bool, p []float32) {
		s.Paths, s.Truth, s.Failed = append(s.Paths, fmt.Sprint("image", s.Len())), append(s.Truth, truth), append(s.Failed, failed)
		best := int32(largest(p, -1))
		s.Top, s.Prob, s.All = append(s.Top, best), append(s.Prob, p[best]), append(s.All, p...)
	}
	add(-1, false, g.Probabilities[0])
	for i, label := range g.Labels {
		add(label, false, g.Probabilities[i])
	}
	add(0, true, make([]float32, len(s.Classes)))
	return s
}

func TestSuspects(t *testing.T) {
	var want cleanlabGolden
	golden.Read(t, "testdata/cleanlab.json", &want)
	set := want.set()
	for by, rows := range map[string][]int{BySelfConfidence: want.SelfConfidence, ByMargin: want.Margin} {
		got, err := FindSuspects(set.Rows(), by)
		if err != nil {
			t.Fatal(err)
		}
		if got.N != len(want.Labels) || got.NoTruth != 1 || got.Failed != 1 {
			t.Errorf("%d images, %d without a truth, %d failed", got.N, got.NoTruth, got.Failed)
		}
		var order []int
		for _, s := range got.Suspected {
			order = append(order, s.Row-1)
			p, label := want.Probabilities[s.Row-1], want.Labels[s.Row-1]
			if s.Path != set.Paths[s.Row] || s.Given != set.Classes[label] || s.SelfConfidence != float64(p[label]) || s.Confidence <= s.SelfConfidence || s.Margin >= 0.5 {
				t.Errorf("%+v of label %d and %v", s, label, p)
			}
		}
		if diff := gocmp.Diff(rows, order); diff != "" {
			t.Errorf("by %s (-cleanlab +ours):\n%s", by, diff)
		}
	}
	var counted Suspects
	thresholds, err := counted.thresholds(set.Rows())
	if err != nil {
		t.Fatal(err)
	}
	for c, v := range want.Thresholds {
		if diff := thresholds[c] - v; diff > 1e-9 || diff < -1e-9 {
			t.Errorf("threshold of class %d is %v, cleanlab's is %v", c, thresholds[c], v)
		}
	}
}

func TestSuspectsRefused(t *testing.T) {
	var g cleanlabGolden
	golden.Read(t, "testdata/cleanlab.json", &g)
	for what, one := range map[string]struct {
		change func(*prediction.Set)
		by     string
		want   error
		says   string
	}{
		"only the first predictions": {func(s *prediction.Set) { s.All = nil }, ByMargin, ErrNoProbabilities, "infer --probabilities all"},
		"no truth": {func(s *prediction.Set) {
			for i := range s.Truth {
				s.Truth[i] = -1
			}
		}, ByMargin, ErrNoTruth, ""},
		"another order": {func(*prediction.Set) {}, "name", nil, `ranked by "name"`},
	} {
		s := g.set()
		one.change(s)
		_, err := FindSuspects(s.Rows(), one.by)
		if err == nil || one.want != nil && !errors.Is(err, one.want) || !strings.Contains(fmt.Sprint(err), one.says) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestWriteSuspects(t *testing.T) {
	var g cleanlabGolden
	golden.Read(t, "testdata/cleanlab.json", &g)
	found, err := FindSuspects(g.set().Rows(), ByMargin)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "tables")
	if err := WriteSuspects(files.Local(dir), found); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "suspects.arrow"))
	if err != nil {
		t.Fatal(err)
	}
	f, err := arrowipc.OpenBytes(b)
	if err != nil {
		t.Fatal(err)
	}
	if int(f.Rows()) != len(found.Suspected) || f.Schema().NumFields() != 7 || !f.Schema().HasMetadata() {
		t.Errorf("%d rows of %v", f.Rows(), f.Schema())
	}
}
