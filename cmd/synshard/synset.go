package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/synshard/synshard/internal/ui"
	"github.com/synshard/synshard/storage"
	"github.com/synshard/synshard/wordnet"
)

const synsetLong = `Shows WordNet 3.0's nouns, whose synsets are ImageNet's classes.

A synset is named by its id (n02084071), by a word (dog, "golden retriever",
mice) or by one sense of a word (dog.n.01). Where one synset is wanted and a
word has several, its first sense is taken, which is the commonest, and stderr
says so.`

const synsetExample = `  synshard synset show n02391049
  synshard synset find retriever
  synshard synset tree dog --depth 1
  synshard synset path zebra
  synshard synset lca dog cat --json`

// synsetApp is what the verbs under synset share.
type synsetApp struct {
	*app
	dir string // --wordnet
	g   *wordnet.Graph
}

// newSynsetCmd builds "synshard synset" and the verbs under it.
func newSynsetCmd(a *app) *cobra.Command {
	s := &synsetApp{app: a}
	cmd := &cobra.Command{
		Use:     "synset",
		Short:   "Look up and walk WordNet's nouns",
		Long:    synsetLong,
		Example: synsetExample,
	}
	cmd.PersistentFlags().StringVar(&s.dir, "wordnet", "", "directory with data.noun of WordNet 3.0 (default: where packages put it)")
	cobra.CheckErr(cmd.MarkPersistentFlagDirname("wordnet"))
	cmd.AddCommand(s.showCmd(), s.findCmd(), s.treeCmd(), s.pathCmd(), s.lcaCmd())
	for _, sub := range cmd.Commands() {
		sub.ValidArgsFunction = synsetsFor
	}
	return cmd
}

// exactly is an error of usage unless there are min to max arguments.
func exactly(min, max int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case max >= 0 && len(args) > max:
			return usagef("want %s; %q is too much (see '%s --help')", what, storage.Shown(args[max]), cmd.CommandPath())
		case len(args) < min:
			return usagef("want %s (see '%s --help')", what, cmd.CommandPath())
		}
		return nil
	}
}

// open reads WordNet.
func (s *synsetApp) open() error {
	var err error
	s.g, err = s.openWordNet(s.dir)
	return err
}

// all gives every synset that an argument names.
func (s *synsetApp) all(arg string) ([]wordnet.ID, error) {
	ids, err := s.g.Resolve(arg)
	if err != nil {
		return nil, fmt.Errorf("%w; look for it with 'synshard synset find'", err)
	}
	return ids, nil
}

// one gives the synset that an argument names: of several the first, and says
// so.
func (s *synsetApp) one(arg string) (wordnet.ID, error) {
	ids, err := s.all(arg)
	if err != nil {
		return 0, err
	}
	if len(ids) > 1 {
		s.Logf("%q has %d senses; taking the first, %s (%s); %s.n.02 would be the second", arg, len(ids), ids[0], s.words(ids[0]), arg)
	}
	return ids[0], nil
}

func (s *synsetApp) words(id wordnet.ID) string {
	if syn, ok := s.g.Synset(id); ok {
		return ui.Text(syn.Words())
	}
	return ""
}

// joined shows words.
func joined(words []string) string { return ui.Text(strings.Join(words, ", ")) }

// nodeJSON is a synset where another one is the subject.
type nodeJSON struct {
	ID    wordnet.ID `json:"synset"`
	Words []string   `json:"words"`
	Gloss string     `json:"gloss,omitempty"`
}

func (s *synsetApp) node(id wordnet.ID, gloss bool) nodeJSON {
	n := nodeJSON{ID: id}
	if syn, ok := s.g.Synset(id); ok {
		n.Words = syn.Lemmas
		if gloss {
			n.Gloss = syn.Gloss
		}
	}
	return n
}

func (s *synsetApp) nodes(ids []wordnet.ID) []nodeJSON {
	out := make([]nodeJSON, len(ids))
	for i, id := range ids {
		out[i] = s.node(id, false)
	}
	return out
}

// showJSON is one synset in full.
type showJSON struct {
	ID                wordnet.ID `json:"synset"`
	Words             []string   `json:"words"`
	Gloss             string     `json:"gloss"`
	Hypernyms         []nodeJSON `json:"hypernyms"`
	InstanceHypernyms []nodeJSON `json:"instance_hypernyms"`
	Hyponyms          []nodeJSON `json:"hyponyms"`
	InstanceHyponyms  []nodeJSON `json:"instance_hyponyms"`
	MinDepth          int        `json:"min_depth"`
	MaxDepth          int        `json:"max_depth"`
	Height            int        `json:"height"`
	Below             int        `json:"below"`
}

