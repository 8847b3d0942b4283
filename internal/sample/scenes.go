package sample

import (
	"math"
	"math/rand/v2"
)

// stage is an image in the making and its source of chance.
type stage struct {
	*canvas
	*rand.Rand
}

// in gives a number between a and b.
func (s *stage) in(a, b float64) float64 { return a + (b-a)*s.Float64() }

// chance is true with probability p.
func (s *stage) chance(p float64) bool { return s.Float64() < p }

// tint varies a colour by up to k of its value, a channel at a time.
func (s *stage) tint(c rgb, k float64) rgb {
	return rgb{c.r * s.in(1-k, 1+k), c.g * s.in(1-k, 1+k), c.b * s.in(1-k, 1+k)}
}

func (s *stage) pick(of ...rgb) rgb { return of[s.IntN(len(of))] }

// textured varies a colour over the image by amount k at a scale in pixels.
func (s *stage) textured(c rgb, k, scale float64) paint {
	n, ox, oy := clouds(), s.Float64(), s.Float64()
	return func(x, y float64) rgb { return c.mul(1 + k*n.at(ox+x/scale, oy+y/scale)) }
}

// meadow is sky over ground; it returns the height of the horizon in pixels.
func (s *stage) meadow(sky, ground rgb) float64 {
	w, h := float64(s.w), float64(s.h)
	horizon := h * s.in(0.15, 0.5)
	high, low := sky.mul(0.9), mix(sky, rgb{245, 245, 240}, 0.6)
	n, ox, oy := clouds(), s.Float64(), s.Float64()
	grass := s.in(2, 6)
	s.cover(func(x, y float64) rgb {
		if y < horizon {
			c := ramp(0, 0.9, n.at(ox+x/w*0.7, oy+y/h*1.6))
			return mix(mix(high, low, y/horizon), rgb{250, 250, 250}, c*0.7)
		}
		d := (y - horizon) / (h - horizon) // nearer, coarser
		k := 0.12 + 0.3*d
		return ground.mul(0.85 + 0.25*d + k*n.at(ox+x/(90+150*d), oy+y*grass/(90+150*d)*0.4))
	})
	if s.chance(0.6) { // bushes on the horizon
		bush := s.tint(rgb{70, 95, 50}, 0.25)
		for range 3 + s.IntN(8) {
			r := h * s.in(0.03, 0.1)
			s.fill(identity, s.textured(bush, 0.4, 90), 1, ellipse(s.in(0, w), horizon+r*0.2, r*s.in(1, 2.5), r))
		}
	}
	return horizon
}

// table is a plain, wooden or chequered surface.
func (s *stage) table() {
	w, h := float64(s.w), float64(s.h)
	base := s.tint(s.pick(rgb{150, 105, 65}, rgb{205, 200, 190}, rgb{90, 105, 130}, rgb{120, 130, 105}, rgb{60, 55, 55}, rgb{225, 220, 225}), 0.15)
	n, ox, oy := clouds(), s.Float64(), s.Float64()
	angle := s.in(-0.6, 0.6)
	sin, cos := math.Sincos(angle)
	falloff := s.in(0, 0.4)
	kind, size := s.IntN(3), s.in(25, 70)
	other := s.tint(mix(base, rgb{235, 235, 230}, 0.5), 0.1)
	s.cover(func(x, y float64) rgb {
		u, v := x*cos+y*sin, y*cos-x*sin
		c := base
		switch kind {
		case 0: // wood
			c = base.mul(1 + 0.35*n.at(ox+u/900, oy+v/90) + 0.08*n.at(u/80, v/20))
		case 1: // chequered cloth
			a, b := math.Mod(math.Abs(u)/size, 2) < 1, math.Mod(math.Abs(v)/size, 2) < 1
			if a && b {
				c = other
			} else if a || b {
				c = mix(base, other, 0.5)
			}
			c = c.mul(1 + 0.08*n.at(u/60, v/60))
		default:
			c = base.mul(1 + 0.1*n.at(ox+u/400, oy+v/400))
		}
		return c.mul(1 - falloff*(x/w+y/h)/2)
	})
}

// foliage is leaves, near and far.
func (s *stage) foliage() {
	w, h := float64(s.w), float64(s.h)
	base := s.tint(rgb{60, 110, 45}, 0.3)
	s.cover(s.textured(base.mul(0.7), 0.6, s.in(150, 400)))
	for range 6 + s.IntN(8) {
		s.leaf(place(s.in(0, w), s.in(0, h), h*s.in(0.2, 0.5), h*s.in(0.08, 0.2), s.in(0, 2*math.Pi)), s.tint(base.mul(s.in(0.8, 1.3)), 0.1))
	}
}

// leaf fills a leaf from (-1, 0) to (1, 0) with its veins.
func (s *stage) leaf(m affine, c rgb) {
	n := clouds()
	s.fill(m, func(x, y float64) rgb {
		vein := math.Abs(math.Mod(math.Abs(x*6+math.Abs(y)*3), 1) - 0.5)
		k := 1 - 0.15*ramp(0.08, 0, vein) - 0.3*ramp(0.06, 0, math.Abs(y))
		return c.mul(k * (1 + 0.15*n.at(x/3, y/3) - 0.12*y))
	}, 1, smooth(pt{-1, 0}, pt{-0.4, -0.85}, pt{0.35, -0.75}, pt{1, 0}, pt{0.35, 0.75}, pt{-0.4, 0.85}))
}

