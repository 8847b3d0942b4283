package encode

import (
	"math"
	"testing"

	"github.com/apache/arrow/go/v15/arrow/float16"
)

// TestHalf goes through every float16 and what lies between neighbours.
func TestHalf(t *testing.T) {
	value := func(b uint16) float32 { return float16.FromBits(b).Float32() }
	for b := range uint16(0x7c00) {
		v := value(b)
		if e := int(b >> 10); e == 0 { // Arrow's own reading of subnormals is not relied upon
			v = float32(math.Ldexp(float64(b), -24))
		}
		if got := Half(v).Uint16(); got != b {
			t.Fatalf("%#x is %g and comes back as %#x", b, v, got)
		}
		if got := Half(-v).Uint16(); got != b|0x8000 {
			t.Fatalf("-%g comes back as %#x", v, got)
		}
		if b+1 == 0x7c00 {
			break
		}
		next := value(b + 1)
		if (b+1)>>10 == 0 {
			next = float32(math.Ldexp(float64(b+1), -24))
		}
		middle := v/2 + next/2
		if got, want := Half(middle).Uint16(), b+b&1; got != want {
			t.Fatalf("%g between %#x and its neighbour: %#x, want %#x", middle, b, got, want)
		}
		if got := Half(math.Nextafter32(middle, next)).Uint16(); got != b+1 {
			t.Fatalf("just above %g: %#x, want %#x", middle, got, b+1)
		}
	}
	if got := Half(65520).Uint16(); got != 0x7c00 {
		t.Errorf("65520 is %#x, want infinity", got)
	}
	if got := Half(float32(math.NaN())).Uint16(); got&0x7c00 != 0x7c00 || got&0x3ff == 0 {
		t.Errorf("NaN is %#x", got)
	}
}
