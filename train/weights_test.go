package train

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/synshard/synshard/model"
)

func thinNet(t *testing.T, classes int, aux bool) *model.Network {
	t.Helper()
	n, err := model.New("inception_v3", model.Options{Classes: classes, Aux: aux, Width: 0.03})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestAdaptHeadOfAnotherWidth(t *testing.T) {
	given := thinNet(t, 10, true).Init(1)
	given = append(given, model.Tensor{Name: "Conv2d_1a_3x3.bn.num_batches_tracked", DType: "I64", Data: make([]byte, 8)})
	net := thinNet(t, 3, true)
	a, err := Adapt(net, given, false)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"AuxLogits.fc.bias", "AuxLogits.fc.weight", "fc.bias", "fc.weight"}; !slices.Equal(slices.Sorted(slices.Values(a.Fresh)), want) {
		t.Errorf("fresh %v, want %v", a.Fresh, want)
	}
	if len(a.Unused) != 0 || len(a.Tensors) != len(net.Params())-4 {
		t.Errorf("%d tensors, unused %v", len(a.Tensors), a.Unused)
	}
}

// The commonest mistake there is: as many classes, but others.
func TestAdaptHeadOfOtherClasses(t *testing.T) {
	net := thinNet(t, 3, true)
	a, err := Adapt(net, net.Init(1), true)
	if err != nil || len(a.Fresh) != 4 {
		t.Errorf("fresh %v, %v", a.Fresh, err)
	}
	if a, err = Adapt(net, net.Init(1), false); err != nil || len(a.Fresh) != 0 {
		t.Errorf("the same classes: fresh %v, %v", a.Fresh, err)
	}
}

func TestAdaptWithoutAuxiliary(t *testing.T) {
	a, err := Adapt(thinNet(t, 3, false), thinNet(t, 3, true).Init(1), false)
	if err != nil || len(a.Fresh) != 0 || len(a.Unused) == 0 || !strings.HasPrefix(a.Unused[0], "AuxLogits.") {
		t.Errorf("into a network without: fresh %v, unused %v, %v", a.Fresh, a.Unused, err)
	}
	a, err = Adapt(thinNet(t, 3, true), thinNet(t, 3, false).Init(1), false)
	if err != nil || len(a.Fresh) == 0 {
		t.Fatalf("into a network with: %v", err)
	}
	for _, name := range a.Fresh {
		if !strings.HasPrefix(name, "AuxLogits.") {
			t.Errorf("%s starts anew", name)
		}
	}
}

func TestAdaptRefusesAnotherNetwork(t *testing.T) {
	net := thinNet(t, 3, true)
	given := net.Init(1)
	for i := range given {
		if given[i].Name == "Mixed_5b.branch1x1.conv.weight" {
			missing := slices.Delete(slices.Clone(given), i, i+1)
			if _, err := Adapt(net, missing, false); err == nil || !strings.Contains(err.Error(), given[i].Name) {
				t.Errorf("missing: %v", err)
			}
			given[i].Shape = append([]int{1}, given[i].Shape...)
			if _, err := Adapt(net, given, false); err == nil || !strings.Contains(err.Error(), given[i].Name) {
				t.Errorf("another shape: %v", err)
			}
			return
		}
	}
	t.Fatal("no such weight")
}

func TestLargestBatch(t *testing.T) {
	o := testOptions(t, t.TempDir())
	o.Network = thinNet(t, testClasses, false)
	o.Network.Input = 75
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
		got, err := LargestBatch(t.Context(), o, c.limit, func(int, bool) { tries++ })
		if err != nil || got < c.atLeast || got > c.atMost || got%8 != 0 && got != c.limit || tries > 12 {
			t.Errorf("room %d, limit %d: batch %d after %d tries, %v", c.room, c.limit, got, tries, err)
		}
	}
	room = 7
	if _, err := LargestBatch(t.Context(), o, 64, nil); !errors.Is(err, ErrOutOfMemory) {
		t.Errorf("nothing fits: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := LargestBatch(ctx, o, 64, nil); !errors.Is(err, context.Canceled) {
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
	if err != nil || ev.Raw.Top1 != 0.5 || ev.EMA == nil || ev.EMA.Top1 != 0.7 || ev.Step != testSteps || ev.Epoch != 3 {
		t.Errorf("evaluation %+v, %v", ev, err)
	}
	o.Weights = o.Network.Init(4)
	if ev, err = Evaluate(t.Context(), o); err != nil || ev.EMA != nil || ev.Raw.N != 10 {
		t.Errorf("evaluation of given weights %+v, %v", ev, err)
	}
}
