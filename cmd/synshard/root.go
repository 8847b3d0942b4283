package main

import (
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"
)

// app is what the verbs share: the three streams and the options every verb
// has.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer

	progressMode string // auto, bar, lines, json or off
	jsonOut      bool   // --json: the result as JSON on stdout

	started bool // the verb's own code is running
}

// verbs holds the constructor of every verb. A verb's file adds its own with
//
//	var _ = register(newXCmd)
var verbs []func(*app) *cobra.Command

func register(f func(*app) *cobra.Command) struct{} {
	verbs = append(verbs, f)
	return struct{}{}
}

const rootLong = `synshard turns ImageNet into Arrow shards organised by WordNet synset, fits
Inception-v3 and its peers on them, and predicts over millions of images in
batches, writing Arrow again.`

const rootExample = `  synshard ingest --train ILSVRC2012_img_train.tar --val ILSVRC2012_img_val.tar \
      --devkit ILSVRC2012_devkit_t12.tar.gz --out imagenet
  synshard train imagenet --out runs/a
  synshard infer runs/a/model.onnx imagenet --split val --out runs/a/val.arrow
  synshard eval runs/a/val.arrow`

// newRoot builds the command tree.
func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:           "synshard",
		Short:         "ImageNet to Arrow shards, training and batched inference",
		Long:          rootLong,
		Example:       rootExample,
		Version:       buildVersion(),
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := flagsFromEnv(cmd); err != nil {
				return err
			}
			if err := flagsFromConfig(cmd); err != nil {
				return err
			}
			return a.checkProgress()
		},
	}
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%w (see '%s --help')", err, cmd.CommandPath())
	})
	root.SetVersionTemplate("synshard {{.Version}}\n")
	root.SetHelpTemplate(root.HelpTemplate() + "\n" + exitCodesHelp +
		"\nA flag --some-flag may also be given as SYNSHARD_SOME_FLAG in the environment, or as\n" +
		"some-flag in synshard/config.yaml below the user's configuration directory.\n")

	f := root.PersistentFlags()
	f.StringVar(&a.progressMode, "progress", "auto", "progress on stderr: auto, bar, lines, json or off")
	f.BoolVar(&a.jsonOut, "json", false, "print the result as JSON")
	cobra.CheckErr(root.RegisterFlagCompletionFunc("progress",
		cobra.FixedCompletions(progressModes, cobra.ShellCompDirectiveNoFileComp)))

	for _, v := range verbs {
		root.AddCommand(v(a))
	}
	a.prepare(root)
	return root
}

// prepare makes every command of the tree report errors alike: whatever goes
// wrong before a verb's own code runs is an error of usage, and a command that
// only groups others says so instead of printing its help with exit 0.
func (a *app) prepare(cmd *cobra.Command) {
	if cmd.RunE == nil && cmd.Run == nil {
		cmd.Args = cobra.ArbitraryArgs
		cmd.RunE = func(c *cobra.Command, args []string) error {
			var names []string
			for _, s := range c.Commands() {
				if s.IsAvailableCommand() && s.Name() != "help" && s.Name() != "completion" {
					names = append(names, s.Name())
				}
			}
			list, where := strings.Join(names, ", "), ""
			if c.HasParent() {
				where = c.Name() + ": "
			}
			if len(args) > 0 {
				return usagef("%sunknown command %q; there are %s", where, args[0], list)
			}
			return usagef("%sa command is needed: %s (see '%s --help')", where, list, c.CommandPath())
		}
	}
	if inner := cmd.RunE; inner != nil {
		cmd.RunE = func(c *cobra.Command, args []string) error {
			a.started = true
			return inner(c, args)
		}
	}
	for _, sub := range cmd.Commands() {
		a.prepare(sub)
	}
}

// flagsFromEnv sets each flag that the command line left alone from
// SYNSHARD_FLAG_NAME, where that variable is set and not empty.
func flagsFromEnv(cmd *cobra.Command) error {
	var failed error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Changed || failed != nil || f.Name == "help" || f.Name == "version" {
			return
		}
		key := "SYNSHARD_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		value := os.Getenv(key)
		if value == "" {
			return
		}
		if err := cmd.Flags().Set(f.Name, value); err != nil {
			failed = usagef("environment variable %s=%q: %w", key, value, err)
		}
	})
	return failed
}

// logf writes one line of talk to stderr.
func (a *app) logf(format string, args ...any) {
	fmt.Fprintf(a.stderr, "synshard: "+format+"\n", args...)
}

// isTerminal says whether a stream is a terminal.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// refuseTerminal is an error when binary data would go to a terminal.
func (a *app) refuseTerminal(what string) error {
	if isTerminal(a.stdout) {
		return usagef("%s is binary and stdout is a terminal; redirect it or give a file name", what)
	}
	return nil
}

func buildVersion() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	if v == "" || v == "(devel)" {
		v = "devel"
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && len(s.Value) >= 12 {
				v += " " + s.Value[:12]
			}
		}
	}
	return v
}
