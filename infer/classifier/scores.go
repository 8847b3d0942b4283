package classifier

import (
	"fmt"
	"math"
	"slices"
)

// certain are operators that give probabilities whatever they take: Softmax a distribution, the others
// one for each class by itself.
var certain = []string{"Softmax", "Sigmoid", "HardSigmoid"}

// settleScores says what scores are by the operator that gives them, and refuses to have it said otherwise.
func (c *Contract) settleScores() error {
	if !slices.Contains(certain, c.By) {
		return nil
	}
	if c.Scores == "logits" {
		return specErrorf("output %s is made by a %s and holds probabilities: --scores logits would have a softmax made of them", c.Output, c.By)
	}
	c.Scores = "probabilities"
	return nil
}

// NoLogits is the error of who wants logits of a model whose Logits are not known.
func (c *Contract) NoLogits() error {
	if c.By == "Softmax" {
		return fmt.Errorf("no logits: output %s is what other operators (a cast, another form) make of a Softmax, and only those of one that gives the output itself are taken", c.Output)
	}
	return fmt.Errorf("no logits: output %s is probabilities that no last Softmax makes", c.Output)
}

// Unsettled says whether the model has to be run once before it is predicted with, to Learn from its scores.
func (c *Contract) Unsettled() bool {
	return c.Scores == "" || c.Classes == 0 || !slices.Contains(certain, c.By)
}

// Learn takes from scores of n images, [n, classes], what the model leaves open: how many classes
// there are, which must be as many as names, and whether scores are probabilities. What was said of
// them and is seen to be wrong is a SpecError.
func (c *Contract) Learn(scores []float32, n, names int) error {
	c.Classes = len(scores) / n
	if err := c.CheckClasses(names); err != nil {
		return err
	}
	masked := slices.ContainsFunc(scores, func(v float32) bool { return math.IsInf(float64(v), -1) }) // which no probability is
	err := c.distributions(scores)
	switch {
	case c.Scores == "" && masked:
		c.Scores = "logits"
	case c.Scores == "" && err == nil:
		c.Scores = "probabilities"
	case c.Scores == "":
		c.Scores = "logits"
	case c.Scores == "probabilities":
		return err
	case err == nil && !masked && c.Classes > 1 && !slices.Contains(certain, c.By):
		return specErrorf("output %s gives distributions, which are probabilities: --scores logits would have a softmax made of them", c.Output)
	}
	return nil
}

// What probabilities may be beside 0, 1 and a sum of 1 where engines and exporters round, fp16 at worst.
const (
	besideRange = 1e-3
	besideSum   = 1e-2
	// Of a Softmax, whose values may have been rounded to 8 bits since: it tells one over the
	// classes from one over something else.
	besideSoftmax = 0.5
)

// distributions is a SpecError that names the first of scores by which a row is no distribution over the
// classes. Rows with numbers that are not finite are left out: they are an image's error. Of probabilities of each class
// by itself nothing is looked at.
func (c *Contract) distributions(scores []float32) error {
	beside := besideSum
	switch {
	case c.By == "Softmax":
		beside = besideSoftmax
	case slices.Contains(certain, c.By):
		return nil
	}
	for at := 0; at < len(scores); at += c.Classes {
		sum, out := 0.0, -1
		for i, p := range scores[at : at+c.Classes] {
			if sum += float64(p); out < 0 && (p < -besideRange || p > 1+besideRange) {
				out = i
			}
		}
		switch {
		case math.IsNaN(sum) || math.IsInf(sum, 0):
		case out >= 0:
			return specErrorf("output %s: %v for class %d is no probability: these are logits; say --scores logits", c.Output, scores[at+out], out)
		case math.Abs(sum-1) > beside && c.By == "Softmax":
			return specErrorf("output %s: the scores of an image add up to %.4g: its Softmax is not over the classes, and what it gives are no probabilities of them", c.Output, sum)
		case math.Abs(sum-1) > beside:
			return specErrorf("output %s: the scores of an image add up to %.4g, and probabilities to 1: if these are logits, say --scores logits", c.Output, sum)
		}
	}
	return nil
}
