package sample

import "math"

// ball shades a paint as if the unit disc were a sphere lit from (lx, ly).
func ball(base paint, lx, ly, gloss float64) paint {
	lz := math.Sqrt(max(1-lx*lx-ly*ly, 0.05))
	return func(x, y float64) rgb {
		z := math.Sqrt(max(1-x*x-y*y, 0))
		d := max(x*lx+y*ly+z*lz, 0)
		c := base(x, y).mul(0.35 + 0.75*d)
		if g := math.Pow(max(2*d*z-lz, 0), 18) * gloss; g > 0 {
			c = mix(c, rgb{255, 255, 250}, min(g, 0.9))
		}
		return c
	}
}

// several calls draw once for each of one to most places, farthest first, with
// a frame of the given size range in shares of the image's shorter side.
func (s *stage) several(most int, small, large float64, draw func(m affine)) {
	w, h := float64(s.w), float64(s.h)
	n := 1 + s.IntN(most)
	side := min(w, h) * s.in(small, large) / (1 + 0.22*float64(n-1))
	y := h * s.in(0.3, 0.5)
	for i := range n {
		x := w * (0.5 + s.in(-0.2, 0.2))
		if n > 1 {
			x = w * (0.15 + 0.7*(float64(i)+s.in(0.2, 0.8))/float64(n))
		}
		draw(place(x, y+s.in(0, 0.4)*h*(float64(i)+0.5)/float64(n), side, side, s.in(-math.Pi, math.Pi)))
	}
}

func (s *stage) fruitGround() {
	if s.chance(0.25) {
		s.foliage()
	} else {
		s.table()
	}
}

// upright drops the rotation of a frame.
func upright(m affine) affine {
	k := math.Hypot(m.a, m.c)
	return place(m.e, m.f, k, k, 0)
}

// lightIn gives the light's direction in the frame of m, for one that falls
// from the upper left of the image.
func lightIn(m affine) (x, y float64) {
	k := math.Hypot(m.a, m.c)
	return (-0.5*m.a - 0.6*m.c) / k, (-0.5*m.b - 0.6*m.d) / k
}

func orange(s *stage) {
	s.fruitGround()
	skin := s.tint(rgb{240, 130, 20}, 0.06)
	s.several(4, 0.28, 0.45, func(m affine) {
		up := upright(m)
		s.shadow(up.of(place(0.2, 0.75, 1, 1, 0)), 1.15, 0.4)
		if s.chance(0.3) {
			s.citrusHalf(m, skin, rgb{250, 165, 50})
			return
		}
		lx, ly := lightIn(m)
		n, ox := clouds(), s.Float64()
		peel := func(x, y float64) rgb {
			return skin.mul(1 + 0.14*n.at(ox+x*0.9, y*0.9) + 0.05*n.at(x*0.1, y*0.1))
		}
		s.fill(m, ball(peel, lx, ly, 0.7), 1, ellipse(0, 0, 1, 0.97))
		stem := place(s.in(-0.5, 0.5), s.in(-0.5, 0.5), 1, 1, 0)
		s.fill(m.of(stem), flat(rgb{95, 120, 50}), 1, ellipse(0, 0, 0.09, 0.08), stroke(0.08, 0.02, pt{-0.14, 0}, pt{0.14, 0.02}), stroke(0.08, 0.02, pt{0, -0.14}, pt{0.03, 0.14}))
		if s.chance(0.35) {
			s.leaf(m.of(stem).of(place(0.3, -0.3, 0.45, 0.22, -0.7)), rgb{55, 115, 40})
		}
	})
}

// citrusHalf is a cut fruit seen from above: peel, pith, segments.
func (s *stage) citrusHalf(m affine, skin, flesh rgb) {
	segments := float64(8 + s.IntN(4))
	n := clouds()
	s.fill(m, func(x, y float64) rgb {
		r, a := math.Hypot(x, y), math.Atan2(y, x)
		pith := rgb{248, 238, 205}
		if r > 0.93 {
			return skin
		}
		edge := math.Abs(math.Mod(a/(2*math.Pi)*segments+segments, 1)-0.5) * 2 // 1 at a wall
		if r > 0.84 || r < 0.08 || (1-edge)*r < 0.07 {
			return pith
		}
		return flesh.mul(1 + 0.2*n.at(a*0.5, r*0.1) + 0.1*(1-edge))
	}, 1, ellipse(0, 0, 1, 0.98))
}

func lemon(s *stage) {
	s.fruitGround()
	skin := s.tint(rgb{245, 220, 45}, 0.05)
	s.several(4, 0.28, 0.42, func(m affine) {
		s.shadow(upright(m).of(place(0.15, 0.6, 1, 1, 0)), 1.2, 0.4)
		if s.chance(0.25) {
			s.citrusHalf(m, skin, rgb{248, 232, 130})
			return
		}
		lx, ly := lightIn(m)
		n, ox := clouds(), s.Float64()
		peel := func(x, y float64) rgb {
			c := skin.mul(1 + 0.1*n.at(ox+x*0.8, y*0.8))
			return mix(c, rgb{165, 185, 50}, 0.6*ramp(0.8, 1.3, math.Abs(x)))
		}
		shade := ball(func(x, y float64) rgb { return peel(x*1.3, y*0.8) }, lx, ly, 0.6)
		s.fill(m, func(x, y float64) rgb { return shade(x/1.3, y/0.8) }, 1,
			smooth(pt{1.28, 0.02}, pt{1.12, 0.2}, pt{0.75, 0.55}, pt{0.2, 0.75}, pt{-0.3, 0.74}, pt{-0.8, 0.52}, pt{-1.08, 0.15},
				pt{-1.22, 0}, pt{-1.08, -0.15}, pt{-0.8, -0.52}, pt{-0.3, -0.74}, pt{0.2, -0.75}, pt{0.75, -0.55}, pt{1.12, -0.18}))
	})
}

