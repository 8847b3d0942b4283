package train

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/synshard/synshard/train/checkpoint"
)

// ErrOtherRun is of a run directory that holds another run than is asked for.
var ErrOtherRun = errors.New("it holds another run")

// mayChange are the values of a recipe with which a run may go on that began with
// others.
var mayChange = map[string]bool{
	"name":          true, // says where values come from
	"needs_weights": true, // decided the beginning
	"epochs":        true, // a longer or shorter run of the same kind
	"precision":     true, // goes by the machine
	"accumulate":    true, // goes by the machine's memory; it may only grow
	"patience":      true, // a longer or shorter run, as epochs
}

// machineMayChange is what may change beside the recipe.
const machineMayChange = "device, processes, threads, workers, cache, recomputation, and what is kept and written how often"

// changes lists for people with what a run may go on.
func changes() string {
	return strings.Join(slices.Sorted(maps.Keys(mayChange)), ", ") + " of the recipe, and " + machineMayChange
}

// weightsName is under which the sum of the first weights stands.
const weightsName = "weights"

// identity is all that a run is made from.
func (o *Options) identity() (checkpoint.Identity, error) {
	values, err := o.Recipe.Table()
	if err != nil {
		return nil, err
	}
	id := checkpoint.Identity{}
	for _, row := range values {
		if !mayChange[row[0]] {
			id[row[0]] = row[1]
		}
	}
	maps.Copy(id, o.MadeFrom)
	if o.ClassWeights != nil { // wherever they are written
		delete(id, "loss.class_weights")
		id["class_weights"] = sumOf(o.ClassWeights)
	}
	if len(o.Weights) > 0 {
		id[weightsName] = checkpoint.WeightsSum(o.Weights)
	}
	return id, nil
}

// warnOfEarlier says that a checkpoint is taken which does not say what it is of.
func (o *Options) warnOfEarlier(c *checkpoint.Checkpoint) {
	if c.Position.MadeFrom == nil {
		o.OnWarn(fmt.Sprintf("the checkpoint of step %d does not say what recipe, data and weights it was made from, as an earlier version wrote it; it is taken to be of this run", c.Position.Step))
	}
}

// sameRun is an error unless a checkpoint is of the run that o asks for.
func (o *Options) sameRun(c *checkpoint.Checkpoint) error {
	if err := checkpoint.SameRun(c.Position, o.start(), c.Spec.Classes, o.Spec.Classes); err != nil {
		return fmt.Errorf("%w: %w", ErrOtherRun, err)
	}
	return nil
}
