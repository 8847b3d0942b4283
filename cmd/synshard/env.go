package main

import (
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/synshard/synshard/internal/native"
)

// environmentHelp ends every help text.
const environmentHelp = `A flag --some-flag of a verb may also be given in the environment as
SYNSHARD_VERB_SOME_FLAG (SYNSHARD_TRAIN_DEVICE, SYNSHARD_MODEL_IMPORT_CLASSES),
or in synshard/config.yaml below the user's configuration directory as some-flag
in the verb's section; the flags of all verbs (Global Flags) without a verb, as
SYNSHARD_PROGRESS or SYNSHARD_CACHE_DIR. Flags win over the environment, and the environment over the file.
`

// variableOf is the name in the environment of a command's flag. It holds the
// verb, so that one verb's setting never reaches another.
func variableOf(cmd *cobra.Command, flag string) string {
	if cmd.Root().PersistentFlags().Lookup(flag) != nil {
		return variable(flag)
	}
	return variable(verbOf(cmd) + " " + flag)
}

// variable spells words as a name in the environment.
func variable(words string) string {
	return "SYNSHARD_" + strings.ToUpper(strings.NewReplacer(" ", "_", "-", "_").Replace(words))
}

// settable says whether a flag has a name in the environment and in the file.
func settable(f *pflag.Flag) bool { return f.Name != "help" && f.Name != "version" }

// flagsFromEnv sets each flag that the command line left alone from its
// variable, where that is set and not empty.
func flagsFromEnv(cmd *cobra.Command) error {
	var failed error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Changed || failed != nil || !settable(f) {
			return
		}
		key := variableOf(cmd, f.Name)
		if value := os.Getenv(key); value != "" {
			if err := cmd.Flags().Set(f.Name, value); err != nil {
				failed = usagef("environment variable %s: %s", key, valueError(f, value, err))
			}
		}
	})
	return failed
}

// otherVariables are the names in the environment that are no flag's.
var otherVariables = append([]string{configVariable, secretVariable}, native.Variables...)

// warnOfVariables tells of each SYNSHARD_ variable that nothing heeds.
func (a *app) warnOfVariables(root *cobra.Command, environ []string) {
	known := map[string]bool{}
	verbs := map[string][]string{} // by flag, as a variable spells it
	eachFlag(root, func(cmd *cobra.Command, f *pflag.Flag) {
		key := variableOf(cmd, f.Name)
		known[key] = true
		if bare := variable(f.Name); bare != key {
			verbs[bare] = append(verbs[bare], key)
		}
	})
	slices.Sort(environ)
	for _, setting := range environ {
		key, _, _ := strings.Cut(setting, "=")
		switch {
		case !strings.HasPrefix(key, "SYNSHARD_") || strings.HasPrefix(key, "SYNSHARD_TEST_"), known[key], slices.Contains(otherVariables, key):
		case verbs[key] != nil:
			a.Warnf("environment variable %s has no effect: a flag's variable holds its verb, as in %s", key, verbs[key][0])
		default:
			hint := ""
			if near := nearest(key, slices.Sorted(maps.Keys(known))); near != "" {
				hint = "; did you mean " + near + "?"
			}
			a.Warnf("environment variable %s has no effect: no flag of any verb is called so%s", key, hint)
		}
	}
}

// eachFlag visits every flag that can be set of every command, global ones at
// the root.
func eachFlag(cmd *cobra.Command, visit func(*cobra.Command, *pflag.Flag)) {
	see := func(f *pflag.Flag) {
		if settable(f) {
			visit(cmd, f)
		}
	}
	cmd.LocalFlags().VisitAll(see)
	if cmd.HasParent() {
		cmd.InheritedFlags().VisitAll(func(f *pflag.Flag) {
			if cmd.Root().PersistentFlags().Lookup(f.Name) == nil {
				see(f)
			}
		})
	}
	for _, sub := range cmd.Commands() {
		eachFlag(sub, visit)
	}
}
