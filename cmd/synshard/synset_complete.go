package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/synshard/synshard/internal/ui"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/wordnet"
)

// wordnetVar adds --wordnet, the same in every verb.
func wordnetVar(cmd *cobra.Command, p *string) {
	cmd.Flags().StringVar(p, "wordnet", "", "directory with data.noun of WordNet 3.0 (default: where packages put it)")
	cobra.CheckErr(cmd.MarkFlagDirname("wordnet"))
}

// completeSynsets makes flags complete to synsets: the classes of the dataset
// among the arguments, and words of WordNet.
func completeSynsets(cmd *cobra.Command, flags ...string) {
	for _, flag := range flags {
		cobra.CheckErr(cmd.RegisterFlagCompletionFunc(flag, synsetsFor))
	}
}

func synsetsFor(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	for _, dir := range args {
		set, err := shard.Open(dir)
		if err != nil {
			continue
		}
		var found []string
		for _, c := range set.Classes() {
			if strings.HasPrefix(c.Synset, begun) && ui.Text(c.Synset) == c.Synset { // a shell is given no other
				found = append(found, c.Synset+"\t"+joined(c.Words))
			}
		}
		if set.Close() == nil && len(found) > 0 {
			return found, cobra.ShellCompDirectiveNoFileComp
		}
	}
	return wordsOf(cmd, begun), cobra.ShellCompDirectiveNoFileComp
}

// mostWords is how many words a completion offers.
const mostWords = 200

// wordsOf gives words of WordNet that go on as begun. Two letters are wanted:
// WordNet has 117,000 words.
func wordsOf(cmd *cobra.Command, begun string) []string {
	if len(begun) < 2 {
		return nil
	}
	dir := ""
	if f := cmd.Flag("wordnet"); f != nil {
		dir = f.Value.String()
	}
	if dir, _ = search().WordNet(dir); dir == "" {
		return nil // completion has nowhere to complain to
	}
	g, err := wordnet.Open(dir)
	if err != nil {
		return nil
	}
	var found []string
	seen := map[string]bool{}
	for _, id := range g.Find(begun) {
		syn, _ := g.Synset(id)
		for _, word := range syn.Lemmas {
			if len(word) >= len(begun) && strings.EqualFold(word[:len(begun)], begun) && !seen[word] && ui.Text(word) == word && len(found) < mostWords {
				seen[word] = true
				found = append(found, word+"\t"+ui.Text(syn.Gloss))
			}
		}
	}
	return found
}