// shadow darkens an ellipse under a thing.
func (s *stage) shadow(m affine, rx, ry float64) {
	for k := 1.0; k > 0.5; k -= 0.12 {
		s.fill(m, flat(rgb{15, 12, 10}), 0.16, ellipse(0, 0, rx*k, ry*k))
	}
}

// volcano is a mountain with a crater, smoking or in eruption.
func volcano(s *stage) {
	w, h := float64(s.w), float64(s.h)
	night := s.chance(0.3)
	sky := s.tint(s.pick(rgb{110, 160, 215}, rgb{150, 180, 205}, rgb{215, 160, 125}), 0.1)
	if night {
		sky = s.tint(rgb{35, 30, 55}, 0.3)
	}
	s.meadow(sky, s.tint(s.pick(rgb{70, 85, 55}, rgb{95, 85, 75}, rgb{60, 75, 95}), 0.2).mul(map[bool]float64{true: 0.4, false: 1}[night]))

	base := h * s.in(0.75, 0.95)
	m := place(w*s.in(0.35, 0.65), base, w*s.in(0.4, 0.65), h*s.in(0.45, 0.65), 0)
	rim := s.in(0.1, 0.2)
	erupting := night || s.chance(0.5)
	s.plume(m, rim, smoking{night: night, heavy: erupting})
	if erupting {
		s.fountain(m, rim)
	}
	rock := s.tint(s.pick(rgb{85, 75, 75}, rgb{110, 85, 70}, rgb{75, 80, 95}), 0.15)
	if night {
		rock = rock.mul(0.45)
	}
	s.cone(m, rim, slopes{rock: rock, lava: erupting, snow: !night && s.chance(0.45)})
}

// slopes are what a cone is of, and what lies on it.
type slopes struct {
	rock       rgb
	lava, snow bool
}

func (s *stage) cone(m affine, rim float64, on slopes) {
	n, ox, oy := clouds(), s.Float64(), s.Float64()
	lit := s.in(-0.35, 0.35)
	snowline := s.in(-0.75, -0.55)
	flows := make([]float64, 1+s.IntN(3))
	for i := range flows {
		flows[i] = s.in(-0.6, 0.6)
	}
	jag := func() float64 { return s.in(-0.03, 0.03) }
	outline := smooth(pt{-1.1, 0.3}, pt{-1, 0}, pt{-0.55, -0.42 + jag()}, pt{-0.3, -0.72 + jag()}, pt{-rim, -1 + jag()}, pt{-rim / 3, -0.95 + jag()},
		pt{rim / 3, -0.96 + jag()}, pt{rim, -1 + jag()}, pt{0.3, -0.72 + jag()}, pt{0.55, -0.42 + jag()}, pt{1, 0}, pt{1.1, 0.3})
	s.fill(m, func(x, y float64) rgb {
		across := x / (1.15 + y*0.9 + 0.05) // about -1..1 at every height
		gully := n.at(ox+across*0.6, oy+y*0.12)
		c := on.rock.mul(1 + 0.6*gully + lit*across*2)
		if on.snow && y < snowline+0.18*gully+0.05*math.Sin(across*23) {
			c = mix(c, rgb{240, 243, 250}, 0.85)
		}
		if on.lava {
			for _, f := range flows {
				d := math.Abs(across - f*(0.4+0.6*(y+1)) - 0.12*math.Sin(y*9+f*20))
				length := 0.45 + 0.5*math.Abs(math.Sin(f*37))
				if g := ramp(0.11, 0.02, d) * ramp(-1+length, -1.05, y); g > 0 {
					c = mix(c, mix(rgb{230, 60, 15}, rgb{255, 205, 70}, g), min(g*1.6, 1))
				}
			}
		}
		return c
	}, 1, outline)
}

// smoking is how a crater smokes: in the dark, and as in an eruption.
type smoking struct{ night, heavy bool }

func (s *stage) plume(m affine, rim float64, how smoking) {
	drift := s.in(-0.5, 0.5)
	smoke := s.pick(rgb{225, 225, 228}, rgb{150, 145, 145}, rgb{85, 80, 82})
	if how.night {
		smoke = rgb{75, 60, 62}
	}
	puffs := 22
	if how.heavy {
		puffs = 40
	}
	for i := puffs - 1; i >= 0; i-- {
		t := float64(i) / float64(puffs)
		r := rim*0.9 + 0.32*t*s.in(0.6, 1.1)
		x, y := drift*t*t*1.8+s.in(-0.5, 0.5)*r, -1-t*1.1
		shade := smoke.mul(s.in(0.8, 1.1))
		if how.heavy {
			shade = mix(shade, rgb{235, 110, 40}, ramp(0.35, 0, t)*0.6)
		}
		s.fill(m, func(u, v float64) rgb { return shade.mul(1.05 - 0.35*(v-y)/r - 0.2*(u-x)/r) }, s.in(0.5, 0.9), ellipse(x, y, r, r*0.8))
	}
}

func (s *stage) fountain(m affine, rim float64) {
	for range 30 + s.IntN(40) {
		a, v := s.in(-0.6, 0.6), s.in(0.1, 0.45)
		x, y := math.Sin(a)*v, -1-math.Cos(a)*v+v*v*0.5
		c := mix(rgb{255, 90, 20}, rgb{255, 225, 110}, s.Float64())
		s.fill(m, flat(c), 0.9, stroke(rim*0.25, rim*0.05, pt{x * 0.75, -1 + (y+1)*0.75}, pt{x, y}))
	}
	s.fill(m, flat(rgb{255, 190, 70}), 0.9, ellipse(0, -0.98, rim*0.9, 0.06))
}
