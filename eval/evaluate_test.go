package eval

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/synshard/synshard/infer/prediction"
	"github.com/synshard/synshard/internal/arrowipc"
	"github.com/synshard/synshard/internal/golden"
	"github.com/synshard/synshard/internal/native/nativetest"
	"github.com/synshard/synshard/storage/files"
	"github.com/synshard/synshard/wordnet"
)

type subtreeFigures struct {
	Classes, N   int
	Top1, Inside float64
}

type depthFigures struct {
	Groups, N int
	Top1      float64
}

// evalGolden is what networkx, NumPy and SciPy make of predictions:
// scripts/golden/eval_networkx.py.
type evalGolden struct {
	Classes       []string                  `json:"classes"`
	K             int                       `json:"k"`
	Truth         []int32                   `json:"truth"`
	Probabilities [][]float32               `json:"probabilities"`
	Top1          float64                   `json:"top1"`
	Top5          float64                   `json:"top5"`
	ECE           float64                   `json:"ece"`
	MistakeHeight float64                   `json:"mistake_height"`
	Distance1     float64                   `json:"distance_at_1"`
	Distance5     float64                   `json:"distance_at_5"`
	Subtrees      map[string]subtreeFigures `json:"subtrees"`
	Named         struct {
		Synsets   []string
		Groups, N int
		Top1      float64
	} `json:"named"`
	Depths     map[string]depthFigures `json:"depths"`
	RollupProb [][]float64             `json:"rollup_prob"`
	Backoff    map[string][][2]any     `json:"backoff"`
	Compare    struct {
		Other  []int   `json:"other"`
		OnlyA  int     `json:"only_a"`
		OnlyB  int     `json:"only_b"`
		PExact float64 `json:"p_exact"`
		PMid   float64 `json:"p_mid"`
	} `json:"compare"`
}

func readEvalGolden(t *testing.T) (evalGolden, *prediction.Set) {
	t.Helper()
	var g evalGolden
	golden.Read(t, "testdata/eval.json", &g)
	p := &prediction.Set{Classes: g.Classes, K: g.K, Truth: g.Truth, Failed: make([]bool, len(g.Truth))}
	for i, row := range g.Probabilities {
		p.Paths = append(p.Paths, "ILSVRC2012_val_0000000"+string(rune('1'+i%9))+".JPEG")
		p.All = append(p.All, row...)
		order := make([]int32, len(row))
		for c := range order {
			order[c] = int32(c)
		}
		slices.SortStableFunc(order, func(a, b int32) int { return cmp.Compare(row[b], row[a]) })
		for _, c := range order[:g.K] {
			p.Top, p.Prob = append(p.Top, c), append(p.Prob, row[c])
		}
	}
	return g, p
}

func same(t *testing.T, what string, got, want float64) {
	t.Helper()
	if !(math.Abs(got-want) <= 1e-6) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func TestEvaluate(t *testing.T) {
	g, p := readEvalGolden(t)
	r, err := Evaluate(p)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "top-1", r.Top1, g.Top1)
	same(t, "top-5", r.Top5, g.Top5)
	same(t, "calibration error", r.Calibration.ECE, g.ECE)
	var right, predicted, n int
	for _, s := range r.Synsets {
		right += int(math.Round(s.Recall * float64(s.N)))
		predicted += s.Predicted
		n += s.N
		same(t, s.Synset+" precision", s.Precision*float64(s.Predicted), s.Recall*float64(s.N))
	}
	wrong := 0
	for _, c := range r.Pairs {
		wrong += c.N
	}
	all := len(g.Truth)
	want := map[string]int{"rows": all, "predicted": all, "right or wrong": all}
	if diff := gocmp.Diff(want, map[string]int{"rows": n, "predicted": predicted, "right or wrong": right + wrong}); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
	if r.Warning != "" {
		t.Errorf("warned: %s", r.Warning)
	}
	d := *p
	d.Paths, d.Truth, d.Failed = slices.Repeat(p.Paths, 2), slices.Repeat(p.Truth, 2), slices.Repeat(p.Failed, 2)
	d.Top, d.Prob = slices.Repeat(p.Top, 2), slices.Repeat(p.Prob, 2)
	if r, err := Evaluate(&d); err != nil || !strings.Contains(r.Warning, fmt.Sprintf("the last %d rows are the first %d again", all, all)) {
		t.Errorf("a table twice: warned %q, %v", r.Warning, err)
	}
	p.Failed[0], p.Truth[1] = true, -1
	for j := range p.K {
		p.Top[j] = -1
	}
	r, err = Evaluate(p)
	if err != nil {
		t.Fatal(err)
	}
	want = map[string]int{"failed": 1, "without truth": 1, "rows": all - 1}
	if diff := gocmp.Diff(want, map[string]int{"failed": r.Failed, "without truth": r.NoTruth, "rows": r.N}); diff != "" {
		t.Errorf("a failed row and one without truth (-want +got):\n%s", diff)
	}
	if _, err := Evaluate(&prediction.Set{Classes: g.Classes, K: 1, Truth: []int32{-1}, Failed: []bool{false}, Top: []int32{0}, Prob: []float32{1}}); err == nil {
		t.Error("no truth at all is measured")
	}
}

