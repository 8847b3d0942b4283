package sample

import "math"

// coat is how a striped animal is painted.
type coat struct {
	light, belly, dark rgb
	stripes            float64 // stripes a unit of length
	width              float64 // share of the dark, 0 to 1
	taper              float64 // how much the stripes vary and break
}

// along paints stripes that follow one another in direction (dx, dy), bent by
// noise; below y = 0.25 the belly shows.
func (s *stage) along(c coat, dx, dy float64) paint {
	n, ox, oy := clouds(), s.Float64(), s.Float64()
	return func(x, y float64) rgb {
		bend := 0.22 * n.at(ox+x*0.25, oy+y*0.25)
		t := math.Sin(2 * math.Pi * c.stripes * (x*dx + y*dy + bend))
		width := c.width + c.taper*n.at(oy+x*0.3, ox+y*0.3)
		k := ramp(math.Cos(math.Pi*width)-0.25, math.Cos(math.Pi*width)+0.25, t)
		base := mix(c.light, c.belly, ramp(0.15, 0.4, y))
		return mix(base, c.dark, k*(1-c.taper*ramp(0.2, 0.45, y))).mul(1.08 - 0.35*ramp(-0.3, 0.6, y) + 0.06*n.at(x*2, y*2))
	}
}

// beast holds the proportions of a four-legged animal seen from the side,
// whose trunk reaches from x = -1 (rump) to x = 1 (chest).
type beast struct {
	coat      coat
	legs      float64 // length below the trunk
	legWidth  float64
	head      func(s *stage, m affine, c coat) // drawn at the neck's end, nose to the right
	neck      []pt                             // outline
	headAt    pt
	trunk     []pt
	tail      []pt
	tailWidth float64
	mane      bool
}

func (s *stage) beast(m affine, b beast) {
	s.shadow(m.of(place(0, 0.4+b.legs, 1, 1, 0)), 1.3, 0.13)
	down, across := s.along(b.coat, 0.15, 1), s.along(b.coat, 1, 0.12)
	for i, x := range []float64{-0.62, 0.78, -0.8, 0.58} {
		shade := 0.72
		if i >= 2 {
			shade = 1
		}
		swing := s.in(-0.28, 0.28)
		knee := pt{x + swing*0.6, 0.25 + b.legs*0.5}
		foot := pt{x + swing + 0.04, 0.42 + b.legs}
		s.fill(m, func(x, y float64) rgb { return down(x, y*0.5-0.1).mul(shade) }, 1,
			stroke(b.legWidth*1.7, b.legWidth*0.8, pt{x, 0.05}, knee, foot))
		s.fill(m, flat(b.coat.dark.mul(shade)), 1, ellipse(foot.x+0.04, foot.y, b.legWidth*0.6, b.legWidth*0.35))
	}
	s.fill(m, across, 1, stroke(b.tailWidth, b.tailWidth*0.6, b.tail...))
	s.fill(m, flat(b.coat.dark), 1, ellipse(b.tail[len(b.tail)-1].x, b.tail[len(b.tail)-1].y, b.tailWidth*0.7, b.tailWidth*1.3))
	s.fill(m, across, 1, smooth(b.trunk...))
	s.fill(m, s.along(b.coat, 0.75, -0.6), 1, smooth(b.neck...))
	if b.mane {
		mane := b.coat
		mane.stripes *= 1.3
		s.fill(m, s.along(mane, 0.5, 0.8), 1, stroke(0.1, 0.14, pt{0.72, -0.42}, pt{1.02, -0.85}, pt{b.headAt.x - 0.16, b.headAt.y - 0.16}))
	}
	b.head(s, m.of(place(b.headAt.x, b.headAt.y, 1, 1, s.in(-0.15, 0.35))), b.coat)
}

