package quantize

import "math"

// leastError gives the range whose 8 bits lose least by the squared error: of a value
// within it that of rounding, step^2 / 12 on average where values lie anywhere between
// two levels, and of one beyond it the square of what is cut off (Nagel et al., "A White
// Paper on Neural Network Quantization", arXiv:2106.08295). counts are of the values
// that are not 0, which is exact, in bins of equal width from r.Min to r.Max.
func leastError(r Range, counts []uint64) Range {
	const stride = 4 // bins
	width := (float64(r.Max) - float64(r.Min)) / float64(len(counts))
	edge := func(bin int) float64 { return float64(r.Min) + float64(bin)*width }
	tail := make([]moments, len(counts)+1) // from a bin on
	for i := len(counts) - 1; i >= 0; i-- {
		x, n := edge(i)+width/2, float64(counts[i])
		tail[i] = tail[i+1].plus(moments{n, n * x, n * x * x})
	}
	best, least := r, math.Inf(1)
	for a := 0; a < len(counts) && (a == 0 || edge(a) <= 0); a += stride { // a range holds 0 whatever is cut
		low := min(edge(a), 0)
		below := tail[0].less(tail[a]).around(low)
		for b := len(counts); b > a && (b == len(counts) || edge(b) >= 0); b -= stride {
			high := max(edge(b), 0)
			step := (high - low) / 255
			e := tail[a].less(tail[b]).n*step*step/12 + below + tail[b].around(high)
			if e < least {
				best, least = Range{float32(low), float32(high)}, e
			}
		}
	}
	return best
}

// moments are how many values there are, their sum and that of their squares.
type moments struct{ n, sum, squares float64 }

func (m moments) plus(o moments) moments {
	return moments{m.n + o.n, m.sum + o.sum, m.squares + o.squares}
}

func (m moments) less(o moments) moments {
	return moments{m.n - o.n, m.sum - o.sum, m.squares - o.squares}
}

// around is the sum of the squares of the distances to v.
func (m moments) around(v float64) float64 {
	return max(m.squares-2*v*m.sum+v*v*m.n, 0)
}
