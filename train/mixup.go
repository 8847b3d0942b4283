package train

import (
	"math/rand/v2"
	"sync"

	"gonum.org/v1/gonum/stat/distuv"

	"github.com/synshard/synshard/internal/processors"
	"github.com/synshard/synshard/loader"
)

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
