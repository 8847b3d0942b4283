package train

import (
	"bytes"
	"math"
	"slices"
	"testing"

	"github.com/synshard/synshard/internal/golden"
	"github.com/synshard/synshard/internal/raced"
	"github.com/synshard/synshard/loader"
	"github.com/synshard/synshard/train/recipe"
)

func flatBatch(values ...byte) *loader.Batch {
	b := &loader.Batch{N: len(values), Size: 2}
	for i, v := range values {
		b.Images = append(b.Images, bytes.Repeat([]byte{v}, 12)...)
		b.Labels = append(b.Labels, int64(i))
		b.Rows = append(b.Rows, int64(i))
	}
	return b
}

func TestMixOff(t *testing.T) {
	b := flatBatch(1, 2, 3)
	want := slices.Clone(b.Images)
	mix(b, recipe.Loss{}, 1)
	if !bytes.Equal(b.Images, want) || b.Others != nil {
		t.Error("images changed with mixing off")
	}
}

// shareOf is an image's own share by its labels: it is i of b.N, and its label was i.
func shareOf(t *testing.T, b *loader.Batch, i int) float64 {
	t.Helper()
	own, other, share := int64(i), int64(b.N-1-i), b.Shares[i]
	if share < 0.5 {
		t.Fatalf("the label in Labels has the share %v", share)
	}
	switch {
	case b.Labels[i] == own && b.Others[i] == other:
		return float64(share)
	case b.Labels[i] == other && b.Others[i] == own:
		return 1 - float64(share)
	}
	t.Fatalf("image %d has the labels %d and %d", i, b.Labels[i], b.Others[i])
	return 0
}

// Images of 0 are paired with images of 255: what an image became says its share, which its
// labels have too.
func TestMixupShares(t *testing.T) {
	var sum, n, visibly float64
	for seed := range uint64(400) {
		b := flatBatch(0, 0, 0, 255, 255, 255)
		mix(b, recipe.Loss{Mixup: 0.2}, seed)
		for i := range b.N {
			v := float64(b.Images[i*12]) / 255
			if !bytes.Equal(b.Images[i*12:i*12+12], bytes.Repeat(b.Images[i*12:i*12+1], 12)) {
				t.Fatal("a flat image is no longer flat")
			}
			if i < 3 {
				v = 1 - v
			}
			if d := math.Abs(v - shareOf(t, b, i)); d > 1./255 {
				t.Fatalf("a share of %.3f, and labels by %.3f", v, shareOf(t, b, i))
			}
			sum, n = sum+v, n+1
			if v > 0.05 && v < 0.95 {
				visibly++
			}
		}
	}
	if math.Abs(sum/n-0.5) > 0.03 {
		t.Errorf("mean share %.3f, want a half", sum/n)
	}
	if f := visibly / n; f < 0.1 || f > 0.6 {
		t.Errorf("%.2f of the images are visibly mixed", f)
	}
}

func TestMixupDependsOnSeedAlone(t *testing.T) {
	a, b, c := flatBatch(9, 90, 200, 250, 17), flatBatch(9, 90, 200, 250, 17), flatBatch(9, 90, 200, 250, 17)
	mixup(a, 0.5, 3)
	mixup(b, 0.5, 3)
	mixup(c, 0.5, 4)
	if !bytes.Equal(a.Images, b.Images) || bytes.Equal(a.Images, c.Images) {
		t.Error("mixup is not a function of the seed")
	}
	if a.Images[2*12] != 200 {
		t.Error("the middle image has no partner and must stay")
	}
}

// TestCutMix: the share of an image that is its own is that of its label, in every bit, and
// places and seeds differ.
func TestCutMix(t *testing.T) {
	const size = 16
	seen := map[float64]bool{}
	for seed := range uint64(300) {
		b := &loader.Batch{N: 2, Size: size, Labels: []int64{0, 1}, Rows: []int64{0, 1}}
		b.Images = append(bytes.Repeat([]byte{0}, size*size*3), bytes.Repeat([]byte{255}, size*size*3)...)
		mix(b, recipe.Loss{CutMix: 1}, seed)
		for i, own := range []byte{0, 255} {
			share := float64(bytes.Count(b.Images[i*size*size*3:(i+1)*size*size*3], []byte{own})) / (size * size * 3)
			if share != shareOf(t, b, i) {
				t.Fatalf("seed %d: a share of %v, and labels by %v", seed, share, shareOf(t, b, i))
			}
			seen[share] = true
		}
	}
	if len(seen) < 50 {
		t.Errorf("%d shares of 600 differ", len(seen))
	}
}

// TestSharesAsTorchvision holds how large the own shares are to torchvision's MixUp and
// CutMix (scripts/golden/train_mix.py), as chi squared between two histograms of ten bins.
func TestSharesAsTorchvision(t *testing.T) {
	raced.Skip(t, "one goroutine draws")
	var g struct {
		Size   int                `json:"size"`
		Alpha  map[string]float64 `json:"alpha"`
		Shares map[string][]int   `json:"shares"` // how many in each tenth, of 0 to 1
	}
	golden.Read(t, "testdata/golden_mix.json", &g)
	for name, theirs := range g.Shares {
		ours, n := make([]float64, len(theirs)), 0
		for _, k := range theirs {
			n += k
		}
		for seed := range uint64(n / 2) {
			b := &loader.Batch{N: 2, Size: g.Size, Images: make([]byte, 2*g.Size*g.Size*3), Labels: []int64{0, 1}}
			loss := recipe.Loss{Mixup: g.Alpha[name]}
			if name == "cutmix" {
				loss = recipe.Loss{CutMix: g.Alpha[name]}
			}
			mix(b, loss, seed)
			for i := range 2 {
				ours[min(int(shareOf(t, b, i)*10), 9)]++
			}
		}
		chi := 0.0
		for i, k := range theirs {
			if d := ours[i] - float64(k); ours[i]+float64(k) > 0 {
				chi += d * d / (ours[i] + float64(k))
			}
		}
		if chi > 27.9 { // 9 degrees of freedom, one in a thousand
			t.Errorf("%s: chi squared %.1f: %v, torchvision's %v", name, chi, ours, theirs)
		}
	}
}

// TestMixOrCut: with both, about every second batch has either.
func TestMixOrCut(t *testing.T) {
	cut := 0
	for seed := range uint64(400) {
		b := flatBatch(0, 255)
		mix(b, recipe.Loss{Mixup: 1, CutMix: 1}, seed)
		only := flatBatch(0, 255)
		cutmix(only, 1, seed)
		if bytes.Equal(b.Images, only.Images) {
			cut++
		}
	}
	if cut < 160 || cut > 250 {
		t.Errorf("%d of 400 batches are cut", cut)
	}
}
