package torch

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/synshard/synshard/train"
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
	one, two := engine(t, config("sgd")), engine(t, config("sgd"))
	if _, err := two.Collect(); err == nil {
		t.Error("collected a step that was not begun")
	}
	var want, got []train.Metrics
	for i := range 4 {
		m, err := one.Step(batch(4), train.Step{Seed: uint64(i), LR: 0.005})
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, m)
		b := batch(4)
		if err := two.Submit(b, train.Step{Seed: uint64(i), LR: 0.005}); err != nil {
			t.Fatal(err)
		}
		clear(b.Images) // free again, as the loader takes it
		clear(b.Labels)
		if i == 0 {
			if _, err := two.Step(batch(4), train.Step{}); err == nil {
				t.Error("a step was taken while another was not collected")
			}
			continue
		}
		if m, err = two.Collect(); err != nil {
			t.Fatal(err)
		}
		got = append(got, m)
	}
	m, err := two.Collect()
	if err != nil {
		t.Fatal(err)
	}
	for i, m := range append(got, m) {
		a, b := fmt.Sprint(want[i].Loss, want[i].GradNorm, want[i].Correct), fmt.Sprint(m.Loss, m.GradNorm, m.Correct)
		if a != b {
			t.Errorf("step %d found %s, one by one %s", i, b, a)
		}
	}
}

// device is where the tests run: the CPU, or what SYNSHARD_TEST_DEVICE says.
func device() string {
	if d := os.Getenv("SYNSHARD_TEST_DEVICE"); d != "" {
		return d
	}
	return "cpu"
}
