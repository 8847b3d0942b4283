package ui

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Text makes a name, or a line with names in it, safe to show: control
// characters (ESC, newlines, tabs), what turns the direction of writing or
// ends a line in Unicode, and bytes that are not UTF-8 become Go's escapes
// (\n, \x1b, \u202e, \xff), so that a name can neither forge a row of a table
// nor command the terminal. All else stays as it is.
func Text(s string) string {
	if plain(s) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case hidden(r) && r < 0x100:
			fmt.Fprintf(&b, `\x%02x`, r)
		case hidden(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteString(s[:n])
		}
		s = s[n:]
	}
	return b.String()
}

func plain(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, hidden) < 0
}

// hidden says whether a character acts instead of being seen.
func hidden(r rune) bool {
	return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || unicode.Is(unicode.Bidi_Control, r)
}
