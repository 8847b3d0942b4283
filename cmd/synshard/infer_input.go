package main

import (
	"cmp"
	"context"
	"slices"

	"github.com/spf13/cobra"

	"github.com/synshard/synshard/infer"
	"github.com/synshard/synshard/infer/images"
	"github.com/synshard/synshard/model"
)

// inputOptions say how the input is read.
type inputOptions struct {
	split   string
	zero    bool
	follow  bool
	changed func(flag string) bool
}

func (f *inputOptions) AddFlags(cmd *cobra.Command) {
	splitVar(cmd, &f.split, "split", "val", "split of a dataset to predict over, or of images in which names tell splits apart (there the default is all)")
	f.changed = cmd.Flags().Changed
	followLinksVar(cmd, &f.follow)
	cmd.Flags().BoolVarP(&f.zero, "null", "0", false, "paths on stdin end in a zero byte, as find -print0 writes them")
}

// input is images to predict over.
type input struct {
	source   infer.Source
	identity string
	close    func() error
	plan     images.Plan
}

// openInput finds out what the arguments are.
func (a *app) openInput(ctx context.Context, args []string, f *inputOptions, sel *selectionOptions, spec model.Spec) (*input, error) {
	// A dataset without its manifest is one that is damaged or not finished, and no folder of images in Arrow.
	var failed error
	dataset := func(name string) bool {
		is, err := a.isSet(name)
		failed = cmp.Or(failed, err)
		return is
	}
	if len(args) == 1 && dataset(args[0]) {
		return a.openDataset(args[0], f.split, sel, spec)
	}
	if failed != nil {
		return nil, failed
	}
	if f.zero && args[0] != "-" {
		return nil, usagef("-0 is for a list on stdin: give - as the input")
	}
	if len(sel.synsets)+len(sel.exclude) > 0 || sel.limitPerSynset > 0 {
		return nil, usagef("--synset, --exclude and --limit-per-synset select from a dataset")
	}
	o := images.OpenOptions{Classes: spec.Classes, FollowLinks: f.follow}
	if f.changed("split") {
		o.Split = f.split
	}
	var s *images.Images
	var err error
	switch {
	case len(args) == 1 && args[0] == "-":
		s, err = images.OpenList(ctx, a.Stdin, f.zero, o)
	case slices.Contains(args, "-"):
		return nil, usagef("- (a list on stdin) goes with no other input")
	case slices.ContainsFunc(args, dataset):
		at := slices.IndexFunc(args, dataset)
		return nil, usagef("%s is a dataset, which goes with no other input, and %s is one", args[at], args[(at+1)%len(args)])
	default:
		s, err = images.Open(ctx, args, o)
	}
	if err != nil {
		return nil, err
	}
	return &input{s, s.Identity(), s.Close, s.Plan()}, nil
}

// openDataset selects from a dataset. Jobs are cut later, between batches.
func (a *app) openDataset(dir, split string, sel *selectionOptions, spec model.Spec) (*input, error) {
	set, err := a.openSet(dir)
	if err != nil {
		return nil, err
	}
	view, identity, err := a.openWhole(set, split, sel)
	if err != nil {
		set.Close()
		return nil, err
	}
	var names []string
	for _, c := range set.Classes() {
		names = append(names, c.Synset)
	}
	slices.Sort(names) // truths are found by name: their order is nothing to the model
	if text := images.CompareClasses(slices.Sorted(slices.Values(spec.Classes)), names); text != "" {
		a.Warnf("%s: %s", dir, text)
	}
	return &input{view, identity, set.Close, images.DatasetPlan(view, spec.Classes)}, nil
}
