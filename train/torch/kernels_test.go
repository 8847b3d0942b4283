package torch

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/train"
	"github.com/synshard/synshard/train/traintest"
)

// TestKernelsCompile puts the GPU's kernels through CUDA's compiler for each
// generation of cards, Turing to Blackwell. That needs no card.
func TestKernelsCompile(t *testing.T) {
	s := shim(t)
	for _, capability := range []int{75, 80, 86, 89, 90, 100, 120} {
		err := s.compileKernels(capability)
		if err != nil && (strings.Contains(err.Error(), "libnvrtc.so") || strings.Contains(err.Error(), "emulated")) {
			t.Skipf("needs CUDA's run-time compiler, libnvrtc (scripts/setup.sh --cuda): %v", err)
		}
		if err != nil {
			t.Errorf("sm_%d: %v", capability, err)
		}
	}
}

// TestQueue has two steps under way and expects of them, in order, what steps
// taken one by one find.
func TestQueue(t *testing.T) {
	one, two := engine(t, traintest.Config("sgd")), engine(t, traintest.Config("sgd"))
	if _, err := two.Collect(); err == nil {
		t.Error("collected a step that was not begun")
	}
	var want, got []train.Metrics
	for i := range 4 {
		s := train.Step{Seed: uint64(i), LR: 0.005}
		want = append(want, traintest.Step(t, one, traintest.Batch(4), s))
		b := traintest.Batch(4)
		if err := two.Submit(b, s); err != nil {
			t.Fatal(err)
		}
		clear(b.Images) // free again, as the loader takes it
		clear(b.Labels)
		if i == 0 {
			if _, err := two.Step(traintest.Batch(4), train.Step{}); err == nil {
				t.Error("a step was taken while another was not collected")
			}
			continue
		}
		m, err := two.Collect()
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, m)
	}
	m, err := two.Collect()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, append(got, m), traintest.Untimed); diff != "" {
		t.Errorf("steps (-one by one +two under way):\n%s", diff)
	}
}
