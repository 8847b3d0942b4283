package runlog

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func curveOf(ys ...float64) (c Curve) {
	for i, y := range ys {
		c = append(c, Point{float64(i), y})
	}
	return c
}

func TestCurve(t *testing.T) {
	c := curveOf(1, 3, 2, 3)
	best, ok := c.Best()
	if d := cmp.Diff(Point{1, 3}, best); d != "" || !ok {
		t.Errorf("best: %v %s", ok, d)
	}
	if _, ok := (Curve{}).Best(); ok {
		t.Error("an empty curve has a best point")
	}
	if d := cmp.Diff(Curve{{0, 1}, {2, 2}, {3, 3}}, c.Thin(2)); d != "" {
		t.Errorf("thinned to two and the last:\n%s", d)
	}
	if d := cmp.Diff(c, c.Thin(4)); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(c, c.Running()); d != "" { // of few points each is its own mean
		t.Error(d)
	}
	long := make(Curve, 500)
	for i := range long {
		long[i] = Point{float64(i), 7}
	}
	if d := cmp.Diff(long, long.Running(), cmpopts.EquateApprox(0, 1e-12)); d != "" {
		t.Errorf("the mean of equal values:\n%s", d)
	}
}

// One validation far off must not flatten the others, and one near is seen whole.
func TestLossTop(t *testing.T) {
	for _, c := range []struct {
		mean, validation Curve
		want             float64
	}{
		{curveOf(2, 1), curveOf(27, 0.5), 1.05 * 3},
		{curveOf(2, 1), curveOf(2.5, 0.5), 1.05 * 2.5},
		{curveOf(2, 1), nil, 1.05 * 2},
		{nil, curveOf(4, 1), 1.05 * 4},
		{nil, nil, 1e-3},
	} {
		if d := cmp.Diff(c.want, LossTop(c.mean, c.validation), cmpopts.EquateApprox(0, 1e-12)); d != "" {
			t.Errorf("%v, %v: %s", c.mean, c.validation, d)
		}
	}
}
