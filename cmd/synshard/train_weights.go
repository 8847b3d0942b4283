package main

import (
	"fmt"
	"strings"

	"synshard/model"
	"synshard/train"
)

// loadWeights reads --weights and fits them to the network, saying aloud what
// starts anew.
func (a *app) loadWeights(tf trainFlags, o *train.Options, report *trainReport) error {
	if tf.weights == "" {
		if o.Recipe.NeedsWeights {
			return usagef("train: recipe %s starts from trained weights; give --weights FILE", o.Recipe.Name)
		}
		return nil
	}
	tensors, _, err := model.ReadSafetensorsFile(tf.weights)
	if err != nil {
		return err
	}
	got, err := train.Adapt(o.Network, tensors)
	if err != nil {
		return fmt.Errorf("%s: %w", tf.weights, err)
	}
	if len(got.Fresh) > 0 {
		if tf.evalOnly {
			return fmt.Errorf("%s: it has no head for these %d classes (%s)", tf.weights, o.Network.Classes, strings.Join(got.Fresh, ", "))
		}
		report.say("weights: %d tensors from %s; initialised afresh: %s", len(got.Tensors), tf.weights, strings.Join(got.Fresh, ", "))
	}
	if len(got.Unused) > 0 {
		report.say("weights: not used by this network: %s", strings.Join(got.Unused, ", "))
	}
	o.Weights = got.Tensors
	return nil
}
