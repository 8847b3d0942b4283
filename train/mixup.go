package train

import (
	"image"
	"math"
	"math/rand/v2"
	"slices"
	"sync"

	"gonum.org/v1/gonum/stat/distuv"

	"github.com/synshard/synshard/internal/processors"
	"github.com/synshard/synshard/loader"
	"github.com/synshard/synshard/train/recipe"
)

// mix mixes the images of a batch, each with that in its mirror place in the batch, and their
// labels by the same shares, as a recipe asks for. Of an image's two labels the one with
// the larger share is in Labels. What is drawn depends on seed and place alone.
func mix(b *loader.Batch, l recipe.Loss, seed uint64) {
	if b.N < 2 || l.Mixup == 0 && l.CutMix == 0 {
		return
	}
	coin := rand.New(rand.NewPCG(seed, 0x636f696e)).Uint64()&1 == 1
	var shares []float32
	if l.CutMix > 0 && (l.Mixup == 0 || coin) {
		shares = cutmix(b, l.CutMix, seed)
	} else {
		shares = mixup(b, l.Mixup, seed)
	}
	own := slices.Clone(b.Labels)
	b.Others, b.Shares = slices.Clone(own), make([]float32, len(own))
	for i, share := range shares {
		b.Others[i], b.Shares[i] = own[b.N-1-i], share
		if share < 0.5 {
			b.Labels[i], b.Others[i], b.Shares[i] = b.Others[i], own[i], 1-share
		}
	}
}

// cutmix puts a rectangle of each image of a pair into the other (Yun et al. 2019,
// arXiv:1905.04899), at the same place, and gives the share of the area that stayed each
// one's own. The rectangle has the share 1-p of the area but for what hangs over the edge, p
// from Beta(alpha, alpha), and its centre is uniform, as torchvision draws it, for each
// image anew.
func cutmix(b *loader.Batch, alpha float64, seed uint64) []float32 {
	bytes, shares := b.Size*b.Size*3, make([]float32, b.N)
	was := make([]byte, 2*bytes)
	for i := range shares {
		shares[i] = 1
	}
	for i := range b.N / 2 {
		j := b.N - 1 - i
		x, y := b.Images[i*bytes:(i+1)*bytes], b.Images[j*bytes:(j+1)*bytes]
		copy(was, x)
		copy(was[bytes:], y)
		shares[i] = paste(x, was[bytes:], b.Size, drawCut(b.Size, alpha, seed, i))
		shares[j] = paste(y, was[:bytes], b.Size, drawCut(b.Size, alpha, seed, j))
	}
	return shares
}

// drawCut draws a place's rectangle.
func drawCut(size int, alpha float64, seed uint64, place int) image.Rectangle {
	src := rand.NewPCG(seed, uint64(place)^0x6375746d6978)
	rng := rand.New(src)
	share := distuv.Beta{Alpha: alpha, Beta: alpha, Src: src}.Rand()
	x, y := rng.IntN(size), rng.IntN(size)
	half := int(0.5 * math.Sqrt(1-share) * float64(size))
	return image.Rect(x-half, y-half, x+half, y+half).Intersect(image.Rect(0, 0, size, size))
}

// paste puts a rectangle of another image into one, and gives the share that is left of it.
func paste(to, other []byte, size int, r image.Rectangle) float32 {
	for y := r.Min.Y; y < r.Max.Y; y++ {
		line := y * size * 3
		copy(to[line+3*r.Min.X:line+3*r.Max.X], other[line+3*r.Min.X:])
	}
	return 1 - float32(r.Dx()*r.Dy())/float32(size*size)
}

// mixup blends each image of a batch with its mirror place in the batch (Zhang et al.
// 2018, arXiv:1710.09412) and gives each one's own share, from Beta(alpha, alpha).
func mixup(b *loader.Batch, alpha float64, seed uint64) []float32 {
	bytes := b.Size * b.Size * 3
	share, shares := make([]uint32, b.N), make([]float32, b.N) // the former in 1/256
	for i := range share {
		beta := distuv.Beta{Alpha: alpha, Beta: alpha, Src: rand.NewPCG(seed, uint64(i)^0x6d69787570)}
		share[i] = uint32(beta.Rand()*256 + 0.5)
		shares[i] = float32(share[i]) / 256
	}
	var wg sync.WaitGroup
	pairs := make(chan int)
	for range min(processors.Count(), b.N/2) {
		wg.Go(func() {
			for i := range pairs {
				j := b.N - 1 - i
				blend(b.Images[i*bytes:(i+1)*bytes], b.Images[j*bytes:(j+1)*bytes], share[i], share[j])
			}
		})
	}
	for i := range b.N / 2 {
		pairs <- i
	}
	close(pairs)
	wg.Wait()
	return shares
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
