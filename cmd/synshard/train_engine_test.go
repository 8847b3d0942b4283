package main

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestSlowSteps is told of each reason once: of those that are known at once, at once, of
// others when the first steps were taken.
func TestSlowSteps(t *testing.T) {
	var got []string
	s := slowSteps{log: func(format string, args ...any) { got = append(got, fmt.Sprintf(format, args...)) }}
	steps := func(n int) {
		for range n {
			s.step()
		}
	}
	steps(10) // of no engine on a GPU
	note := "plain operations: no NVRTC"
	engine := func(text string) {
		note = text
		s.begin(func() string { return note })
	}
	engine("plain operations: no NVRTC")
	steps(10)
	engine("plain operations: no NVRTC") // anew
	engine("fused kernels, steps not recorded: gradients are exchanged while they are computed")
	steps(10)
	engine("fused kernels")
	steps(3)
	note = "fused kernels, recorded steps"
	steps(10)
	engine("fused kernels")
	steps(3)
	note = "fused kernels, steps not recorded: out of memory"
	steps(4)
	const told = "warning: steps are slower than they could be: "
	want := []string{told + "plain operations: no NVRTC"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("before the eighth step (-want +got):\n%s", diff)
	}
	steps(10)
	if diff := cmp.Diff(append(want, told+note), got); diff != "" {
		t.Errorf("after it (-want +got):\n%s", diff)
	}
	s.begin(func() string { return "fused kernels" })
	s.note = func() string { t.Error("a closed engine was asked"); return "" }
	s.end()
	steps(10)
}
