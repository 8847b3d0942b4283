package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/shard/census"
	"github.com/synshard/synshard/wordnet"
)

// selectionOptions choose some of a split; every verb that reads a dataset has
// them.
type selectionOptions struct {
	synsets, exclude []string
	limitPerSynset   int
	job              string
	wordnet          string
}

func addSelectionFlags(cmd *cobra.Command) *selectionOptions {
	s := &selectionOptions{}
	f := cmd.Flags()
	f.StringArrayVar(&s.synsets, "synset", nil, "only this synset (id or word) and all below it in WordNet; repeatable")
	f.StringArrayVar(&s.exclude, "exclude", nil, "without this synset and all below it; repeatable")
	f.IntVar(&s.limitPerSynset, "limit-per-synset", 0, "at most so many images a synset; 0 for all")
	f.StringVar(&s.job, "job", "", "the share of job i of n of an array, i/n with i from 0, or auto: from Slurm's or Kubernetes' variables")
	wordnetVar(cmd, &s.wordnet)
	completeSynsets(cmd, "synset", "exclude")
	complete(cmd, "job", "auto")
	return s
}

// selection turns the flags into a selection.
func (s *selectionOptions) selection() (shard.Selection, error) {
	sel := shard.Selection{Synsets: s.synsets, Exclude: s.exclude, LimitPerSynset: s.limitPerSynset}
	if s.limitPerSynset < 0 {
		return sel, usagef("--limit-per-synset %d: want 0 (all) or more", s.limitPerSynset)
	}
	var err error
	sel.Job, sel.Jobs, err = parseJob(s.job, os.Getenv)
	return sel, err
}

// openView selects from a split; WordNet is read when synsets are named.
func (a *app) openView(set *shard.Dataset, split string, s *selectionOptions) (*shard.View, error) {
	sel, err := s.selection()
	if err != nil {
		return nil, err
	}
	whole, err := set.Split(split)
	if err != nil {
		return nil, err
	}
	g, err := a.graphOf(sel, s)
	if err != nil {
		return nil, err
	}
	return whole.Select(sel, g)
}

// graphOf is WordNet where a selection names synsets, else nil.
func (a *app) graphOf(sel shard.Selection, s *selectionOptions) (*wordnet.Graph, error) {
	if len(sel.Synsets) == 0 && len(sel.Exclude) == 0 {
		return nil, nil
	}
	return a.openWordNet(s.wordnet)
}

// openViews opens the dataset in dir, which the caller closes, and selects as openView
// does from several splits: those named, or all there are.
func (a *app) openViews(dir string, splits []string, s *selectionOptions) (*shard.Dataset, []census.View, error) {
	set, err := a.openSet(dir)
	if err != nil {
		return nil, nil, err
	}
	if len(splits) == 0 {
		splits = set.Splits()
	}
	var views []census.View
	for _, split := range splits {
		v, err := a.openView(set, split, s)
		if err != nil {
			set.Close()
			return nil, nil, err
		}
		views = append(views, census.View{Split: split, View: v})
	}
	return set, views, nil
}

// openWordNet finds and reads WordNet.
func (a *app) openWordNet(flag string) (*wordnet.Graph, error) {
	dir, err := a.findWordNet(flag)
	if err != nil {
		return nil, err
	}
	g, err := wordnet.Open(dir)
	if errors.Is(err, wordnet.ErrVersion) {
		return nil, fmt.Errorf("%w; %s", err, mendWordNet)
	}
	return g, err
}

// arrays are the variables by which schedulers tell a job of an array its
// place: index, smallest index, number, step between indexes.
var arrays = []struct{ name, index, first, count, step string }{
	{"Slurm", "SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_COUNT", "SLURM_ARRAY_TASK_STEP"},
	{"Kubernetes Indexed Job", "JOB_COMPLETION_INDEX", "", "JOB_COMPLETIONS", ""},
}

// parseJob reads i/n or auto; "" is everything, as 0 of 0.
func parseJob(text string, env func(string) string) (job, jobs int, err error) {
	if text == "" {
		return 0, 0, nil
	}
	if text == "auto" {
		for _, a := range arrays {
			if env(a.index) == "" {
				continue
			}
			return placeInArray(a.name, env, a.index, a.first, a.count, a.step)
		}
		return 0, 0, usagef("--job auto: this is no job of an array (neither %s nor %s is set)", arrays[0].index, arrays[1].index)
	}
	i, n, ok := strings.Cut(text, "/")
	job, err1 := strconv.Atoi(i)
	jobs, err2 := strconv.Atoi(n)
	if !ok || err1 != nil || err2 != nil || job < 0 || job >= jobs {
		return 0, 0, usagef("--job %q: want i/n with 0 <= i < n, or auto", text)
	}
	return job, jobs, nil
}

// placeInArray reads a job's place from the variables so named. Those for the
// smallest index and the step may be missing or unset: 0 and 1.
func placeInArray(name string, env func(string) string, index, first, count, step string) (job, jobs int, err error) {
	var values [4]int
	for i, key := range []string{index, count, first, step} {
		text := env(key)
		if i >= 2 && (key == "" || text == "") {
			text = []string{"", "", "0", "1"}[i]
		}
		if values[i], err = strconv.Atoi(text); err != nil {
			return 0, 0, usagef("--job auto: %s with %s=%q", name, key, text)
		}
	}
	place, n, stride := values[0]-values[2], values[1], values[3]
	if stride < 1 || place < 0 || place%stride != 0 || place/stride >= n {
		return 0, 0, usagef("--job auto: %s with index %d, first %d, step %d of %d", name, values[0], values[2], stride, n)
	}
	return place / stride, n, nil
}
