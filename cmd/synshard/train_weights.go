package main

import (
	"fmt"
	"strings"

	"github.com/synshard/synshard/internal/regular"
	"github.com/synshard/synshard/model/weights"
	"github.com/synshard/synshard/train"
	"github.com/synshard/synshard/train/checkpoint"
	"github.com/synshard/synshard/train/recipe"
)

// loadClassWeights reads the file that the recipe names.
func loadClassWeights(o *train.Options) (err error) {
	path := o.Recipe.Loss.ClassWeights
	if path == "" || path == "auto" {
		return nil
	}
	text, err := regular.ReadFile(path, regular.Document)
	if err != nil {
		return fmt.Errorf("--class-weights: %w", err)
	}
	if o.ClassWeights, err = recipe.ParseClassWeights(text, o.Spec.Classes); err != nil {
		return fmt.Errorf("--class-weights %s: %w", path, err)
	}
	return nil
}

// loadWeights reads --weights and fits them to the network, saying aloud what
// starts anew.
func (a *app) loadWeights(flags trainOptions, o *train.Options) error {
	if flags.weights == "" {
		if o.Recipe.NeedsWeights && !flags.evalOnly {
			return usagef("recipe %s starts from trained weights; give --weights FILE", o.Recipe.Name)
		}
		if freeze := o.Recipe.Network.Freeze; freeze != "" && !flags.evalOnly {
			a.Logf("warning: network.freeze %q keeps random weights as they are: none were given (--weights FILE)", freeze)
		}
		return nil
	}
	file, err := weights.ReadFile(flags.weights, flags.from)
	if err != nil {
		return chosenBy(err)
	}
	if text := takenText(file.Taken); text != "" {
		a.Logf("%s: %s", flags.weights, text)
	}
	got, doubt, err := checkpoint.Foreign(o.Network, o.Spec, file)
	if doubt != "" {
		a.Logf("warning: %s", doubt)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", flags.weights, err)
	}
	if len(got.Fresh) > 0 {
		a.Logf("weights: %d tensors from %s; initialised afresh: %s", len(got.Tensors), flags.weights, strings.Join(got.Fresh, ", "))
	}
	if len(got.Unused) > 0 {
		a.Logf("weights: not used by this network: %s", strings.Join(got.Unused, ", "))
	}
	o.Weights = got.Tensors
	return nil
}
