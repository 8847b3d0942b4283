package quantize

import (
	"fmt"
	"math"
	"slices"
)

// Calibrations are the ways to settle a tensor's range.
var Calibrations = []string{"mse", "minmax", "entropy", "percentile"}

// calibrationBins is how finely a tensor's values are counted.
const calibrationBins = 2048

// Calibrator settles the ranges of tensors from values seen. minmax takes the
// smallest and largest. percentile leaves out the share 1 - Percentile/100, half
// on either side. entropy cuts |x| where what 8 bits keep of the distribution
// differs least from it, by the Kullback-Leibler divergence (Migacz, 8-bit
// inference with TensorRT, 2017); zeros, which are exact, are not counted. mse takes
// what the squared error of 8 bits is least with.
//
// All batches are given to each of Passes in turn. It is for one goroutine.
type Calibrator struct {
	Method     string  // of Calibrations
	Percentile float64 // of percentile, 50 to 100; 0 means 99.999

	seen   map[string]Range
	counts map[string][]uint64
}

// Check refuses what is no method.
func (c *Calibrator) Check() error {
	if !slices.Contains(Calibrations, c.Method) {
		return fmt.Errorf("calibration %q: want one of %v", c.Method, Calibrations)
	}
	if c.Percentile != 0 && !(c.Percentile >= 50 && c.Percentile <= 100) { // NaN, too
		return fmt.Errorf("percentile %v: want 50 to 100", c.Percentile)
	}
	return nil
}

// Passes are what is told each tensor's values of every batch, one pass over all batches
// after the other: a range has to be known before values are counted in it.
func (c *Calibrator) Passes() []func(tensor string, values []float32) error {
	if c.Method == "minmax" {
		return []func(string, []float32) error{c.see}
	}
	return []func(string, []float32) error{c.see, c.count}
}

// see widens a tensor's range. A value that is not finite is an error.
func (c *Calibrator) see(tensor string, values []float32) error {
	if len(values) == 0 {
		return nil
	}
	r, ok := c.seen[tensor]
	if !ok {
		r = Range{values[0], values[0]}
	}
	for _, v := range values {
		if v < r.Min {
			r.Min = v
		}
		if v > r.Max {
			r.Max = v
		}
		if v-v != 0 {
			return fmt.Errorf("calibrate: tensor %q has the value %v", tensor, v)
		}
	}
	if c.seen == nil {
		c.seen = map[string]Range{}
	}
	c.seen[tensor] = r
	return nil
}

// count counts values in bins over the range that See found; a tensor that was not
// seen is an error. It is needed where Counts.
func (c *Calibrator) count(tensor string, values []float32) error {
	r, ok := c.seen[tensor]
	if !ok {
		return fmt.Errorf("calibrate: tensor %q is counted before it is seen", tensor)
	}
	if c.counts == nil {
		c.counts = map[string][]uint64{}
	}
	if c.counts[tensor] == nil {
		c.counts[tensor] = make([]uint64, calibrationBins)
	}
	counts := c.counts[tensor]
	if c.Method == "entropy" {
		top := max(r.Max, -r.Min)
		k := calibrationBins / float64(top)
		for _, v := range values {
			if v != 0 {
				counts[min(int(math.Abs(float64(v))*k), calibrationBins-1)]++
			}
		}
		return nil
	}
	if r.Max == r.Min {
		return nil
	}
	k := calibrationBins / (float64(r.Max) - float64(r.Min))
	for _, v := range values {
		if v == 0 && c.Method == "mse" {
			continue
		}
		counts[max(0, min(int((float64(v)-float64(r.Min))*k), calibrationBins-1))]++
	}
	return nil
}

// Ranges gives the range of every tensor seen, by name.
func (c *Calibrator) Ranges() map[string]Range {
	out := map[string]Range{}
	for name, r := range c.seen {
		switch counts := c.counts[name]; {
		case c.Method == "mse" && counts != nil && r.Max > r.Min:
			r = leastError(r, counts)
		case c.Method == "percentile" && counts != nil:
			r = c.percentile(r, counts)
		case c.Method == "entropy" && counts != nil:
			levels := 256
			if r.Min < 0 {
				levels = 128
			}
			t := float32(float64(max(r.Max, -r.Min)) * float64(entropyCut(counts, levels)) / calibrationBins)
			r = Range{max(r.Min, -t), min(r.Max, t)}
		}
		out[name] = r
	}
	return out
}

// percentile gives the edges of the bins within which all but a share lies.
func (c *Calibrator) percentile(r Range, counts []uint64) Range {
	p := c.Percentile
	if p == 0 {
		p = 99.999
	}
	total := uint64(0)
	for _, n := range counts {
		total += n
	}
	if total == 0 {
		return r
	}
	cut := (1 - p/100) / 2 * float64(total)
	lo, hi := 0, len(counts)
	for sum := 0.0; lo < hi-1; lo++ {
		if sum += float64(counts[lo]); sum > cut {
			break
		}
	}
	for sum := 0.0; hi > lo+1; hi-- {
		if sum += float64(counts[hi-1]); sum > cut {
			break
		}
	}
	width := (float64(r.Max) - float64(r.Min)) / float64(len(counts))
	return Range{float32(float64(r.Min) + float64(lo)*width), float32(float64(r.Min) + float64(hi)*width)}
}

// entropyCut gives how many bins to keep: the number, from levels on, for which
// the distribution cut there (what lies beyond counted into the last bin) is
// nearest to its own rounding to so many levels.
func entropyCut(counts []uint64, levels int) int {
	best, least := len(counts), math.Inf(1)
	beyond := 0.0
	tail := make([]float64, len(counts)+1)
	for i := len(counts) - 1; i >= 0; i-- {
		beyond += float64(counts[i])
		tail[i] = beyond
	}
	rounded := make([]float64, len(counts))
	for keep := levels; keep <= len(counts); keep += 8 {
		roundTo(rounded[:keep], counts[:keep], levels)
		if d := divergence(counts[:keep], tail[keep], rounded[:keep]); d < least {
			best, least = keep, d
		}
	}
	return best
}

// roundTo spreads what falls on a level evenly over its bins that are not empty.
func roundTo(out []float64, counts []uint64, levels int) {
	for l := range levels {
		from, to := l*len(counts)/levels, (l+1)*len(counts)/levels
		sum, n := 0.0, 0.0
		for _, v := range counts[from:to] {
			if sum += float64(v); v > 0 {
				n++
			}
		}
		for i := from; i < to; i++ {
			if out[i] = 0; counts[i] > 0 {
				out[i] = sum / n
			}
		}
	}
}

// divergence is sum p log(p/q) of the two as distributions. A bin where only
// what lies beyond is found has no q: it counts as half a value.
func divergence(counts []uint64, beyond float64, q []float64) float64 {
	sumP, sumQ := beyond, 0.0
	for i := range counts {
		sumP += float64(counts[i])
		sumQ += q[i]
	}
	if sumP == 0 || sumQ == 0 {
		return math.Inf(1)
	}
	d := 0.0
	for i := range counts {
		p := float64(counts[i])
		if i == len(counts)-1 {
			p += beyond
		}
		if p > 0 {
			p /= sumP
			d += p * math.Log(p/(max(q[i], 0.5)/sumQ))
		}
	}
	return d
}
