package report

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/eval"
	"github.com/synshard/synshard/infer/prediction"
	"github.com/synshard/synshard/internal/panel"
	"github.com/synshard/synshard/train/runlog"
	"github.com/synshard/synshard/web/look"
)

// hostile is a name that would break out of a page, if it could.
const hostile = `"><script>alert(1)</script><img src=x onerror=alert(2)>'&.jpg`

// sets are the predictions of two models over six images of three classes.
func sets() (a, b Predictions) {
	paths := []string{"a", "b", "c", "d", hostile, "f"}
	truth := []int32{0, 0, 1, 2, 1, 2}
	a = Predictions{"a.arrow", &prediction.Set{Classes: []string{"n1", "n2", hostile}, K: 2, Paths: paths, Truth: truth,
		Failed: []bool{false, false, false, false, false, true}, Errors: map[int]string{5: "cut <off>"},
		Top:  []int32{0, 1, 1, 0, 1, 0, 0, 2, 2, 1, -1, -1},
		Prob: []float32{.9, .1, .8, .2, .7, .3, .6, .4, .95, .05, 0, 0}}}
	b = Predictions{"b.arrow", &prediction.Set{Classes: a.Classes, K: 2, Paths: paths, Truth: truth, Failed: make([]bool, 6),
		Top:  []int32{0, 1, 0, 1, 0, 1, 2, 0, 1, 2, 2, 0},
		Prob: []float32{.9, .1, .8, .2, .7, .3, .6, .4, .95, .05, .5, .5}}}
	return a, b
}

// everyImage has a thumbnail of every image, and remembers which were asked for.
type everyImage struct{ asked []ImageName }

func (e *everyImage) Thumbnails(_ context.Context, names []ImageName) (map[ImageName][]byte, error) {
	e.asked = names
	out := map[ImageName][]byte{}
	for _, n := range names {
		out[n] = []byte("jpeg")
	}
	return out, nil
}

func write(t *testing.T, o Options) string {
	t.Helper()
	var b bytes.Buffer
	if err := Write(t.Context(), &b, o); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestPredictions(t *testing.T) {
	a, b := sets()
	images := &everyImage{}
	text := write(t, Options{Title: hostile, Sets: []Predictions{a, b}, Images: images, Words: func(s string) string { return map[string]string{"n1": "lion"}[s] }})
	for _, want := range []string{
		"33.33\u00a0%", "83.33\u00a0%", // top-1 and top-2 of a
		"cut &lt;off&gt;",              // why an image failed
		`<span class="soft">n1</span>`, // beside its word
		"taken for", "Right in a.arrow, wrong in b.arrow",
		"b.arrow: right, 95.00\u00a0%",
		"data:image/jpeg;base64,anBlZw==",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the report lacks %q", want)
		}
	}
	if n := len(images.asked); n != 6 {
		t.Errorf("%d images were asked for: %v", n, images.asked)
	}
	standsAlone(t, text)
	if again := write(t, Options{Title: hostile, Sets: []Predictions{a, b}, Images: images, Words: func(s string) string { return map[string]string{"n1": "lion"}[s] }}); again != text {
		t.Error("the same report is other bytes")
	}
}

// standsAlone holds a page to what it promises: no script, nothing from elsewhere, and
// nothing of hostile names as markup.
func standsAlone(t *testing.T, text string) {
	t.Helper()
	for _, bad := range []string{"<script", "http:", "https:", "javascript:", "onerror=alert(2)>'", "<img src=x", "ZgotmplZ"} {
		if strings.Contains(text, bad) {
			t.Errorf("the report holds %q", bad)
		}
	}
}

func TestFiguresAreEvals(t *testing.T) {
	a, _ := sets()
	want, err := eval.Evaluate(a.Set)
	if err != nil {
		t.Fatal(err)
	}
	section, err := newPredictionsSection(a, nil, &gallery{wanted: map[ImageName]bool{}})
	if err != nil {
		t.Fatal(err)
	}
	if d := gocmp.Diff(want, section.Report, gocmp.AllowUnexported(eval.Report{})); d != "" {
		t.Error(d)
	}
	var worst []string
	for _, w := range section.Worst {
		worst = append(worst, w.Label.Synset)
	}
	if d := gocmp.Diff([]string{hostile, "n1", "n2"}, worst); d != "" {
		t.Errorf("worst synsets (-want +got):\n%s", d)
	}
}

func TestNoTruthIsAnError(t *testing.T) {
	a, _ := sets()
	a.Truth = []int32{-1, -1, -1, -1, -1, -1}
	if err := Write(t.Context(), &bytes.Buffer{}, Options{Sets: []Predictions{a}}); err == nil || !strings.Contains(err.Error(), "a.arrow") {
		t.Errorf("%v", err)
	}
}

