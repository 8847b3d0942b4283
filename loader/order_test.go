package loader

import (
	"bytes"
	"math"
	"runtime"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPermutation(t *testing.T) {
	for _, n := range []int64{0, 1, 2, 3, 4, 5, 7, 16, 17, 255, 256, 257, 1000, 65537} {
		p, q := Permutation(n, 1, 0), Permutation(n, 1, 1)
		seen, moved, differ := make([]bool, n), 0, 0
		for i := range n {
			j := p.At(i)
			if j < 0 || j >= n || seen[j] {
				t.Fatalf("n %d: place %d has %d, again or outside", n, i, j)
			}
			seen[j] = true
			if j != i {
				moved++
			}
			if j != q.At(i) {
				differ++
			}
		}
		if n > 200 && (int64(moved) < n*9/10 || int64(differ) < n*9/10) {
			t.Errorf("n %d: %d moved, %d differ between epochs", n, moved, differ)
		}
	}
}

// TestPermutationIsUniform: where a row lands is uniform over many epochs, and
// rows that were neighbours are not.
func TestPermutationIsUniform(t *testing.T) {
	const n, epochs, bins = 1000, 400, 20
	var counts [bins]float64
	var gap float64
	for epoch := range epochs {
		p := Permutation(n, 77, epoch)
		for _, i := range []int64{0, 1, 499, 999} {
			counts[p.At(i)*bins/n]++
		}
		gap += math.Abs(float64(p.At(10)-p.At(11))) / n
	}
	want, chi := float64(4*epochs)/bins, 0.0
	for _, c := range counts {
		chi += (c - want) * (c - want) / want
	}
	if chi > 43.8 { // 19 degrees of freedom, one in a thousand
		t.Errorf("chi squared %.1f: %v", chi, counts)
	}
	if gap /= epochs; math.Abs(gap-1.0/3) > 0.05 { // mean distance of two uniform points
		t.Errorf("neighbours land %.3f apart", gap)
	}
}

// TestShuffleIsReady: the order of 14 million rows is not written down anywhere.
func TestShuffleIsReady(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	p := Permutation(14_197_122, 1, 0)
	var sum int64
	for i := range int64(10_000) {
		sum += p.At(i * 1000)
	}
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 1<<20 || sum == 0 {
		t.Errorf("took %d bytes", took)
	}
}

func BenchmarkPermutation(b *testing.B) {
	p := Permutation(14_197_122, 1, 0)
	i, sum := int64(0), int64(0)
	for b.Loop() {
		sum += p.At(i)
		if i++; i == p.Len() {
			i = 0
		}
	}
	_ = sum
}

func TestRandomness(t *testing.T) {
	a, b := Randomness(1, 2, 3), Randomness(1, 2, 3)
	for range 10 {
		if a.Uint64() != b.Uint64() {
			t.Fatal("not a function of its arguments")
		}
	}
	first := map[uint64]bool{}
	for seed := range uint64(10) {
		for epoch := range 10 {
			for row := range int64(10) {
				pcg := Randomness(seed, epoch, row)
				first[pcg.Uint64()] = true
			}
		}
	}
	if len(first) != 1000 {
		t.Errorf("%d of 1000 differ", len(first))
	}
}

func TestWeighted(t *testing.T) {
	const n = 300
	weights := make([]float64, n)
	sum := 0.0
	for i := range weights {
		weights[i] = float64(i % 5)
		sum += weights[i]
	}
	total := make([]int, n)
	for epoch := range 50 {
		ord, err := newOrder(n, Options{Weights: weights, Seed: 4, Epoch: epoch})
		if err != nil {
			t.Fatal(err)
		}
		count := make([]int, n)
		for place := range int64(n) {
			count[ord.at(place)]++
		}
		for i, c := range count {
			want := weights[i] / sum * n
			if float64(c) < math.Floor(want) || float64(c) > math.Ceil(want) {
				t.Fatalf("epoch %d: row %d of weight %v came %d times, want %.2f", epoch, i, weights[i], c, want)
			}
			total[i] += c
		}
	}
	for i, c := range total {
		if want := weights[i] / sum * n * 50; math.Abs(float64(c)-want) > 15 {
			t.Errorf("row %d came %d times in 50 epochs, want %.1f", i, c, want)
		}
	}
}

// TestWeightedImagesDiffer: a row that comes twice is cut out differently.
func TestWeightedImagesDiffer(t *testing.T) {
	src := drawn(t, 16)
	weights := make([]float64, 16)
	weights[5] = 1
	got := take(t, src, Options{Batch: 4, Train: crop, Weights: weights, Seed: 1})
	if diff := cmp.Diff(slices.Repeat([]int64{5}, 16), got.rows); diff != "" {
		t.Fatalf("rows (-want +got):\n%s", diff)
	}
	if bytes.Equal(got.pixels[0], got.pixels[1]) && bytes.Equal(got.pixels[1], got.pixels[2]) {
		t.Error("the same crop again and again")
	}
	same(t, "again", got, take(t, src, Options{Batch: 4, Train: crop, Weights: weights, Seed: 1, Workers: 3}))
}

type labelled []int64

func (l labelled) Len() int                           { return len(l) }
func (l labelled) Label(i int) int64                  { return l[i] }
func (labelled) Read(_ int, b []byte) ([]byte, error) { return b, nil }

func TestBalanced(t *testing.T) {
	src := labelled{0, 0, 0, 0, 0, 0, 1, 1, 2, -1}
	for power, want := range map[float64][3]float64{1: {1, 1, 1}, 0: {6, 2, 1}} {
		var sum [3]float64
		for i, w := range Balanced(src, power) {
			if src[i] >= 0 {
				sum[src[i]] += w
			} else if w != 0 {
				t.Errorf("no label, weight %v", w)
			}
		}
		for c := range sum {
			if math.Abs(sum[c]-want[c]) > 1e-9 {
				t.Errorf("power %v: class %d has %v, want %v", power, c, sum[c], want[c])
			}
		}
	}
}