func TestHierarchy(t *testing.T) {
	g, p := readEvalGolden(t)
	h, err := NewHierarchy(nativetest.WordNet(t), g.Classes)
	if err != nil {
		t.Fatal(err)
	}
	r := MeasureHierarchy(p, h)
	same(t, "height of mistakes", r.MistakeHeight, g.MistakeHeight)
	same(t, "distance at 1", r.Distance1, g.Distance1)
	same(t, "distance at 5", r.Distance5, g.Distance5)
	subtrees := map[string]subtreeFigures{}
	for _, s := range r.Subtrees {
		subtrees[s.Synset] = subtreeFigures{Classes: s.Classes, N: s.N, Top1: s.Top1, Inside: s.Inside}
	}
	if diff := gocmp.Diff(g.Subtrees, subtrees, cmpopts.EquateApprox(0, 1e-6)); diff != "" {
		t.Errorf("subtrees (-want +got):\n%s", diff)
	}
	if !slices.IsSortedFunc(r.Subtrees, func(a, b SubtreeReport) int { return cmp.Compare(a.Top1, b.Top1) }) {
		t.Error("the worst subtrees do not come first")
	}
	for depth, want := range g.Depths {
		var d int
		if err := json.Unmarshal([]byte(depth), &d); err != nil {
			t.Fatal(err)
		}
		got := Rollup(p, depth, h.AtDepth(d))
		if diff := gocmp.Diff(want, depthFigures{Groups: got.Groups, N: got.N, Top1: got.Top1}, cmpopts.EquateApprox(0, 1e-6)); diff != "" {
			t.Errorf("depth %s (-want +got):\n%s", depth, diff)
		}
	}
	if _, err := NewHierarchy(nativetest.WordNet(t), []string{"cat"}); err == nil || !strings.Contains(err.Error(), `"cat"`) {
		t.Errorf("a class that is no synset: %v", err)
	}
	if _, err := NewHierarchy(nativetest.WordNet(t), []string{"n00000001"}); err == nil {
		t.Error("a synset WordNet has not is placed in it")
	}
}

