package eval

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"

	"github.com/synshard/synshard/infer/prediction"
)

// Comparison is of two models on the same images: B against A.
type Comparison struct {
	N          int     `json:"images"` // that have a truth in both
	A          float64 `json:"top1_a"` // shares of them
	B          float64 `json:"top1_b"`
	Difference float64 `json:"difference"` // B - A
	// Low and High bound the difference: the 95 % percentile interval of
	// Resamples paired bootstrap samples.
	Low       float64 `json:"low"`
	High      float64 `json:"high"`
	Resamples int     `json:"resamples"`
	OnlyA     int     `json:"only_a"` // right in A, wrong in B
	OnlyB     int     `json:"only_b"` // right in B, wrong in A
	// PExact and PMid are two-sided p-values of McNemar's test by the binomial
	// distribution: Fagerland, Lydersen and Laake, "The McNemar test for binary
	// matched-pairs data", 2013.
	PExact float64 `json:"p_exact"`
	PMid   float64 `json:"p_mid"`
}

// Compare takes two sets of predictions over the same rows, and resamples, at
// least 1, bootstrap samples drawn by a seed. Rows that have no truth in one of
// them are left out; a failed row is wrong. Sets of other images, other truths or
// no truth at all are an error.
func Compare(a, b *prediction.Set, resamples int, seed uint64) (Comparison, error) {
	c := Comparison{Resamples: resamples}
	if a.Len() != b.Len() {
		return c, fmt.Errorf("%d rows and %d: not the same images", a.Len(), b.Len())
	}
	rightA, rightB := 0, 0
	for i := range a.Truth {
		if a.Paths[i] != b.Paths[i] {
			return c, fmt.Errorf("row %d is %s in one and %s in the other: not the same images in the same order", i, a.Paths[i], b.Paths[i])
		}
		if a.Truth[i] < 0 || b.Truth[i] < 0 {
			continue
		}
		if x, y := a.Classes[a.Truth[i]], b.Classes[b.Truth[i]]; x != y {
			return c, fmt.Errorf("row %d, %s, is of class %s in one and %s in the other", i, a.Paths[i], x, y)
		}
		c.N++
		inA, inB := a.Top[i*a.K] == a.Truth[i], b.Top[i*b.K] == b.Truth[i]
		if inA {
			rightA++
		}
		if inB {
			rightB++
		}
		if inA && !inB {
			c.OnlyA++
		}
		if inB && !inA {
			c.OnlyB++
		}
	}
	if c.N == 0 {
		return c, fmt.Errorf("no row has a truth; nothing can be compared")
	}
	c.A, c.B = share(rightA, c.N), share(rightB, c.N)
	c.Difference = float64(c.OnlyB-c.OnlyA) / float64(c.N)
	c.Low, c.High = bootstrap(c.N, c.OnlyA, c.OnlyB, resamples, seed)
	c.PExact, c.PMid = mcnemar(c.OnlyA, c.OnlyB)
	return c, nil
}

// bootstrap resamples pairs. A pair adds 1, -1 or 0 to the difference, so a
// sample of n pairs is drawn as a multinomial of three counts.
func bootstrap(n, onlyA, onlyB, resamples int, seed uint64) (low, high float64) {
	src := rand.NewPCG(seed, 0)
	draw := func(n int, p float64) int {
		if n == 0 || p <= 0 {
			return 0
		}
		if p >= 1 {
			return n
		}
		return int(distuv.Binomial{N: float64(n), P: p, Src: src}.Rand())
	}
	differences := make([]float64, resamples)
	for i := range differences {
		b := draw(n, share(onlyB, n))
		a := draw(n-b, share(onlyA, n-onlyB))
		differences[i] = float64(b-a) / float64(n)
	}
	slices.Sort(differences)
	at := func(q float64) float64 { return differences[int(q*float64(resamples-1)+0.5)] }
	return at(0.025), at(0.975)
}

// mcnemar tests whether the discordant pairs fall to either side alike.
func mcnemar(onlyA, onlyB int) (exact, mid float64) {
	n, k := onlyA+onlyB, min(onlyA, onlyB)
	if n == 0 {
		return 1, 1
	}
	d := distuv.Binomial{N: float64(n), P: 0.5}
	tail := d.CDF(float64(k))
	return min(2*tail, 1), min(2*tail-d.Prob(float64(k)), 1)
}
