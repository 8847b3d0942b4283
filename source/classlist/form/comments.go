package form

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// ordered begins the lines of lists in which no class is called otherwise: a number, a synset, YAML's dash.
var ordered = regexp.MustCompile(`^["']?(?:[0-9]{1,9}["']?\s*[:,;\s]|n[0-9]{8}\b|- )`)

// uncommented empties a text's comments, with a note of them. A line that begins with # is one where it is # alone or
// # and a blank; where no class can stand in it, since all others begin with numbers or synsets; or where it has fewer
// fields than a heading. Any other is a class, which is noted, but several words above all classes, which may be both.
func uncommented(text string) (string, []string, error) {
	lines := strings.Split(text, "\n")
	var others []string
	for _, l := range lines {
		if l = strings.TrimSpace(l); l != "" && l[0] != '#' {
			others = append(others, l)
		}
	}
	never := len(others) > 0 && !slices.ContainsFunc(others, func(l string) bool { return !ordered.MatchString(l) })
	head := true // no class yet
	var comments, classes []int
	for i, l := range lines {
		switch l = strings.TrimSpace(l); {
		case !strings.HasPrefix(l, "#"):
			head = head && l == ""
		case never, spacedHash(l), head && commentedHeading(l), fewerFields(l, others):
			comments, lines[i] = append(comments, i+1), ""
		case head && strings.ContainsAny(l, " \t"):
			return "", nil, errorAt(i+1, "%.40q is a comment or a class: write a comment with a blank behind its #, and a class of this name in quotes", l)
		default:
			classes, head = append(classes, i+1), false
		}
	}
	var notes []string
	if len(comments) > 0 {
		notes = append(notes, fmt.Sprintf("%d lines that begin with # are taken for comments, such as line %d", len(comments), comments[0]))
	}
	if len(classes) > 0 {
		notes = append(notes, fmt.Sprintf("%d lines that begin with # are taken for classes, such as line %d, since no blank is behind the #", len(classes), classes[0]))
	}
	return strings.Join(lines, "\n"), notes, nil
}

// spacedHash says whether a line is # alone, or # and a blank, as comments are written.
func spacedHash(l string) bool {
	rest := strings.TrimLeft(l, "#")
	return rest == "" || rest[0] == ' ' || rest[0] == '\t'
}

// fewerFields says whether the others are a table, and a line has fewer fields than its heading.
func fewerFields(l string, others []string) bool {
	if len(others) == 0 {
		return false
	}
	comma, ok := heading([]textLine{{1, others[0]}})
	return ok && strings.Count(l, string(comma)) < strings.Count(others[0], string(comma))
}

// commentedHeading says whether a line is # and a heading: "#index,name".
func commentedHeading(l string) bool {
	fields := strings.FieldsFunc(strings.TrimLeft(l, "# "), func(r rune) bool { return strings.ContainsRune("\t,;", r) })
	return len(fields) > 1 && !slices.ContainsFunc(fields, func(f string) bool { return columnOf(f) == unknown })
}
