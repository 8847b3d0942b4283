package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
	"github.com/spf13/pflag"
	"github.com/synshard/synshard/internal/durable"
)

func newManCmd(a *app) *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "man --out DIR",
		Short: "Write the manual pages of all verbs",
		Long: `Writes a manual page (section 1) for every verb into a directory, from the same
texts that --help prints, with exit codes and the names of flags in the
environment.`,
		Example: "  synshard man --out ~/.local/share/man/man1\n  MANPATH=~/.local/share/man: man synshard-ingest",
		Args:    exactly(0, 0, "no arguments"),
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.runMan(cmd.Root(), out) },
	}
	cmd.Flags().StringVarP(&out, "out", "o", "", "directory for the pages; made when missing")
	cobra.CheckErr(cmd.MarkFlagRequired("out"))
	cobra.CheckErr(cmd.MarkFlagDirname("out"))
	return cmd
}

func (a *app) runMan(root *cobra.Command, out string) error {
	if err := os.MkdirAll(out, 0o777); err != nil {
		return err
	}
	root.DisableAutoGenTag = true // the same binary writes the same pages
	if err := writePages(root, out); err != nil {
		return fmt.Errorf("write manual pages into %s: %w", out, err)
	}
	pages, err := filepath.Glob(filepath.Join(out, "synshard*.1"))
	if err != nil {
		return err
	}
	return a.printFiles(out, pages)
}

// writePages writes the page of a command and of those below it.
func writePages(cmd *cobra.Command, dir string) error {
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() && !sub.IsAdditionalHelpTopicCommand() {
			if err := writePages(sub, dir); err != nil {
				return err
			}
		}
	}
	var page bytes.Buffer
	name := strings.ReplaceAll(cmd.CommandPath(), " ", "-")
	header := &doc.GenManHeader{Title: strings.ToUpper(name), Section: "1", Source: "synshard", Manual: "synshard"}
	if err := doc.GenMan(cmd, header, &page); err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(dir, name+".1"), func(w io.Writer) error {
		_, err := io.WriteString(w, withSections(page.String(), cmd))
		return err
	})
}

// withSections adds the sections that the generator does not know, where the
// conventions have them: before the examples.
func withSections(page string, cmd *cobra.Command) string {
	more := exitStatus() + environment(cmd)
	for _, next := range []string{"\n.SH EXAMPLE\n", "\n.SH SEE ALSO\n"} {
		if at := strings.Index(page, next); at >= 0 {
			return page[:at+1] + more + page[at+1:]
		}
	}
	return page + more
}

// exitStatus is the table of exit codes in roff.
func exitStatus() string {
	b := &strings.Builder{}
	b.WriteString(".SH EXIT STATUS\n")
	for _, c := range exitCodes {
		fmt.Fprintf(b, ".TP\n\\fB%d\\fP\n%s\n", c.code, roff(c.meaning))
	}
	return b.String()
}

// environment lists the variables that a command heeds.
func environment(cmd *cobra.Command) string {
	b := &strings.Builder{}
	b.WriteString(".SH ENVIRONMENT\n")
	item := func(name, meaning string) { fmt.Fprintf(b, ".TP\n\\fB%s\\fP\n%s\n", name, roff(meaning)) }
	see := func(f *pflag.Flag) {
		if settable(f) && !f.Hidden {
			item(variableOf(cmd, f.Name), "--"+f.Name)
		}
	}
	cmd.LocalFlags().VisitAll(see)
	cmd.InheritedFlags().VisitAll(see)
	item(configVariable, "file of settings (default: synshard/config.yaml in the user's configuration directory)")
	for _, v := range []struct{ flag, name, meaning string }{
		{"torch-lib", "SYNSHARD_TORCH_LIB", "the training engine's library"},
		{"ort-lib", "ONNXRUNTIME_SHARED_LIBRARY_PATH", "ONNX Runtime's library"},
		{"openvino-lib", "SYNSHARD_OPENVINO_LIB", "OpenVINO's C library"},
		{"wordnet", "SYNSHARD_WORDNET", "directory with data.noun of WordNet 3.0"},
	} {
		if cmd.Flag(v.flag) != nil {
			item(v.name, v.meaning)
		}
	}
	return b.String()
}

// roff keeps text from being taken for commands.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(s)
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = `\&` + s
	}
	return s
}