func TestRollupAndBackoff(t *testing.T) {
	g, p := readEvalGolden(t)
	h, err := NewHierarchy(nativetest.WordNet(t), g.Classes)
	if err != nil {
		t.Fatal(err)
	}
	var ids []wordnet.ID
	for _, s := range g.Named.Synsets {
		id, err := wordnet.ParseID(s)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	groups, err := h.Named(ids)
	if err != nil {
		t.Fatal(err)
	}
	got := Rollup(p, "named", groups)
	same(t, "named superclasses", got.Top1, g.Named.Top1)
	if got.N != g.Named.N {
		t.Errorf("named superclasses over %d rows, want %d", got.N, g.Named.N)
	}
	rollupColumns(t, groups, g)
	for text, rows := range g.Backoff {
		var least float64
		if err := json.Unmarshal([]byte(text), &least); err != nil {
			t.Fatal(err)
		}
		for i, want := range rows {
			id, prob := h.backoff(g.Probabilities[i], least)
			if id.String() != want[0] || math.Abs(prob-want[1].(float64)) > 1e-6 {
				t.Errorf("back-off to %v, row %d: %s with %v, want %v", least, i, id, prob, want)
			}
		}
	}
	if _, err := h.Named([]wordnet.ID{ids[0], ids[0]}); err == nil {
		t.Error("a superclass named twice is taken")
	}
	if id, err := wordnet.ParseID("n09472597"); err != nil {
		t.Fatal(err)
	} else if _, err := h.Named([]wordnet.ID{id}); err == nil {
		t.Error("a superclass without classes is taken")
	}
}

// rollupColumns holds the columns infer writes to the golden sums.
func rollupColumns(t *testing.T, groups Groups, g evalGolden) {
	t.Helper()
	columns := RollupColumns(groups)
	for i, want := range g.RollupProb {
		top := 0
		values := columns[1].Floats(g.Probabilities[i])
		for j, w := range want {
			same(t, "superclass's probability", float64(values[j]), w)
			if w > want[top]+1e-7 {
				top = j
			}
		}
		if got := columns[0].Strings(g.Probabilities[i]); got != groups.Synsets[top] {
			t.Errorf("row %d: %s, want %s", i, got, groups.Synsets[top])
		}
	}
}

func TestCompare(t *testing.T) {
	g, a := readEvalGolden(t)
	_, b := readEvalGolden(t)
	for i, right := range g.Compare.Other {
		if b.Top[i*b.K] = g.Truth[i]; right == 0 {
			b.Top[i*b.K] = (g.Truth[i] + 1) % int32(len(g.Classes))
		}
	}
	c, err := Compare(a, b, 4000, 1)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]int{"only a": g.Compare.OnlyA, "only b": g.Compare.OnlyB, "rows": len(g.Truth)}
	if diff := gocmp.Diff(want, map[string]int{"only a": c.OnlyA, "only b": c.OnlyB, "rows": c.N}); diff != "" {
		t.Errorf("right (-want +got):\n%s", diff)
	}
	same(t, "exact p", c.PExact, g.Compare.PExact)
	same(t, "mid-p", c.PMid, g.Compare.PMid)
	same(t, "difference", c.Difference, c.B-c.A)
	// The interval of a difference of pairs, by the normal approximation.
	n := float64(c.N)
	spread := 1.96 * math.Sqrt((float64(c.OnlyA+c.OnlyB)-n*c.Difference*c.Difference)/n/n)
	if math.Abs(c.Low-(c.Difference-spread)) > 0.02 || math.Abs(c.High-(c.Difference+spread)) > 0.02 {
		t.Errorf("interval %v to %v, want about %v to %v", c.Low, c.High, c.Difference-spread, c.Difference+spread)
	}
	again, _ := Compare(a, b, 4000, 1)
	if again != c {
		t.Error("the same seed gives another interval")
	}
	b.Paths[3] = "other.JPEG"
	if _, err := Compare(a, b, 100, 1); err == nil || !strings.Contains(err.Error(), "row 3") {
		t.Errorf("other images: %v", err)
	}
}

