package runlog

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// FuzzOpen: whatever a log holds, taking it up leaves the steps that were done, each
// once and ascending, and the validations that the run knows of as they were; what
// is taken up again stays byte for byte.
func FuzzOpen(f *testing.F) {
	f.Add([]byte(`{"kind":"step","step":1,"epoch":0.5,"loss":3}`+"\n"+`{"kind":"eval","step":2,"epoch":1,"raw":{"n":4,"top1":0.5}}`+"\n"+`{"kind":"step","step":3,"epoch":1.5}`+"\n"), uint8(2), uint8(1))
	f.Add([]byte(`{"kind":"step","step":2}`+"\n"+`{"kind":"step","step":1}`+"\n"+`{"kind":"warning","text":"x"}`+"\n"+`{"kind":"st`), uint8(9), uint8(0))
	f.Add([]byte(`{"kind":"eval","epoch":1e300,"raw":null,"ema":{}}`+"\n\n[1]\nnull\n"), uint8(255), uint8(3))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text []byte, steps, validated uint8) {
		path := filepath.Join(dir, Name)
		if err := os.WriteFile(path, text, 0o666); err != nil {
			t.Fatal(err)
		}
		var evals []Evaluation
		for e := range int(validated) % 4 {
			evals = append(evals, Evaluation{Kind: "eval", Time: time.Unix(int64(e), 0).UTC(), Step: int64(e), Epoch: e + 1, Raw: Score{N: 4, Top1: 0.25}})
		}
		once := takeUp(t, dir, int64(steps), evals)
		last := int64(0)
		var have []Evaluation
		err := Each(path, func(line []byte, rec Record) error {
			switch rec.Kind {
			case "step":
				if rec.Step <= last || rec.Step > int64(steps) {
					t.Errorf("step %d after %d, of %d", rec.Step, last, steps)
				}
				last = rec.Step
			case "eval":
				var e Evaluation
				if err := json.Unmarshal(line, &e); err == nil && len(evals) > 0 {
					have = append(have, e)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(evals, have, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("validations (-known +in the log):\n%s", diff)
		}
		if twice := takeUp(t, dir, int64(steps), evals); !bytes.Equal(once, twice) {
			t.Errorf("taken up again it is %q, and was %q", twice, once)
		}
	})
}

// takeUp opens and closes a log and gives what it is then.
func takeUp(t *testing.T, dir string, steps int64, evals []Evaluation) []byte {
	l, err := Open(dir, steps, len(evals), evals)
	if errors.Is(err, ErrDamaged) { // which is said once
		l, err = Open(dir, steps, len(evals), evals)
	}
	if err == nil {
		err = l.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, Name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// FuzzCurves: what a log says, however far from a run it is, is drawn in a moment
// and whole, or not at all. Dots are coarse: painting and compressing the fine ones
// takes nearly all of the time, and is the same whatever the numbers are.
func FuzzCurves(f *testing.F) {
	f.Add(1.0, 2.0, 0.5)
	f.Add(1e308, -1e308, 1e-320)
	f.Add(0.0, 5e-324, 1.7976931348623157e308)
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, a, b, c float64) {
		log, curves := filepath.Join(dir, Name), filepath.Join(dir, "curves.png")
		var text []byte
		for i, v := range [][3]float64{{a, b, c}, {b, c, a}, {c, a, b}} {
			line, err := json.Marshal(map[string]any{"kind": []string{"step", "eval", "step"}[i], "epoch": v[0], "loss": v[1], "lr": v[2], "top1": v[1], "raw": map[string]any{"loss": v[1], "top1": v[2]}})
			if err != nil {
				return // JSON has no such numbers
			}
			text = append(append(text, line...), '\n')
		}
		if err := os.WriteFile(log, text, 0o666); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(curves); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		err := writeCurves(curves, log, 8)
		if _, none := os.Stat(curves); err == nil && none == nil && !CurvesWhole(curves) {
			t.Error("what was drawn is not whole")
		}
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("drawn in %v", took)
		}
	})
}
