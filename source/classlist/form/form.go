// Package form knows the forms that people keep class lists in, and tells them by their
// text. What a list must be is package classlist's to hold it to.
package form

import (
	"fmt"
	"strings"
)

// Form is what a text says.
type Form struct {
	Entries []Entry  // in the order of the text
	Unit    string   // what Entry.Line counts: "line", or "class" where all are on one line
	Notes   []string // what was taken for what
}

// Entry is a class as it stands in a list.
type Entry struct {
	Line     int      // from 1, see Form.Unit
	Numbered bool     // of all entries or of none
	Number   int64    // where Numbered
	Name     string   // a synset's id where the list has one, else as it stands there
	Words    []string // beside the name
}

// Error is what is wrong with a list, and where.
type Error struct {
	Unit    string // as Form.Unit
	Line    int    // from 1; 0: the whole
	Problem string // for people
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return e.Problem
	}
	return fmt.Sprintf("%s %d: %s", e.Unit, e.Line, e.Problem)
}

func errorAt(line int, format string, args ...any) error {
	return &Error{Unit: "line", Line: line, Problem: fmt.Sprintf(format, args...)}
}

// Parse reads a list. It fails with an *Error.
func Parse(b []byte) (*Form, error) {
	text, err := decode(b)
	if err != nil {
		return nil, err
	}
	if s := strings.TrimSpace(text); s != "" && (s[0] == '{' || s[0] == '[') {
		return parseLiterals(text)
	}
	return parseText(text)
}

// IsSynset says whether a name is a synset's as ImageNet writes it: n and eight
// digits.
func IsSynset(name string) bool {
	if len(name) != 9 || name[0] != 'n' {
		return false
	}
	for _, c := range []byte(name[1:]) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// Words splits the words of a class: "tench, Tinca tinca". An underscore stands for a
// blank.
func Words(s string) []string {
	var out []string
	for w := range strings.SplitSeq(s, ",") {
		if w = strings.TrimSpace(strings.ReplaceAll(w, "_", " ")); w != "" {
			out = append(out, w)
		}
	}
	return out
}
