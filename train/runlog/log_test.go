package runlog

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestOpenTrims opens the log of a run killed in its second epoch: lines of what is
// about to be done again go, as does one torn by the kill and a validation that
// stands twice.
func TestOpenTrims(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, Name)
	lines := []string{
		`{"kind":"run","step":0,"text":"started"}`,
		`{"kind":"step","step":1,"epoch":0.5}`,
		`{"kind":"step","step":2,"epoch":1}`,
		`{"kind":"eval","step":2,"epoch":1}`,
		`{"kind":"eval","step":2,"epoch":1}`,
		`{"kind":"step","step":3,"epoch":1.5}`,
		`{"kind":"warning","step":3,"text":"slow"}`,
		`{"kind":"step","step":4,"epoch":2}`,
		`{"kind":"eval","step":4,"epoch":2}`,
		`{"kind":"step","st`,
	}
	for _, c := range []struct {
		name   string
		steps  int64
		epochs int
		want   []int // lines kept
	}{
		{"before anything", 0, 0, []int{0, 6}},
		{"within the first epoch", 1, 0, []int{0, 1, 6}},
		{"all steps of an epoch done and not validated", 2, 0, []int{0, 1, 2, 6}},
		{"an epoch done", 2, 1, []int{0, 1, 2, 3, 6}},
		{"within the second", 3, 1, []int{0, 1, 2, 3, 5, 6}},
		{"its steps done", 4, 1, []int{0, 1, 2, 3, 5, 6, 7}},
		{"both done", 4, 2, []int{0, 1, 2, 3, 5, 6, 7, 8}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o666); err != nil {
				t.Fatal(err)
			}
			l, err := Open(dir, c.steps, c.epochs, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := l.Write(Step{Kind: "step", Step: c.steps + 1}); err != nil {
				t.Fatal(err)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			var want []string
			for _, i := range c.want {
				want = append(want, lines[i])
			}
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			got := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
			if len(got) == 0 || !strings.Contains(got[len(got)-1], `"kind":"step"`) {
				t.Fatalf("nothing was appended: %q", text)
			}
			if diff := cmp.Diff(want, got[:len(got)-1]); diff != "" {
				t.Errorf("lines kept (-want +got):\n%s", diff)
			}
		})
	}
}

// twoEvaluations are of a run's first two epochs, of two steps each.
func twoEvaluations() []Evaluation {
	return []Evaluation{{Kind: "eval", Step: 2, Epoch: 1, Raw: Score{N: 3}}, {Kind: "eval", Step: 4, Epoch: 2, Raw: Score{N: 3, Top1: 0.5}}}
}

// sealedLine is a line of a log.
func sealedLine(t *testing.T, v any) string {
	t.Helper()
	b, err := sealed(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b) + "\n"
}

