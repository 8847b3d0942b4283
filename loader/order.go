package loader

import (
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"sort"

	"github.com/synshard/synshard/internal/splitmix"
)

// Perm is a permutation of 0..n-1, computed place by place in constant memory:
// a four-round Feistel network over the smallest even number of bits that
// holds n, walked until it lands inside (on average less than four times).
type Perm struct {
	n    uint64
	half uint // bits of each half
	keys [4]uint64
}

// Permutation is the order of n rows in an epoch: a pure function of its
// arguments, and part of what a seed means.
func Permutation(n int64, seed uint64, epoch int) Perm {
	p := Perm{n: uint64(n), half: uint(bits.Len64(uint64(max(n-1, 1)))+1) / 2}
	k := splitmix.Mix(seed ^ splitmix.Mix(uint64(epoch)+1))
	for i := range p.keys {
		k = splitmix.Mix(k + 0x9e3779b97f4a7c15)
		p.keys[i] = k
	}
	return p
}

// Len is n.
func (p Perm) Len() int64 { return int64(p.n) }

// At gives the row in place i, 0 <= i < n.
func (p Perm) At(i int64) int64 {
	x, mask := uint64(i), uint64(1)<<p.half-1
	for {
		left, right := x>>p.half, x&mask
		for _, k := range p.keys {
			left, right = right, left^(splitmix.Mix(right^k)&mask)
		}
		if x = left<<p.half | right; x < p.n {
			return int64(x)
		}
	}
}

// Of gives the place of a row: At(Of(row)) is row.
func (p Perm) Of(row int64) int64 {
	x, mask := uint64(row), uint64(1)<<p.half-1
	for {
		left, right := x>>p.half, x&mask
		for i := len(p.keys) - 1; i >= 0; i-- {
			left, right = right^(splitmix.Mix(left^p.keys[i])&mask), left
		}
		if x = left<<p.half | right; x < p.n {
			return int64(x)
		}
	}
}

// What is drawn for different purposes from one seed is kept apart by these. They
// are part of what a seed means: another value gives other images.
const (
	saltSample  = 0x51 // an image's randomness, by epoch
	saltRow     = 0xa3 // and by row
	saltWeights = 0x77 // where weighted drawing begins in its stride
)

// Randomness is the source of all that is random about a row in an epoch, where rows come
// once: a pure function of its arguments, whoever loads the row, and part of what a seed means.
func Randomness(seed uint64, epoch int, row int64) rand.PCG {
	return *rand.NewPCG(splitmix.Mix(seed^splitmix.Mix(uint64(epoch)+saltSample)), splitmix.Mix(uint64(row)+saltRow))
}

// order is which row stands in which place of an epoch: each row that has its turn stands
// in so many places one after the other.
type order struct {
	perm    Perm // of turns
	shuffle bool
	n       int64 // rows, and places
	repeats int64
	// Of weighted drawing: the running sum of weights, and where in its stride
	// the epoch begins.
	sums   []float64
	offset float64
}

func newOrder(n int64, o Options) (order, error) {
	ord := order{n: n, shuffle: o.Shuffle || o.Weights != nil, repeats: int64(max(o.Repeats, 1))}
	if ord.shuffle {
		ord.perm = Permutation(n, o.Seed, o.Epoch)
	}
	if o.Weights == nil {
		return ord, nil
	}
	if int64(len(o.Weights)) != n {
		return ord, fmt.Errorf("loader: %d weights for %d rows", len(o.Weights), n)
	}
	ord.sums = make([]float64, n)
	sum := 0.0
	for i, w := range o.Weights {
		if w < 0 || math.IsNaN(w) || math.IsInf(w, 0) {
			return ord, fmt.Errorf("loader: row %d has the weight %v", i, w)
		}
		sum += w
		ord.sums[i] = sum
	}
	if n > 0 && (sum <= 0 || math.IsInf(sum, 0)) {
		return ord, fmt.Errorf("loader: the weights sum to %v", sum)
	}
	ord.offset = strideOffset(o.Seed, o.Epoch)
	return ord, nil
}

// strideOffset is where weighted drawing begins in its stride, from 0 to 1.
func strideOffset(seed uint64, epoch int) float64 {
	return float64(splitmix.Mix(seed^splitmix.Mix(uint64(epoch)+saltWeights))>>11) / (1 << 53)
}

// at gives the row in a place. Weighted drawing is systematic: n equally spaced
// points over the running sum, in shuffled order, so that a row of weight w
// comes n*w/sum times in an epoch, rounded up or down, and w in the long run.
func (o order) at(place int64) int64 {
	turn := place / o.repeats
	if !o.shuffle {
		return turn
	}
	row := o.perm.At(turn)
	if o.sums == nil {
		return row
	}
	return o.drawn(row)
}

// drawn gives the row to which one of n equally spaced points falls.
func (o order) drawn(point int64) int64 {
	want := (float64(point) + o.offset) / float64(o.n) * o.sums[o.n-1]
	i := int64(sort.Search(len(o.sums), func(i int) bool { return o.sums[i] > want }))
	return min(i, o.n-1)
}

// following is the order of the epoch after that of o, whose order this is.
func (o order) following(opts Options) order {
	if !o.shuffle {
		return o
	}
	next := o
	next.perm = Permutation(o.n, opts.Seed, opts.Epoch+1)
	if o.sums != nil {
		next.offset = strideOffset(opts.Seed, opts.Epoch+1)
	}
	return next
}

// first is the first place from one on in which a row stands.
func (o order) first(row, from int64) (place int64, ok bool) {
	has := func(turn int64) {
		at := max(turn*o.repeats, from)
		if at < min((turn+1)*o.repeats, o.n) && (!ok || at < place) {
			place, ok = at, true
		}
	}
	switch {
	case !o.shuffle:
		has(row)
	case o.sums == nil:
		has(o.perm.Of(row))
	default: // of the equally spaced points, those that fall to the row
		begin := int64(sort.Search(int(o.n), func(k int) bool { return o.drawn(int64(k)) >= row }))
		for k := begin; k < o.n && o.drawn(k) == row; k++ {
			has(o.perm.Of(k))
		}
	}
	return place, ok
}

// inBatch is the place of image i of a batch of n that begins at place first: of every row
// first one copy, then the next, so that whoever takes a run of its images (a process, a
// microbatch) has copies of different rows.
func (o order) inBatch(first, i, n int64) int64 {
	for k := range o.repeats {
		begin := first + (k-first%o.repeats+o.repeats)%o.repeats
		copies := max((first+n-begin+o.repeats-1)/o.repeats, 0)
		if i < copies {
			return begin + i*o.repeats
		}
		i -= copies
	}
	panic(fmt.Sprintf("loader: a batch of %d has no image %d more", n, i))
}

// after is the place of the same copy of the next row to have its turn, the epoch's last
// followed by its first.
func (o order) after(place int64) int64 {
	if place += o.repeats; place >= o.n {
		place %= o.repeats
	}
	return place
}

// Balanced gives weights that draw every class equally often for power 1, as
// often as it has images for power 0, and in between otherwise. Rows without
// a label get none.
func Balanced(src Source, power float64) []float64 {
	count := map[int64]int{}
	for i := range src.Len() {
		count[src.Label(i)]++
	}
	weights := make([]float64, src.Len())
	for i := range weights {
		if label := src.Label(i); label >= 0 {
			weights[i] = math.Pow(float64(count[label]), -power)
		}
	}
	return weights
}
