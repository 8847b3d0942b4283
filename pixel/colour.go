package pixel

/*
#include "resample.h"

// By value, for what Go points to is moved to its heap.
typedef struct { int64_t channel[3]; } px_totals;
typedef struct { int32_t m[9], shift; } px_map;
static px_totals px_sum(const uint8_t *pix, int pixels) {
	px_totals t;
	px_best()->sums(pix, pixels, t.channel);
	return t;
}
static void px_apply(uint8_t *pix, int pixels, px_map map) { px_best()->colour(pix, pixels, map.m, map.shift); }
*/
import "C"

import (
	"math"
	"math/rand/v2"
)

// distort changes colours in place: brightness, saturation, hue, contrast, in
// this order, each by a factor drawn uniformly. The first two and contrast are
// torchvision's blends (with black, with the grey image, with the mean grey);
// hue turns the chroma plane of YIQ, as TensorFlow's kernel does.
func (t Train) distort(pix []byte, rng *rand.Rand) {
	if t.Brightness <= 0 && t.Contrast <= 0 && t.Saturation <= 0 && t.Hue <= 0 {
		return
	}
	factor := func(strength float64) float32 {
		if strength <= 0 {
			return 1
		}
		low := max(1-strength, 0)
		return float32(low + (1+strength-low)*rng.Float64())
	}
	m := brightness(factor(t.Brightness)).then(saturation(factor(t.Saturation)))
	if t.Hue > 0 {
		m = m.then(hue((2*rng.Float64() - 1) * t.Hue))
	}
	contrast := factor(t.Contrast)
	if contrast != 1 {
		grey := m.meanGrey(pix)
		m = m.then(matrix{{contrast}, {0, contrast}, {0, 0, contrast}})
		m.shift = (1 - contrast) * grey
	}
	m.apply(pix)
}

// transform is a linear map of colours and a shift of all channels.
type transform struct {
	matrix
	shift float32
}

type matrix [3][3]float32

const luma0, luma1, luma2 = 0.299, 0.587, 0.114

func brightness(f float32) transform {
	return transform{matrix: matrix{{f}, {0, f}, {0, 0, f}}}
}

// saturation blends with the grey of the same luma.
func saturation(f float32) matrix {
	g := 1 - f
	return matrix{
		{f + g*luma0, g * luma1, g * luma2},
		{g * luma0, f + g*luma1, g * luma2},
		{g * luma0, g * luma1, f + g*luma2},
	}
}

// hue turns by a fraction of the circle.
func hue(turn float64) matrix {
	s, c := math.Sincos(2 * math.Pi * turn)
	toYIQ := matrix{{luma0, luma1, luma2}, {0.596, -0.274, -0.322}, {0.211, -0.523, 0.312}}
	rotate := matrix{{1}, {0, float32(c), float32(-s)}, {0, float32(s), float32(c)}}
	toRGB := matrix{{1, 0.956, 0.621}, {1, -0.272, -0.647}, {1, -1.107, 1.705}}
	return toRGB.times(rotate).times(toYIQ)
}

func (m matrix) times(n matrix) matrix {
	var out matrix
	for i := range 3 {
		for j := range 3 {
			for k := range 3 {
				out[i][j] += m[i][k] * n[k][j]
			}
		}
	}
	return out
}

// then applies n after t, whose shift is still zero.
func (t transform) then(n matrix) transform { return transform{matrix: n.times(t.matrix)} }

// meanGrey is the mean luma of the image after the map.
func (t transform) meanGrey(pix []byte) float32 {
	sum := C.px_sum((*C.uint8_t)(&pix[0]), C.int(len(pix)/3)).channel
	var grey float32
	for j := range 3 {
		mean := float32(sum[j]) / float32(len(pix)/3)
		grey += mean * (luma0*t.matrix[0][j] + luma1*t.matrix[1][j] + luma2*t.matrix[2][j])
	}
	return grey
}

// apply maps every pixel, in integers: no factor is beyond 64 in magnitude and
// no sum beyond 31 bits.
func (t transform) apply(pix []byte) {
	const one = 1 << 14
	var by C.px_map
	for i := range by.m {
		by.m[i] = C.int32_t(math.Round(float64(min(max(t.matrix[i/3][i%3], -64), 64)) * one))
	}
	by.shift = C.int32_t(math.Round(float64(min(max(t.shift, -16384), 16384)) * one))
	C.px_apply((*C.uint8_t)(&pix[0]), C.int(len(pix)/3), by)
}
