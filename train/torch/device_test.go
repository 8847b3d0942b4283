package torch

import "testing"

// TestPrecision goes by the cards that a fake library has: cuda:0 and cuda:1 of compute
// capability 9.0 and 8.0, cuda:2 of 7.5.
func TestPrecision(t *testing.T) {
	s, err := Open(fake(t, "SS_ABI", "synshard_torch_v1"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"fp32", "tf32", "bf16", "fp16"} {
		if got, err := s.Precision(p, "cuda:2"); got != p || err != nil {
			t.Errorf("asked for %s, got %s, %v", p, got, err)
		}
	}
	for _, c := range []struct {
		want    string
		devices []string
	}{
		{"bf16", []string{"cuda:0"}},
		{"bf16", []string{"cuda"}},
		{"bf16", []string{"cuda:0", "cuda:1"}},
		{"fp16", []string{"cuda:2"}},
		{"fp16", []string{"cuda:0", "cuda:2"}},
	} {
		if got, err := s.Precision("auto", c.devices...); got != c.want || err != nil {
			t.Errorf("auto on %v: %s, %v, want %s", c.devices, got, err, c.want)
		}
	}
	if got, err := s.Precision("auto", "cuda:3"); err == nil {
		t.Errorf("auto on a card that is not there: %s", got)
	}
	if got, err := s.Precision("auto", "cpu"); got != "bf16" && got != "fp32" || err != nil {
		t.Errorf("auto on the CPU: %s, %v", got, err)
	}
}