// TestSettle loses, doubles and changes lines: each validation stands once, in its
// place, as it was.
func TestSettle(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, Name)
	evals := twoEvaluations()
	text := func(v any) string { return sealedLine(t, v) }
	step := func(n int) string { return text(map[string]any{"kind": "step", "step": n, "epoch": float64(n) / 2}) }
	one, two := text(evals[0]), text(evals[1])
	whole := step(1) + step(2) + one + step(3) + step(4) + two
	for _, c := range []struct{ name, have, want string }{
		{"whole", whole, whole},
		{"the first lost", step(1) + step(2) + step(3) + step(4) + two, whole},
		{"the last lost", step(1) + step(2) + one + step(3) + step(4), whole},
		{"changed", strings.Replace(whole, `"top1":0.5`, `"top1":0.7`, 1), whole},
		{"torn", whole[:len(whole)-9], whole},
		{"twice", whole + two + step(4), whole},
	} {
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
		if c.have != "-" {
			if err := os.WriteFile(path, []byte(c.have), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		changed, err := Settle(dir, 4, 2, evals)
		got, rerr := os.ReadFile(path)
		if err := errors.Join(err, rerr); err != nil {
			t.Fatal(err)
		}
		type outcome struct {
			Text    string
			Changed bool
		}
		if diff := cmp.Diff(outcome{c.want, c.have != c.want}, outcome{string(got), changed}); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestNumber(t *testing.T) {
	got, err := json.Marshal([]Number{1.5, Number(math.NaN()), Number(math.Inf(1)), Number(math.Inf(-1))})
	if want := "[1.5,null,null,null]"; err != nil || string(got) != want {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
}

func TestBest(t *testing.T) {
	raw, averaged := Score{N: 1, Top1: 0.25}, Score{N: 1, Top1: 0.5}
	if got := (Evaluation{Raw: raw}).Best(); got.Accuracy() != 0.25 {
		t.Errorf("without averages: %+v", got)
	}
	if got := (Evaluation{Raw: raw, EMA: &averaged}).Best(); got.Accuracy() != 0.5 {
		t.Errorf("with averages: %+v", got)
	}
}

// TestNumberReadsBack: what JSON has no word for is not read as nought, which a
// resumed run would keep as its loss and curves would draw.
// TestCounted: images that could not be read are wrong ones of all, in an evaluation and in a
// log's record of it.
func TestCounted(t *testing.T) {
	e := Evaluation{Raw: Score{N: 47, Top1: 6.0 / 47, Top5: 1, Loss: 2}, EMA: &Score{N: 47, Top1: 0.5}, Skipped: 3}
	got := e.Counted()
	want := Evaluation{Raw: Score{N: 50, Top1: 0.12, Top5: 0.94, Loss: 2}, EMA: &Score{N: 50, Top1: 0.48}, Skipped: 3}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if e.EMA.N != 47 {
		t.Error("the validation itself has changed")
	}
	rec := Record{Raw: &e.Raw, Skipped: 3}.Counted()
	if diff := cmp.Diff(want.Raw, *rec.Raw); diff != "" || rec.EMA != nil {
		t.Errorf("of a record (-want +got):\n%s", diff)
	}
	e.Skipped = 0
	if diff := cmp.Diff(e, e.Counted()); diff != "" {
		t.Errorf("without such images (-want +got):\n%s", diff)
	}
}

func TestNumberReadsBack(t *testing.T) {
	for _, want := range []Number{0, 1.5, Number(math.NaN()), Number(math.Inf(1))} {
		text, err := json.Marshal(Score{Loss: want})
		if err != nil {
			t.Fatal(err)
		}
		got := Score{Loss: -1}
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		finite := !math.IsNaN(float64(want)) && !math.IsInf(float64(want), 0)
		if finite && got.Loss != want || !finite && !math.IsNaN(float64(got.Loss)) {
			t.Errorf("%v is read back from %s as %v", want, text, got.Loss)
		}
	}
}

func historyOf(t *testing.T, log string) *History {
	t.Helper()
	var h History
	if err := Each(log, func(_ []byte, rec Record) error { h.Add(rec); return nil }); err != nil {
		t.Fatal(err)
	}
	return &h
}

// TestCurvesOfForeignLines: a line that calls itself a validation and has none is
// passed over.
func TestCurvesOfForeignLines(t *testing.T) {
	log := filepath.Join(t.TempDir(), Name)
	if err := os.WriteFile(log, []byte(`{"kind":"step","step":1,"epoch":0.5,"loss":2}`+"\n"+`{"kind":"eval","epoch":1}`+"\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	_, loss := historyOf(t, log).loss()
	if diff := cmp.Diff([]int{1, 0}, []int{len(loss), len(historyOf(t, log).lossRaw)}); diff != "" {
		t.Errorf("steps, validations (-want +got):\n%s", diff)
	}
}

// TestCurveOfOneLoss: a run that went on after an upgrade has steps that do not tell the cross
// entropy; its curve is what all tell.
func TestCurveOfOneLoss(t *testing.T) {
	const before = `{"kind":"step","step":1,"epoch":0.5,"loss":9,"main_loss":3}` + "\n"
	const since = `{"kind":"step","step":2,"epoch":1,"loss":8,"main_loss":2,"cross_entropy":1}` + "\n"
	for text, want := range map[string][]any{
		before + since: {Minimised, Curve{{0.5, 3}, {1, 2}}},
		since:          {CrossEntropy, Curve{{1, 1}}},
	} {
		log := filepath.Join(t.TempDir(), Name)
		if err := os.WriteFile(log, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		h := historyOf(t, log)
		of, loss := h.loss()
		if diff := cmp.Diff(want, []any{of, loss}); diff != "" {
			t.Errorf("loss (-want +got):\n%s", diff)
		}
	}
}

// TestSettleUnvalidated: a validation that the checkpoint does not know, since the run was
// killed before it was saved, goes, be there nothing else to do.
func TestSettleUnvalidated(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, Name)
	keep := `{"kind":"run","step":0,"text":"started"}` + "\n" + `{"kind":"step","step":1,"epoch":1}` + "\n"
	if err := os.WriteFile(path, []byte(keep+`{"kind":"eval","step":1,"epoch":1}`+"\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	_, err := Settle(dir, 1, 0, nil)
	if got, rerr := os.ReadFile(path); err != nil || rerr != nil || string(got) != keep {
		t.Errorf("%q, %v, %v", got, err, rerr)
	}
}

// TestCheck: whoever reads a log of a run that has done four steps learns what it lacks, and that what
// came since belongs to it.
func TestCheck(t *testing.T) {
	evals := twoEvaluations()
	text := func(v any) string { return sealedLine(t, v) }
	step := func(n int64) string { return text(Step{Kind: "step", Step: n, Epoch: float64(n) / 2, Loss: 1.5}) }
	one, two, three := text(evals[0]), text(evals[1]), text(Evaluation{Kind: "eval", Step: 6, Epoch: 3})
	whole := step(1) + step(2) + one + step(3) + step(4) + two
	path := filepath.Join(t.TempDir(), Name)
	for what, c := range map[string]struct {
		log   string
		whole bool
	}{
		"whole":                  {whole, true},
		"gone on":                {whole + step(5) + step(6) + three, true},
		"gone on, torn":          {whole + step(5) + step(6)[:20], true},
		"a step lost":            {step(1) + one + step(3) + step(4) + two, false},
		"the last step lost":     {step(1) + step(2) + one + step(3), false},
		"a validation lost":      {step(1) + step(2) + step(3) + step(4) + two, false},
		"torn in what was saved": {whole[:len(whole)-9], false},
		"a figure changed":       {strings.Replace(whole, "1.5", "7.5", 1), false},
		"one changed behind":     {whole + strings.Replace(step(5), "1.5", "7.5", 1) + step(6), false},
	} {
		if err := os.WriteFile(path, []byte(c.log), 0o666); err != nil {
			t.Fatal(err)
		}
		var steps []int64
		err := Check(path, 4, evals, func(r Record) {
			if r.Kind == "step" {
				steps = append(steps, r.Step)
			}
		})
		if what == "gone on" {
			if diff := cmp.Diff([]int64{1, 2, 3, 4, 5, 6}, steps); diff != "" {
				t.Errorf("steps that were read (-want +got):\n%s", diff)
			}
		}
		if (err == nil) != c.whole || err != nil && !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", what, err)
		}
		if got, rerr := os.ReadFile(path); rerr != nil || string(got) != c.log {
			t.Errorf("%s: it was changed, %v", what, rerr)
		}
	}
	if err := Check(path+"-none", 0, nil, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no log: %v", err)
	}
}

// TestSettleTells: lines of steps that are lost or damaged are told once, the log then says
// which, and what was damaged stays beside it. Logs of before, without sums, stay as they are.
func TestSettleTells(t *testing.T) {
	evals := twoEvaluations()
	var lines []string
	put := func(v any) { lines = append(lines, sealedLine(t, v)) }
	step := func(n int64) { put(Step{Kind: "step", Step: n, Epoch: float64(n) / 2, Loss: 1.5}) }
	put(event{Kind: "run", Text: "started"})
	step(1)
	step(2)
	put(evals[0])
	put(event{Kind: "warning", Step: 2, Text: "slow"})
	step(3)
	step(4)
	put(evals[1])
	put(event{Kind: "run", Step: 4, Text: finishedText})
	whole := strings.Join(lines, "")
	for _, c := range []struct {
		name, have string
		lost       string // in the error; "": none
		from, to   int64  // of the line that says so
	}{
		{"whole", whole, "", 0, 0},
		{"a figure changed", strings.Replace(whole, `"loss":1.5`, `"loss":7.5`, 1), "step 1 are lost", 1, 1},
		{"a sum changed", strings.Replace(whole, lines[5], lines[5][:len(lines[5])-5]+"0\"}\n", 1), "step 3 are lost", 3, 3},
		{"the sum's name changed", strings.Replace(whole, lines[5], strings.Replace(lines[5], "crc32c", "crc32b", 1), 1), "step 3 are lost", 3, 3},
		{"a line of another kind", strings.Replace(whole, "slow", "slew", 1), "no step's is lost", 0, 0},
		{"lines gone", lines[0] + strings.Join(lines[3:], ""), "steps 1 to 2 are lost", 1, 2},
		{"the end gone", strings.Join(lines[:5], ""), "steps 3 to 4 are lost", 3, 4},
		{"nothing left", "", "steps 1 to 4 are lost", 1, 4},
		{"a validation changed", strings.Replace(whole, `"top1":0.5`, `"top1":0.7`, 1), "", 0, 0},
		{"no sums", stripped(whole), "", 0, 0},
		{"a line behind the last step's changed", strings.Replace(whole, finishedText, "finisher", 1), "no step's is lost", 0, 0},
		{"a line of a step to come changed", whole + `{"kind":"step","step":5` + "\n", "no step's is lost", 0, 0},
		{"torn", whole[:len(whole)-9], "", 0, 0},
		{"torn before the end of the line", whole[:len(whole)-1], "", 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, Name)
			if err := os.WriteFile(path, []byte(c.have), 0o666); err != nil {
				t.Fatal(err)
			}
			changed, err := Settle(dir, 4, 2, evals)
			if (err == nil) != (c.lost == "") || err != nil && (!errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), c.lost)) {
				t.Fatalf("changed %v, %v", changed, err)
			}
			if c.lost != "" && c.have != "" && strings.Count(c.have, "\n") == len(lines) {
				if b, err := os.ReadFile(path + ".damaged"); err != nil || string(b) != c.have {
					t.Errorf("beside it: %q, %v", b, err)
				}
			}
			var steps, validated, said int64
			err = Each(path, func(_ []byte, r Record) error {
				switch r.Kind {
				case "step":
					steps++
				case "eval":
					validated++
				case "lost":
					if r.To > 0 {
						said += r.To - r.From + 1
					}
					if diff := cmp.Diff([2]int64{c.from, c.to}, [2]int64{r.From, r.To}); diff != "" {
						t.Errorf("the log says from, to (-want +got):\n%s", diff)
					}
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(map[string]int64{"steps, lost ones too": 4, "validations": 2}, map[string]int64{"steps, lost ones too": steps + said, "validations": validated}); diff != "" {
				t.Errorf("afterwards (-want +got):\n%s", diff)
			}
			if changed, err := Settle(dir, 4, 2, evals); changed || err != nil {
				t.Errorf("again: %v, %v", changed, err)
			}
			if b, err := os.ReadFile(path); err != nil || !bytes.HasSuffix(b, []byte("\n")) {
				t.Errorf("what is appended would be of the last line: %v", err)
			}
		})
	}
}

// stripped is a log as it was written before lines had sums.
func stripped(log string) string {
	var b strings.Builder
	for line := range strings.Lines(log) {
		object, _, _ := unsealed([]byte(strings.TrimSuffix(line, "\n")))
		b.Write(append(object, '\n'))
	}
	return b.String()
}

// TestEveryByteOfALine: no bit of a line changes unseen.
func TestEveryByteOfALine(t *testing.T) {
	line, err := sealed(Step{Kind: "step", Step: 1, Epoch: 1, Loss: 0.5})
	if err != nil {
		t.Fatal(err)
	}
	for at := range line {
		for bit := range 8 {
			line[at] ^= 1 << bit
			k := checker{summed: true}
			if k.record(line) != nil {
				t.Errorf("bit %d of byte %d: it is taken", bit, at)
			}
			line[at] ^= 1 << bit
		}
	}
	if k := (checker{summed: true}); k.record(line) == nil {
		t.Error("and whole it is not")
	}
}
