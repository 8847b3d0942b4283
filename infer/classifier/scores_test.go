package classifier

import (
	"errors"
	"math"
	"strings"
	"testing"
)

// TestLearn: what scores are is told by a run or by their operator, and what was said and is wrong is refused.
func TestLearn(t *testing.T) {
	sure, logits := []float32{0.25, 0.75, 1, 0}, []float32{9.97, -0.53, 1, 0}
	masked := []float32{float32(math.Inf(-1)), 0, 0.5, float32(math.Inf(-1))}
	for _, c := range []struct {
		scores, by string
		values     []float32
		want, says string // scores, or an error
	}{
		{"", "MatMul", sure, "probabilities", ""},
		{"", "MatMul", logits, "logits", ""},
		{"", "Where", masked, "logits", ""},
		{"logits", "Where", masked, "logits", ""},
		{"", "Sigmoid", []float32{0.9, 0.9}, "probabilities", ""},
		{"probabilities", "Sigmoid", []float32{0.9, 0.9}, "probabilities", ""},
		{"probabilities", "MatMul", sure, "probabilities", ""},
		{"probabilities", "MatMul", []float32{0.502, 0.5, 1.0005, 0}, "probabilities", ""},
		{"probabilities", "MatMul", logits, "", "9.97 for class 0 is no probability"},
		{"probabilities", "MatMul", []float32{0, 1, 0.5, 0.75}, "", "add up to 1.25"},
		{"probabilities", "MatMul", []float32{float32(math.NaN()), 7, 1, 0}, "probabilities", ""},
		{"logits", "MatMul", logits, "logits", ""},
		{"logits", "MatMul", sure, "", "gives distributions"},
		{"logits", "Softmax", sure, "", "made by a Softmax"},
	} {
		contract := Contract{Output: "out", Scores: c.scores, By: c.by}
		err := contract.settleScores()
		if err == nil {
			err = contract.Learn(c.values, len(c.values)/2, 2)
		}
		var ours *SpecError
		if c.says == "" && (err != nil || contract.Scores != c.want) || c.says != "" && (!errors.As(err, &ours) || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%q by %s, %v: %s, %v; want %q %q", c.scores, c.by, c.values, contract.Scores, err, c.want, c.says)
		}
	}
}

// TestOutputsAreHeld: every run is, and not the first alone.
func TestOutputsAreHeld(t *testing.T) {
	c := Contract{Output: "out", Scores: "probabilities", By: "MatMul", Classes: 2}
	if _, err := c.Outputs([][]float32{{0.5, 0.5}}, -1); err != nil {
		t.Error(err)
	}
	if _, err := c.Outputs([][]float32{{0.5, 0.5, 0.5, -3}}, -1); err == nil {
		t.Error("a probability of -3 is taken")
	}
	// A Softmax over images, or over groups of classes, and one whose values were rounded to 8 bits.
	c.By = "Softmax"
	for _, wrong := range [][]float32{{1, 1}, {0.5, 0.5, 0.05, 0.1}} {
		if _, err := c.Outputs([][]float32{wrong}, -1); err == nil || !strings.Contains(err.Error(), "its Softmax is not over the classes") {
			t.Errorf("a Softmax of %v: %v", wrong, err)
		}
	}
	if _, err := c.Outputs([][]float32{{0.75, 0.125}}, -1); err != nil {
		t.Error(err)
	}
}
