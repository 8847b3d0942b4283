package loader

import (
	"math"
	"math/rand/v2"
)

// Mix blends each image of a batch with another one: by Mixup (every pixel
// the share of the one plus the rest of the other; Zhang et al., 2018) or by
// CutMix (a rectangle of the other put into the one; Yun et al., 2019). The
// share is drawn from Beta(alpha, alpha) once a batch. With both alphas set
// each batch is one or the other, equally likely. Prob is how many batches are
// mixed at all; 0 means all.
type Mix struct {
	Mixup, CutMix float64 // alpha; 0: not used
	Prob          float64
}

// apply mixes the first N images of a batch, each with its mirror in the
// batch: the last with the first and so on, which needs no second copy.
func (m Mix) apply(b *Batch, rng *rand.Rand) {
	rows := len(b.Labels)
	if len(b.Partners) != rows {
		b.Partners, b.Share = make([]int64, rows), make([]float32, rows)
	}
	copy(b.Partners, b.Labels)
	for i := range b.Share {
		b.Share[i] = 1
	}
	if m.Prob > 0 && rng.Float64() >= m.Prob {
		return
	}
	cut := m.CutMix > 0 && (m.Mixup <= 0 || rng.Uint64()&1 == 1)
	alpha := m.Mixup
	if cut {
		alpha = m.CutMix
	}
	share := beta(alpha, rng)
	var box [4]int
	if cut {
		box = cutBox(b.Size, share, rng)
		share = 1 - float64((box[2]-box[0])*(box[3]-box[1]))/float64(b.Size*b.Size)
	}
	image := b.Size * b.Size * 3
	for i, j := 0, b.N-1; i < j; i, j = i+1, j-1 {
		x, y := b.Images[i*image:(i+1)*image], b.Images[j*image:(j+1)*image]
		if cut {
			swapBox(x, y, b.Size, box)
		} else {
			blend(x, y, share)
		}
		b.Partners[i], b.Partners[j] = b.Labels[j], b.Labels[i]
		b.Share[i], b.Share[j] = float32(share), float32(share)
	}
}

// blend makes each of two images share of itself and the rest of the other.
func blend(x, y []byte, share float64) {
	const one = 1 << 15
	w := uint32(math.Round(share * one))
	y = y[:len(x)]
	for i, a := range x {
		p, q := uint32(a), uint32(y[i])
		x[i] = byte((p*w + q*(one-w) + one/2) >> 15)
		y[i] = byte((q*w + p*(one-w) + one/2) >> 15)
	}
}

// cutBox draws a box of 1 - share of the area around a random point, cut off at
// the edges: left, top, right, bottom.
func cutBox(size int, share float64, rng *rand.Rand) [4]int {
	side := int(float64(size) * math.Sqrt(1-share))
	cx, cy := rng.IntN(size), rng.IntN(size)
	return [4]int{max(cx-side/2, 0), max(cy-side/2, 0), min(cx+side/2, size), min(cy+side/2, size)}
}

func swapBox(x, y []byte, size int, box [4]int) {
	for row := box[1]; row < box[3]; row++ {
		from, to := (row*size+box[0])*3, (row*size+box[2])*3
		for i := from; i < to; i++ {
			x[i], y[i] = y[i], x[i]
		}
	}
}

// beta draws from Beta(alpha, alpha), as the share of one of two draws from
// Gamma(alpha).
func beta(alpha float64, rng *rand.Rand) float64 {
	a, b := gamma(alpha, rng), gamma(alpha, rng)
	if a+b == 0 {
		return float64(rng.Uint64() & 1)
	}
	return a / (a + b)
}

// gamma draws from Gamma(alpha, 1) by Marsaglia and Tsang's method (2000).
func gamma(alpha float64, rng *rand.Rand) float64 {
	if alpha < 1 {
		return gamma(alpha+1, rng) * math.Pow(rng.Float64(), 1/alpha)
	}
	d := alpha - 1.0/3
	c := 1 / math.Sqrt(9*d)
	for {
		x := rng.NormFloat64()
		v := 1 + c*x
		if v <= 0 {
			continue
		}
		v = v * v * v
		if math.Log(1-rng.Float64()) < x*x/2+d-d*v+d*math.Log(v) {
			return d * v
		}
	}
}
