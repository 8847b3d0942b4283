package main

import (
	"context"
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/spf13/cobra"

	"github.com/synshard/synshard/internal/metrics"
	"github.com/synshard/synshard/internal/ui"
)

// app is what the verbs share: the console with the options every verb has.
type app struct {
	ui.Console
	started bool     // the verb's own code is running
	command []string // see commandLine
	remote  remoteFiles
	senses  []string // what was said of words that mean several synsets

	metricsPath string        // --metrics-file
	metrics     *metrics.File // the zero one where none is asked for

	saves     atomic.Bool // an end that was asked for takes the time that saving takes
	continues atomic.Bool // the same command goes on from what was made
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
		PersistentPreRunE: func(cmd *cobra.Command, args []string) error {
			return a.settle(cmd, args)
		},
	}
	root.SetIn(a.Stdin)
	root.SetOut(a.Stdout)
	root.SetErr(a.Stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return flagError(cmd, err) })
	root.SetVersionTemplate("synshard {{.Version}}\n")
	root.SetHelpTemplate(root.HelpTemplate() + "\n" + exitCodesHelp() + "\n" + environmentHelp)

	f := root.PersistentFlags()
	f.StringVar(&a.Progress, "progress", "auto", "progress on stderr: auto, bar, lines, json or off")
	f.BoolVar(&a.JSON, "json", false, "print the result as JSON, and an error too (docs/JSON.md)")
	f.StringVar(&a.metricsPath, "metrics-file", "", "write what the verb does to this file for Prometheus's node exporter, now and then and at the end (NAME.prom)")
	f.StringVar(&a.remote.cacheDir, "cache-dir", "", "directory where data read from URLs is cached (default: in the user's cache directory)")
	f.Int64Var(&a.remote.cacheBytes, "cache-bytes", 0, "bytes of the disk that --cache-dir may take; what was not used for longest is removed first (0: 64 GiB)")
	complete(root, "progress", ui.Modes...)

	addVerbs(root, a)
	a.prepare(root)
	return root
}

// settle gives every flag its value, by the command line, the environment, the
// user's file or its default, and checks what holds for all verbs.
func (a *app) settle(cmd *cobra.Command, args []string) error {
	if err := flagsFromEnv(cmd); err != nil {
		return err
	}
	if err := flagsFromConfig(cmd); err != nil {
		return err
	}
	if !slices.Contains(ui.Modes, a.Progress) {
		return usagef("--progress %q: want one of %s", a.Progress, strings.Join(ui.Modes, ", "))
	}
	if a.JSON || a.Progress == "json" {
		if err := guardJSON(); err != nil {
			return err
		}
	}
	setMemory(cmd)
	a.warnOfVariables(cmd.Root(), os.Environ())
	if err := a.checkURLs(cmd, args); err != nil {
		return err
	}
	a.command = commandLine(cmd, args)
	return a.openMetrics(cmd) // before anything is asked of a store
}

// prepare makes every command of the tree report errors alike: whatever goes
// wrong before a verb's own code runs is an error of usage, and a command that
// only groups others says so instead of printing its help with exit 0. What stands
// at URLs is asked for last, when the command line is known to be good.
func (a *app) prepare(cmd *cobra.Command) {
	if cmd.RunE == nil && cmd.Run == nil {
		cmd.Args = cobra.ArbitraryArgs
		cmd.RunE = needsCommand
	}
	if inner := cmd.RunE; inner != nil {
		cmd.RunE = func(c *cobra.Command, args []string) error {
			a.started = true
			if err := a.checkOutputs(c); err != nil {
				return err
			}
			if err := a.settleURLs(c, args); err != nil { // after all that PreRunE and cobra refuse of flags
				return err
			}
			return inner(c, args)
		}
	}
	for _, sub := range cmd.Commands() {
		a.prepare(sub)
	}
}

// needsCommand is the error of a command that only groups others.
func needsCommand(c *cobra.Command, args []string) error {
	var names []string
	for _, s := range c.Commands() {
		if s.IsAvailableCommand() && s.Name() != "help" {
			names = append(names, s.Name())
		}
	}
	list := strings.Join(names, ", ")
	if len(args) == 0 {
		return usagef("a command is needed: %s (see '%s --help')", list, c.CommandPath())
	}
	if near := nearest(args[0], names); near != "" {
		return usagef("unknown command %q; did you mean '%s %s'?", args[0], c.CommandPath(), near)
	}
	return usagef("unknown command %q; there are %s", args[0], list)
}

// verbOf names a command as its user types it after "synshard"; "" is the root.
func verbOf(cmd *cobra.Command) string {
	return strings.TrimPrefix(strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()), " ")
}

// errorText is an error as it is told: one line, the verb first.
func errorText(cmd *cobra.Command, err error) string {
	text := strings.TrimSpace(err.Error())
	switch {
	case text == "":
		return ""
	case errors.Is(err, context.Canceled):
		text = strings.Replace(text, context.Canceled.Error(), "interrupted", 1)
	}
	text = plainWords(text)
	// Some of the packages join errors by newlines.
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
	if verb := verbOf(cmd); verb != "" {
		text = verb + ": " + strings.TrimPrefix(text, verb+": ")
	}
	return text
}

// How cobra says what is wrong with flags that belong together, or are needed.
var (
	exclusive = regexp.MustCompile(`^if any flags in the group \[.*\] are set none of the others can be; \[(.*)\] were all set$`)
	needed    = regexp.MustCompile(`^required flag\(s\) (.*) not set$`)
)

// plainWords says it as the verbs do.
func plainWords(text string) string {
	if m := exclusive.FindStringSubmatch(text); m != nil {
		return "--" + strings.ReplaceAll(m[1], " ", " and --") + " exclude each other"
	}
	if m := needed.FindStringSubmatch(text); m != nil {
		names := strings.Split(strings.ReplaceAll(m[1], `"`, ""), ", ")
		is := " is needed"
		if len(names) > 1 {
			is = " are needed"
		}
		return "--" + strings.Join(names, " and --") + is
	}
	return text
}

// refuseTerminal is an error when binary data would go to a terminal.
func (a *app) refuseTerminal(what string) error {
	if ui.IsTerminal(a.Stdout) {
		return usagef("%s is binary and stdout is a terminal; redirect it or give a file name", what)
	}
	return nil
}
