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
		name  string
		stops []string // steps, within the first epoch and the second (of 2 steps where images are held out, of 4)
		args  []string
	}{
		{"a fraction held out, randaugment, erasing", []string{"1"}, []string{"--val-fraction", "0.3", "--policy", "randaugment", "--erase", "0.5"}},
		{"a fold held out, trivialaugment, both mixed", []string{"3"}, []string{"--fold", "1/3", "--policy", "trivialaugment_wide", "--cutmix", "1", "--export", "best"}},
		{"copies, in two processes", []string{"5"}, []string{"--aug-repeats", "3", "--procs", "2"}},
		{"a rate that was found", []string{"1"}, []string{"--find-lr=use"}},
		{"images that grow", []string{"2", "5"}, []string{"--train-sizes", "64,72@1,80@2"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := append([]string{"--epochs", "3", "--set", "eval.size=80", "--set", "eval.resize=84"}, c.args...)
			whole, cut := filepath.Join(t.TempDir(), "whole"), filepath.Join(t.TempDir(), "cut")
			runVerb(t, 0, smallRun(t, set, whole, args...)...)
			for _, steps := range c.stops {
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
