package train

import (
	"bytes"
	"math"
	"slices"
	"testing"

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

func TestMixupOff(t *testing.T) {
	b := flatBatch(1, 2, 3)
	want := slices.Clone(b.Images)
	mixup(b, 0, 1)
	if !bytes.Equal(b.Images, want) {
		t.Error("images changed with mixup off")
	}
}

// Images of 0 are paired with images of 255: what an image became says
// its share, whose mean is that of Beta(alpha+1, alpha).
func TestMixupShares(t *testing.T) {
	const alpha = 0.2
	var sum, n float64
	both := 0
	for seed := range uint64(400) {
		b := flatBatch(0, 0, 0, 255, 255, 255)
		mixup(b, alpha, seed)
		for i := range b.N {
			v := float64(b.Images[i*12]) / 255
			if !bytes.Equal(b.Images[i*12:i*12+12], bytes.Repeat(b.Images[i*12:i*12+1], 12)) {
				t.Fatal("a flat image is no longer flat")
			}
			if i < 3 {
				v = 1 - v
			}
			sum, n = sum+v, n+1
			if v > 0.05 && v < 0.95 {
				both++
			}
		}
		if want := []int64{0, 1, 2, 3, 4, 5}; !slices.Equal(b.Labels, want) {
			t.Fatal("labels changed")
		}
	}
	if got, want := sum/n, (alpha+1)/(2*alpha+1); math.Abs(got-want) > 0.02 {
		t.Errorf("mean share %.3f, want %.3f", got, want)
	}
	if f := float64(both) / n; f < 0.1 || f > 0.6 {
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

// TestCutMix: an image is its own but for a rectangle of its pair's, or its pair's but for a
// rectangle of its own; its own share is in the mean what keeping one label asks for; places
// and seeds differ.
func TestCutMix(t *testing.T) {
	const alpha, size = 1.0, 16
	var own, inside, n float64
	for seed := range uint64(1500) {
		b := &loader.Batch{N: 2, Size: size, Labels: []int64{0, 1}, Rows: []int64{0, 1}}
		b.Images = append(bytes.Repeat([]byte{0}, size*size*3), bytes.Repeat([]byte{255}, size*size*3)...)
		mix(b, recipe.Loss{CutMix: alpha}, seed)
		again := &loader.Batch{N: 2, Size: size, Images: append(bytes.Repeat([]byte{0}, size*size*3), bytes.Repeat([]byte{255}, size*size*3)...)}
		cutmix(again, alpha, seed)
		if !bytes.Equal(b.Images, again.Images) {
			t.Fatal("the same seed gives other images")
		}
		share := float64(bytes.Count(b.Images[:size*size*3], []byte{0})) / (size * size * 3)
		// What of it is the rectangle: inside, the corners are the other's, but for one at the edge.
		own, n = own+share, n+1
		if drawCut(size, alpha, seed, 0).inside {
			inside++
		}
	}
	// E[outer^2 + (1-outer)^2], the own share in the mean, where outer is the area around.
	var want, outside float64
	for seed := range uint64(200000) {
		c := drawCut(size, alpha, seed+7777, 3)
		outer := 1 - float64((c.x1-c.x0)*(c.y1-c.y0))/(size*size)
		want += outer*outer + (1-outer)*(1-outer)
		outside += outer
	}
	want, outside = want/200000, outside/200000
	if math.Abs(own/n-want) > 0.03 {
		t.Errorf("the mean share of an image in itself is %.3f, want %.3f", own/n, want)
	}
	if math.Abs(inside/n-(1-outside)) > 0.04 {
		t.Errorf("%.3f of images are in the rectangle, want %.3f", inside/n, 1-outside)
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
