package panel

import (
	"math"
	"strconv"

	"gonum.org/v1/plot"
)

// marks is an axis's: Marks of at most so many.
type marks int

// Ticks implements plot.Ticker.
func (m marks) Ticks(from, to float64) (out []plot.Tick) {
	for _, v := range Marks(from, to, int(m)) {
		out = append(out, plot.Tick{Value: v, Label: strconv.FormatFloat(v, 'g', 6, 64)})
	}
	return out
}

// Marks are the multiples of 1, 2 or 5 times a power of ten from one value to a greater
// one, at most so many.
func Marks(from, to float64, most int) (out []float64) {
	span := to - from
	power := math.Pow(10, math.Floor(math.Log10(span/float64(most))))
	step := 10 * power
	for _, m := range []float64{1, 2, 5} {
		if m*power*float64(most) >= span {
			step = m * power
			break
		}
	}
	for k := math.Ceil(from/step - 1e-9); k*step <= to+1e-9*span; k++ {
		out = append(out, k*step+0) // no -0
	}
	return out
}

// powers ticks an axis of powers of ten, and names these.
type powers struct{}

func (powers) Ticks(from, to float64) []plot.Tick {
	out := plot.LogTicks{}.Ticks(from, to)
	for i, t := range out {
		if !t.IsMinor() {
			out[i].Label = strconv.FormatFloat(math.Pow10(int(math.Round(math.Log10(t.Value)))), 'g', -1, 64)
		}
	}
	return out
}