// standing gives the frame of an animal on the ground, facing either way.
func (s *stage) standing(scale float64) affine {
	w, h := float64(s.w), float64(s.h)
	k := min(w*0.27, h*0.34) * scale
	flip := 1.0
	if s.chance(0.5) {
		flip = -1
	}
	return place(w*s.in(0.4, 0.6), h*s.in(0.45, 0.58), k, k, s.in(-0.06, 0.06)).of(affine{a: flip, d: 1})
}

func zebra(s *stage) {
	s.meadow(s.tint(rgb{140, 175, 215}, 0.12), s.tint(s.pick(rgb{180, 155, 95}, rgb{120, 135, 70}, rgb{165, 130, 90}), 0.12))
	herd := 1
	if s.chance(0.35) {
		herd = 2 + s.IntN(2)
	}
	white := s.tint(rgb{232, 228, 218}, 0.04)
	c := coat{light: white, belly: white, dark: s.tint(rgb{32, 28, 28}, 0.2), stripes: s.in(3.2, 4.6), width: s.in(0.42, 0.52), taper: 0.06}
	for i := range herd {
		m := s.standing(s.in(0.65, 1.25) / (1 + 0.25*float64(herd-1)))
		m.e += float64(i) * s.in(-0.35, 0.35) * float64(s.w)
		head := pt{1.42, -0.95}
		if s.chance(0.25) {
			head = pt{1.5, -0.35} // grazing, half way
		}
		s.beast(m, beast{coat: c, legs: s.in(0.8, 0.95), legWidth: 0.15, head: zebraHead, headAt: head, mane: true,
			trunk:     []pt{{-1.02, -0.2}, {-0.75, -0.42}, {-0.2, -0.36}, {0.4, -0.4}, {0.9, -0.38}, {1.02, 0}, {0.8, 0.32}, {0.1, 0.42}, {-0.5, 0.34}, {-0.95, 0.22}},
			neck:      []pt{{0.55, -0.36}, {0.95, -0.72}, {head.x - 0.22, head.y - 0.14}, {head.x, head.y}, {head.x - 0.02, head.y + 0.2}, {1.12, -0.3}, {0.98, 0.1}, {0.7, 0.05}},
			tail:      []pt{{-1, -0.2}, {-1.15, 0.1}, {-1.12 + s.in(-0.15, 0.1), 0.5}},
			tailWidth: 0.08})
	}
}

func zebraHead(s *stage, m affine, c coat) {
	c.stripes *= 1.5
	s.fill(m, flat(c.dark), 1, smooth(pt{-0.12, -0.1}, pt{-0.1, -0.36}, pt{0, -0.3}, pt{0.02, -0.1}))
	s.fill(m, s.along(c, 0.9, 0.4), 1, smooth(pt{-0.18, -0.12}, pt{0.02, -0.19}, pt{0.3, -0.08}, pt{0.56, 0.1}, pt{0.6, 0.24}, pt{0.48, 0.3}, pt{0.2, 0.2}, pt{-0.08, 0.2}))
	s.fill(m, flat(rgb{45, 38, 38}), 1, ellipse(0.53, 0.2, 0.11, 0.1))
	s.fill(m, flat(rgb{12, 10, 10}), 1, ellipse(0.1, -0.05, 0.035, 0.03))
}

