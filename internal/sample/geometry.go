package sample

import "math"

// pt is a point; y grows downwards, as in the image.
type pt struct{ x, y float64 }

// affine maps (x, y) to (a·x + b·y + e, c·x + d·y + f).
type affine struct{ a, b, c, d, e, f float64 }

var identity = affine{a: 1, d: 1}

func (m affine) apply(p pt) pt {
	return pt{m.a*p.x + m.b*p.y + m.e, m.c*p.x + m.d*p.y + m.f}
}

// of is the map that applies inner first and m after it.
func (m affine) of(inner affine) affine {
	return affine{
		m.a*inner.a + m.b*inner.c, m.a*inner.b + m.b*inner.d,
		m.c*inner.a + m.d*inner.c, m.c*inner.b + m.d*inner.d,
		m.a*inner.e + m.b*inner.f + m.e, m.c*inner.e + m.d*inner.f + m.f,
	}
}

func (m affine) inverse() affine {
	det := m.a*m.d - m.b*m.c
	i := affine{a: m.d / det, b: -m.b / det, c: -m.c / det, d: m.a / det}
	i.e = -(i.a*m.e + i.b*m.f)
	i.f = -(i.c*m.e + i.d*m.f)
	return i
}

// place puts the unit square's frame at (x, y), scaled by sx and sy and turned
// by angle radians.
func place(x, y, sx, sy, angle float64) affine {
	s, c := math.Sincos(angle)
	return affine{sx * c, -sy * s, sx * s, sy * c, x, y}
}

func ellipse(cx, cy, rx, ry float64) []pt {
	const n = 40
	out := make([]pt, n)
	for i := range out {
		s, c := math.Sincos(2 * math.Pi * float64(i) / n)
		out[i] = pt{cx + rx*c, cy + ry*s}
	}
	return out
}

// smooth rounds a closed polygon: a Catmull-Rom curve through its corners.
func smooth(p ...pt) []pt {
	const steps = 6
	out := make([]pt, 0, len(p)*steps)
	n := len(p)
	for i := range p {
		for k := range steps {
			out = append(out, catmullRom(p[(i+n-1)%n], p[i], p[(i+1)%n], p[(i+2)%n], float64(k)/steps))
		}
	}
	return out
}

// stroke is the outline of a curve through p whose width goes from w0 to w1.
func stroke(w0, w1 float64, p ...pt) []pt {
	const steps = 6
	var line []pt
	last := len(p) - 1
	for i := range last {
		for k := range steps {
			line = append(line, catmullRom(p[max(i-1, 0)], p[i], p[i+1], p[min(i+2, last)], float64(k)/steps))
		}
	}
	line = append(line, p[last])
	out := make([]pt, 2*len(line))
	for i, q := range line {
		a, b := line[max(i-1, 0)], line[min(i+1, len(line)-1)]
		dx, dy := b.x-a.x, b.y-a.y
		if d := math.Hypot(dx, dy); d > 0 {
			dx, dy = dx/d, dy/d
		}
		w := (w0 + (w1-w0)*float64(i)/float64(len(line)-1)) / 2
		out[i] = pt{q.x - dy*w, q.y + dx*w}
		out[len(out)-1-i] = pt{q.x + dy*w, q.y - dx*w}
	}
	return out
}

func catmullRom(a, b, c, d pt, t float64) pt {
	f := func(a, b, c, d float64) float64 {
		return b + t/2*(c-a+t*(2*a-5*b+4*c-d+t*(3*(b-c)+d-a)))
	}
	return pt{f(a.x, b.x, c.x, d.x), f(a.y, b.y, c.y, d.y)}
}

// signedArea is positive or negative by the direction a polygon runs in.
func signedArea(p []pt) float64 {
	var s float64
	for i, a := range p {
		b := p[(i+1)%len(p)]
		s += a.x*b.y - b.x*a.y
	}
	return s / 2
}

func lerp(a, b, t float64) float64 { return a + (b-a)*t }

func clamp01(v float64) float64 { return min(max(v, 0), 1) }

// ramp goes smoothly from 0 at a to 1 at b.
func ramp(a, b, v float64) float64 {
	t := clamp01((v - a) / (b - a))
	return t * t * (3 - 2*t)
}
