package loader

import (
	"math/bits"
	"math/rand/v2"
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
// arguments.
func Permutation(n int64, seed uint64, epoch int) Perm {
	p := Perm{n: uint64(n), half: uint(bits.Len64(uint64(max(n-1, 1)))+1) / 2}
	k := mix(seed ^ mix(uint64(epoch)+1))
	for i := range p.keys {
		k = mix(k + 0x9e3779b97f4a7c15)
		p.keys[i] = k
	}
	return p
}

// At gives the row in place i, 0 <= i < n.
func (p Perm) At(i int64) int64 {
	x, mask := uint64(i), uint64(1)<<p.half-1
	for {
		left, right := x>>p.half, x&mask
		for _, k := range p.keys {
			left, right = right, left^(mix(right^k)&mask)
		}
		if x = left<<p.half | right; x < p.n {
			return int64(x)
		}
	}
}

// mix is splitmix64's finaliser.
func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// SampleRNG is the source of all that is random about a row in an epoch: a
// pure function of its arguments, whoever loads the row.
func SampleRNG(seed uint64, epoch int, row int64) *rand.Rand {
	return rand.New(samplePCG(seed, epoch, row))
}

func samplePCG(seed uint64, epoch int, row int64) *rand.PCG {
	return rand.NewPCG(mix(seed^mix(uint64(epoch)+0x51)), mix(uint64(row)+0xa3))
}
