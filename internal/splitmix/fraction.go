package splitmix

import (
	"fmt"
	"hash/fnv"
)

// Fraction is a number from 0 to below 1 for an image: a hash of a seed, its class and its
// name there, by which images are split off. It depends on nothing else, so that more
// images move none; other numbers are other splits of everyone's data.
func Fraction(seed uint64, class, name string) float64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%016x\x00%s\x00%s", seed, class, name)
	return float64(Mix(h.Sum64())>>11) / (1 << 53)
}
