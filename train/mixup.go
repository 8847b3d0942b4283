package train

import (
	"math"
	"math/rand/v2"
	"sync"

	"gonum.org/v1/gonum/stat/distuv"

	"github.com/synshard/synshard/internal/processors"
	"github.com/synshard/synshard/loader"
	"github.com/synshard/synshard/train/recipe"
)

// mix mixes a batch's images as a recipe asks for.
func mix(b *loader.Batch, l recipe.Loss, seed uint64) {
	coin := rand.New(rand.NewPCG(seed, 0x636f696e)).Uint64()&1 == 1
	if l.CutMix > 0 && (l.Mixup == 0 || coin) {
		cutmix(b, l.CutMix, seed)
		return
	}
	mixup(b, l.Mixup, seed)
}

// cutmix puts a rectangle of one image of each pair into the other (Yun et al. 2019,
// arXiv:1905.04899), at the same place, and keeps one label, as mixup does. The rectangle
// has the share 1-p of the area but for what hangs over the edge, p from Beta(alpha, alpha),
// and its centre is uniform, as torchvision draws it; the label is that of the outer image
// with its share as probability, which in expectation is mixing both labels by area. What
// is drawn depends on seed and place alone.
func cutmix(b *loader.Batch, alpha float64, seed uint64) {
	if b.N < 2 {
		return
	}
	image := b.Size * b.Size * 3
	was := make([]byte, 2*image)
	for i := range b.N / 2 {
		j := b.N - 1 - i
		x, y := b.Images[i*image:(i+1)*image], b.Images[j*image:(j+1)*image]
		copy(was, x)
		copy(was[image:], y)
		paste(x, was[:image], was[image:], drawCut(b.Size, alpha, seed, i))
		paste(y, was[image:], was[:image], drawCut(b.Size, alpha, seed, j))
	}
}

// cut is a rectangle, and whether the image whose label is kept is what is around it or in
// it.
type cut struct {
	x0, y0, x1, y1 int
	inside         bool
}

// drawCut draws a place's.
func drawCut(size int, alpha float64, seed uint64, place int) cut {
	src := rand.NewPCG(seed, uint64(place)^0x6375746d6978)
	rng := rand.New(src)
	share := distuv.Beta{Alpha: alpha, Beta: alpha, Src: src}.Rand()
	x, y := rng.IntN(size), rng.IntN(size)
	half := int(0.5 * math.Sqrt(1-share) * float64(size))
	c := cut{x0: max(x-half, 0), y0: max(y-half, 0), x1: min(x+half, size), y1: min(y+half, size)}
	outer := 1 - float64((c.x1-c.x0)*(c.y1-c.y0))/float64(size*size)
	c.inside = rng.Float64() >= outer
	return c
}

// paste makes of two images one with a rectangle; own is the one whose label is kept.
func paste(to, own, other []byte, c cut) {
	outer, inner := own, other
	if c.inside {
		outer, inner = other, own
	}
	size := int(math.Sqrt(float64(len(to) / 3)))
	copy(to, outer)
	for y := c.y0; y < c.y1; y++ {
		line := y * size * 3
		copy(to[line+3*c.x0:line+3*c.x1], inner[line+3*c.x0:])
	}
}

// mixup blends each image of a batch with its mirror place in the batch and
// keeps its own label (Zhang et al. 2018, arXiv:1710.09412). The share of the
// image itself is drawn from Beta(alpha+1, alpha): in expectation that is
// mixing both labels too with a share from Beta(alpha, alpha), because either
// label would be drawn with its share as probability (Huszar 2017), and it
// needs no second label on the device. What is drawn depends on seed and place
// alone.
func mixup(b *loader.Batch, alpha float64, seed uint64) {
	if alpha <= 0 || b.N < 2 {
		return
	}
	image := b.Size * b.Size * 3
	share := make([]uint32, b.N) // in 1/256
	for i := range share {
		beta := distuv.Beta{Alpha: alpha + 1, Beta: alpha, Src: rand.NewPCG(seed, uint64(i)^0x6d69787570)}
		share[i] = uint32(beta.Rand()*256 + 0.5)
	}
	var wg sync.WaitGroup
	pairs := make(chan int)
	for range min(processors.Count(), b.N/2) {
		wg.Go(func() {
			for i := range pairs {
				j := b.N - 1 - i
				blend(b.Images[i*image:(i+1)*image], b.Images[j*image:(j+1)*image], share[i], share[j])
			}
		})
	}
	for i := range b.N / 2 {
		pairs <- i
	}
	close(pairs)
	wg.Wait()
}

// blend makes x its share p of itself and the rest of y, and y its share q of
// itself and the rest of x; shares in 1/256.
func blend(x, y []byte, p, q uint32) {
	y = y[:len(x)]
	for k := range x {
		a, b := uint32(x[k]), uint32(y[k])
		x[k] = byte((a*p + b*(256-p) + 128) >> 8)
		y[k] = byte((b*q + a*(256-q) + 128) >> 8)
	}
}
