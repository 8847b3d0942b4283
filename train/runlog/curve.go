package runlog

// Curve is values of a run, such as losses in nats, over its epochs.
type Curve []Point

// Point is a value Y at the epoch X, with its fraction.
type Point struct{ X, Y float64 }

// Running is the exponential mean over about a fiftieth of the curve.
func (c Curve) Running() Curve {
	out := make(Curve, len(c))
	alpha := 1 / max(float64(len(c))/50, 1)
	var mean, weight float64
	for i, p := range c {
		mean += alpha * (p.Y - mean)
		weight += alpha * (1 - weight)
		out[i] = Point{p.X, mean / weight}
	}
	return out
}

// Thin keeps at most n points, evenly, and the last.
func (c Curve) Thin(n int) Curve {
	if len(c) <= n {
		return c
	}
	out := make(Curve, 0, n+1)
	for i := range n {
		out = append(out, c[i*len(c)/n])
	}
	return append(out, c[len(c)-1])
}

// Few says that there are so few points that each is marked.
func (c Curve) Few() bool { return len(c) < 60 }

// Highest is the greatest value, at least 0.
func (c Curve) Highest() (top float64) {
	for _, p := range c {
		top = max(top, p.Y)
	}
	return top
}

// Best is the first of the highest points; there is none in an empty curve.
func (c Curve) Best() (best Point, ok bool) {
	for i, p := range c {
		if i == 0 || p.Y > best.Y {
			best, ok = p, true
		}
	}
	return best, ok
}

// LossTop is where an axis of losses ends that begins at 0: above the training's running
// mean, and above a validation's where that is not far beyond. What lies higher is cut
// off, so that one first validation does not flatten all that comes after it.
func LossTop(mean Curve, validations ...Curve) float64 {
	top := mean.Highest()
	for _, v := range validations {
		if len(mean) == 0 {
			top = max(top, v.Highest())
		}
		top = max(top, min(v.Highest(), 1.5*top))
	}
	return max(1.05*top, 1e-3)
}
