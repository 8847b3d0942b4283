package train

import (
	"bytes"
	"math"
	"slices"
	"testing"

	"github.com/synshard/synshard/loader"
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
