package main

import (
	"encoding/csv"
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/synshard/synshard/shard"

	"github.com/synshard/synshard/storage/files"
)

// splitFlag is --split: the name of a split of a dataset, or several where a
// verb goes through them.
type splitFlag struct {
	one  *string
	many *[]string
}

// splitVar adds a flag that names one split.
func splitVar(cmd *cobra.Command, p *string, name, value, usage string) {
	*p = value
	cmd.Flags().Var(&splitFlag{one: p}, name, usage)
	completeSplits(cmd, name)
}

// splitsVar adds a flag that names some splits, repeated or between commas.
func splitsVar(cmd *cobra.Command, p *[]string, name, usage string) {
	cmd.Flags().Var(&splitFlag{many: p}, name, usage)
	completeSplits(cmd, name)
}

func (f *splitFlag) Type() string { return "name" }

func (f *splitFlag) String() string {
	if f.many != nil {
		return strings.Join(*f.many, ",")
	}
	if f.one == nil {
		return ""
	}
	return *f.one
}

func (f *splitFlag) Set(s string) error {
	names, err := csv.NewReader(strings.NewReader(s)).Read()
	if err != nil || slices.Contains(names, "") {
		return errors.New("want the name of a split")
	}
	if f.many != nil {
		*f.many = append(*f.many, names...)
		return nil
	}
	if len(names) > 1 {
		return errors.New("want one split")
	}
	*f.one = names[0]
	return nil
}

// completeSplits offers the splits of the dataset among the arguments, or the
// usual ones.
func completeSplits(cmd *cobra.Command, flag string) {
	cobra.CheckErr(cmd.RegisterFlagCompletionFunc(flag, func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		for _, dir := range args {
			if m, err := shard.ReadManifest(files.Local(dir)); err == nil {
				var names []string
				for name := range m.Splits {
					names = append(names, name)
				}
				slices.Sort(names)
				return names, cobra.ShellCompDirectiveNoFileComp
			}
		}
		return []string{"train", "val", "test"}, cobra.ShellCompDirectiveNoFileComp
	}))
}