func tiger(s *stage) {
	if s.chance(0.4) {
		s.foliage()
	} else {
		s.meadow(s.tint(rgb{150, 185, 190}, 0.15), s.tint(s.pick(rgb{85, 115, 60}, rgb{130, 120, 70}, rgb{215, 220, 225}), 0.12))
	}
	c := coat{light: s.tint(rgb{222, 130, 45}, 0.07), belly: rgb{240, 228, 208}, dark: rgb{28, 20, 16}, stripes: s.in(2.6, 3.6), width: s.in(0.26, 0.33), taper: 0.2}
	if s.chance(0.35) {
		w, h := float64(s.w), float64(s.h)
		k := min(w, h) * s.in(0.5, 0.95)
		m := place(w*s.in(0.4, 0.6), h*s.in(0.45, 0.6), k, k, s.in(-0.2, 0.2))
		body := c
		body.stripes *= 0.7
		s.fill(m, s.along(body, 0.2, 1), 1, smooth(pt{-0.5, 0.1}, pt{-0.95, 0.7}, pt{-0.9, 1.5}, pt{0.9, 1.5}, pt{0.95, 0.7}, pt{0.5, 0.1}))
		tigerFace(s, m, c)
		return
	}
	m := s.standing(s.in(0.8, 1.45))
	tip := pt{-1.75, s.in(-0.7, 0.3)}
	s.beast(m, beast{coat: c, legs: s.in(0.4, 0.55), legWidth: 0.22, headAt: pt{1.25, -0.32}, tailWidth: 0.13,
		head:  func(s *stage, m affine, c coat) { tigerFace(s, m.of(place(0.05, 0, 0.78, 0.78, 0)), c) },
		trunk: []pt{{-1.02, -0.15}, {-0.75, -0.37}, {-0.2, -0.3}, {0.4, -0.34}, {0.9, -0.4}, {1.05, -0.1}, {0.85, 0.27}, {0.1, 0.33}, {-0.5, 0.28}, {-0.95, 0.25}},
		neck:  []pt{{0.6, -0.35}, {0.95, -0.5}, {1.2, -0.55}, {1.35, -0.2}, {1.1, 0.1}, {0.8, 0.2}},
		tail:  []pt{{-0.95, -0.15}, {-1.3, 0.2}, {-1.55, 0.25}, tip}})
}

// tigerFace is a face seen from the front, about 0.9 across.
func tigerFace(s *stage, m affine, c coat) {
	for _, side := range []float64{-1, 1} {
		s.fill(m, flat(c.dark), 1, ellipse(side*0.31, -0.33, 0.13, 0.13))
		s.fill(m, flat(rgb{235, 220, 205}), 1, ellipse(side*0.31, -0.31, 0.07, 0.07))
	}
	n := clouds()
	s.fill(m, func(x, y float64) rgb {
		u := math.Abs(x)
		base := mix(c.light, c.belly, max(ramp(0.1, 0.3, y), ramp(0.3, 0.42, u)*ramp(-0.1, 0.15, y)))
		crown := math.Sin(34*(y+0.45*u*u)) * ramp(-0.05, -0.2, y) * ramp(0.3, 0.05, u)
		cheek := math.Sin(30*(u*0.9+y*0.5)) * ramp(0.24, 0.34, u)
		return mix(base, c.dark, ramp(0.3, 0.6, max(crown, cheek))).mul(1.05 - 0.2*u + 0.1*n.at(x, y))
	}, 1, smooth(pt{0, -0.42}, pt{0.28, -0.36}, pt{0.44, -0.05}, pt{0.4, 0.22}, pt{0.18, 0.42}, pt{0, 0.46}, pt{-0.18, 0.42}, pt{-0.4, 0.22}, pt{-0.44, -0.05}, pt{-0.28, -0.36}))
	for _, side := range []float64{-1, 1} {
		s.fill(m, flat(c.belly), 1, ellipse(side*0.18, -0.16, 0.1, 0.06), ellipse(side*0.09, 0.25, 0.12, 0.1))
		s.fill(m, flat(rgb{20, 15, 12}), 1, ellipse(side*0.17, -0.08, 0.075, 0.055))
		s.fill(m, flat(rgb{225, 190, 70}), 1, ellipse(side*0.17, -0.08, 0.055, 0.045))
		s.fill(m, flat(rgb{10, 10, 10}), 1, ellipse(side*0.17, -0.08, 0.024, 0.03))
		for k := range 3 {
			y := 0.22 + 0.05*float64(k)
			s.fill(m, flat(rgb{250, 250, 245}), 0.8, stroke(0.012, 0.004, pt{side * 0.16, y}, pt{side * 0.5, y + 0.06*float64(k-1)}))
		}
	}
	s.fill(m, flat(rgb{205, 110, 105}), 1, smooth(pt{-0.09, 0.1}, pt{0.09, 0.1}, pt{0, 0.2}))
	s.fill(m, flat(rgb{40, 25, 22}), 1, stroke(0.02, 0.02, pt{0, 0.19}, pt{0, 0.28}), stroke(0.02, 0.015, pt{-0.14, 0.32}, pt{0, 0.28}, pt{0.14, 0.32}))
}

