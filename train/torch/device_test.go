package torch

import "testing"

func TestLowestCapability(t *testing.T) {
	for text, want := range map[string]float64{"9.0\n": 9, "8.6\n7.5\n": 7.5, "12.0\n10.0\n": 10} {
		if got, err := lowestCapability(text); err != nil || got != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "N/A\n"} {
		if got, err := lowestCapability(text); err == nil {
			t.Errorf("%q taken for %v", text, got)
		}
	}
}

func TestPrecisionAsked(t *testing.T) {
	for _, p := range []string{"fp32", "tf32", "bf16", "fp16"} {
		if got := Precision(t.Context(), p, "cuda:0"); got != p {
			t.Errorf("asked for %s, got %s", p, got)
		}
	}
	t.Setenv("PATH", t.TempDir()) // no nvidia-smi: what every CUDA device has
	if got := Precision(t.Context(), "auto", "cuda:0"); got != "fp16" {
		t.Errorf("auto on an unknown GPU: %s", got)
	}
}
