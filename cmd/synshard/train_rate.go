package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/synshard/synshard/train"
)

// What --find-lr does with what it finds.
const (
	onlyTest  = "test" // tells it
	useTested = "use"  // trains by it
)

// rateOptions are the flags of a range test of the learning rate.
type rateOptions struct{ mode string }

// AddFlags adds them to the verb.
func (o *rateOptions) AddFlags(cmd *cobra.Command) {
	choiceVar(cmd, &o.mode, "find-lr", "", "take 100 steps with learning rates from 1e-6 to 10 and tell at which the loss falls; =use: then train by what is found, unless --out has it already", onlyTest, useTested)
	cmd.Flags().Lookup("find-lr").NoOptDefVal = onlyTest
	for _, other := range []string{"lr", "eval-only", "procs"} {
		cmd.MarkFlagsMutuallyExclusive("find-lr", other)
	}
}

// check refuses what a range test cannot be with.
func (o *rateOptions) check(place *launched) error {
	if o.mode != "" && !place.alone() {
		return usagef("--find-lr is for one process: find the rate with its share of the batch, and give it with --lr")
	}
	return nil
}

// found has a run use what a range test found for it; false: none was made.
func (o *rateOptions) found(run *train.Options) (bool, error) {
	if o.mode != useTested {
		return false, nil
	}
	f, err := train.ReadFoundRate(*run)
	if f == nil || err != nil {
		return false, err
	}
	setRate(run, f.Rate)
	return true, nil
}

// setRate has a run's steps take a rate as it is, as --lr does.
func setRate(run *train.Options, rate float64) {
	run.Recipe.Rate.Base, run.Recipe.Rate.Scaling = rate, "none"
}

// rateTested is what --find-lr prints.
type rateTested struct {
	Out string `json:"out"`
	*train.FoundRate
}

// findRate makes the range test that was asked for. done says that nothing else was.
func (a *app) findRate(ctx context.Context, run *train.Options, o rateOptions) (done bool, err error) {
	known, err := o.found(run)
	if o.mode == "" || known || err != nil {
		return false, err
	}
	batch := int64(run.Recipe.Batch)
	bar := a.imageBar(batch*train.RateSteps, "trying learning rates")
	f, err := train.FindRate(ctx, *run, func(done int) { bar.Set(batch * int64(done)) })
	bar.Finish()
	if err != nil {
		return false, err
	}
	if o.mode == useTested {
		a.Logf("learning rate %.3g: a tenth of %.3g, at which the loss was least", f.Rate, f.Lowest)
		setRate(run, f.Rate)
		return false, nil
	}
	return true, a.Result(rateTested{run.Dir, f}, func(w io.Writer) {
		fmt.Fprintf(w, "suggested   --lr %.3g\n", f.Rate)
		fmt.Fprintf(w, "least loss  at %.3g\n", f.Lowest)
		fmt.Fprintf(w, "chart       %s\n", filepath.Join(run.Dir, train.FoundChartName))
	})
}
