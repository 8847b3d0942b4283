package main

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/synshard/synshard/internal/jobarray"
	"github.com/synshard/synshard/internal/native"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/shard/census"
	"github.com/synshard/synshard/storage"
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
	sel.Job, sel.Jobs, err = parseJob(s.job)
	return sel, err
}

// openView selects from a split; WordNet is read when synsets are named.
func (a *app) openView(set *shard.Dataset, split string, s *selectionOptions) (*shard.View, error) {
	view, _, err := a.openSelected(set, split, s)
	return view, err
}

// openWhole is openView but for --job, and what all jobs of the array have in common.
func (a *app) openWhole(set *shard.Dataset, split string, s *selectionOptions) (*shard.View, string, error) {
	whole := *s
	whole.job = ""
	return a.openSelected(set, split, &whole)
}

// openSelected selects from a split, and names what was selected.
func (a *app) openSelected(set *shard.Dataset, split string, s *selectionOptions) (*shard.View, string, error) {
	sel, err := s.selection()
	if err != nil {
		return nil, "", err
	}
	all, err := set.Split(split)
	if err != nil {
		return nil, "", err
	}
	g, err := a.graphOf(sel, s)
	if err != nil {
		return nil, "", err
	}
	sel.OnSense = a.tellSenses(g)
	view, err := all.Select(sel, g)
	return view, all.Identity(sel), err
}

// tellSenses tells of a word that means several synsets with classes, each once.
func (a *app) tellSenses(g *wordnet.Graph) func(word string, taken wordnet.ID, left []wordnet.ID) {
	s := synsetApp{app: a, g: g}
	return func(word string, taken wordnet.ID, left []wordnet.ID) {
		var others []string
		for _, id := range left {
			others = append(others, fmt.Sprintf("%s (%s)", id, s.words(id)))
		}
		text := fmt.Sprintf("%q: taking %s (%s), and not %s, which have classes here too: their ids mean them", word, taken, s.words(taken), strings.Join(others, ", "))
		if !slices.Contains(a.senses, text) {
			a.senses = append(a.senses, text)
			a.Logf("%s", text)
		}
	}
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
		return nil, fmt.Errorf("%w; %s", err, native.MendWordNet)
	}
	return g, err
}

// wordNetOrWithout is openWordNet where WordNet is welcome and not needed: nil, and a
// word of what is left out, where it is not found; an error where flag names it.
func (a *app) wordNetOrWithout(flag, what string) (*wordnet.Graph, error) {
	g, err := a.openWordNet(flag)
	if err != nil && flag == "" {
		a.Logf("without %s: %v", what, err)
		return nil, nil
	}
	return g, err
}

// parseJob reads --job; "" is everything, as 0 of 0.
func parseJob(text string) (job, jobs int, err error) {
	if job, jobs, err = jobarray.Parse(text, os.Getenv); err != nil {
		err = usagef("--job %w", err)
	}
	return job, jobs, err
}

// datasetName is what a dataset is called where people read it: the last name of its path or URL.
func datasetName(dir string) string {
	if abs, err := filepath.Abs(dir); err == nil && !storage.IsURL(dir) {
		dir = abs
	}
	return path.Base(filepath.ToSlash(storage.Shown(dir)))
}
