package main

import (
	"strconv"

	"github.com/spf13/cobra"

	"github.com/synshard/synshard/eval"
	"github.com/synshard/synshard/infer/prediction"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/wordnet"
)

var _ = func() struct{} {
	inferColumns = append(inferColumns, rollupColumns)
	return struct{}{}
}()

// rollupColumns adds --rollup and --backoff to infer.
func rollupColumns(cmd *cobra.Command) func(*app, model.Spec) ([]prediction.Derived, error) {
	rollup := cmd.Flags().StringArray("rollup", nil, "columns with the probability of this superclass (id or word; repeatable), or of all at a depth of WordNet (a number)")
	backoff := cmd.Flags().Float64("backoff", 0, "columns with the lowest synset above the prediction that has at least this probability")
	return func(a *app, spec model.Spec) ([]prediction.Derived, error) {
		if cmd.Flags().Changed("backoff") && !(*backoff > 0 && *backoff <= 1) {
			return nil, usagef("infer: --backoff %v: want above 0, at most 1", *backoff)
		}
		if len(*rollup) == 0 && *backoff == 0 {
			return nil, nil
		}
		g, err := a.openWordNet(cmd.Flag("wordnet").Value.String())
		if err != nil {
			return nil, err
		}
		h, err := eval.NewHierarchy(g, spec.Classes)
		if err != nil {
			return nil, usagef("infer: %w", err)
		}
		var out []prediction.Derived
		if len(*rollup) > 0 {
			groups, err := a.groups(g, h, *rollup)
			if err != nil {
				return nil, err
			}
			out = eval.RollupColumns(groups)
		}
		if *backoff > 0 {
			out = append(out, eval.BackoffColumns(h, *backoff)...)
		}
		return out, nil
	}
}

// groups reads superclasses: one depth, or names of synsets. What is neither is
// an error of usage.
func (a *app) groups(g *wordnet.Graph, h *eval.Hierarchy, names []string) (eval.Groups, error) {
	if depth, err := strconv.Atoi(names[0]); err == nil && len(names) == 1 {
		if depth < 0 {
			return eval.Groups{}, usagef("depth %d: want 0, the root, or more", depth)
		}
		return h.AtDepth(depth), nil
	}
	var ids []wordnet.ID
	for _, name := range names {
		if _, err := strconv.Atoi(name); err == nil {
			return eval.Groups{}, usagef("depth %s stands beside other superclasses: give a depth alone, or synsets", name)
		}
		id, err := (&synsetApp{app: a, g: g}).one(name)
		if err != nil {
			return eval.Groups{}, usagef("%w", err)
		}
		ids = append(ids, id)
	}
	groups, err := h.Named(ids)
	if err != nil {
		return groups, usagef("%w", err)
	}
	return groups, nil
}
