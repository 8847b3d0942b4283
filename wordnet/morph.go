package wordnet

import (
	"fmt"
	"slices"
	"strings"
)

// detachments are the noun endings of morphy(7WN) and what replaces them.
var detachments = [...]struct{ ending, with string }{
	{"s", ""},
	{"ses", "s"},
	{"xes", "x"},
	{"zes", "z"},
	{"ches", "ch"},
	{"shes", "sh"},
	{"men", "man"},
	{"ies", "y"},
}

// parseExceptions reads noun.exc: an inflected form and its base forms.
func parseExceptions(text, file string) (map[string][]string, error) {
	out := make(map[string][]string, len(text)/18+1)
	for line := 1; text != ""; line++ {
		var row string
		row, text, _ = strings.Cut(text, "\n")
		fields := strings.Fields(row)
		switch len(fields) {
		case 0:
			continue
		case 1:
			return nil, &ParseError{File: file, Line: line, Err: fmt.Errorf("word %q: no base form", fields[0])}
		}
		for _, base := range fields[1:] {
			if !slices.Contains(out[fields[0]], base) {
				out[fields[0]] = append(out[fields[0]], base)
			}
		}
	}
	return out, nil
}

// bases gives the forms, other than itself, that a word in index.noun's
// spelling may be the plural of: what the list of exceptions says, else by the
// endings; of a phrase, also with each of its words so treated ("attorneys
// general"). Not all of them need be words.
func (g *Graph) bases(word string) []string {
	if exc := g.exceptions[word]; len(exc) > 0 {
		return exc
	}
	out := detach(word)
	words := strings.Split(word, "_")
	if len(words) == 1 {
		return out
	}
	single := make([]string, len(words))
	for i, w := range words {
		single[i] = w
		for _, base := range g.bases(w) {
			if len(g.senses(base)) > 0 {
				single[i] = base
				break
			}
		}
	}
	for i := range words {
		one := slices.Clone(words)
		one[i] = single[i]
		out = append(out, strings.Join(one, "_"))
	}
	return append(out, strings.Join(single, "_"))
}

// detach applies the rules for endings. "-ful" is set aside for them:
// "boxesful" is "boxful".
func detach(word string) []string {
	stem, tail := word, ""
	if s, ok := strings.CutSuffix(word, "ful"); ok {
		stem, tail = s, "ful"
	}
	if len(stem) <= 2 || strings.HasSuffix(stem, "ss") {
		return nil
	}
	var out []string
	for _, d := range detachments {
		if base, ok := strings.CutSuffix(stem, d.ending); ok && base+d.with != "" {
			out = append(out, base+d.with+tail)
		}
	}
	return out
}
