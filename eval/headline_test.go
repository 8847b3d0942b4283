package eval

import (
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/synshard/synshard/internal/golden"
)

// Against SciPy: scripts/golden/eval_wilson.py.
func TestWilson(t *testing.T) {
	var cases []struct {
		Right, N  int
		Low, High float64
	}
	golden.Read(t, "testdata/wilson.json", &cases)
	if len(cases) < 10 {
		t.Fatalf("%d cases", len(cases))
	}
	for _, c := range cases {
		want := Interval{c.Low, c.High}
		if d := gocmp.Diff(want, Wilson(c.Right, c.N), cmpopts.EquateApprox(0, 1e-12)); d != "" {
			t.Errorf("%d of %d (-SciPy +ours):\n%s", c.Right, c.N, d)
		}
	}
	if d := gocmp.Diff(Interval{0, 1}, Wilson(0, 0)); d != "" {
		t.Error(d)
	}
}

func TestHeadline(t *testing.T) {
	for _, c := range []struct {
		h    Headline
		want string
	}{
		{Headline{Images: 200, Unreadable: 2, Right1: 193, Right5: 198, K: 5}, "" +
			"top-1     96.50 %  95 % interval 92.95 to 98.29 %\n" +
			"top-5     99.00 %  95 % interval 96.43 to 99.73 %\n" +
			"images      200    2 of them unreadable, which counts as wrong\n"},
		{Headline{Images: 4, Right1: 4, Right5: 4, K: 1}, "" +
			"top-1    100.00 %  95 % interval 51.01 to 100.00 %\n" +
			"images        4\n"},
	} {
		if d := gocmp.Diff(c.want, c.h.Lines()); d != "" {
			t.Errorf("%+v:\n%s", c.h, d)
		}
	}
}
