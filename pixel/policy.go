package pixel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// Policies are the names of what Train.Policy may be beside "".
//
// randaugment (Cubuk et al., arXiv:1909.13719) applies PolicyOps operations one after the
// other, each drawn of all, with the magnitude PolicyMagnitude of 31 (from 0);
// trivialaugment_wide (Mueller and Hutter, arXiv:2103.10158) one, with any magnitude. A
// magnitude that may be either way is so by a coin. Operations, ranges and pixels are those
// of torchvision's RandAugment and TrivialAugmentWide over PIL images, black coming in.
var Policies = []string{"randaugment", "trivialaugment_wide"}

// magnitudes is how many there are of each operation.
const magnitudes = 31

// choice is an operation of a policy.
type choice struct {
	name   string
	from   float32 // magnitudes, evenly spaced
	to     float32
	signed bool
	bits   float64 // of Posterize, instead: how many are lost at most
}

// choices are a policy's, in torchvision's order.
func choices(policy string, size int) []choice {
	// Each as RandAugment and as TrivialAugmentWide has it.
	wide := policy == "trivialaugment_wide"
	pick := func(a, b float32) float32 {
		if wide {
			return b
		}
		return a
	}
	shift := pick(float32(150.0/331.0*float64(size)), 32)
	return []choice{
		{name: "Identity"},
		{name: "ShearX", to: pick(0.3, 0.99), signed: true},
		{name: "ShearY", to: pick(0.3, 0.99), signed: true},
		{name: "TranslateX", to: shift, signed: true},
		{name: "TranslateY", to: shift, signed: true},
		{name: "Rotate", to: pick(30, 135), signed: true},
		{name: "Brightness", to: pick(0.9, 0.99), signed: true},
		{name: "Color", to: pick(0.9, 0.99), signed: true},
		{name: "Contrast", to: pick(0.9, 0.99), signed: true},
		{name: "Sharpness", to: pick(0.9, 0.99), signed: true},
		{name: "Posterize", bits: float64(pick(4, 6))},
		{name: "Solarize", from: 255},
		{name: "AutoContrast"},
		{name: "Equalize"},
	}
}

// magnitude is number i, as torch.linspace rounds it.
func (c choice) magnitude(i int) float64 {
	if c.bits > 0 {
		return 8 - math.RoundToEven(float64(float32(i)/float32((magnitudes-1)/c.bits)))
	}
	step := (c.to - c.from) / (magnitudes - 1)
	if i < magnitudes/2 { // from both ends, each rounded once
		return float64(float32(float64(c.from) + float64(step)*float64(i)))
	}
	return float64(float32(float64(c.to) - float64(step)*float64(magnitudes-1-i)))
}

// checkPolicy refuses what distortByPolicy cannot do.
func (t Train) checkPolicy() error {
	switch {
	case t.Policy != "" && !slices.Contains(Policies, t.Policy):
		return fmt.Errorf("policy %q: want one of %v", t.Policy, Policies)
	case t.Policy == "randaugment" && (t.PolicyOps < 1 || t.PolicyMagnitude < 0 || t.PolicyMagnitude >= magnitudes):
		return fmt.Errorf("randaugment of %d operations of magnitude %d: want 1 or more, of 0 to %d", t.PolicyOps, t.PolicyMagnitude, magnitudes-1)
	case !(t.Erase >= 0 && t.Erase <= 1):
		return fmt.Errorf("erase with probability %g: want 0 to 1", t.Erase)
	}
	return nil
}

// distortByPolicy changes an image in place; spare is room for another.
func (t Train) distortByPolicy(pix, spare []byte, rng *rand.Rand) {
	ops := t.PolicyOps
	switch t.Policy {
	case "":
		return
	case "trivialaugment_wide":
		ops = 1
	}
	from := choices(t.Policy, t.Size)
	for range ops {
		c := from[rng.IntN(len(from))]
		number := t.PolicyMagnitude
		if t.Policy == "trivialaugment_wide" {
			number = rng.IntN(magnitudes)
		}
		m := c.magnitude(number)
		if c.signed && rng.Uint64()&1 == 1 {
			m = -m
		}
		copy(spare, pix)
		operations[c.name](pix, spare, t.Size, m)
	}
}

// Of what is erased, as torchvision's RandomErasing by default (Zhong et al.,
// arXiv:1708.04896): shares of the area, height by width.
const (
	eraseAreaMin, eraseAreaMax     = 0.02, 0.33
	eraseAspectMin, eraseAspectMax = 0.3, 3.3
)

// erased draws a rectangle of an image that is erased, none with probability 1 - Erase, or
// where ten tries give none.
func (t Train) erased(rng *rand.Rand) (r crop, ok bool) {
	if t.Erase == 0 || rng.Float64() >= t.Erase {
		return r, false
	}
	lo, hi := math.Log(eraseAspectMin), math.Log(eraseAspectMax)
	for range 10 {
		area := float64(t.Size*t.Size) * (eraseAreaMin + (eraseAreaMax-eraseAreaMin)*rng.Float64())
		aspect := math.Exp(lo + (hi-lo)*rng.Float64())
		h, w := int(math.RoundToEven(math.Sqrt(area*aspect))), int(math.RoundToEven(math.Sqrt(area/aspect)))
		if h < t.Size && w < t.Size {
			return crop{Y: rng.IntN(t.Size - h + 1), X: rng.IntN(t.Size - w + 1), W: w, H: h}, true
		}
	}
	return r, false
}

// erase gives a rectangle of an image one colour.
func (t Train) erase(pix []byte, rng *rand.Rand) {
	r, ok := t.erased(rng)
	if !ok {
		return
	}
	for y := r.Y; y < r.Y+r.H; y++ {
		for x := r.X; x < r.X+r.W; x++ {
			copy(pix[(y*t.Size+x)*3:][:3], t.EraseWith[:])
		}
	}
}
