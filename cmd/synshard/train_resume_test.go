package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// TestTrainContinuesExactlyWith stops runs within epochs, with options that decide
// what is learnt or how, and wants them to end in the bits of runs that were not stopped.
func TestTrainContinuesExactlyWith(t *testing.T) {
	if testing.Short() {
		t.Skip("trains")
	}
	set := writeTrainSet(t, 8, 3)
	seen := map[string]string{}
	for _, c := range []struct {
		name string
		args []string
	}{
		{"a fraction held out, randaugment, erasing", []string{"--val-fraction", "0.3", "--policy", "randaugment", "--erase", "0.5"}},
		{"a fold held out, trivialaugment, both mixed", []string{"--fold", "1/3", "--policy", "trivialaugment_wide", "--cutmix", "1", "--export", "best"}},
		{"copies, in two processes", []string{"--aug-repeats", "3", "--procs", "2"}},
		{"a rate that was found", []string{"--find-lr=use"}},
		{"images that grow", []string{"--train-sizes", "75,83@1,91@2"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := append([]string{"--epochs", "3", "--set", "eval.size=91", "--set", "eval.resize=94"}, c.args...)
			whole, cut := filepath.Join(t.TempDir(), "whole"), filepath.Join(t.TempDir(), "cut")
			runVerb(t, 0, smallRun(t, set, whole, args...)...)
			for _, steps := range []string{"1", "4"} { // within the first epoch and the second
				runVerb(t, 75, smallRun(t, set, cut, append(args, "--stop-after-steps", steps, "-j", steps)...)...)
			}
			runVerb(t, 0, smallRun(t, set, cut, args...)...)
			a, err := os.ReadFile(filepath.Join(whole, "model.safetensors"))
			check(t, err)
			b, err := os.ReadFile(filepath.Join(cut, "model.safetensors"))
			check(t, err)
			if !bytes.Equal(a, b) || !bytes.Equal(lastState(t, whole), lastState(t, cut)) {
				t.Error("the run that was stopped ended otherwise")
			}
			if other, ok := seen[string(a)]; ok {
				t.Errorf("it learnt what the run with %s did", other)
			}
			seen[string(a)] = c.name
		})
	}
}
