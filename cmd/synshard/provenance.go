package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/synshard/synshard/internal/ui"
	"github.com/synshard/synshard/provenance"
)

func newProvenanceCmd(a *app) *cobra.Command {
	var check bool
	cmd := &cobra.Command{
		Use:   "provenance FILE [WITH...]",
		Short: "Say what predictions, a model, a run or a dataset were made from",
		Long: `Says what a file of predictions, a model, a run or a dataset was made from, by what
the files themselves hold: sums, versions, options, the recipe, the sources by names
and sizes. WITH are datasets, runs and models that it may have been made from; those
whose sums it names are followed, back to the archives. A model is also found beside
its predictions. What is at hand nowhere is told by its sum alone.

--check computes the sums of all that is at hand again (a dataset's lists and indexes,
to which 'synshard verify' adds its images; predictions' rows) and ends with 4 where
one differs, or nothing was made from one of WITH as it is. A file or directory that says nothing of
what it was made from ends with 4 too: another program's, or one that lost it. --json
gives in-toto statements with SLSA's provenance.

A run's log has the commands that made it, without what may be secret. Datasets,
models and predictions are the same bytes however they were asked for: they hold the
options that decide a byte, by name.`,
		Example: `  synshard provenance runs/a/val.arrow imagenet --check
  synshard provenance runs/a/model.onnx imagenet --json
  synshard provenance imagenet`,
		Args: atLeast(1, "a file of predictions, a model, a run or a dataset"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.runProvenance(cmd.Context(), args[0], args[1:], check)
		},
	}
	cmd.Flags().BoolVar(&check, "check", false, "compute the sums of what is at hand again")
	return cmd
}

func (a *app) runProvenance(ctx context.Context, path string, with []string, check bool) error {
	chain, err := provenance.Trace(ctx, path, provenance.Options{At: with, Partial: func(path string) bool { return a.remote.paths.Shown(path) != path }})
	if errors.Is(err, provenance.ErrUnknown) {
		return corrupt(err)
	}
	if err != nil {
		return err
	}
	for _, t := range chain.Foreign {
		a.Warnf("nothing here was made from %s as it is", t.Path)
	}
	var checks []provenance.Check
	if check {
		if checks, err = chain.Check(ctx); err != nil {
			return err
		}
	}
	bad := 0
	for _, c := range checks {
		if !c.OK {
			bad++
		}
	}
	if err := a.Result(attested(chain, checks), func(w io.Writer) { printChain(w, chain, checks) }); err != nil {
		return err
	}
	switch n := len(chain.Foreign); {
	case bad > 0:
		return corrupt(fmt.Errorf("%s: %d of %d sums differ", path, bad, len(checks)))
	case check && n > 0:
		return corrupt(fmt.Errorf("%s: nothing was made from %d of %d paths beside it", path, n, len(with)))
	}
	return nil
}

// printChain writes a chain for people: each thing, what it says, and what it is made from.
func printChain(w io.Writer, c *provenance.Chain, checks []provenance.Check) {
	for i, t := range c.Things {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%s  %s%s\n", ui.Text(t.Path), t.Kind, digestText(t.Digest))
		for _, f := range t.Facts {
			fmt.Fprintf(w, "  %-24s %s\n", ui.Text(f.Name), ui.Text(f.Value))
		}
		for k, in := range t.From {
			found := ""
			if n, ok := c.Found[[2]int{i, k}]; ok {
				found = ": " + c.Things[n].Path
			}
			fmt.Fprintf(w, "  made from %s %s%s%s\n", in.Kind, ui.Text(in.Name), digestText(in.Digest), ui.Text(found))
			for _, f := range in.Facts {
				fmt.Fprintf(w, "    %-22s %s\n", ui.Text(f.Name), ui.Text(f.Value))
			}
		}
	}
	for i, check := range checks {
		if i == 0 {
			fmt.Fprintln(w)
		}
		state := "ok"
		if !check.OK {
			state = "OTHER"
		}
		fmt.Fprintf(w, "%-5s  %s\n", state, ui.Text(check.Path))
	}
}

func digestText(d provenance.Digest) string {
	if d.Value == "" {
		return ""
	}
	return ui.Text("  " + strings.ReplaceAll(d.Algorithm, "_", " ") + " " + d.Value)
}

// attestedJSON is what the verb prints.
type attestedJSON struct {
	Statements []provenance.Statement `json:"statements"`
	Checks     []checkJSON            `json:"checks,omitempty"`
}

type checkJSON struct {
	Path   string            `json:"path"`
	Digest map[string]string `json:"digest"`
	OK     bool              `json:"ok"`
}

// attested is a chain as in-toto's statements, and what was computed again.
func attested(c *provenance.Chain, checks []provenance.Check) attestedJSON {
	out := attestedJSON{Statements: c.Statements()}
	for _, check := range checks {
		out.Checks = append(out.Checks, checkJSON{check.Path, check.Digest.Map(), check.OK})
	}
	return out
}
