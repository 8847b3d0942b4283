// Package literal reads values as JSON has them and as Python prints them: texts,
// integers, lists and objects, which is all that lists of names are made of.
package literal

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Kind is what a Value is.
type Kind byte

// The kinds of values.
const (
	Other  Kind = iota // a number that is not whole, true, false, null or None
	Text               // a string
	Number             // an integer
	List               // in brackets or parentheses
	Object             // in braces
)

// Value is a value of JSON, or of the part of Python's syntax in which lists and
// dictionaries of names are printed.
type Value struct {
	Line   int     // from 1, where it begins
	Kind   Kind    // which of the fields below it has
	Text   string  // of a Text, and what stood there of a Number or Other
	Number int64   // of a Number
	Keys   []Value // of an Object, in its order: all different, Texts or Numbers
	Items  []Value // of a List or an Object
}

// Get gives an Object's item under a key, in any case of letters, or nil.
func (v *Value) Get(key string) *Value {
	for i := range v.Keys {
		if v.Keys[i].Kind == Text && strings.EqualFold(v.Keys[i].Text, key) {
			return &v.Items[i]
		}
	}
	return nil
}

// Same compares two values without their lines.
func (v Value) Same(o Value) bool {
	return v.Kind == o.Kind && v.Text == o.Text && v.Number == o.Number &&
		slices.EqualFunc(v.Keys, o.Keys, Value.Same) && slices.EqualFunc(v.Items, o.Items, Value.Same)
}

// Error is what is wrong with a text, and the line of it.
type Error struct {
	Line    int    // from 1
	Problem string // for people
}

func (e *Error) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Problem) }

func errorAt(line int, format string, args ...any) error {
	return &Error{line, fmt.Sprintf(format, args...)}
}

const maxDepth = 64

// scanner reads literals from text.
type scanner struct {
	text string
	at   int
	line int
}

