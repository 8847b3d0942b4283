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

--check computes the sums of all that is at hand again (a dataset's lists and indexes;
'synshard verify' holds its images to theirs) and ends with 4 where one differs, or
nothing was made from one of WITH as it is. --json gives in-toto statements with
SLSA's provenance.`,
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
		return usagef("%w", err)
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
	if err := a.Result(attested(chain, checks, check), func(w io.Writer) { printChain(w, chain, checks) }); err != nil {
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

// How in-toto and SLSA call what follows, and us.
const (
	statementType = "https://in-toto.io/Statement/v1"
	predicateType = "https://slsa.dev/provenance/v1"
	builderID     = "https://github.com/synshard/synshard"
)

type attestedJSON struct {
	Statements []statementJSON `json:"statements"`
	Checks     []checkJSON     `json:"checks,omitempty"`
}

type checkJSON struct {
	Path   string            `json:"path"`
	Digest map[string]string `json:"digest"`
	OK     bool              `json:"ok"`
}

type statementJSON struct {
	Type          string         `json:"_type"`
	Subject       []resourceJSON `json:"subject"`
	PredicateType string         `json:"predicateType"`
	Predicate     predicateJSON  `json:"predicate"`
}

type resourceJSON struct {
	Name        string            `json:"name"`
	Digest      map[string]string `json:"digest,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type predicateJSON struct {
	BuildDefinition struct {
		BuildType            string            `json:"buildType"`
		ExternalParameters   map[string]string `json:"externalParameters"`
		ResolvedDependencies []resourceJSON    `json:"resolvedDependencies"`
	} `json:"buildDefinition"`
	RunDetails struct {
		Builder struct {
			ID      string            `json:"id"`
			Version map[string]string `json:"version,omitempty"`
		} `json:"builder"`
	} `json:"runDetails"`
}

// attested is a chain as in-toto's statements, one a thing.
func attested(c *provenance.Chain, checks []provenance.Check, checked bool) attestedJSON {
	var out attestedJSON
	for i, t := range c.Things {
		s := statementJSON{Type: statementType, PredicateType: predicateType}
		s.Subject = append(s.Subject, resourceJSON{Name: t.Path, Digest: digestJSON(t.Digest), Annotations: map[string]string{"kind": string(t.Kind)}})
		for _, f := range t.Files {
			s.Subject = append(s.Subject, resourceJSON{Name: t.Path + "/" + f.Name, Digest: digestJSON(f.Digest), Annotations: map[string]string{"kind": string(f.Kind)}})
		}
		b := &s.Predicate.BuildDefinition
		b.BuildType, b.ExternalParameters, b.ResolvedDependencies = builderID+"/"+string(t.Kind), map[string]string{}, []resourceJSON{}
		s.Predicate.RunDetails.Builder.ID = builderID
		for _, f := range t.Facts {
			if f.Name == "made by" {
				s.Predicate.RunDetails.Builder.Version = map[string]string{"made_by": f.Value}
				continue
			}
			b.ExternalParameters[f.Name] = f.Value
		}
		for k, in := range t.From {
			r := resourceJSON{Name: in.Name, Digest: digestJSON(in.Digest), Annotations: map[string]string{"kind": string(in.Kind)}}
			for _, f := range in.Facts {
				r.Annotations[f.Name] = f.Value
			}
			if n, ok := c.Found[[2]int{i, k}]; ok {
				r.Annotations["at"] = c.Things[n].Path
			}
			b.ResolvedDependencies = append(b.ResolvedDependencies, r)
		}
		out.Statements = append(out.Statements, s)
	}
	if checked {
		out.Checks = []checkJSON{}
	}
	for _, check := range checks {
		out.Checks = append(out.Checks, checkJSON{check.Path, digestJSON(check.Digest), check.OK})
	}
	return out
}

func digestJSON(d provenance.Digest) map[string]string {
	if d.Value == "" {
		return nil
	}
	return map[string]string{d.Algorithm: d.Value}
}
