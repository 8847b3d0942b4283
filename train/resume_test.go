package train

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/synshard/synshard/train/checkpoint"
	"github.com/synshard/synshard/train/runlog"
)

func TestStoppedAndContinuedEqualsUninterrupted(t *testing.T) {
	whole := testOptions(t, t.TempDir())
	mustRun(t, whole)

	cut := testOptions(t, t.TempDir())
	for _, at := range []int64{1, 4, 5, 7, 10, 14} { // within epochs, at their ends
		stopAt(t, cut, at)
	}
	mustRun(t, cut)
	sameEnd(t, whole.Dir, cut.Dir)
}

// stopAt goes on with a run and calls it off when it tells of a step.
func stopAt(t *testing.T, o Options, step int64) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	tell := o.OnStep
	o.OnStep = func(s runlog.Step) {
		if tell != nil {
			tell(s)
		}
		if s.Step == step {
			cancel()
		}
	}
	if _, err := Run(ctx, o); !errors.Is(err, ErrStopped) {
		t.Fatalf("stop at step %d: %v", step, err)
	}
}

// stopAfter runs so many steps.
func stopAfter(t *testing.T, o Options, steps int64) {
	t.Helper()
	o.StopAfter = steps
	if _, err := Run(t.Context(), o); !errors.Is(err, ErrStopped) {
		t.Fatalf("stop after %d steps: %v", steps, err)
	}
}

func TestStopAfterSteps(t *testing.T) {
	whole := testOptions(t, t.TempDir())
	mustRun(t, whole)
	cut := testOptions(t, t.TempDir())
	cut.StopAfter = 4
	calls := 0
	for ; calls < 10; calls++ {
		if _, err := Run(t.Context(), cut); err == nil {
			break
		} else if !errors.Is(err, ErrStopped) {
			t.Fatal(err)
		}
	}
	if calls != 3 { // 4, 8, 12, then 3 more
		t.Errorf("%d calls were stopped", calls)
	}
	sameEnd(t, whole.Dir, cut.Dir)
}

// A copy of the directory taken within a step is what kill -9 leaves.
func TestKilledAndContinuedEqualsUninterrupted(t *testing.T) {
	whole := testOptions(t, t.TempDir())
	whole.CheckpointEvery = time.Nanosecond // after every step
	snaps := map[int64]string{}
	whole.OnStep = func(s runlog.Step) {
		if s.Step == 1 || s.Step == 3 || s.Step == 6 || s.Step == 11 {
			dir := filepath.Join(t.TempDir(), fmt.Sprint(s.Step))
			if err := os.CopyFS(dir, os.DirFS(whole.Dir)); err != nil && !strings.Contains(err.Error(), "symlink") {
				t.Error(err)
			}
			snaps[s.Step] = dir
		}
	}
	mustRun(t, whole)
	for _, step := range slices.Sorted(maps.Keys(snaps)) {
		o := testOptions(t, snaps[step])
		var start Start
		o.OnStart = func(s Start) { start = s }
		// The torn line and temporary file of a process that died writing.
		appendFile(t, filepath.Join(o.Dir, runlog.Name), `{"kind":"step","st`)
		appendFile(t, filepath.Join(o.Dir, checkpoint.Dir, ".step-000000099.safetensors.tmp-0123456789ab"), "half")
		mustRun(t, o)
		if start.Step != step-1 {
			t.Errorf("killed in step %d: continued from %d", step, start.Step)
		}
		sameEnd(t, whole.Dir, o.Dir)
	}
}

