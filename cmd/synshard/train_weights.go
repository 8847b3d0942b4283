package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/weights"
	"github.com/synshard/synshard/train"
	"github.com/synshard/synshard/train/checkpoint"
)

// loadWeights reads --weights and fits them to the network, saying aloud what
// starts anew.
func (a *app) loadWeights(flags trainOptions, o *train.Options, report *trainReport) error {
	if flags.weights == "" {
		if o.Recipe.NeedsWeights {
			return usagef("recipe %s starts from trained weights; give --weights FILE", o.Recipe.Name)
		}
		return nil
	}
	file, err := weights.ReadFile(flags.weights, flags.from)
	if err != nil {
		return chosenBy(err)
	}
	if text := takenText(file.Taken); text != "" {
		report.say("%s: %s", flags.weights, text)
	}
	tensors, meta := file.Tensors, file.Metadata
	otherClasses := false
	if text := meta[model.SpecKey]; text != "" {
		spec, err := model.ParseSpec(text)
		if err != nil {
			return fmt.Errorf("%s: %w", flags.weights, err)
		}
		otherClasses = !slices.Equal(spec.Classes, o.Spec.Classes)
		if spec.Mean != o.Spec.Mean || spec.Std != o.Spec.Std {
			report.say("warning: the weights were fitted to images of mean %v and deviation %v, the recipe has %v and %v", spec.Mean, spec.Std, o.Spec.Mean, o.Spec.Std)
		}
	}
	if meta[model.SpecKey] == "" {
		published, err := weights.PublishedSpec(o.Network.Name)
		if err == nil && !published.SameInput(o.Spec) {
			report.say("warning: published weights of %s want images of mean %v and deviation %v, the recipe has %v and %v; mend it with --set mean=[...] --set std=[...] if these are such weights", o.Network.Name, published.Mean, published.Std, o.Spec.Mean, o.Spec.Std)
		}
	}
	got, err := checkpoint.Adapt(o.Network, weights.Rename(o.Network, tensors), otherClasses)
	if err != nil {
		return fmt.Errorf("%s: %w", flags.weights, err)
	}
	if len(got.Fresh) > 0 {
		if flags.evalOnly {
			return fmt.Errorf("%s: its head is not for these %d classes", flags.weights, o.Network.Classes)
		}
		report.say("weights: %d tensors from %s; initialised afresh: %s", len(got.Tensors), flags.weights, strings.Join(got.Fresh, ", "))
	}
	if len(got.Unused) > 0 {
		report.say("weights: not used by this network: %s", strings.Join(got.Unused, ", "))
	}
	o.Weights = got.Tensors
	return nil
}
