package main

import (
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/synshard/synshard/internal/ui"
)

// TestUnknownSchemes gives every argument and every flag with a text a URL of a scheme
// that is none: nowhere may it be taken for a path.
func TestUnknownSchemes(t *testing.T) {
	var verbs []*cobra.Command
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		if c.RunE != nil && !c.HasSubCommands() {
			verbs = append(verbs, c)
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(newRoot(&app{Console: ui.Console{}}))
	const url = "s4://bucket/key"
	tried := 0
	for _, c := range verbs {
		verb := strings.Fields(verbOf(c))
		lines := [][]string{{url}, {"x", url}}
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if slices.Contains([]string{"string", "stringArray", "stringSlice"}, f.Value.Type()) {
				lines = append(lines, []string{"--" + f.Name, url}, []string{"x", "--" + f.Name + "=" + url})
			}
		})
		for _, line := range lines {
			tried++
			var talk strings.Builder
			if code := run(slices.Concat(verb, line), strings.NewReader(""), io.Discard, &talk); code != exitUsage {
				t.Errorf("%s %s: exit %d, %s", strings.Join(verb, " "), strings.Join(line, " "), code, &talk)
			}
		}
	}
	if tried < 100 {
		t.Errorf("only %d command lines were tried", tried)
	}
}
