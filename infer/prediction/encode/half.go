package encode

import (
	"sync"

	"github.com/apache/arrow/go/v15/arrow/float16"
	ieee "github.com/x448/float16"
)

// Half rounds to the nearest float16, ties to even, as IEEE 754 has it; what is
// too large becomes infinite. Arrow's own conversion cuts digits off.
func Half(f float32) float16.Num {
	return float16.FromBits(ieee.Fromfloat32(f).Bits())
}

// FromHalf is the number that a float16 is. Arrow's own reading takes those below 2^-14 for far smaller ones.
func FromHalf(b uint16) float32 { return ieee.Frombits(b).Float32() }

// Halves is FromHalf of every float16, for who reads many.
var Halves = sync.OnceValue(func() *[1 << 16]float32 {
	var all [1 << 16]float32
	for b := range all {
		all[b] = FromHalf(uint16(b))
	}
	return &all
})