// Names in plots are text, and plots without WordNet are two.
func TestPlots(t *testing.T) {
	a, _ := sets()
	for _, ending := range []string{".svg", ".png"} {
		if err := WritePlots(filepath.Join(t.TempDir(), "p"+ending), Options{Sets: []Predictions{a}}); err != nil {
			t.Error(err)
		}
	}
	section, err := measured(a, nil, &gallery{})
	if err != nil {
		t.Fatal(err)
	}
	section.Subtrees = []subtree{{labelled[eval.SubtreeReport]{look.Label{Words: hostile}, eval.SubtreeReport{N: 20, Top1: .5, Inside: .75}}, eval.Wilson(10, 20)}}
	path := filepath.Join(t.TempDir(), "p.svg")
	if err := panel.Write(path, plotsDPI, []*panel.Panel{subtreesPanel(section.Subtrees)}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	standsAlone(t, strings.NewReplacer(`xmlns="http://www.w3.org/2000/svg"`, "", `xmlns:xlink="http://www.w3.org/1999/xlink"`, "").Replace(string(text)))
	if !strings.Contains(string(text), "worst first") {
		t.Error("no subtree is drawn")
	}
}

func TestTruthOfMistakes(t *testing.T) {
	a, _ := sets()
	var got []string
	for i := range a.Paths {
		g := &gallery{wanted: map[ImageName]bool{}}
		got = append(got, g.add(a, i).OfTruth)
	}
	if d := gocmp.Diff([]string{"", "20.00\u00a0%", "", "40.00\u00a0%", "5.00\u00a0%", ""}, got); d != "" {
		t.Errorf("what the truth was given (-want +got):\n%s", d)
	}
}

// The size of a report does not grow with the rows.
func TestSizeIsBounded(t *testing.T) {
	const rows, classes = 50000, 1000
	p := Predictions{"p", &prediction.Set{K: 5, Failed: make([]bool, rows)}}
	for c := range classes {
		p.Classes = append(p.Classes, fmt.Sprintf("n%08d", c))
	}
	for i := range rows {
		p.Paths = append(p.Paths, fmt.Sprintf("ILSVRC2012_val_%08d.JPEG", i))
		p.Truth = append(p.Truth, int32(i%classes))
		for k := range 5 {
			p.Top, p.Prob = append(p.Top, int32((i*7/5+k)%classes)), append(p.Prob, .5/float32(k+1))
		}
	}
	if text := write(t, Options{Sets: []Predictions{p}}); len(text) > 1<<20 {
		t.Errorf("%d bytes without images", len(text))
	}
}

func TestRun(t *testing.T) {
	dir := t.TempDir()
	log, err := runlog.Append(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Started(runlog.Start{Text: "started", Config: "model: x", MadeFrom: map[string]string{"model": hostile}}); err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		step := runlog.Step{Kind: "step", Step: int64(i + 1), Epoch: float64(i+1) / 20, Loss: 9, MainLoss: 3 - float64(i)/20, Top1: float64(i) / 40, LR: 0.1, Images: int64(16 * (i + 1)), PerSecond: 10}
		if err := log.Write(step); err != nil {
			t.Fatal(err)
		}
	}
	for epoch, top1 := range []float64{0.75, 0.5, 1} {
		score := runlog.Score{N: 200, Top1: top1, Top5: 0.9, Loss: 400}
		if top1 == 1 {
			score.Loss = runlog.Number(math.NaN()) // as earlier versions counted
		}
		if err := log.Write(runlog.Evaluation{Kind: "eval", Step: int64(20 * (epoch + 1)), Epoch: epoch + 1, Raw: score}); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Started(runlog.Start{Step: 40, Text: "went on", Config: "model: <x>"}); err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	run, err := ReadRun("runs/"+hostile, filepath.Join(dir, runlog.Name), "what a damaged file says", 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	text := write(t, Options{Title: "t", Run: run})
	for _, want := range []string{"75.00\u00a0%", "best validation top-1, after epoch 1", "model: &lt;x&gt;", "640 images", "<polyline", "10.0 images/s, the median", "validation after epoch 3 is left out", "50.00 %, top-5 90.00 %, after epoch 2"} {
		if !strings.Contains(text, want) {
			t.Errorf("the report lacks %q", want)
		}
	}
	if strings.Contains(text, "NaN") || strings.Contains(text, "Inf") {
		t.Error("a chart has a place that is no number")
	}
	standsAlone(t, text)

	if err := os.WriteFile(filepath.Join(dir, "empty"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadRun("x", filepath.Join(dir, "empty"), "", 0, nil); err == nil {
		t.Error("a run without steps has a report")
	}
}