func ladybug(s *stage) {
	w, h := float64(s.w), float64(s.h)
	if s.chance(0.8) {
		s.foliage()
		green := s.tint(rgb{95, 150, 60}, 0.2)
		s.leaf(place(w*s.in(0.4, 0.6), h*s.in(0.45, 0.6), w*s.in(0.6, 0.9), h*s.in(0.4, 0.7), s.in(-0.8, 0.8)), green)
	} else {
		s.table()
	}
	n := 1
	if s.chance(0.2) {
		n = 2
	}
	for i := range n {
		k := min(w, h) * s.in(0.2, 0.38) / float64(n)
		x := w * (s.in(0.35, 0.65)/float64(n) + 0.5*float64(i))
		s.oneLadybug(place(x, h*s.in(0.35, 0.65), k, k*s.in(0.85, 1), s.in(-math.Pi, math.Pi)))
	}
}

// oneLadybug is seen from above, its head at (1, 0).
func (s *stage) oneLadybug(m affine) {
	s.shadow(m.of(place(0.05, 0.1, 1, 1, 0)), 1.2, 1.1)
	black := rgb{22, 20, 22}
	for _, side := range []float64{-1, 1} {
		for k := range 3 {
			x := -0.45 + 0.5*float64(k)
			s.fill(m, flat(black), 1, stroke(0.1, 0.05, pt{x, side * 0.6}, pt{x + 0.1*float64(k-1), side * 1}, pt{x + s.in(0.05, 0.3)*float64(k-1), side * s.in(1.15, 1.3)}))
		}
		s.fill(m, flat(black), 1, stroke(0.05, 0.03, pt{1.05, side * 0.12}, pt{1.25, side * 0.25}, pt{1.42, side * 0.3}))
	}
	lx, ly := lightIn(m)
	s.fill(m, ball(flat(black.mul(1.6)), lx, ly, 0.3), 1, ellipse(0.98, 0, 0.27, 0.34))
	s.fill(m, flat(black), 1, ellipse(0.78, 0, 0.3, 0.58))
	for _, side := range []float64{-1, 1} {
		s.fill(m, flat(rgb{240, 240, 230}), 1, ellipse(0.85, side*0.38, 0.13, 0.13))
	}
	shell := s.tint(s.pick(rgb{205, 25, 20}, rgb{220, 45, 20}, rgb{225, 80, 20}), 0.06)
	spots := []pt{{-0.02, 0.42}, {-0.5, 0.32}, {0.35, 0.5}}
	if s.chance(0.5) {
		spots = append(spots, pt{-0.28, 0.72}, pt{0.1, 0.12})
	}
	size := s.in(0.12, 0.19)
	wings := func(x, y float64) rgb {
		v := math.Abs(y)
		if v < 0.025 {
			return black
		}
		for _, p := range spots {
			if math.Hypot(x*1.1-p.x, v-p.y) < size {
				return black
			}
		}
		if math.Hypot(x-0.62, v) < size*1.1 {
			return black
		}
		return shell
	}
	s.fill(m, ball(wings, lx, ly, 0.9), 1, smooth(pt{0.72, 0.3}, pt{0.45, 0.75}, pt{-0.1, 0.93}, pt{-0.65, 0.72}, pt{-0.98, 0.2}, pt{-0.98, -0.2}, pt{-0.65, -0.72}, pt{-0.1, -0.93}, pt{0.45, -0.75}, pt{0.72, -0.3}))
}