func (s *synsetApp) showCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "show SYNSET...",
		Short: "Show synsets in full; of a word, every sense",
		Long: `Shows words, gloss, what is right above and below, and the place in the graph.
Depths count edges from the root (entity) by the shortest and by the longest
way; height counts edges down to the farthest leaf; below counts the synsets
under this one, each once.`,
		Example: "  synshard synset show n02391049\n  synshard synset show dog.n.01 \"golden retriever\" --json",
		Args:    exactly(1, -1, "a synset or more"),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := s.open(); err != nil {
				return err
			}
			shown := []showJSON{}
			for _, arg := range args {
				ids, err := s.all(arg)
				if err != nil {
					return err
				}
				for _, id := range ids {
					shown = append(shown, s.full(id))
				}
			}
			return s.Result(map[string]any{"synsets": shown}, func(w io.Writer) {
				for i, v := range shown {
					if i > 0 {
						fmt.Fprintln(w)
					}
					v.text(w)
				}
			})
		},
	}
}

func (s *synsetApp) full(id wordnet.ID) showJSON {
	syn, _ := s.g.Synset(id)
	return showJSON{
		ID: id, Words: syn.Lemmas, Gloss: syn.Gloss,
		Hypernyms: s.nodes(syn.Hypernyms), InstanceHypernyms: s.nodes(syn.InstanceHypernyms),
		Hyponyms: s.nodes(syn.Hyponyms), InstanceHyponyms: s.nodes(syn.InstanceHyponyms),
		MinDepth: s.g.MinDepth(id), MaxDepth: s.g.MaxDepth(id), Height: s.g.Height(id),
		Below: len(s.g.Descendants(id)) - 1,
	}
}

func (v showJSON) text(w io.Writer) {
	fmt.Fprintf(w, "%s  %s\n  %s\n", v.ID, joined(v.Words), ui.Text(v.Gloss))
	fmt.Fprintf(w, "  depth %d to %d, height %d, %d below\n", v.MinDepth, v.MaxDepth, v.Height, v.Below)
	for _, list := range []struct {
		name  string
		nodes []nodeJSON
	}{
		{"is a", v.Hypernyms},
		{"is an instance of", v.InstanceHypernyms},
		{"kinds", v.Hyponyms},
		{"instances", v.InstanceHyponyms},
	} {
		if len(list.nodes) > 0 {
			fmt.Fprintf(w, "  %s\n", list.name)
		}
		for _, n := range list.nodes {
			fmt.Fprintf(w, "    %s  %s\n", n.ID, joined(n.Words))
		}
	}
}

func (s *synsetApp) findCmd() *cobra.Command {
	var below string
	var limit int
	cmd := &cobra.Command{
		Use:   "find TEXT...",
		Short: "List synsets by a word or a part of one",
		Long: `Lists the senses of TEXT, commonest first, and then the other synsets that have
a word with TEXT in it, by id: a line each with id, words and gloss, separated
by tabs. Several arguments are taken as one phrase.`,
		Example: "  synshard synset find zebra\n  synshard synset find retriever --below dog --limit 5",
		Args:    exactly(1, -1, "a text to look for"),
		RunE: func(_ *cobra.Command, args []string) error {
			if limit < 0 {
				return usagef("--limit %d: want 0 (all) or more", limit)
			}
			if err := s.open(); err != nil {
				return err
			}
			found, err := s.find(strings.Join(args, " "), below)
			if err != nil {
				return err
			}
			if limit > 0 && len(found) > limit {
				s.Logf("%d found; the first %d follow", len(found), limit)
				found = found[:limit]
			}
			return s.Result(map[string]any{"synsets": found}, func(w io.Writer) {
				for _, n := range found {
					fmt.Fprintf(w, "%s\t%s\t%s\n", n.ID, joined(n.Words), ui.Text(n.Gloss))
				}
			})
		},
	}
	cmd.Flags().StringVar(&below, "below", "", "only synsets under this one, or this one")
	cmd.Flags().IntVar(&limit, "limit", 0, "at most so many; 0 for all")
	return cmd
}

func (s *synsetApp) find(text, below string) ([]nodeJSON, error) {
	var root wordnet.ID
	if below != "" {
		var err error
		if root, err = s.one(below); err != nil {
			return nil, fmt.Errorf("--below: %w", err)
		}
	}
	found := []nodeJSON{}
	for _, id := range s.g.Search(text) {
		if below == "" || s.g.IsA(id, root) {
			found = append(found, s.node(id, true))
		}
	}
	if len(found) == 0 {
		where := ""
		if below != "" {
			where = fmt.Sprintf(" below %s", root)
		}
		return nil, fmt.Errorf("text %q%s: %w", text, where, wordnet.ErrNotFound)
	}
	return found, nil
}
