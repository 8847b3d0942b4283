package encode

import (
	"math"
	"testing"
)

// TestHalf goes through every float16 and what lies between neighbours.
func TestHalf(t *testing.T) {
	value := FromHalf
	for b := range uint16(0x7c00) {
		v := value(b)
		if e, m := int(b>>10), float64(b&0x3ff); v != float32(math.Ldexp(m+1024, e-25)) && e > 0 || v != float32(math.Ldexp(m, -24)) && e == 0 {
			t.Fatalf("%#x is read as %g", b, v)
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
	if math.Float32bits(FromHalf(0x8000)) != 1<<31 || !math.IsInf(float64(FromHalf(0xfc00)), -1) || !math.IsNaN(float64(FromHalf(0x7e00))) {
		t.Error("-0, -infinity and NaN are read otherwise")
	}
	if got := Half(float32(math.NaN())).Uint16(); got&0x7c00 != 0x7c00 || got&0x3ff == 0 {
		t.Errorf("NaN is %#x", got)
	}
}
