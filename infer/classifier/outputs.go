package classifier

import (
	"math"

	"github.com/synshard/synshard/infer"
)

// Outputs makes of a run's results what is predicted: the scores are the first, the embedding
// of a model that has one the second, logits that were asked for beside probabilities number
// logitsAt, -1: none. Scores of any run that are taken as probabilities, and are none, are a SpecError.
func (c *Contract) Outputs(results [][]float32, logitsAt int) (out infer.Outputs, err error) {
	out.Probabilities = results[0]
	if c.Embed != "" {
		out.Embedding = results[1]
	}
	if logitsAt >= 0 {
		out.Logits = results[logitsAt]
	}
	if c.Scores == "logits" {
		out.Logits, out.Probabilities = results[0], Softmax(results[0], c.Classes)
		return out, nil
	}
	return out, c.distributions(results[0])
}

// Softmax turns rows of logits into probabilities.
func Softmax(logits []float32, classes int) []float32 {
	out := make([]float32, len(logits))
	for at := 0; at < len(logits); at += classes {
		row := logits[at : at+classes]
		top := math.Inf(-1)
		for _, v := range row {
			top = max(top, float64(v))
		}
		sum := 0.0
		for _, v := range row {
			sum += math.Exp(float64(v) - top)
		}
		for i, v := range row {
			out[at+i] = float32(math.Exp(float64(v)-top) / sum)
		}
	}
	return out
}