func TestStopDuringValidation(t *testing.T) {
	whole := testOptions(t, t.TempDir())
	mustRun(t, whole)
	cut := testOptions(t, t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cut.Data.(*fakeData).onVal = cancel
	if _, err := Run(ctx, cut); !errors.Is(err, ErrStopped) {
		t.Fatal(err)
	}
	cut.Data = newData(23, 10, testClasses)
	mustRun(t, cut)
	sameEnd(t, whole.Dir, cut.Dir)
}

func TestDamagedNewestFallsBack(t *testing.T) {
	whole := testOptions(t, t.TempDir())
	mustRun(t, whole)
	damage := map[string]func([]byte) []byte{
		"cut short":     func(b []byte) []byte { return b[:len(b)/2] },
		"empty":         func([]byte) []byte { return nil },
		"last byte":     func(b []byte) []byte { b[len(b)-1] ^= 1; return b },
		"middle byte":   func(b []byte) []byte { b[len(b)/2] ^= 0x40; return b },
		"header length": func(b []byte) []byte { b[6] = 0x7f; return b },
		"header byte":   func(b []byte) []byte { b[30] ^= 2; return b },
		"random":        func(b []byte) []byte { return slices.Repeat([]byte{0xa5}, len(b)) },
	}
	for name, f := range damage {
		t.Run(name, func(t *testing.T) {
			o := testOptions(t, t.TempDir())
			o.StopAfter = 10
			if _, err := Run(t.Context(), o); !errors.Is(err, ErrStopped) {
				t.Fatal(err)
			}
			newest := checkpoint.Path(o.Dir, 10)
			if err := os.WriteFile(newest, f(slurp(t, newest)), 0o666); err != nil {
				t.Fatal(err)
			}
			var warned []string
			var start Start
			o.OnWarn = func(text string) { warned = append(warned, text) }
			o.OnStart = func(s Start) { start = s }
			o.StopAfter = 0
			mustRun(t, o)
			if len(warned) != 1 || !strings.Contains(warned[0], newest) || !strings.Contains(warned[0], "damaged") {
				t.Errorf("warnings %q", warned)
			}
			if start.Step != 5 {
				t.Errorf("continued from step %d", start.Step)
			}
			sameEnd(t, whole.Dir, o.Dir)
		})
	}
}

func TestEveryCheckpointDamaged(t *testing.T) {
	o := testOptions(t, t.TempDir())
	stopAfter(t, o, 3)
	if err := os.WriteFile(checkpoint.Path(o.Dir, 3), []byte("no"), 0o666); err != nil {
		t.Fatal(err)
	}
	o.OnWarn = nil
	if _, err := Run(t.Context(), o); !errors.Is(err, checkpoint.ErrDamaged) {
		t.Errorf("a run whose only checkpoint is damaged: %v", err)
	}
}

func TestAnotherRunIsRefused(t *testing.T) {
	o := testOptions(t, t.TempDir())
	stopAfter(t, o, 2)
	for want, change := range map[string]func(*Options){
		"seed 9 (now 10)":                             func(o *Options) { o.Recipe.Seed = 10 },
		"batch 4 (now 2)":                             func(o *Options) { o.Recipe.Batch = 2 },
		"training images 23 (now 22)":                 func(o *Options) { o.Data = newData(22, 10, testClasses) },
		"with n01440764 as number 0 (now n00000001)":  func(o *Options) { o.Spec.Classes = []string{"n00000001", "n01443537", "n01484850"} },
		"optimizer.kind rmsprop (now sgd)":            func(o *Options) { o.Recipe.Optimizer.Kind = "sgd" },
		"rate.base 0.045 (now 0.9)":                   func(o *Options) { o.Recipe.Rate.Base = 0.9 },
		"rate.schedule exponential (now constant)":    func(o *Options) { o.Recipe.Rate.Schedule = "constant" },
		"loss.label_smoothing 0.1 (now 0.3)":          func(o *Options) { o.Recipe.Loss.LabelSmoothing = 0.3 },
		"loss.mixup not set (now 0.2)":                func(o *Options) { o.Recipe.Loss.Mixup = 0.2 },
		"augment.flip true (now false)":               func(o *Options) { o.Recipe.Augment.Flip = false },
		"ema.decay 0.9999 (now 0.5)":                  func(o *Options) { o.Recipe.EMA.Decay = 0.5 },
		"split train (now val)":                       func(o *Options) { o.MadeFrom = checkpoint.Identity{"split": "val", "index": strings.Repeat("a", 64)} },
		"index aaaaaaaaaaaa... (now bbbbbbbbbbbb...)": func(o *Options) { o.MadeFrom = checkpoint.Identity{"split": "train", "index": strings.Repeat("b", 64)} },
		"weights not set (now ":                       func(o *Options) { o.Weights = o.Network.Init(3)[:1] },
	} {
		c := o
		change(&c)
		c.NewEngine = func(EngineConfig) (Engine, error) { return nil, errors.New("asked for an engine") }
		_, err := Run(t.Context(), c)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v", want, err)
		}
		if _, done, err := Finished(c); done || err != nil {
			t.Errorf("%s: finished %v, %v", want, done, err)
		}
	}
}

