package train

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image/png"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/modeltest"
	"github.com/synshard/synshard/model/weights"
	"github.com/synshard/synshard/train/checkpoint"
	"github.com/synshard/synshard/train/recipe"
	"github.com/synshard/synshard/train/runlog"
)

const (
	testSteps  = 15
	epochSteps = 5
)

func TestRunToTheEnd(t *testing.T) {
	o := testOptions(t, filepath.Join(t.TempDir(), "a", "run"))
	var start Start
	var steps []runlog.Step
	o.OnStart = func(s Start) { start = s }
	o.OnStep = func(s runlog.Step) { steps = append(steps, s) }
	o.TensorBoard, o.draw = true, nil
	res := mustRun(t, o)
	wantStart := Start{
		Recipe: o.Recipe, Steps: testSteps, StepsPerEpoch: epochSteps, TrainRows: 23, ValRows: 10, Microbatches: 1,
		PeakRate: o.Recipe.Rate.Base,
	}
	if diff := cmp.Diff(wantStart, start); diff != "" {
		t.Errorf("start (-want +got):\n%s", diff)
	}
	type place struct {
		Step, Images int64
		Epoch        float64
	}
	var got, want []place
	for i, s := range steps {
		got = append(got, place{s.Step, s.Images, s.Epoch})
		want = append(want, place{int64(i + 1), int64(4 * (i + 1)), float64(i+1) / epochSteps})
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateApprox(0, 1e-12)); diff != "" || len(steps) != testSteps {
		t.Errorf("%d steps (-want +got):\n%s", len(steps), diff)
	}
	// Rows 0, 2, 4, 6, 8 of ten, and all but 0, 4, 8.
	score := &runlog.Evaluation{
		Kind: "eval", Step: testSteps, Epoch: 3, Raw: runlog.Score{N: 10, Top1: 0.5, Top5: 1, Loss: 0.5},
		EMA: &runlog.Score{N: 10, Top1: 0.7, Top5: 1, Loss: 0.5},
	}
	first := *score
	first.Step, first.Epoch = epochSteps, 1
	wantResult := Result{
		Steps: testSteps, Epochs: 3, Images: 60, Last: score, Best: &first, Dir: o.Dir,
		ONNX: filepath.Join(o.Dir, "model.onnx"), Weights: filepath.Join(o.Dir, "model.safetensors"),
	}
	if diff := cmp.Diff(wantResult, res, untimed); diff != "" {
		t.Errorf("result (-want +got):\n%s", diff)
	}
	f, err := os.Open(filepath.Join(o.Dir, "curves.png"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if img, err := png.Decode(f); err != nil || img.Bounds().Dx() < 500 {
		t.Errorf("curves.png: %v", err)
	}
	rec, err := recipe.Parse(slurp(t, filepath.Join(o.Dir, "config.yaml")))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(o.Recipe, rec, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("config.yaml reads back otherwise (-want +got):\n%s", diff)
	}
}

func TestBrokenValidationImagesAreNotCounted(t *testing.T) {
	o := testOptions(t, t.TempDir())
	o.Data.(*fakeData).broken = map[int]bool{1: true, 2: true, 9: true}
	res := mustRun(t, o)
	want := &runlog.Evaluation{
		Kind: "eval", Step: testSteps, Epoch: 3, Skipped: 3, Raw: runlog.Score{N: 7, Top1: 4. / 7, Top5: 1, Loss: 0.5},
		EMA: &runlog.Score{N: 7, Top1: 4. / 7, Top5: 1, Loss: 0.5},
	}
	if diff := cmp.Diff(want, res.Last, untimed); diff != "" {
		t.Errorf("last evaluation (-want +got):\n%s", diff)
	}
}

func TestExportIsTheAverage(t *testing.T) {
	o := testOptions(t, t.TempDir())
	mustRun(t, o)
	state := readCheckpoint(t, o.Dir, testSteps).Tensors
	f, err := os.Open(filepath.Join(o.Dir, "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, _ := f.Stat()
	out, meta, err := weights.ReadSafetensors(f, info.Size())
	if err != nil || !strings.Contains(meta[model.SpecKey], "n01443537") {
		t.Fatalf("spec %q, %v", meta[model.SpecKey], err)
	}
	if checkpoint.WeightsSum(out) != checkpoint.WeightsSum(checkpoint.Weights(state, true)) || checkpoint.WeightsSum(out) == checkpoint.WeightsSum(checkpoint.Weights(state, false)) {
		t.Error("model.safetensors does not hold the averaged weights")
	}
	if len(out) != len(o.Network.Params()) {
		t.Errorf("%d tensors exported, the network has %d", len(out), len(o.Network.Params()))
	}
}

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
	o.StopAfter = 3
	if _, err := Run(t.Context(), o); !errors.Is(err, ErrStopped) {
		t.Fatal(err)
	}
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
	o.StopAfter = 2
	if _, err := Run(t.Context(), o); !errors.Is(err, ErrStopped) {
		t.Fatal(err)
	}
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
	o.StopAfter = 2
	if _, err := Run(t.Context(), o); !errors.Is(err, ErrStopped) {
		t.Fatal(err)
	}
	o.StopAfter = 0
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
		if !known[name] && name != "needs_weights" { // left out where false
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
	o.StopAfter = 3
	if _, err := Run(t.Context(), o); !errors.Is(err, ErrStopped) {
		t.Fatal(err)
	}
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
	o.StopAfter = 0
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
	for _, name := range []string{"model.safetensors", "model.onnx"} { // no older than the checkpoint
		now := time.Now()
		if err := os.Chtimes(filepath.Join(o.Dir, name), now, now); err != nil {
			t.Fatal(err)
		}
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
		o.StopAfter = 1
		if _, err := Run(t.Context(), o); !errors.Is(err, ErrStopped) {
			t.Fatal(err)
		}
		log := slurp(t, filepath.Join(killed, runlog.Name))
		at := bytes.Index(log, []byte(`{"kind":"eval"`))
		line, _, _ := bytes.Cut(log[at:], []byte("\n"))
		appendFile(t, filepath.Join(killed, runlog.Name), string(line)+"\n")
	}
	mustRun(t, testOptions(t, killed))
	sameEnd(t, whole.Dir, killed)
}

// TestNotExportable expects a network that ONNX cannot express to be refused
// before the first step.
func TestNotExportable(t *testing.T) {
	o := testOptions(t, t.TempDir())
	net := modeltest.Network(t, "alexnet", model.Options{Classes: testClasses, Width: 0.03})
	net.Input = 64
	o.Network, o.Spec.Model, o.Spec.InputSize = net, "alexnet", 64
	o.NewEngine = func(EngineConfig) (Engine, error) { return nil, errors.New("asked for an engine") }
	if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "alexnet of 64-pixel images cannot be exported") {
		t.Errorf("got %v", err)
	}
}

func TestFinishedRunDoesNothing(t *testing.T) {
	o := testOptions(t, t.TempDir())
	if _, done, err := Finished(o); done || err != nil {
		t.Errorf("before it began: %v, %v", done, err)
	}
	first := mustRun(t, o)
	want := first
	want.Already = true
	res, done, err := Finished(o)
	if !done || err != nil {
		t.Errorf("finished: %v, %v", done, err)
	}
	if diff := cmp.Diff(want, res); diff != "" {
		t.Errorf("finished (-first +now):\n%s", diff)
	}
	longer := o
	longer.Recipe.Epochs++
	if _, done, err := Finished(longer); done || err != nil {
		t.Errorf("with more epochs asked for: %v, %v", done, err)
	}
	before := slurp(t, filepath.Join(o.Dir, "log.ndjson"))
	o.NewEngine = func(EngineConfig) (Engine, error) { return nil, errors.New("asked for an engine") }
	if diff := cmp.Diff(want, mustRun(t, o)); diff != "" {
		t.Errorf("second result (-first +now):\n%s", diff)
	}
	if string(before) != string(slurp(t, filepath.Join(o.Dir, "log.ndjson"))) {
		t.Error("the log grew")
	}
}

// TestFinishedIsContent: whatever the clock said, a finished run's files are those
// that its last checkpoint gives. What is damaged or missing is made anew, without an
// engine, and what is right is not touched.
func TestFinishedIsContent(t *testing.T) {
	o := testOptions(t, t.TempDir())
	o.draw = nil
	mustRun(t, o)
	var warned []string
	o.OnWarn = func(text string) { warned = append(warned, text) }
	o.NewEngine = func(EngineConfig) (Engine, error) { return nil, errors.New("no engine is needed") }
	names := []string{"model.safetensors", "model.onnx", "curves.png", runlog.Name, "config.yaml", "best.safetensors"}
	whole := map[string][]byte{}
	for _, name := range names {
		whole[name] = slurp(t, filepath.Join(o.Dir, name))
	}
	flip := func(at float64) func(path string) error {
		return func(path string) error {
			b := slurp(t, path)
			b[int(at*float64(len(b)))] ^= 1
			return os.WriteFile(path, b, 0o666)
		}
	}
	touch := func(year int) func(path string) error {
		return func(path string) error {
			at := time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC)
			return os.Chtimes(path, at, at)
		}
	}
	for _, c := range []struct {
		what   string
		file   string
		damage func(path string) error
		warns  int
	}{
		{"weights flipped", "model.safetensors", flip(0.7), 1}, {"weights cut", "model.safetensors", func(p string) error { return os.Truncate(p, 1000) }, 1},
		{"weights longer", "model.safetensors", func(p string) error { return os.Truncate(p, int64(len(whole["model.safetensors"])+1)) }, 1},
		{"no weights", "model.safetensors", os.Remove, 1}, {"model flipped", "model.onnx", flip(0.4), 1}, {"no model", "model.onnx", os.Remove, 1},
		{"curves flipped", "curves.png", flip(0.5), 0}, {"no curves", "curves.png", os.Remove, 0},
		{"no recipe", "config.yaml", os.Remove, 1}, {"recipe flipped", "config.yaml", flip(0.5), 1},
		{"recipe cut", "config.yaml", func(p string) error { return os.Truncate(p, 100) }, 1}, {"no link", "best.safetensors", os.Remove, 0},
		{"killed while it linked", "best.safetensors", func(p string) error {
			return errors.Join(os.Remove(p), os.Symlink("checkpoints/of-before", p), os.Symlink("checkpoints/of-now", p+".new"))
		}, 0},
		{"a checkpoint of 2030", "newest", touch(2030), 0},
		{"a model of 1970", "model.onnx", touch(1970), 0}, {"a model of 2030", "model.onnx", touch(2030), 0},
	} {
		warned = nil
		path := filepath.Join(o.Dir, c.file)
		if c.file == "newest" {
			steps, err := checkpoint.Steps(o.Dir)
			if err != nil {
				t.Fatal(err)
			}
			path = checkpoint.Path(o.Dir, steps[len(steps)-1])
		}
		if err := c.damage(path); err != nil {
			t.Fatal(err)
		}
		before, _ := os.Stat(path)
		finish := Finished
		if c.file == "model.safetensors" { // both ways to come there
			finish = func(o Options) (Result, bool, error) {
				res, err := Run(t.Context(), o)
				return res, res.Already, err
			}
		}
		res, done, err := finish(o)
		if err != nil || !done || res.ONNX == "" || len(warned) != c.warns {
			t.Errorf("%s: %+v, done %v, %v, %q", c.what, res, done, err, warned)
		}
		for _, name := range names {
			if !bytes.Equal(slurp(t, filepath.Join(o.Dir, name)), whole[name]) {
				t.Errorf("%s: %s is another afterwards", c.what, name)
			}
		}
		if _, err := os.Lstat(filepath.Join(o.Dir, "best.safetensors.new")); err == nil {
			t.Errorf("%s: half a link is left", c.what)
		}
		if after, _ := os.Stat(path); c.warns == 0 && before != nil && strings.Contains(c.what, "of ") && !after.ModTime().Equal(before.ModTime()) {
			t.Errorf("%s: it was written again", c.what)
		}
	}
}

// TestFinishedHoldsCheckpoints: a run is not called done over a checkpoint that is damaged,
// gone, or something else; that is told once, set aside, and written down.
func TestFinishedHoldsCheckpoints(t *testing.T) {
	t.Parallel()
	o := testOptions(t, t.TempDir())
	mustRun(t, o)
	o.NewEngine = func(EngineConfig) (Engine, error) { return nil, errors.New("no engine is needed") }
	for _, c := range []struct {
		what   string
		step   int64
		damage func(path string) error
		aside  bool
	}{
		{"flipped", 2 * epochSteps, func(path string) error {
			b := slurp(t, path)
			b[len(b)/2] ^= 1
			return os.WriteFile(path, b, 0o666)
		}, true},
		{"gone", epochSteps, os.Remove, false},
	} {
		path := checkpoint.Path(o.Dir, c.step)
		if err := c.damage(path); err != nil {
			t.Fatal(err)
		}
		res, done, err := Finished(o)
		if !errors.Is(err, checkpoint.ErrDamaged) || !strings.Contains(err.Error(), path) || done {
			t.Errorf("%s: %+v, %v, %v", c.what, res, done, err)
		}
		if _, err := os.Stat(path + ".damaged"); (err == nil) != c.aside {
			t.Errorf("%s: set aside: %v", c.what, err)
		}
		if _, done, err := Finished(o); err != nil || !done {
			t.Errorf("%s: the second time: %v, %v", c.what, done, err)
		}
		if text := string(slurp(t, filepath.Join(o.Dir, runlog.Name))); !strings.Contains(text, filepath.Base(path)) {
			t.Errorf("%s: the log does not say so:\n%s", c.what, text)
		}
	}
	if err := os.WriteFile(filepath.Join(o.Dir, runlog.Name), bytes.Replace(slurp(t, filepath.Join(o.Dir, runlog.Name)), []byte(`"step":3,`), []byte(`"step":7,`), 1), 0o666); err != nil {
		t.Fatal(err)
	}
	o.OnWarn = func(string) {}
	if _, done, err := Finished(o); !errors.Is(err, runlog.ErrDamaged) || done {
		t.Errorf("a line flipped: %v, %v", done, err)
	}
	if _, done, err := Finished(o); err != nil || !done {
		t.Errorf("the second time: %v, %v", done, err)
	}
}

// TestLostBestIsForgotten: no link leads to a best checkpoint that is damaged.
func TestLostBestIsForgotten(t *testing.T) {
	t.Parallel()
	o := testOptions(t, t.TempDir())
	res := mustRun(t, o)
	best := checkpoint.Path(o.Dir, res.Best.Step)
	if res.Best.Step == res.Steps {
		t.Skip("the best is the newest")
	}
	if err := os.Truncate(best, 100); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Finished(o); !errors.Is(err, checkpoint.ErrDamaged) {
		t.Fatal(err)
	}
	if _, err := os.Lstat(filepath.Join(o.Dir, "best.safetensors")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the link: %v", err)
	}
	if _, done, err := Finished(o); err != nil || !done {
		t.Errorf("the second time: %v, %v", done, err)
	}
}

func TestMoreEpochsGoOn(t *testing.T) {
	o := testOptions(t, t.TempDir())
	mustRun(t, o)
	o.Recipe.Epochs = 4
	if res := mustRun(t, o); res.Steps != testSteps+epochSteps || res.Already {
		t.Errorf("result %+v", res)
	}
}

func TestLocked(t *testing.T) {
	o := testOptions(t, t.TempDir())
	lock, err := durable.TryLock(filepath.Join(o.Dir, ".lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Unlock()
	if _, err := Run(t.Context(), o); !errors.Is(err, durable.ErrLocked) {
		t.Errorf("second run in a directory: %v", err)
	}
}

func TestCancelledBeforeAnything(t *testing.T) {
	o := testOptions(t, t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ctx, o); !errors.Is(err, context.Canceled) || errors.Is(err, ErrStopped) {
		t.Errorf("got %v", err)
	}
}

func TestKeepsLastAndBest(t *testing.T) {
	o := testOptions(t, t.TempDir())
	o.KeepLast = 1
	mustRun(t, o)
	steps, err := checkpoint.Steps(o.Dir)
	if want := []int64{5, 15}; err != nil || !slices.Equal(steps, want) { // all validations are equal: the first is best
		t.Errorf("kept %v, want %v (%v)", steps, want, err)
	}
	if got, err := os.Readlink(filepath.Join(o.Dir, "best.safetensors")); err != nil || got != "checkpoints/step-000000005.safetensors" {
		t.Errorf("best.safetensors -> %s, %v", got, err)
	}
}

func TestOutOfMemoryHalves(t *testing.T) {
	whole := testOptions(t, t.TempDir())
	mustRun(t, whole)
	o := testOptions(t, t.TempDir())
	var warned []string
	o.OnWarn = func(text string) { warned = append(warned, text) }
	var made []int
	o.NewEngine = func(cfg EngineConfig) (Engine, error) {
		e := newFake(o.Network, cfg)
		e.largest = 1
		made = append(made, cfg.Accumulate)
		return e, nil
	}
	mustRun(t, o)
	if !slices.Equal(made, []int{1, 2, 4}) || len(warned) != 2 || !strings.Contains(warned[0], "batch 4 in 2 microbatches") {
		t.Errorf("engines with %v microbatches, warnings %q", made, warned)
	}
	sameEnd(t, whole.Dir, o.Dir)

	o.Recipe.Epochs, made = 4, nil // what was found out is remembered
	mustRun(t, o)
	if !slices.Equal(made, []int{4}) {
		t.Errorf("continued with engines of %v microbatches", made)
	}
	small := testOptions(t, t.TempDir())
	small.OnWarn = nil
	small.NewEngine = func(cfg EngineConfig) (Engine, error) {
		e := newFake(o.Network, cfg)
		e.largest = 0
		e.cfg.Batch = 1 << 20
		e.largest = 1
		return e, nil
	}
	if _, err := Run(t.Context(), small); !errors.Is(err, ErrOutOfMemory) {
		t.Errorf("nothing fits: %v", err)
	}
}

func TestNaNIsNamed(t *testing.T) {
	o := testOptions(t, t.TempDir())
	n := 0
	o.NewEngine = func(cfg EngineConfig) (Engine, error) {
		e := newFake(o.Network, cfg)
		e.bad = func() bool { n++; return n == 8 }
		return e, nil
	}
	var warned []string
	o.OnWarn = func(text string) { warned = append(warned, text) }
	_, err := Run(t.Context(), o)
	if !errors.Is(err, ErrDiverged) {
		t.Fatal(err)
	}
	for _, part := range []string{"step 8", "NaN", "learning rate", "checkpoint of step 5 is whole"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not in %q", part, err)
		}
	}
	if steps, _ := checkpoint.Steps(o.Dir); !slices.Equal(steps, []int64{5}) {
		t.Errorf("checkpoints %v: the broken state must not be saved", steps)
	}
	if !strings.Contains(string(slurp(t, filepath.Join(o.Dir, runlog.Name))), "NaN") {
		t.Error("the log does not tell")
	}
}

func TestLabelsAreChecked(t *testing.T) {
	o := testOptions(t, t.TempDir())
	o.Data.(*fakeData).train[7] = 3
	if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "image 7 has label 3") {
		t.Errorf("label out of range: %v", err)
	}
	o.Data.(*fakeData).train[7] = 1
	o.Data.(*fakeData).val[2] = -1
	if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "validation image 2 has label -1") {
		t.Errorf("validation without label: %v", err)
	}
	var warned []string
	o.OnWarn = func(text string) { warned = append(warned, text) }
	d := newData(23, 10, 2)
	o.Data = d
	mustRun(t, o)
	if len(warned) != 1 || !strings.Contains(warned[0], "1 of 3 classes") || !strings.Contains(warned[0], "n01484850") {
		t.Errorf("warnings %q", warned)
	}
}

func TestLossAtChanceIsNamed(t *testing.T) {
	o := testOptions(t, t.TempDir())
	r := &runner{o: o}
	var warned []string
	r.o.OnWarn = func(text string) { warned = append(warned, text) }
	r.pos.Epoch = 1
	r.epochSteps, r.epochLoss = 100, 100*0.9
	if r.checkChance(); len(warned) != 0 { // ln 3 = 1.0986
		t.Errorf("warned %q about a loss that fell", warned)
	}
	r.epochLoss = 100 * 1.09
	if r.checkChance(); len(warned) != 1 || !strings.Contains(warned[0], "ln 3 = 1.099") {
		t.Errorf("warned %q", warned)
	}
	r.o.Recipe.Rate.WarmupEpochs = 5
	if r.checkChance(); len(warned) != 1 {
		t.Error("warned during the warm-up")
	}
}

func TestEndlessOverflowIsNamed(t *testing.T) {
	o := testOptions(t, t.TempDir())
	o.Recipe.Epochs = 1000
	var overflowed int
	o.OnStep = func(s runlog.Step) {
		if s.Overflow {
			overflowed++
		}
	}
	o.NewEngine = func(cfg EngineConfig) (Engine, error) {
		e := newFake(o.Network, cfg)
		e.overflow = func(step int) bool { return step != 3 && step < 1000 }
		return e, nil
	}
	if _, err := Run(t.Context(), o); !errors.Is(err, ErrDiverged) || !strings.Contains(err.Error(), "step 103: the last 100 steps overflowed") {
		t.Errorf("got %v", err)
	}
	if overflowed != 101 { // two before the third, 99 before the last
		t.Errorf("%d steps were logged as overflowed", overflowed)
	}
}

func TestGivenWeights(t *testing.T) {
	o := testOptions(t, t.TempDir())
	w := o.Network.Init(1)[0]
	for i := range w.Data {
		w.Data[i] = 0
	}
	o.Weights = []model.Tensor{w}
	var first []float32
	o.NewEngine = func(cfg EngineConfig) (Engine, error) {
		e := newFake(o.Network, cfg)
		e.bad = func() bool { first = append(e.state[w.Name], e.state[checkpoint.EMAPrefix+w.Name]...); return true }
		return e, nil
	}
	o.OnWarn = nil
	if _, err := Run(t.Context(), o); !errors.Is(err, ErrDiverged) {
		t.Fatal(err)
	}
	if len(first) == 0 || slices.ContainsFunc(first, func(v float32) bool { return v != 0 }) {
		t.Errorf("the given weights did not arrive: %v", first)
	}
	o.Weights[0].Name = "nonesuch"
	if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "nonesuch") {
		t.Errorf("unknown weights: %v", err)
	}
}

func TestBatchLargerThanData(t *testing.T) {
	o := testOptions(t, t.TempDir())
	o.Recipe.Batch = 64
	if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "batch of 64 is more than the 23") {
		t.Errorf("got %v", err)
	}
}

func appendFile(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o666)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

func TestStepSeeds(t *testing.T) {
	seen := map[uint64]bool{}
	for seed := range uint64(20) {
		for step := range int64(500) {
			seen[stepSeed(seed, step)] = true
		}
	}
	if len(seen) != 20*500 {
		t.Errorf("%d different seeds of %d", len(seen), 20*500)
	}
}
