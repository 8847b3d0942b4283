package train

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"github.com/synshard/synshard/train/recipe"
)

// weighClasses settles ClassWeights: given ones are checked, those that the recipe calls
// auto are made from the training images.
func (o *Options) weighClasses() error {
	asked := o.Recipe.Loss.ClassWeights
	switch {
	case asked == "":
		o.ClassWeights = nil
		return nil
	case asked == "auto":
		counts, err := census("training", o.Data.TrainSet(), o.Spec.Classes)
		if err != nil {
			return err
		}
		o.ClassWeights = balancedWeights(counts)
		return nil
	case len(o.ClassWeights) != len(o.Spec.Classes):
		return fmt.Errorf("%d weights of %s for %d classes", len(o.ClassWeights), asked, len(o.Spec.Classes))
	}
	for i, w := range o.ClassWeights {
		if !recipe.ClassWeight(w) {
			return fmt.Errorf("class weights: %s has %v: want a number above 0", o.Spec.Classes[i], w)
		}
	}
	return nil
}

// balancedWeights is recipe.Loss's auto.
func balancedWeights(counts []int64) []float64 {
	images := int64(0)
	for _, n := range counts {
		images += n
	}
	weights := make([]float64, len(counts))
	for i, n := range counts {
		weights[i] = float64(images) / (float64(len(counts)) * float64(max(n, 1)))
	}
	return weights
}

// sumOf tells lists of numbers apart.
func sumOf(values []float64) string {
	h := sha256.New()
	binary.Write(h, binary.LittleEndian, values) // of a hash: no error
	return hex.EncodeToString(h.Sum(nil))
}
