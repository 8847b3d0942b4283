package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// What every flag has in common: how it complains, and what it completes to.

// complete makes a flag complete to these values and no file names.
func complete(cmd *cobra.Command, flag string, values ...string) {
	cobra.CheckErr(cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)))
}

// choice is a flag with a few values.
type choice struct {
	value  *string
	values []string
}

// choiceVar adds a flag that takes one of values; empty stands for the default
// where it is the default.
func choiceVar(cmd *cobra.Command, p *string, name, value, usage string, values ...string) {
	*p = value
	cmd.Flags().Var(&choice{p, values}, name, usage)
	complete(cmd, name, values...)
}

func (c *choice) String() string { return *c.value }
func (c *choice) Type() string   { return "string" }
func (c *choice) Set(s string) error {
	if !slices.Contains(c.values, s) {
		return fmt.Errorf("want %s", oneOf(c.values))
	}
	*c.value = s
	return nil
}

// oneOf lists alternatives: a, b or c.
func oneOf(values []string) string {
	if len(values) < 2 {
		return strings.Join(values, "")
	}
	return strings.Join(values[:len(values)-1], ", ") + " or " + values[len(values)-1]
}

// What bounds --workers, each of which takes memory of its own, --threads, of which no machine
// has use for more, and --procs: beyond, a slip of the hand takes the machine down.
const (
	maxWorkers = 4096
	maxThreads = 1024
	maxProcs   = 256
)

// bounded is a number of workers and the like, from least to most.
type bounded struct {
	p           *int
	least, most int
}

// followLinksVar adds the flag of verbs that read folders.
func followLinksVar(cmd *cobra.Command, p *bool) {
	cmd.Flags().BoolVar(p, "follow-links", false, "follow links that lead out of a folder; else they are left out, and counted")
}

// workersVar adds --workers to a verb.
func workersVar(f *pflag.FlagSet, p *int, usage string) {
	f.VarP(bounded{p, 0, maxWorkers}, "workers", "j", usage)
}

// threadsVar adds --threads to a verb.
func threadsVar(f *pflag.FlagSet, p *int, usage string) {
	f.Var(bounded{p, 0, maxThreads}, "threads", usage)
}

// procsVar adds --procs, which is 1 unless given, to a verb.
func procsVar(f *pflag.FlagSet, p *int, usage string) {
	*p = 1
	f.Var(bounded{p, 1, maxProcs}, "procs", usage)
}

func (c bounded) String() string {
	if c.p == nil {
		return "0"
	}
	return strconv.Itoa(*c.p)
}
func (c bounded) Type() string { return "int" }
func (c bounded) Set(s string) error {
	n, err := strconv.Atoi(s)
	if err != nil || n < c.least || n > c.most {
		return fmt.Errorf("want %d to %d", c.least, c.most)
	}
	*c.p = n
	return nil
}

// flagError tells of a flag that is not understood in words of ours.
func flagError(cmd *cobra.Command, err error) error {
	see := fmt.Sprintf("(see '%s --help')", cmd.CommandPath())
	var absent *pflag.NotExistError
	var bad *pflag.InvalidValueError
	switch {
	case errors.As(err, &absent) && absent.GetSpecifiedShortnames() == "":
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden {
				names = append(names, f.Name)
			}
		})
		if near := nearest(absent.GetSpecifiedName(), names); near != "" {
			return usagef("unknown flag --%s; did you mean --%s? %s", absent.GetSpecifiedName(), near, see)
		}
	case errors.As(err, &bad):
		return usagef("--%s %q: %s %s", bad.GetFlag().Name, bad.GetValue(), wanting(bad.GetFlag(), bad.Unwrap()), see)
	}
	return usagef("%w %s", err, see)
}

// valueError says what is wrong with a value that a flag does not take.
func valueError(f *pflag.Flag, value string, err error) string {
	var bad *pflag.InvalidValueError
	if errors.As(err, &bad) {
		err = bad.Unwrap()
	}
	return fmt.Sprintf("%q: %s", value, wanting(f, err))
}

// wanting says what a flag takes. The standard library's words for what it
// could not parse are not for users.
func wanting(f *pflag.Flag, err error) string {
	if _, ours := f.Value.(bounded); ours {
		return err.Error()
	}
	switch t := f.Value.Type(); t {
	case "int", "int64", "uint64", "intSlice":
		return "want a whole number"
	case "float64":
		return "want a number"
	case "duration":
		return "want a time such as 90s or 10m"
	case "bool":
		return "want true or false"
	case "stringToString":
		return "want k=v"
	}
	return err.Error()
}

// nearest gives the candidate that a mistyped word most likely meant: the one
// fewest changes of a letter away, of at most a third of its letters; "" if
// none is near.
func nearest(word string, candidates []string) string {
	best, distance := "", max(len(word)/3, 1)+1
	for _, c := range candidates {
		d := editDistance(word, c)
		if strings.HasPrefix(c, word) && len(word) > 1 {
			d = 1
		}
		if d < distance {
			best, distance = c, d
		}
	}
	return best
}

// editDistance counts insertions, deletions, replacements and swaps of
// neighbours (optimal string alignment).
func editDistance(a, b string) int {
	x, y := []rune(a), []rune(b)
	d := make([][]int, len(x)+1)
	for i := range d {
		d[i] = make([]int, len(y)+1)
		d[i][0] = i
	}
	for j := range d[0] {
		d[0][j] = j
	}
	for i := 1; i <= len(x); i++ {
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			d[i][j] = min(d[i-1][j]+1, d[i][j-1]+1, d[i-1][j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return d[len(x)][len(y)]
}
