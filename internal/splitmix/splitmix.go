// Package splitmix spreads small differences of numbers over all their bits. What is drawn
// from a seed, and which images are split off, rests on it: it gives what it always gave.
package splitmix

// Mix is SplitMix64's finaliser (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number
// Generators", 2014), a permutation of the numbers of 64 bits.
func Mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
