package prediction

import (
	"math"

	"github.com/apache/arrow/go/v15/arrow/float16"
)

// half rounds to the nearest float16, ties to even, as IEEE 754 has it; what is
// too large becomes infinite. Arrow's own conversion cuts digits off.
func Half(f float32) float16.Num {
	b := math.Float32bits(f)
	sign, exp, frac := uint16(b>>16)&0x8000, int(b>>23)&0xff-127, b&0x7fffff
	switch {
	case exp == 128 && frac != 0:
		return float16.FromBits(sign | 0x7e00)
	case exp >= 16:
		return float16.FromBits(sign | 0x7c00)
	case exp < -25:
		return float16.FromBits(sign)
	}
	shift, bias := uint(13), uint32(exp+15)<<10
	if exp < -14 { // subnormal: the leading one is written out
		frac |= 0x800000
		shift, bias = uint(-1-exp), 0
	}
	v, rest, middle := bias+frac>>shift, frac&(1<<shift-1), uint32(1)<<(shift-1)
	if rest > middle || rest == middle && v&1 == 1 {
		v++ // may carry into the exponent, which is right
	}
	return float16.FromBits(sign | uint16(v))
}
