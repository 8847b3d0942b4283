package panel

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMarks(t *testing.T) {
	for _, c := range []struct {
		within [2]float64
		most   int
		want   []float64
	}{
		{[2]float64{0, 100}, 6, []float64{0, 20, 40, 60, 80, 100}},
		{[2]float64{0, 3.9}, 10, []float64{0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5}},
		{[2]float64{-0.5, 0.5}, 6, []float64{-0.4, -0.2, 0, 0.2, 0.4}},
	} {
		got := Marks(c.within[0], c.within[1], c.most)
		if d := cmp.Diff(fmt.Sprintf("%.6g", c.want), fmt.Sprintf("%.6g", got)); d != "" {
			t.Errorf("%v: %s", c.within, d)
		}
	}
}

func TestPowers(t *testing.T) {
	var got []string
	for _, tick := range (powers{}).Ticks(1e-6, 10) {
		if !tick.IsMinor() {
			got = append(got, tick.Label)
		}
	}
	if d := cmp.Diff([]string{"1e-06", "1e-05", "0.0001", "0.001", "0.01", "0.1", "1", "10"}, got); d != "" {
		t.Error(d)
	}
}
