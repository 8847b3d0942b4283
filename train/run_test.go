package train

import (
	"context"
	"errors"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/model"
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
	if diff := cmp.Diff([]any{testSteps, want}, []any{len(steps), got}, cmpopts.EquateApprox(0, 1e-12)); diff != "" {
		t.Errorf("steps and their places (-want +got):\n%s", diff)
	}
	// Rows 0, 2, 4, 6, 8 of ten, and all but 0, 4, 8.
	score := &runlog.Evaluation{
		Kind: "eval", Step: testSteps, Epoch: 3, Raw: runlog.Score{N: 10, Top1: 0.5, Top5: 1, Loss: 0.5},
		EMA: &runlog.Score{N: 10, Top1: 0.7, Top5: 1, Loss: 0.5},
	}
	first := *score
	first.Step, first.Epoch = epochSteps, 1
	exported := &runlog.Evaluation{Kind: "eval", Step: testSteps, Epoch: 3, Raw: *score.EMA}
	wantResult := Result{
		Steps: testSteps, Epochs: 3, Images: 60, Last: score, Best: &first, Exported: exported, Dir: o.Dir,
		ONNX: filepath.Join(o.Dir, "model.onnx"), Weights: filepath.Join(o.Dir, "model.safetensors"), Ended: "epochs",
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
	if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "batch of 64 is more than the 23") || !errors.As(err, new(*OptionError)) {
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
