package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/source/classlist"
)

// classesUsage explains --classes, which is the same in every verb.
const classesUsage = "classes in label order: a dataset, a file (a name a line, CSV or JSON), or imagenet-1k"

// classesVar adds --classes; usage says what the verb has it for.
func classesVar(cmd *cobra.Command, p *string, usage string) {
	cmd.Flags().StringVar(p, "classes", "", usage)
	cobra.CheckErr(cmd.RegisterFlagCompletionFunc("classes", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return []string{"imagenet-1k"}, cobra.ShellCompDirectiveDefault
	}))
}

// readClasses reads the list that a flag names, and tells what was taken for
// what.
func (a *app) readClasses(flag, path string) (*classlist.List, error) {
	list, err := classlist.Read(path, classesOfDataset)
	if err != nil {
		return nil, fmt.Errorf("--%s: %w", flag, err)
	}
	for _, note := range list.Notes {
		a.Logf("--%s %s: %s", flag, path, note)
	}
	return list, nil
}

// classesOfDataset reads the classes of the dataset in a directory.
func classesOfDataset(dir string) (*classlist.List, error) {
	set, err := shard.Open(dir)
	if errors.Is(err, shard.ErrNotDataset) {
		return nil, fmt.Errorf("%w: %w", classlist.ErrNotDataset, err)
	}
	if err != nil {
		return nil, err
	}
	var names []string
	var words [][]string
	for _, c := range set.Classes() {
		names, words = append(names, c.Synset), append(words, c.Words)
	}
	list, err := classlist.New(names, words, dir)
	return list, errors.Join(err, set.Close())
}
