package classifier

import (
	"github.com/synshard/synshard/model"
)

// Pixels makes images what a model takes. It is for many goroutines.
type Pixels struct {
	planes bool // NCHW
	size   int  // of one plane of one image
	table  *[3][256]float32
}

// Pixels are those of the model, run by spec.
func (c *Contract) Pixels(spec model.Spec) *Pixels {
	return &Pixels{c.Layout == NCHW, spec.InputSize * spec.InputSize, normalise(&spec)}
}

// Bytes fills dst, a tensor of uint8, with images, uint8 [n, size, size, 3].
func (p *Pixels) Bytes(dst, images []byte) {
	if !p.planes {
		copy(dst, images)
		return
	}
	planar(dst, images, p.size, func(_ int, v byte) byte { return v })
}

// Floats fills dst, a tensor of floats, with images, normalised.
func (p *Pixels) Floats(dst []float32, images []byte) {
	if p.planes {
		planar(dst, images, p.size, func(c int, v byte) float32 { return p.table[c][v] })
		return
	}
	for i := 0; i+2 < len(images); i += 3 {
		dst[i], dst[i+1], dst[i+2] = p.table[0][images[i]], p.table[1][images[i+1]], p.table[2][images[i+2]]
	}
}

// Shape is that of a tensor of n images.
func (c *Contract) Shape(n, size int) [4]int64 {
	if c.Layout == NCHW {
		return [4]int64{int64(n), 3, int64(size), int64(size)}
	}
	return [4]int64{int64(n), int64(size), int64(size), 3}
}

// normalise tabulates (v/255 - mean) / std for every value of a colour.
func normalise(s *model.Spec) *[3][256]float32 {
	var t [3][256]float32
	for c := range t {
		for v := range t[c] {
			t[c][v] = float32((float64(v)/255 - s.Mean[c]) / s.Std[c])
		}
	}
	return &t
}

// planar takes images apart into planes of one colour.
func planar[T any](dst []T, images []byte, pixels int, f func(c int, v byte) T) {
	for at := 0; at < len(images); at += 3 * pixels {
		src, out := images[at:at+3*pixels], dst[at:at+3*pixels]
		r, g, b := out[:pixels], out[pixels:2*pixels], out[2*pixels:]
		for i := range pixels {
			r[i], g[i], b[i] = f(0, src[3*i]), f(1, src[3*i+1]), f(2, src[3*i+2])
		}
	}
}
