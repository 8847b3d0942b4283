package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"
)

// A user's defaults: a YAML file of flags, for every verb that has them at the
// top and for one verb below its name:
//
//	progress: lines
//	train:
//	  device: cuda:1
//	  synset: [dog, cat]
//
// It is $SYNSHARD_CONFIG_FILE, or config.yaml in synshard's directory below the
// user's configuration directory; the command line and the environment win.

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
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && !named {
		return nil
	}
	if err != nil {
		return err
	}
	var values map[string]any
	if err := yaml.Unmarshal(text, &values); err != nil {
		return usagef("%s: %w", path, errors.New(yaml.FormatError(err, false, false)))
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

// checkConfig finds keys that are neither a command nor a flag of one at or
// below this one.
func checkConfig(cmd *cobra.Command, values map[string]any, at string) error {
	for key, value := range values {
		inner, isMap := value.(map[string]any)
		var sub *cobra.Command
		for _, c := range cmd.Commands() {
			if c.Name() == key {
				sub = c
			}
		}
		switch {
		case isMap && sub != nil:
			if err := checkConfig(sub, inner, at+key+"."); err != nil {
				return err
			}
		case isMap:
			return fmt.Errorf("%s%s is no command", at, key)
		case !hasFlag(cmd, key):
			return fmt.Errorf("%s%s is no flag", at, key)
		}
	}
	return nil
}

func hasFlag(cmd *cobra.Command, name string) bool {
	if cmd.Flags().Lookup(name) != nil || cmd.InheritedFlags().Lookup(name) != nil || cmd.PersistentFlags().Lookup(name) != nil {
		return true
	}
	for _, c := range cmd.Commands() {
		if hasFlag(c, name) {
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
		for _, item := range items {
			if err := cmd.Flags().Set(key, fmt.Sprint(item)); err != nil {
				return fmt.Errorf("%s: %w", key, err)
			}
		}
	}
	return nil
}
