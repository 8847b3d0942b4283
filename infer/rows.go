package infer

import (
	"fmt"
	"slices"

	"github.com/synshard/synshard/infer/prediction"
)

// checkOutputs holds what the network gave to what was asked for.
func (o *Options) checkOutputs(out Outputs, n int) error {
	classes := len(o.Spec.Classes)
	if len(out.Probabilities) != n*classes {
		return fmt.Errorf("the model gives %d probabilities for %d images of %d classes", len(out.Probabilities), n, classes)
	}
	if o.Columns.Logits && len(out.Logits) != n*classes {
		return fmt.Errorf("the model gives %d logits for %d images of %d classes", len(out.Logits), n, classes)
	}
	if o.Columns.Embedding != "" && len(out.Embedding) != n*o.Columns.Width {
		return fmt.Errorf("the model gives %d numbers of embedding for %d images", len(out.Embedding), n)
	}
	return nil
}

// fill makes row i of n of the outputs a row. Outputs that are not finite are the
// image's error: they say nothing, and no order can be made of them.
func (o *Options) fill(r *prediction.Row, out Outputs, i, n int) error {
	of := func(v []float32) []float32 { return v[i*(len(v)/n) : (i+1)*(len(v)/n)] }
	probs, logits, embedding := of(out.Probabilities), []float32(nil), []float32(nil)
	if o.Columns.Logits {
		logits = of(out.Logits)
	}
	if o.Columns.Embedding != "" {
		embedding = of(out.Embedding)
	}
	for _, c := range []struct {
		what   string
		values []float32
	}{{"probability", probs}, {"logit", logits}, {"number of the embedding", embedding}} {
		for j, v := range c.values {
			if v-v != 0 { // NaN or infinite
				return fmt.Errorf("the network's output is not finite: %s %d is %v", c.what, j, float64(v))
			}
		}
	}
	r.Top, r.Prob = topK(probs, o.Columns.TopK)
	if o.Columns.Probabilities || len(o.Columns.Derived) > 0 {
		r.Probabilities = slices.Clone(probs)
	}
	r.Logits, r.Embedding = slices.Clone(logits), slices.Clone(embedding)
	return nil
}

// topK gives the k most probable classes; of equals, the lower label first.
func topK(p []float32, k int) ([]int, []float32) {
	top := make([]int, 0, k+1)
	for i := range p {
		if len(top) == k && p[i] <= p[top[k-1]] {
			continue
		}
		at, _ := slices.BinarySearchFunc(top, p[i], func(j int, v float32) int {
			if p[j] >= v {
				return -1
			}
			return 1
		})
		top = slices.Insert(top, at, i)
		if len(top) > k {
			top = top[:k]
		}
	}
	probs := make([]float32, len(top))
	for i, j := range top {
		probs[i] = p[j]
	}
	return top, probs
}
