// Package modeltest makes weights and images by closed formulas, so that an
// independent implementation can make the same ones. scripts/golden has the
// other side.
package modeltest

import (
	"hash/fnv"
	"math"

	"github.com/synshard/synshard/model"
)

// Fill gives every parameter of a network a value for each element from a
// 32-bit hash of (name of the parameter, place of the element), u in [0, 1):
// weights are (2u-1) sqrt(6/fan-in), BN weights 0.5+u, running
// variances 8+4u, BN biases 2+(u-0.5)/5, everything else (u-0.5)/5.
func Fill(n *model.Network) []model.Tensor {
	var out []model.Tensor
	for _, p := range n.Params() {
		name := fnv.New32a()
		name.Write([]byte(p.Name))
		seed := name.Sum32()
		values := make([]float32, model.Elements(p.Shape))
		for j := range values {
			u := unit(seed, uint32(j))
			switch p.Kind {
			case model.Weight:
				fan := model.Elements(p.Shape[1:])
				values[j] = float32((2*u - 1) * math.Sqrt(6/float64(fan)))
			case model.RunningVar: // about what it is, so that activations stay near one
				values[j] = float32(8 + 4*u)
			case model.BNWeight:
				values[j] = float32(0.5 + u)
			case model.BNBias: // far from ReLU's kink, where float32's noise would decide about a gradient
				values[j] = float32(2 + (u-0.5)/5)
			default:
				values[j] = float32((u - 0.5) / 5)
			}
		}
		out = append(out, model.NewTensor(p.Name, p.Shape, values))
	}
	return out
}

func unit(seed, j uint32) float64 {
	h := j*2654435761 + seed*2246822519 + 374761393
	h ^= h >> 15
	h *= 2246822519
	h ^= h >> 13
	return float64(h) / (1 << 32)
}

// Images gives n images of size x size pixels, uint8 NHWC, with structure
// at several scales.
func Images(n, size int) []byte {
	out := make([]byte, 0, n*size*size*3)
	for b := range n {
		for y := range size {
			for x := range size {
				for c := range 3 {
					checks := (x/(4+5*b) + y/(3+7*c+b)) % 2 * (60 + 40*b)
					out = append(out, byte((checks+(x*(c+1)+y*(3-c))/8%64+b*20)%256))
				}
			}
		}
	}
	return out
}