func banana(s *stage) {
	s.fruitGround()
	ripe := s.Float64()
	skin := s.tint(mix(rgb{190, 200, 60}, rgb{250, 210, 60}, ramp(0, 0.35, ripe)), 0.05)
	spots := ramp(0.5, 1, ripe)
	s.several(2, 0.5, 0.75, func(m affine) {
		if s.chance(0.5) {
			m = m.of(affine{a: 1, d: -1})
		}
		s.shadow(m.of(place(0.05, 0.1, 1, 1, 0)), 1, 0.4)
		bunch := 1 + s.IntN(4)
		for i := range bunch {
			t := float64(i) - float64(bunch-1)/2
			s.oneBanana(m.of(place(-0.9, -0.1, 1, 1, 0)).of(place(0, 0, 1, 1, t*0.27)).of(place(0.9, 0.1, 1, 1, 0)), skin.mul(s.in(0.9, 1.06)), spots)
		}
	})
}

// oneBanana is a crescent from (-0.9, -0.1) to (0.85, -0.35), belly down.
func (s *stage) oneBanana(m affine, skin rgb, spots float64) {
	n, ox := clouds(), s.Float64()
	dark := rgb{80, 60, 35}
	s.fill(m, func(x, y float64) rgb {
		mid := 0.27 - 0.55*x*x // the middle line at x
		across := clamp01((y - mid + 0.22) / 0.44)
		c := skin.mul(1.08 - 0.4*across*across)
		if across > 0.42 && across < 0.5 || across > 0.8 && across < 0.84 {
			c = c.mul(0.88) // the ridges
		}
		c = mix(c, dark, spots*ramp(0.25, 0.6, n.at(ox+x*0.5, y*0.5)))
		return mix(c, dark, ramp(0.8, 0.95, math.Abs(x)))
	}, 1, smooth(pt{-1.02, -0.3}, pt{-0.9, -0.32}, pt{-0.78, -0.14}, pt{-0.4, 0.02}, pt{0, 0.08}, pt{0.4, 0.0}, pt{0.72, -0.2}, pt{0.86, -0.42}, pt{0.95, -0.38},
		pt{0.88, -0.15}, pt{0.66, 0.2}, pt{0.3, 0.43}, pt{-0.1, 0.48}, pt{-0.5, 0.35}, pt{-0.8, 0.08}, pt{-0.96, -0.16}))
}

func strawberry(s *stage) {
	s.fruitGround()
	red := s.tint(rgb{215, 30, 35}, 0.08)
	s.several(5, 0.32, 0.5, func(m affine) {
		if s.chance(0.6) {
			m = upright(m).of(place(0, 0, 1, 1, s.in(-0.7, 0.7)))
		}
		s.shadow(upright(m).of(place(0.15, 0.75, 1, 1, 0)), 0.95, 0.35)
		lx, ly := lightIn(m)
		skin := func(x, y float64) rgb {
			c := red
			row := math.Floor(y * 6)
			u, v := x*5.5*(1+0.25*y*y)+0.5*math.Mod(math.Abs(row), 2), y*6
			du, dv := u-math.Floor(u)-0.5, v-row-0.5
			switch d := du*du*1.6 + dv*dv; {
			case d < 0.035:
				c = rgb{240, 205, 90} // a seed
			case d < 0.1:
				c = c.mul(0.78) // in its pit
			}
			return mix(c, rgb{245, 215, 190}, 0.5*ramp(-0.65, -0.95, y))
		}
		s.fill(m, ball(skin, lx, ly, 0.8), 1, smooth(pt{0, 1.1}, pt{0.3, 0.88}, pt{0.62, 0.4}, pt{0.84, -0.15}, pt{0.76, -0.6}, pt{0.4, -0.82},
			pt{0, -0.78}, pt{-0.4, -0.82}, pt{-0.76, -0.6}, pt{-0.84, -0.15}, pt{-0.62, 0.4}, pt{-0.3, 0.88}))
		green := s.tint(rgb{75, 145, 50}, 0.15)
		for k := range 7 {
			a := -math.Pi * (0.02 + 0.96*float64(k)/6)
			a = -math.Pi/2 + (a+math.Pi/2)*1.15
			s.leaf(m.of(place(0, -0.72, 1, 1, a)).of(place(0.32, 0, 0.36, 0.16, 0.2*s.in(-1, 1))), green.mul(s.in(0.8, 1.15)))
		}
		s.fill(m, flat(green.mul(0.8)), 1, stroke(0.09, 0.06, pt{0, -0.75}, pt{0.05, -1}, pt{s.in(-0.2, 0.2), -1.25}))
	})
}
