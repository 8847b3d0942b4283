package main

import (
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/synshard/synshard/train/views"
)

// heldOutOptions say what of the training split is validated on.
type heldOutOptions struct {
	fold string
	is   views.HeldOut
}

// AddFlags adds them to the verb.
func (o *heldOutOptions) AddFlags(f *pflag.FlagSet) {
	f.Float64Var(&o.is.Fraction, "val-fraction", 0, "validate on this fraction of the training images of each class, about, and do not learn it: by name, as ingest's --val-fraction")
	f.StringVar(&o.fold, "fold", "", "validate on fold i of k, i/k with i from 0, of the training split, and learn the others")
	f.Uint64Var(&o.is.Seed, "split-seed", 0, "which images --val-fraction or --fold takes")
}

func (o *heldOutOptions) none() bool { return o.is.Fraction == 0 && o.fold == "" }

func (o *heldOutOptions) check(f *pflag.FlagSet) error {
	held := !o.none()
	switch {
	case !(o.is.Fraction >= 0 && o.is.Fraction < 1):
		return usagef("--val-fraction %g: want a number from 0 to below 1", o.is.Fraction)
	case o.is.Fraction != 0 && o.fold != "":
		return usagef("--val-fraction and --fold both say what is validated on: give one")
	case held && f.Changed("val-split"):
		return usagef("--val-split has no effect where --val-fraction or --fold says what is validated on")
	case !held && f.Changed("split-seed"):
		return usagef("--split-seed has no effect without --val-fraction or --fold")
	case o.fold == "":
		return nil
	}
	fold, folds, ok := strings.Cut(o.fold, "/")
	i, err := strconv.Atoi(fold)
	k, err2 := strconv.Atoi(folds)
	if !ok || err != nil || err2 != nil || k < 2 || i < 0 || i >= k {
		return usagef("--fold %q: want i/k with i from 0 to below k, and two folds or more", o.fold)
	}
	o.is.Fold, o.is.Folds = i, k
	return nil
}