// TestWhatMayChange goes on with other values of everything that is said not to
// decide what run it is.
func TestWhatMayChange(t *testing.T) {
	whole := testOptions(t, t.TempDir())
	mustRun(t, whole)
	o := testOptions(t, t.TempDir())
	stopAfter(t, o, 2)
	o.Recipe.Name, o.Recipe.Precision, o.Recipe.Accumulate = "other", "bf16", 2
	o.Device, o.Threads, o.Recompute, o.KeepLast, o.CheckpointEvery = "cuda:1", 7, true, 9, time.Nanosecond
	mustRun(t, o)
	sameEnd(t, whole.Dir, o.Dir)
	rows, err := o.Recipe.Table()
	if err != nil {
		t.Fatal(err)
	}
	documented := string(slurp(t, "../docs/TRAINING.md"))
	known := map[string]bool{}
	for _, row := range rows {
		known[row[0]] = true
	}
	for name := range mayChange {
		if !known[name] && name != "needs_weights" && name != "patience" { // left out where false or 0
			t.Errorf("no recipe has a %s", name)
		}
		if !strings.Contains(documented, "`"+name+"`") {
			t.Errorf("docs/TRAINING.md does not say that %s may change", name)
		}
	}
}

// TestCheckpointOfAnEarlierVersion goes on from one that does not say what it was
// made from, and says so.
func TestCheckpointOfAnEarlierVersion(t *testing.T) {
	whole := testOptions(t, t.TempDir())
	mustRun(t, whole)
	o := testOptions(t, t.TempDir())
	stopAfter(t, o, 3)
	c := readCheckpoint(t, o.Dir, 3)
	c.Position.MadeFrom = nil
	if _, err := checkpoint.Write(o.Dir, c.Position, c.Spec, c.Tensors); err != nil {
		t.Fatal(err)
	}
	other := o
	other.Recipe.Seed = 10
	if _, err := Run(t.Context(), other); err == nil || !strings.Contains(err.Error(), "seed 9 (now 10)") {
		t.Errorf("with another seed: %v", err)
	}
	var warned []string
	o.OnWarn = func(text string) { warned = append(warned, text) }
	mustRun(t, o)
	if len(warned) != 1 || !strings.Contains(warned[0], "step 3 does not say what recipe, data and weights") {
		t.Errorf("warnings %q", warned)
	}
	sameEnd(t, whole.Dir, o.Dir)

	// A finished run of an earlier version is finished, and that is said too.
	c = readCheckpoint(t, o.Dir, testSteps)
	c.Position.MadeFrom = nil
	if _, err := checkpoint.Write(o.Dir, c.Position, c.Spec, c.Tensors); err != nil {
		t.Fatal(err)
	}
	if _, done, err := Finished(o); !done || err != nil { // its products, which say no more than it does
		t.Fatalf("finished: %v, %v", done, err)
	}
	warned = nil
	if _, done, err := Finished(o); !done || err != nil || len(warned) != 1 {
		t.Errorf("finished: %v, %v, warnings %q", done, err, warned)
	}
}

// TestValidationStandsOnce kills a run between a validation's line in the log and
// its checkpoint, where the last checkpoint is of the same step.
func TestValidationStandsOnce(t *testing.T) {
	whole := testOptions(t, t.TempDir())
	whole.CheckpointEvery = time.Nanosecond
	killed := filepath.Join(t.TempDir(), "killed")
	whole.OnEval = func(e runlog.Evaluation) {
		if e.Epoch == 2 {
			if err := os.CopyFS(killed, os.DirFS(whole.Dir)); err != nil && !strings.Contains(err.Error(), "symlink") {
				t.Error(err)
			}
		}
	}
	mustRun(t, whole)
	for range 2 { // and what a version before left there twice
		o := testOptions(t, killed)
		stopAfter(t, o, 1)
		log := slurp(t, filepath.Join(killed, runlog.Name))
		at := bytes.Index(log, []byte(`{"kind":"eval"`))
		line, _, _ := bytes.Cut(log[at:], []byte("\n"))
		appendFile(t, filepath.Join(killed, runlog.Name), string(line)+"\n")
	}
	mustRun(t, testOptions(t, killed))
	sameEnd(t, whole.Dir, killed)
}