// TestRestrictNumbers restricts to classes that are called after numbers.
func TestRestrictNumbers(t *testing.T) {
	for _, c := range []struct {
		classes, only []string
		kept          []int32 // places of those kept; nil: refused, saying why
		why           string
	}{
		{[]string{"0", "1", "10", "2"}, []string{"0", "1"}, []int32{0, 1}, ""},
		{[]string{"0", "1", "10", "2"}, []string{"10"}, []int32{2}, ""}, // no label
		{[]string{"0", "1", "10", "2"}, []string{"1", "2"}, nil, `label "2": it is the number of "10" and the name of number 3`},
		{[]string{"0", "1", "10", "2"}, []string{"3"}, []int32{3}, ""}, // no name
		{[]string{"2", "x", "1"}, []string{"x", "1"}, []int32{1, 2}, ""},
		{[]string{"2", "x", "1"}, []string{"1"}, nil, `label "1": it is the number of "x" and the name of number 2`},
	} {
		p := &prediction.Set{Classes: c.classes, K: 1}
		for i := range c.classes {
			p.Paths, p.Failed, p.Truth = append(p.Paths, c.classes[i]), append(p.Failed, false), append(p.Truth, int32(i))
			p.Top, p.Prob = append(p.Top, int32(i)), append(p.Prob, 1)
		}
		q, err := Restrict(p, c.only)
		if c.kept == nil {
			if err == nil || err.Error() != c.why {
				t.Errorf("%q of %q: %v, want %s", c.only, c.classes, err, c.why)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q of %q: %v", c.only, c.classes, err)
			continue
		}
		kept := slices.DeleteFunc(q.Truth, func(at int32) bool { return at < 0 })
		if diff := gocmp.Diff(c.kept, kept); diff != "" {
			t.Errorf("%q of %q (-want +got):\n%s", c.only, c.classes, diff)
		}
	}
}

func TestRestrictAndReal(t *testing.T) {
	g, p := readEvalGolden(t)
	some := g.Classes[10:14]
	q, err := Restrict(p, some)
	if err != nil {
		t.Fatal(err)
	}
	for i, row := range g.Probabilities {
		best := int32(10)
		for c := int32(10); c < 14; c++ {
			if row[c] > row[best] {
				best = c
			}
		}
		in := g.Truth[i] >= 10 && g.Truth[i] < 14
		if diff := gocmp.Diff([]any{best, in}, []any{q.Top[i*q.K], q.Truth[i] >= 0}); diff != "" {
			t.Errorf("row %d: best class, truth in the set (-want +got):\n%s", i, diff)
		}
	}
	byLabel, err := Restrict(p, []string{"10", "11", "12", "13"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(q, byLabel); diff != "" {
		t.Errorf("by labels (-by names +by labels):\n%s", diff)
	}
	if _, err := Restrict(p, []string{"10", "40"}); err == nil || !strings.Contains(err.Error(), "40") {
		t.Errorf("a label beyond the classes: %v", err)
	}
	p.All = nil // with the first K alone, a set may have none of them
	if q, err = Restrict(p, some); err != nil {
		t.Fatal(err)
	}
	r, err := Evaluate(q)
	if err != nil || r.Undecided == 0 {
		t.Errorf("%+v, %v: no row is undecided", r, err)
	}
	h, err := NewHierarchy(nativetest.WordNet(t), g.Classes)
	if err != nil {
		t.Fatal(err)
	}
	judged, rolled := MeasureHierarchy(q, h), Rollup(q, "root", h.AtDepth(0))
	if judged.Mistakes != r.N-r.Undecided-int(math.Round(r.Top1*float64(r.N))) {
		t.Errorf("%d mistakes of %d rows, %d undecided, top-1 %v", judged.Mistakes, r.N, r.Undecided, r.Top1)
	}
	same(t, "rolled up to the root", rolled.Top1, share(r.N-r.Undecided, r.N))
	if _, err := Restrict(p, []string{"n00000000"}); err == nil {
		t.Error("a class the model has not is taken")
	}

	path := filepath.Join(t.TempDir(), "real.json") // nine images, one without a label
	if err := os.WriteFile(path, []byte("[[0],[1,2],[],[3],[4],[5],[6],[7],[8]]"), 0o666); err != nil {
		t.Fatal(err)
	}
	real_, err := MeasureReal(p, path)
	if err != nil {
		t.Fatal(err)
	}
	n, right := 0, 0
	labels := [][]int32{{0}, {1, 2}, {}, {3}, {4}, {5}, {6}, {7}, {8}}
	for i := range p.Truth {
		if l := labels[i%9]; len(l) > 0 {
			n++
			if slices.Contains(l, p.Top[i*p.K]) {
				right++
			}
		}
	}
	type counted struct {
		N    int
		Top1 float64
	}
	if diff := gocmp.Diff(counted{n, float64(share(right, n))}, counted{real_.N, float64(real_.Top1)}); diff != "" {
		t.Errorf("%d of %d are right (-want +got):\n%s", right, n, diff)
	}
	for text, say := range map[string]string{"[[0]]": "labels of 1 images", "[[400],[],[],[],[],[],[],[],[]]": "label 400", "{": "real.json"} {
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := MeasureReal(p, path); err == nil || !strings.Contains(err.Error(), say) {
			t.Errorf("%s: %v, want %q", text, err, say)
		}
	}
}

// TestWriteReport reads a report's tables back.
func TestWriteReport(t *testing.T) {
	g, p := readEvalGolden(t)
	r, err := Evaluate(p)
	if err != nil {
		t.Fatal(err)
	}
	h, err := NewHierarchy(nativetest.WordNet(t), g.Classes)
	if err != nil {
		t.Fatal(err)
	}
	judged := MeasureHierarchy(p, h)
	r.Hierarchy = &judged
	dir := filepath.Join(t.TempDir(), "report")
	if err := WriteReport(files.Local(dir), r); err != nil {
		t.Fatal(err)
	}
	for name, rows := range map[string]int{"synsets": len(r.Synsets), "confusions": len(r.Pairs), "calibration": 15, "subtrees": len(judged.Subtrees), "rollups": 0} {
		f, err := os.ReadFile(filepath.Join(dir, name+".arrow"))
		if err != nil {
			t.Fatal(err)
		}
		table, err := arrowipc.OpenBytes(f)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if n := int(table.Rows()); n != rows {
			t.Errorf("%s: %d rows, want %d", name, n, rows)
		}
		var back Report
		if err := json.Unmarshal([]byte(table.Metadata("synshard.report")), &back); err != nil || back.Top1 != r.Top1 {
			t.Errorf("%s: the report in it has top-1 %v, want %v; %v", name, back.Top1, r.Top1, err)
		}
	}
}
