package trial

import (
	"fmt"
	"math"
)

// Probabilities of two ways are the same where they lie within Tolerance of each other, and
// within share of themselves, so that a network which is sure of noise is not said to agree with
// whatever is sure of it, too. Engines in fp32 differ by a hundredth of that, in int8 by as much as
// a level of their rounding makes: a thousand times more.
const (
	Tolerance = 1e-5
	share     = 1e-3
	nothing   = 1e-7 // below it a share says nothing
)

// differ says how two ways' probabilities of the same images differ; "": by no more than they
// may.
func differ(got, want []float32) string {
	if len(got) != len(want) {
		return fmt.Sprintf("%d probabilities, and not %d", len(got), len(want))
	}
	worst, same := 0.0, true
	for i := range want {
		g, w := float64(got[i]), float64(want[i])
		d := math.Abs(g - w)
		if !(d <= Tolerance) || d > share*max(g, w)+nothing {
			same = false
		}
		worst = max(worst, d)
	}
	if same {
		return ""
	}
	return fmt.Sprintf("its probabilities differ by up to %.2g", worst)
}
