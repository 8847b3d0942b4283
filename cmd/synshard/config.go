package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/synshard/synshard/internal/regular"
	"github.com/synshard/synshard/internal/yamldoc"
)

// A user's defaults: a YAML file with a section for each verb, the flags of all
// verbs above them:
//
//	progress: lines
//	train:
//	  device: cuda:1
//	  synset: [dog, cat]
//	model:
//	  import: {interpolation: bicubic}
//
// It is $SYNSHARD_CONFIG_FILE, or config.yaml in synshard's directory below the
// user's configuration directory, unless that is another user's, as where HOME was
// kept; the command line and the environment win.

const configVariable = "SYNSHARD_CONFIG_FILE"

// flagsFromConfig sets each flag that the command line and the environment left
// alone from the user's file.
func flagsFromConfig(cmd *cobra.Command) error {
	path, named := os.Getenv(configVariable), true
	if path == "" {
		named = false
		dir, err := os.UserConfigDir()
		if err != nil {
			return nil // no home, no file
		}
		path = filepath.Join(dir, "synshard", "config.yaml")
	}
	text, err := regular.ReadFile(path, 1<<20)
	if !named && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) && !mayLook(path)) {
		return nil
	}
	if err != nil {
		return err
	}
	var values map[string]any
	if err := yamldoc.Decode(text, &values, false); err != nil {
		return usagef("%s: %w", path, err)
	}
	if err := checkConfig(cmd.Root(), values, ""); err != nil {
		return usagef("%s: %w", path, err)
	}
	var above []*cobra.Command
	for c := cmd; c.HasParent(); c = c.Parent() {
		above = append([]*cobra.Command{c}, above...)
	}
	levels := []map[string]any{values}
	for _, c := range above {
		values, _ = values[c.Name()].(map[string]any)
		levels = append(levels, values)
	}
	for i := len(levels) - 1; i >= 0; i-- { // the nearest wins
		if err := setFlags(cmd, levels[i]); err != nil {
			return usagef("%s: %w", path, err)
		}
	}
	return nil
}

// mayLook says whether this user may look into the directory of a file.
func mayLook(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrPermission)
}

// checkConfig finds keys that are neither a verb nor a flag of this one. At the
// top only the flags of all verbs are flags.
func checkConfig(cmd *cobra.Command, values map[string]any, at string) error {
	for _, key := range slices.Sorted(maps.Keys(values)) {
		inner, isMap := values[key].(map[string]any)
		var sub *cobra.Command
		var names []string
		for _, c := range cmd.Commands() {
			names = append(names, c.Name())
			if c.Name() == key {
				sub = c
			}
		}
		switch {
		case sub != nil && values[key] == nil: // a section with nothing in it
		case sub != nil && !isMap:
			return fmt.Errorf("%s%s is a verb: its flags stand below it", at, key)
		case sub != nil:
			if err := checkConfig(sub, inner, at+key+"."); err != nil {
				return err
			}
		case isMap:
			return fmt.Errorf("%s%s is not a verb%s", at, key, meant(key, names))
		case at == "" && !hasFlag(cmd, key):
			return fmt.Errorf("%s is not a flag of all verbs; a verb's flags stand below its name", key)
		case !hasFlag(cmd, key):
			return fmt.Errorf("%s%s is not a flag", at, key)
		}
	}
	return nil
}

// meant is a hint at the candidate that a word is near to.
func meant(word string, candidates []string) string {
	if near := nearest(word, candidates); near != "" {
		return "; did you mean " + near + "?"
	}
	return ""
}

// hasFlag says whether the command has a flag, its own or an inherited one.
func hasFlag(cmd *cobra.Command, name string) bool {
	for _, set := range []*pflag.FlagSet{cmd.LocalFlags(), cmd.InheritedFlags()} {
		if f := set.Lookup(name); f != nil && settable(f) {
			return true
		}
	}
	return false
}

func setFlags(cmd *cobra.Command, values map[string]any) error {
	for key, value := range values {
		f := cmd.Flags().Lookup(key)
		if f == nil || f.Changed {
			continue
		}
		items, isList := value.([]any)
		if !isList {
			items = []any{value}
		}
		if _, many := f.Value.(interface{ GetSlice() []string }); len(items) > 1 && !many && f.Value.Type() != "stringToString" {
			return fmt.Errorf("%s takes one value, not a list", key)
		}
		for _, item := range items {
			if err := cmd.Flags().Set(key, fmt.Sprint(item)); err != nil {
				return fmt.Errorf("%s: %s", key, valueError(f, fmt.Sprint(item), err))
			}
		}
	}
	return nil
}
