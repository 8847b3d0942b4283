package splitmix

import (
	"fmt"
	"hash/fnv"
	"math"
	"testing"
)

// TestFraction holds numbers to what they were when datasets were split by them, and to
// their distribution.
func TestFraction(t *testing.T) {
	h := fnv.New64a()
	h.Write([]byte("0000000000000007\x00n01440764\x00a/b.JPEG"))
	if want := float64(Mix(h.Sum64())>>11) / (1 << 53); Fraction(7, "n01440764", "a/b.JPEG") != want {
		t.Errorf("another number than %v", want)
	}
	const n = 20000
	var tenths [10]int
	for i := range n {
		tenths[int(Fraction(1, "n01440764", fmt.Sprint(i))*10)]++
	}
	chi := 0.0
	for _, k := range tenths {
		chi += math.Pow(float64(k)-n/10, 2) / (n / 10)
	}
	if chi > 27.9 { // one in a thousand, with 9 degrees of freedom
		t.Errorf("%v of 20000 in each tenth", tenths)
	}
}