// Parse reads all values of a text: one, or one after another as JSON lines has
// them. It fails with an *Error.
func Parse(text string) ([]Value, error) {
	s := &scanner{text: text, line: 1}
	var out []Value
	for {
		s.space()
		if s.at == len(s.text) {
			return out, nil
		}
		v, err := s.value(0)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
}

// space passes over blanks and over comments as Python has them.
func (s *scanner) space() {
	for s.at < len(s.text) {
		switch s.text[s.at] {
		case '\n':
			s.line++
		case ' ', '\t', '\r':
		case '#':
			end := strings.IndexByte(s.text[s.at:], '\n')
			if end < 0 {
				end = len(s.text) - s.at
			}
			s.at += end
			continue
		default:
			return
		}
		s.at++
	}
}

func (s *scanner) peek() byte {
	if s.at < len(s.text) {
		return s.text[s.at]
	}
	return 0
}

func (s *scanner) value(depth int) (Value, error) {
	v := Value{Line: s.line}
	if depth > maxDepth {
		return v, errorAt(s.line, "lists in lists, more than %d deep", maxDepth)
	}
	var err error
	switch c := s.peek(); c {
	case '"', '\'':
		v.Kind = Text
		v.Text, err = s.quoted(c)
	case '[', '(':
		v.Kind = List
		v.Items, err = s.list(c, depth)
	case '{':
		v.Kind = Object
		v.Keys, v.Items, err = s.object(depth)
	default:
		v.Kind, v.Number, v.Text, err = s.word()
	}
	return v, err
}

// word reads a number, or a word such as null, None or true.
func (s *scanner) word() (kind Kind, number int64, text string, err error) {
	from := s.at
	for s.at < len(s.text) && (strings.IndexByte("+-._", s.text[s.at]) >= 0 || isAlnum(s.text[s.at])) {
		s.at++
	}
	w := s.text[from:s.at]
	if n, err := strconv.ParseInt(w, 10, 64); err == nil {
		return Number, n, w, nil
	}
	if _, err := strconv.ParseFloat(w, 64); err == nil {
		return Other, 0, w, nil
	}
	switch w {
	case "null", "true", "false", "None", "True", "False":
		return Other, 0, w, nil
	}
	if s.at == len(s.text) {
		return 0, 0, "", errorAt(s.line, "it ends before its brackets are closed")
	}
	return 0, 0, "", errorAt(s.line, "neither JSON nor a list as Python prints it at %.20q", s.text[from:])
}

func isAlnum(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// quoted reads a string in either kind of quotes.
func (s *scanner) quoted(q byte) (string, error) {
	var b strings.Builder
	for i := s.at + 1; i < len(s.text); i++ {
		switch c := s.text[i]; c {
		case q:
			s.at = i + 1
			return b.String(), nil
		case '\n':
			return "", errorAt(s.line, "a string that is not closed")
		case '\\':
			n, text := escape(s.text[i:])
			if n == 0 {
				return "", errorAt(s.line, "an escape that is neither JSON's nor Python's: %.6q", s.text[i:])
			}
			b.WriteString(text)
			i += n - 1
		default:
			b.WriteByte(c)
		}
	}
	return "", errorAt(s.line, "a string that is not closed")
}

// escape reads one escape and gives its length, or 0.
func escape(s string) (n int, text string) {
	if len(s) < 2 {
		return 0, ""
	}
	switch s[1] {
	case '\'':
		return 2, "'"
	case 'x':
		if len(s) < 4 {
			return 0, ""
		}
		c, err := strconv.ParseUint(s[2:4], 16, 8)
		if err != nil {
			return 0, ""
		}
		return 4, string(rune(c))
	case 'u':
		n = 6
		if len(s) >= 12 && s[6] == '\\' && s[7] == 'u' && strings.ContainsAny(s[2:3], "dD") {
			n = 12 // two halves of one character
		}
	default:
		n = 2
	}
	if len(s) < n {
		return 0, ""
	}
	var out string
	if json.Unmarshal([]byte(`"`+s[:n]+`"`), &out) != nil || !utf8.ValidString(out) {
		return 0, ""
	}
	return n, out
}

// list reads a list in either kind of brackets. A comma may stand behind the
// last item.
func (s *scanner) list(open byte, depth int) (items []Value, err error) {
	end := map[byte]byte{'[': ']', '(': ')'}[open]
	start := s.line
	s.at++
	for {
		s.space()
		if s.peek() == end {
			s.at++
			return items, nil
		}
		v, err := s.value(depth + 1)
		if err != nil {
			return nil, err
		}
		items = append(items, v)
		if err := s.separator(end, start); err != nil {
			return nil, err
		}
	}
}

// separator passes over a comma, or stops before the end.
func (s *scanner) separator(end byte, start int) error {
	s.space()
	switch s.peek() {
	case ',':
		s.at++
	case end:
	case 0:
		if s.at == len(s.text) {
			return errorAt(start, "a bracket that is not closed")
		}
		fallthrough
	default:
		return errorAt(s.line, "want a comma or %q at %.20q", end, s.text[s.at:])
	}
	return nil
}

func (s *scanner) object(depth int) (keys, items []Value, err error) {
	start := s.line
	s.at++
	seen := map[string]int{}
	for {
		s.space()
		if s.peek() == '}' {
			s.at++
			return keys, items, nil
		}
		k, err := s.value(depth + 1)
		if err != nil {
			return nil, nil, err
		}
		if k.Kind != Text && k.Kind != Number {
			return nil, nil, errorAt(k.Line, "a key that is neither a name nor a number")
		}
		if first, twice := seen[k.Text]; twice {
			return nil, nil, errorAt(k.Line, "%q appears twice, first at line %d", k.Text, first)
		}
		seen[k.Text] = k.Line
		s.space()
		if s.peek() != ':' {
			return nil, nil, errorAt(s.line, "want a colon at %.20q", s.text[s.at:])
		}
		s.at++
		s.space()
		v, err := s.value(depth + 1)
		if err != nil {
			return nil, nil, err
		}
		keys, items = append(keys, k), append(items, v)
		if err := s.separator('}', start); err != nil {
			return nil, nil, err
		}
	}
}
