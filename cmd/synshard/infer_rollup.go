package main

import (
	"strconv"

	"github.com/spf13/cobra"

	"github.com/synshard/synshard/eval"
	"github.com/synshard/synshard/infer/prediction"
	"github.com/synshard/synshard/wordnet"
)

// rollupOptions are the flags by which infer's rows get columns of superclasses.
type rollupOptions struct {
	rollup  []string
	backoff float64
	changed func(flag string) bool
}

func (f *rollupOptions) AddFlags(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringArrayVar(&f.rollup, "rollup", nil, "columns with the probability of this superclass (id or word; repeatable), or of all at a depth of WordNet (a number)")
	fl.Float64Var(&f.backoff, "backoff", 0, "columns with the lowest synset above the prediction that has at least this probability")
	f.changed = fl.Changed
}

// columns gives the columns asked for, over a model's classes; wordnet is
// --wordnet.
func (f *rollupOptions) columns(a *app, wordnet string, classes []string) ([]prediction.Derived, error) {
	if f.changed("backoff") && !(f.backoff > 0 && f.backoff <= 1) {
		return nil, usagef("--backoff %v: want above 0, at most 1", f.backoff)
	}
	if len(f.rollup) == 0 && f.backoff == 0 {
		return nil, nil
	}
	g, err := a.openWordNet(wordnet)
	if err != nil {
		return nil, err
	}
	h, err := eval.NewHierarchy(g, classes)
	if err != nil {
		return nil, usagef("%w", err)
	}
	var out []prediction.Derived
	if len(f.rollup) > 0 {
		groups, err := a.groups(g, h, f.rollup)
		if err != nil {
			return nil, err
		}
		out = eval.RollupColumns(groups)
	}
	if f.backoff > 0 {
		out = append(out, eval.BackoffColumns(h, f.backoff)...)
	}
	return out, nil
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
