package train

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/internal/raced"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/modeltest"
	"github.com/synshard/synshard/train/checkpoint"
	"github.com/synshard/synshard/train/footprint"
	"github.com/synshard/synshard/train/runlog"
)

func TestLargestBatch(t *testing.T) {
	raced.Skip(t, "one goroutine tries one engine after the other")
	o := testOptions(t, t.TempDir())
	o.Network = modeltest.Network(t, "inception_v3", model.Options{Classes: testClasses, Width: 0.03})
	o.Network.Input, o.Recipe.Eval.Size = 75, 75
	room := 0
	o.NewEngine = func(cfg EngineConfig) (Engine, error) {
		e := newFake(o.Network, cfg)
		e.largest = room
		return e, nil
	}
	for _, c := range []struct{ room, limit, atLeast, atMost int }{
		{8, 1000, 8, 8}, {15, 1000, 8, 8}, {100, 1000, 88, 100}, {250, 1000, 220, 250}, {1 << 20, 64, 64, 64}, {1 << 20, 100, 88, 96}, {100, 5, 5, 5},
	} {
		tries := 0
		room = c.room
		got, err := largestBatch(t.Context(), o, c.limit, func(int, bool) { tries++ })
		if err != nil {
			t.Fatalf("room %d, limit %d: %v", c.room, c.limit, err)
		}
		if inside := c.atLeast <= got && got <= c.atMost; !inside {
			t.Errorf("room %d, limit %d: batch %d, want %d to %d", c.room, c.limit, got, c.atLeast, c.atMost)
		}
		if got%8 != 0 && got != c.limit {
			t.Errorf("room %d, limit %d: batch %d is no multiple of 8", c.room, c.limit, got)
		}
		if tries > 12 {
			t.Errorf("room %d, limit %d: %d tries", c.room, c.limit, tries)
		}
	}
	room = 7
	if _, err := largestBatch(t.Context(), o, 64, nil); !errors.Is(err, ErrOutOfMemory) {
		t.Errorf("nothing fits: %v", err)
	}
	// From what should fit by the account it is not far to what does.
	account := func(batch int) int64 {
		a, err := footprint.Of(o.Network, footprint.Options{Precision: o.Precision, Optimizer: o.Recipe.Optimizer.Kind, EMA: o.Recipe.EMA.Decay > 0}, batch)
		if err != nil {
			t.Fatal(err)
		}
		return a.Total
	}
	for _, c := range []struct{ expected, room, limit, atLeast, atMost, most int }{
		{104, 104, 1000, 96, 104, 2}, {104, 120, 1000, 104, 120, 4}, {104, 90, 1000, 80, 90, 4}, {104, 900, 1000, 800, 900, 9}, {504, 20, 1000, 16, 20, 9},
		{104, 8, 1000, 8, 8, 7}, {504, 1 << 20, 64, 64, 64, 1}, {1, 64, 1000, 56, 64, 8},
	} {
		tries := 0
		room, o.DeviceMemory = c.room, account(c.expected)
		got, err := largestBatch(t.Context(), o, c.limit, func(int, bool) { tries++ })
		if err != nil || got < c.atLeast || got > c.atMost || tries > c.most {
			t.Errorf("expected %d, room %d, limit %d: batch %d in %d tries (%v), want %d to %d in %d", c.expected, c.room, c.limit, got, tries, err, c.atLeast, c.atMost, c.most)
		}
	}
	o.DeviceMemory = 0
	// The limit is of the whole batch, in however many microbatches it is worked through.
	room, o.Recipe.Accumulate = 1<<20, 4
	for limit, want := range map[int]int{100: 96, 20: 20, 3: 4} {
		if got, err := largestBatch(t.Context(), o, limit, nil); got != want || err != nil {
			t.Errorf("at most %d in 4 microbatches: batch %d (%v), want %d", limit, got, err, want)
		}
	}
	o.Recipe.Accumulate = 1
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := largestBatch(ctx, o, 64, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestSavedBatch(t *testing.T) {
	o := testOptions(t, t.TempDir())
	if _, ok, err := SavedBatch(o.Dir); ok || err != nil {
		t.Errorf("empty directory: %v, %v", ok, err)
	}
	mustRun(t, o)
	if b, ok, err := SavedBatch(o.Dir); b != 4 || !ok || err != nil {
		t.Errorf("batch %d, %v, %v", b, ok, err)
	}
}

func TestEvaluateOnly(t *testing.T) {
	o := testOptions(t, t.TempDir())
	if _, err := Evaluate(t.Context(), o); err == nil || !strings.Contains(err.Error(), "no checkpoint") {
		t.Errorf("empty directory: %v", err)
	}
	mustRun(t, o)
	ev, err := Evaluate(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	want := Measured{runlog.Evaluation{
		Kind: "eval", Step: testSteps, Epoch: 3, Raw: runlog.Score{N: 10, Top1: 0.5, Top5: 1, Loss: 0.5},
		EMA: &runlog.Score{N: 10, Top1: 0.7, Top5: 1, Loss: 0.5},
	}, checkpoint.Path(o.Dir, testSteps)}
	if diff := cmp.Diff(want, ev, untimed); diff != "" {
		t.Errorf("evaluation (-want +got):\n%s", diff)
	}
	o.Weights = o.Network.Init(4)
	want.Step, want.Epoch, want.EMA, want.Checkpoint = 0, 0, nil, ""
	if ev, err = Evaluate(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, ev, untimed); diff != "" {
		t.Errorf("evaluation of given weights (-want +got):\n%s", diff)
	}
	o.Weights = o.Weights[1:]
	if ev, err := Evaluate(t.Context(), o); err == nil || !strings.Contains(err.Error(), "not for these 3 classes") {
		t.Errorf("of a part of a network's weights: %+v, %v", ev, err)
	}
}

// TestEvaluateFineTuned: the command of a run that began with weights measures the run, not
// those; others are measured where they are given, and where there is no run.
func TestEvaluateFineTuned(t *testing.T) {
	o := testOptions(t, t.TempDir())
	o.Recipe.NeedsWeights, o.Weights = true, o.Network.Init(4)[:3]
	mustRun(t, o)
	of := func(given []model.Tensor, dir string) Measured {
		t.Helper()
		o := o
		o.Weights, o.Dir = given, dir
		m, err := Evaluate(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	newest, other := checkpoint.Path(o.Dir, testSteps), o.Network.Init(5)
	for _, c := range []struct {
		what  string
		given []model.Tensor
		dir   string
		want  string
	}{
		{"its own first weights", o.Weights, o.Dir, newest}, {"none", nil, o.Dir, newest},
		{"others", other, o.Dir, ""}, {"others, without a run", other, "", ""}, {"others, in an empty directory", other, t.TempDir(), ""},
	} {
		if m := of(c.given, c.dir); m.Checkpoint != c.want || (m.Step == testSteps) != (c.want != "") {
			t.Errorf("%s: step %d of %q, want %q", c.what, m.Step, m.Checkpoint, c.want)
		}
	}
	must(t, os.WriteFile(newest, []byte("no"), 0o666))
	if m, err := Evaluate(t.Context(), o); !errors.Is(err, checkpoint.ErrDamaged) {
		t.Errorf("its newest checkpoint is damaged: %+v, %v", m, err)
	}
}

// TestEvaluateChangesNothing measures runs whose newest checkpoint is damaged, or gone: none
// before it is taken for it, unless it is named, and every file stays as it is.
func TestEvaluateChangesNothing(t *testing.T) {
	o := testOptions(t, t.TempDir())
	mustRun(t, o)
	newest, before := checkpoint.Path(o.Dir, testSteps), checkpoint.Path(o.Dir, testSteps-epochSteps)
	if err := os.WriteFile(newest, []byte("no"), 0o666); err != nil {
		t.Fatal(err)
	}
	if ev, err := Evaluate(t.Context(), o); !errors.Is(err, checkpoint.ErrDamaged) || !strings.Contains(err.Error(), newest) {
		t.Errorf("damaged: step %d, %v", ev.Step, err)
	}
	if got := string(slurp(t, newest)); got != "no" {
		t.Errorf("the damaged checkpoint became %q", got)
	}
	if err := os.Remove(newest); err != nil {
		t.Fatal(err)
	}
	if ev, err := Evaluate(t.Context(), o); !errors.Is(err, checkpoint.ErrDamaged) {
		t.Errorf("gone: step %d, %v", ev.Step, err)
	}
	c, err := checkpoint.Read(before)
	if err != nil {
		t.Fatal(err)
	}
	o.Weights = checkpoint.Weights(c.Tensors, false)
	if _, err := Evaluate(t.Context(), o); err != nil {
		t.Errorf("one that is named: %v", err)
	}
}

// TestEvenly: what a batch is on the CPU goes into any number of microbatches.
func TestEvenly(t *testing.T) {
	for _, c := range []struct{ most, microbatches, want int }{{32, 1, 32}, {32, 5, 30}, {3, 8, 8}, {1, 1, 1}} {
		if got := evenly(c.most, c.microbatches); got != c.want {
			t.Errorf("at most %d in %d microbatches: %d, want %d", c.most, c.microbatches, got, c.want)
		}
	}
}
