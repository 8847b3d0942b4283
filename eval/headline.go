package eval

import (
	"fmt"
	"math"
	"strings"
)

// Interval is a range of a share: Low to High, each from 0 to 1.
type Interval struct {
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// z95 is the 97.5 % point of the normal distribution.
const z95 = 1.959963984540054

// Wilson gives the 95 % interval of a share of which right of n were seen, by Wilson's
// score: E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical
// Inference", JASA 22 (1927). It holds where the share is near 0 or 1, too. Of no rows
// it is 0 to 1.
func Wilson(right, n int) Interval {
	if n == 0 {
		return Interval{0, 1}
	}
	p, m := float64(right)/float64(n), float64(n)
	z2 := z95 * z95
	center := (p + z2/(2*m)) / (1 + z2/m)
	half := z95 / (1 + z2/m) * math.Sqrt(p*(1-p)/m+z2/(4*m*m))
	in := Interval{max(center-half, 0), min(center+half, 1)}
	if right == 0 {
		in.Low = 0
	}
	if right == n {
		in.High = 1
	}
	return in
}

// Headline is what is asked first of a classifier: how many of its images are right at
// the first prediction, and among the first five.
type Headline struct {
	Images     int // whose truth is known
	Unreadable int // of them, and wrong
	Right1     int // whose first prediction is the truth
	Right5     int // whose truth is among the first K
	K          int // 5, or as many as were kept, if fewer; 0: Right5 is not known
}

// Lines gives the headline as lines of text, percentages of Images.
func (h Headline) Lines() string {
	var b strings.Builder
	line := func(k, right int) {
		in := Wilson(right, h.Images)
		fmt.Fprintf(&b, "%-8s %6.2f %%  95 %% interval %.2f to %.2f %%\n", fmt.Sprintf("top-%d", k), 100*share(right, h.Images), 100*in.Low, 100*in.High)
	}
	line(1, h.Right1)
	if h.K > 1 {
		line(h.K, h.Right5)
	}
	fmt.Fprintf(&b, "%-8s %6d", "images", h.Images)
	if h.Unreadable > 0 {
		fmt.Fprintf(&b, "    %d of them unreadable, which counts as wrong", h.Unreadable)
	}
	b.WriteByte('\n')
	return b.String()
}

// Headline gives the report's.
func (r *Report) Headline() Headline {
	return Headline{Images: r.N, Unreadable: r.Failed, Right1: r.right1, Right5: r.right5, K: min(r.K, 5)}
}
