package sample

import (
	"image"
	"math"
	"math/rand/v2"
	"sync"

	"golang.org/x/image/vector"
)

// rgb is a colour, 0 to 255 a channel.
type rgb struct{ r, g, b float64 }

func (c rgb) mul(k float64) rgb { return rgb{c.r * k, c.g * k, c.b * k} }

func mix(a, b rgb, t float64) rgb {
	return rgb{lerp(a.r, b.r, t), lerp(a.g, b.g, t), lerp(a.b, b.b, t)}
}

// paint gives the colour at a point of a shape, in the shape's own
// coordinates.
type paint func(x, y float64) rgb

func flat(c rgb) paint { return func(_, _ float64) rgb { return c } }

// canvas is an image being drawn.
type canvas struct {
	w, h int
	pix  []float32 // w*h*3
	ras  vector.Rasterizer
	mask image.Alpha
}

func newCanvas(w, h int) *canvas {
	return &canvas{w: w, h: h, pix: make([]float32, w*h*3)}
}

// cover paints the whole canvas; the paint is given pixels.
func (c *canvas) cover(p paint) {
	for y, i := 0, 0; y < c.h; y++ {
		for x := range c.w {
			v := p(float64(x), float64(y))
			c.pix[i], c.pix[i+1], c.pix[i+2] = float32(v.r), float32(v.g), float32(v.b)
			i += 3
		}
	}
}

// fill paints the union of polygons, given in a frame that m maps to pixels,
// with antialiased edges and the given opacity.
func (c *canvas) fill(m affine, p paint, opacity float64, polys ...[]pt) {
	x0, y0, x1, y1 := math.Inf(1), math.Inf(1), math.Inf(-1), math.Inf(-1)
	mapped := make([][]pt, len(polys))
	for i, poly := range polys {
		out := make([]pt, len(poly))
		for k, q := range poly {
			q = m.apply(q)
			out[k] = q
			x0, y0, x1, y1 = min(x0, q.x), min(y0, q.y), max(x1, q.x), max(y1, q.y)
		}
		mapped[i] = out
	}
	left, top := max(int(math.Floor(x0)), 0), max(int(math.Floor(y0)), 0)
	right, bottom := min(int(math.Ceil(x1)), c.w), min(int(math.Ceil(y1)), c.h)
	if left >= right || top >= bottom {
		return
	}
	w, h := right-left, bottom-top
	c.ras.Reset(w, h)
	for _, poly := range mapped {
		c.trace(poly, float64(left), float64(top))
	}
	if cap(c.mask.Pix) < w*h {
		c.mask.Pix = make([]uint8, c.w*c.h)
	}
	c.mask.Pix, c.mask.Stride, c.mask.Rect = c.mask.Pix[:w*h], w, image.Rect(0, 0, w, h)
	clear(c.mask.Pix)
	c.ras.Draw(&c.mask, c.mask.Rect, image.Opaque, image.Point{})

	inv := m.inverse()
	for y := range h {
		q := inv.apply(pt{float64(left) + 0.5, float64(top+y) + 0.5})
		row := c.pix[((top+y)*c.w+left)*3:]
		for x, a := range c.mask.Pix[y*w : (y+1)*w] {
			if a != 0 {
				v := p(q.x, q.y)
				t := float32(a) / 255 * float32(opacity)
				o := row[x*3 : x*3+3]
				o[0] += (float32(v.r) - o[0]) * t
				o[1] += (float32(v.g) - o[1]) * t
				o[2] += (float32(v.b) - o[2]) * t
			}
			q.x += inv.a
			q.y += inv.c
		}
	}
}

// trace gives one polygon to the rasteriser. All run in one direction, so that
// overlapping ones add up to their union instead of cancelling.
func (c *canvas) trace(poly []pt, left, top float64) {
	n := len(poly)
	backwards := signedArea(poly) < 0
	for i := range n {
		q := poly[i]
		if backwards {
			q = poly[n-1-i]
		}
		if x, y := float32(q.x-left), float32(q.y-top); i == 0 {
			c.ras.MoveTo(x, y)
		} else {
			c.ras.LineTo(x, y)
		}
	}
	c.ras.ClosePath()
}

// light is what the camera adds: exposure, colour cast, contrast, vignetting
// and noise.
type light struct {
	gain               rgb
	contrast, vignette float64
	noise              float64
}

func randomLight(r *rand.Rand) light {
	k := 0.8 + 0.4*r.Float64()
	return light{
		gain:     rgb{k * (0.95 + 0.1*r.Float64()), k, k * (0.93 + 0.14*r.Float64())},
		contrast: 0.85 + 0.3*r.Float64(),
		vignette: 0.35 * r.Float64(),
		noise:    3 + 12*r.Float64(),
	}
}

// expose turns the canvas into 8-bit pixels.
func (c *canvas) expose(l light, r *rand.Rand) *image.RGBA {
	out := image.NewRGBA(image.Rect(0, 0, c.w, c.h))
	state := r.Uint64() | 1
	gain := [3]float32{float32(l.gain.r), float32(l.gain.g), float32(l.gain.b)}
	for y, i := 0, 0; y < c.h; y++ {
		dy := float64(2*y-c.h) / float64(c.h)
		for x := range c.w {
			dx := float64(2*x-c.w) / float64(c.w)
			shade := float32((1 - l.vignette*(dx*dx+dy*dy)/2) * l.contrast)
			state ^= state << 13 // xorshift64: fast, and all that grain needs
			state ^= state >> 7
			state ^= state << 17
			s := state
			o := out.Pix[(y*c.w+x)*4:]
			for k := range 3 {
				grain := float32(int(s&0xff)+int(s>>8&0xff)-255) / 128 * float32(l.noise)
				s >>= 16
				v := (c.pix[i]*gain[k]-128)*shade + 128*shade/float32(l.contrast) + grain
				o[k] = uint8(min(max(v, 0), 255))
				i++
			}
			o[3] = 255
		}
	}
	return out
}

// cloud is a tileable texture of fractal noise, mean 0 and about -1 to 1.
type cloud []float32

const cloudSize = 256

var clouds = sync.OnceValue(func() cloud {
	r := rand.New(rand.NewPCG(1, 2))
	out := make(cloud, cloudSize*cloudSize)
	for step, weight := 64, float32(0.5); step >= 1; step, weight = step/2, weight*0.62 {
		n := cloudSize / step
		grid := make([]float32, n*n)
		for i := range grid {
			grid[i] = r.Float32()*2 - 1
		}
		for y := range cloudSize {
			for x := range cloudSize {
				out[y*cloudSize+x] += weight * tile(grid, n, float64(x)/float64(step), float64(y)/float64(step))
			}
		}
	}
	return out
})

// at samples the texture; one unit is the whole tile.
func (c cloud) at(x, y float64) float64 {
	return float64(tile(c, cloudSize, x*cloudSize, y*cloudSize))
}

// tile reads an n by n grid that repeats, with linear interpolation.
func tile(grid []float32, n int, x, y float64) float32 {
	fx, fy := math.Floor(x), math.Floor(y)
	tx, ty := float32(x-fx), float32(y-fy)
	x0, y0 := int(fx)&(n-1), int(fy)&(n-1)
	x1, y1 := (x0+1)&(n-1), (y0+1)&(n-1)
	a := grid[y0*n+x0] + (grid[y0*n+x1]-grid[y0*n+x0])*tx
	b := grid[y1*n+x0] + (grid[y1*n+x1]-grid[y1*n+x0])*tx
	return a + (b-a)*ty
}
