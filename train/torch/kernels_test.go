package torch

import (
	"bytes"
	"errors"
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
			t.Skipf("needs CUDA's run-time compiler, libnvrtc (synshard setup --cuda): %v", err)
		}
		if err != nil {
			t.Errorf("sm_%d: %v", capability, err)
		}
	}
}

// TestPinned takes and frees pinned memory in an order of its own, of CUDA or of
// the emulation, whose allocator has the same contract.
func TestPinned(t *testing.T) {
	s := shim(t)
	type piece struct {
		bytes []byte
		free  func()
	}
	var pieces []piece
	for i, n := range []int{1, 4096, 3 << 20, 4096} {
		b, free, err := s.Alloc(n)
		if errors.Is(err, train.ErrNoDevice) {
			t.Skipf("needs CUDA or the emulation: %v", err)
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(b) != n {
			t.Fatalf("%d bytes, want %d", len(b), n)
		}
		for j := range b {
			b[j] = byte(i + 1)
		}
		pieces = append(pieces, piece{b, free})
	}
	for _, i := range []int{2, 0, 3, 1} {
		if got := bytes.Count(pieces[i].bytes, []byte{byte(i + 1)}); got != len(pieces[i].bytes) {
			t.Errorf("piece %d: %d of %d bytes are as written", i, got, len(pieces[i].bytes))
		}
		pieces[i].free()
	}
	if _, _, err := s.Alloc(0); err == nil {
		t.Error("no bytes were given")
	}
}

// TestThreads: a GPU's engines share a thread, the CPU's do not.
func TestThreads(t *testing.T) {
	var all threads
	var got []thread
	for _, device := range []string{"cuda", "cuda:0", "cuda:1", "cpu", "cpu"} {
		th, free := all.of(device)
		defer free()
		got = append(got, th)
	}
	if got[0] != got[1] || got[0] == got[2] || got[3] == got[4] || got[3] == got[0] {
		t.Errorf("threads of cuda, cuda:0, cuda:1, cpu, cpu: %v", got)
	}
	got[0].run(func() { got[1] = nil })
	if got[1] != nil {
		t.Error("a thread returned before what it was given was done")
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

// TestQueueBehindAFailure: a step that breaks off in its second half leaves what the one
// before it found to be collected, and nothing else.
func TestQueueBehindAFailure(t *testing.T) {
	cfg := traintest.Config("sgd")
	cfg.Accumulate = 2
	one, two := engine(t, cfg), engine(t, cfg)
	s := train.Step{LR: 0.005}
	want := traintest.Step(t, one, traintest.Batch(4), s)
	if err := two.Submit(traintest.Batch(4), s); err != nil {
		t.Fatal(err)
	}
	bad := traintest.Batch(4)
	bad.Labels[3] = 8
	if err := two.Submit(bad, s); err == nil {
		t.Fatal("a label out of range was taken")
	}
	got, err := two.Collect()
	if diff := cmp.Diff(want, got, traintest.Untimed); diff != "" || err != nil {
		t.Errorf("the step before: %v (-alone +before one that failed):\n%s", err, diff)
	}
	if m, err := two.Collect(); err == nil {
		t.Errorf("a step that failed found %v", m)
	}
	want, got = traintest.Step(t, one, traintest.Batch(4), s), traintest.Step(t, two, traintest.Batch(4), s)
	if diff := cmp.Diff(want, got, traintest.Untimed); diff != "" {
		t.Errorf("the step after (-undisturbed +after one that failed):\n%s", diff)
	}
}
