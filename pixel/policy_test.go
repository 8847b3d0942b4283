package pixel

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/synshard/synshard/internal/golden"
)

type policyGolden struct {
	Magnitudes map[string]map[string][]float64         `json:"magnitudes"`
	Sums       map[string]map[string]map[string]string `json:"sums"`
	Erased     struct {
		Share           float64 `json:"share"`
		Mean, Deviation []float64
	} `json:"erased"`
}

// patterned is scripts/golden/pixel_policies.py's image.
func patterned(kind string, n int) []byte {
	pix := make([]byte, 0, n*n*3)
	for y := range n {
		for x := range n {
			for c := range 3 {
				v := (x*x*3 + y*7*(c+1) + x*y*5) % 256
				switch kind {
				case "narrow":
					v = 90 + v/4 + 7*c
				case "flat":
					v = 40*c + 20
				case "two":
					if v = 13; (x+y)%3 == 0 {
						v = 200 - 50*c
					}
				}
				pix = append(pix, byte(v))
			}
		}
	}
	return pix
}

// TestOperationsLikeTorchvision holds every operation to every bit of torchvision's over PIL.
func TestOperationsLikeTorchvision(t *testing.T) {
	var g policyGolden
	golden.Read(t, "testdata/policies.json", &g)
	compared := 0
	for kind, sizes := range g.Sums {
		for size, sums := range sizes {
			n, err := strconv.Atoi(size)
			if err != nil {
				t.Fatal(err)
			}
			from := patterned(kind, n)
			for key, want := range sums {
				name, number, _ := strings.Cut(key, " ")
				m, err := strconv.ParseFloat(number, 64)
				if err != nil {
					t.Fatal(err)
				}
				dst := bytes.Clone(from)
				operations[name](dst, bytes.Clone(from), n, m)
				if got := fmt.Sprintf("%x", sha256.Sum256(dst))[:12]; got != want {
					t.Errorf("%s of a %s image of %s pixels differs", key, kind, size)
				}
				compared++
			}
		}
	}
	if compared < 1000 {
		t.Errorf("%d compared", compared)
	}
}

// TestMagnitudesLikeTorchvision holds the ranges of both policies to torchvision's.
func TestMagnitudesLikeTorchvision(t *testing.T) {
	var g policyGolden
	golden.Read(t, "testdata/policies.json", &g)
	for key, want := range g.Magnitudes {
		policy, size, _ := strings.Cut(key, " ")
		n, err := strconv.Atoi(size)
		if err != nil {
			t.Fatal(err)
		}
		of := choices(policy, n)
		if len(of) != len(want) {
			t.Errorf("%s chooses of %d operations, want %d", key, len(of), len(want))
		}
		for _, c := range of {
			list := want[c.name]
			for i := range list {
				if got := c.magnitude(i); len(list) > 1 && got != list[i] {
					t.Errorf("%s: %s has %v as magnitude %d, want %v", key, c.name, got, i, list[i])
				}
			}
		}
	}
}

// TestPolicyDraws: operations come alike often, of both signs, and trivial's of all
// magnitudes; the same generator gives the same image.
func TestPolicyDraws(t *testing.T) {
	from := patterned("rough", 32)
	kinds := map[string]int{}
	const trials = 4000
	for i := range trials {
		pix, again := bytes.Clone(from), bytes.Clone(from)
		tr := Train{Size: 32, Policy: "trivialaugment_wide"}
		tr.distortByPolicy(pix, make([]byte, len(pix)), rand.New(rand.NewPCG(1, uint64(i))))
		tr.distortByPolicy(again, make([]byte, len(pix)), rand.New(rand.NewPCG(1, uint64(i))))
		if !bytes.Equal(pix, again) {
			t.Fatal("the same generator gives other images")
		}
		kinds[string(pix)]++
	}
	// Of 14 operations one changes nothing, 9 do nothing at magnitude 0 of 31, posterize in
	// its first three (rounded); equalize and autocontrast are one image each.
	same := float64(kinds[string(from)]) / trials
	if want := (1 + 9./31 + 3./31 + 1./31) / 14; math.Abs(same-want) > 0.025 {
		t.Errorf("%.3f of the images are as they were, want about %.3f", same, want)
	}
	if len(kinds) < 350 {
		t.Errorf("%d images of %d are different", len(kinds), trials)
	}
	r := Train{Size: 32, Policy: "randaugment", PolicyOps: 2, PolicyMagnitude: 9}
	two := map[string]bool{}
	for i := range 500 {
		pix := bytes.Clone(from)
		r.distortByPolicy(pix, make([]byte, len(pix)), rand.New(rand.NewPCG(2, uint64(i))))
		two[string(pix)] = true
	}
	if len(two) < 150 { // 23 signed operations make at most 529 pairs
		t.Errorf("two operations make %d images of 500", len(two))
	}
}

// TestErasesLikeTorchvision holds what RandomErasing draws to torchvision's statistics.
func TestErasesLikeTorchvision(t *testing.T) {
	var g policyGolden
	golden.Read(t, "testdata/policies.json", &g)
	const trials = 20000
	tr := Train{Size: 64, Erase: 0.25}
	var sum, square [4]float64
	n := 0.0
	rng := rand.New(rand.NewPCG(3, 4))
	for range trials {
		r, ok := tr.erased(rng)
		if !ok {
			continue
		}
		n++
		for i, v := range [4]float64{
			float64(r.W*r.H) / (64 * 64), math.Log(float64(r.H) / float64(r.W)),
			float64(r.Y) / float64(64-r.H+1), float64(r.X) / float64(64-r.W+1),
		} {
			sum[i], square[i] = sum[i]+v, square[i]+v*v
		}
	}
	if math.Abs(n/trials-g.Erased.Share) > 0.013 { // three deviations of either
		t.Errorf("%.4f are erased, torchvision's %.4f", n/trials, g.Erased.Share)
	}
	for i := range sum {
		mean := sum[i] / n
		deviation := math.Sqrt(square[i]/n - mean*mean)
		if off := math.Abs(mean - g.Erased.Mean[i]); off > 4*deviation*math.Sqrt(2/n) {
			t.Errorf("figure %d has the mean %v, torchvision's %v", i, mean, g.Erased.Mean[i])
		}
		if math.Abs(deviation/g.Erased.Deviation[i]-1) > 0.05 {
			t.Errorf("figure %d has the deviation %v, torchvision's %v", i, deviation, g.Erased.Deviation[i])
		}
	}
	pix := patterned("flat", 64)
	Train{Size: 64, Erase: 1, EraseWith: [3]byte{1, 2, 3}}.erase(pix, rng)
	if k := bytes.Count(pix, []byte{1, 2, 3}); k < 64*64/60 || k > 64*64/2 {
		t.Errorf("%d pixels of 4096 are erased", k)
	}
}

func BenchmarkPolicy(b *testing.B) {
	for _, c := range choices("randaugment", 299) {
		b.Run(c.name, func(b *testing.B) {
			pix := patterned("rough", 299)
			from := bytes.Clone(pix)
			for b.Loop() {
				copy(from, pix)
				operations[c.name](pix, from, 299, c.magnitude(9))
			}
		})
	}
}
