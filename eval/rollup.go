package eval

import (
	"fmt"
	"math"
	"strings"

	"github.com/synshard/synshard/infer/prediction"
	"github.com/synshard/synshard/wordnet"
)

// RollupColumns are the probabilities of superclasses: rollup_prob, a list in
// the order of the groups (named in the field's metadata), each the sum over
// the classes at or below it, and rollup_synset, the one with the greatest.
// Where WordNet puts a class below two of them it counts in both. There must be a
// group.
func RollupColumns(g Groups) []prediction.Derived {
	names := strings.Join(g.Synsets, " ")
	sums := func(probs []float32) []float32 {
		out := make([]float32, len(g.Synsets))
		for i, members := range g.Members {
			out[i] = float32(sum(probs, members))
		}
		return out
	}
	return []prediction.Derived{{
		Name: "rollup_synset", Key: "rollup " + names,
		Strings: func(probs []float32) string {
			best := 0
			all := sums(probs)
			for i, v := range all {
				if v > all[best] {
					best = i
				}
			}
			return g.Synsets[best]
		},
	}, {
		Name: "rollup_prob", Key: "rollup " + names, Floats: sums, Width: len(g.Synsets), Notes: map[string]string{"synsets": names},
	}}
}

func sum(probs []float32, classes []int32) float64 {
	total := 0.0
	for _, c := range classes {
		total += float64(probs[c])
	}
	return total
}

// backoff gives, for probabilities of the classes, the lowest synset at or above
// the most probable class that has at least probability p, and that
// probability: the sum over the classes at or below it. Lowest is of the least
// height, so that nothing below it on the way to the class has as much; of
// equals the more probable, then the smaller id.
func (h *Hierarchy) backoff(probs []float32, p float64) (wordnet.ID, float64) {
	top := 0
	for c, v := range probs {
		if v > probs[top] {
			top = c
		}
	}
	best, bestProb := int32(-1), 0.0
	for _, x := range h.above[top] {
		// A model's probabilities add up to 1 only within float32's rounding.
		total := math.Min(sum(probs, h.below[x]), 1)
		if total < p-1e-6 && len(h.below[x]) < len(h.classes) {
			continue
		}
		if best < 0 || h.height[x] < h.height[best] || h.height[x] == h.height[best] && (total > bestProb || total == bestProb && x < best) {
			best, bestProb = x, total
		}
	}
	return h.nodes[best], bestProb
}

// BackoffColumns are backoff_synset, the lowest synset at or above the most
// probable class that has at least probability p, and backoff_prob, that
// probability: the sum over the classes at or below it. h is that of the model's
// classes.
func BackoffColumns(h *Hierarchy, p float64) []prediction.Derived {
	key := fmt.Sprintf("backoff %v", p)
	return []prediction.Derived{{
		Name: "backoff_synset", Key: key,
		Strings: func(probs []float32) string {
			id, _ := h.backoff(probs, p)
			return id.String()
		},
	}, {
		Name: "backoff_prob", Key: key,
		Floats: func(probs []float32) []float32 {
			_, prob := h.backoff(probs, p)
			return []float32{float32(prob)}
		},
	}}
}
