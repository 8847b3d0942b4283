// Package utf8name keeps names that are not UTF-8 in columns and documents that
// must be. The names of files and of members of archives are bytes; a name in a
// dataset, in predictions or in JSON is text, or other readers refuse the whole
// table. Names are escaped once, where they leave their source, and are
// escaped names from there on; a file gets its own name back by Unescape, or by
// FileName one that every system can give a file.
package utf8name

import (
	"strings"
	"unicode/utf8"
)

const digits = "0123456789abcdef"

// Escape gives the text that stands for a name. A byte that is no part of valid
// UTF-8 becomes \xHH, its value as two lower-case digits of hexadecimal, as
// Python's "backslashreplace" has it. A backslash that begins what would be read
// as such an escape, \x80 to \xff or \x5c, becomes \x5c. All else stays as it
// is: a UTF-8 name without those is its own escape. Different names have
// different escapes; Unescape(Escape(raw)) == raw.
func Escape(raw string) string {
	if utf8.ValidString(raw) && escapeAt(raw) < 0 {
		return raw
	}
	var out strings.Builder
	for i := 0; i < len(raw); {
		r, n := utf8.DecodeRuneInString(raw[i:])
		if r == utf8.RuneError && n == 1 || isEscape(raw[i:]) {
			out.WriteString(`\x`)
			out.WriteByte(digits[raw[i]>>4])
			out.WriteByte(digits[raw[i]&15])
			n = 1
		} else {
			out.WriteString(raw[i : i+n])
		}
		i += n
	}
	return out.String()
}

// Unescape gives the name that an escaped one stands for.
func Unescape(name string) string {
	var out strings.Builder
	for {
		i := escapeAt(name)
		if i < 0 {
			break
		}
		out.WriteString(name[:i])
		out.WriteByte(value(name[i:]))
		name = name[i+4:]
	}
	if out.Len() == 0 {
		return name
	}
	out.WriteString(name)
	return out.String()
}

// Ensure gives a name as it is where it is valid UTF-8, for it may be escaped
// already, and else escapes it. It is for writers, whose text must be valid
// whatever they are given.
func Ensure(name string) string {
	if utf8.ValidString(name) {
		return name
	}
	return Escape(name)
}

// escapeAt is where the first escape begins, or -1.
func escapeAt(s string) int {
	for from := 0; ; {
		i := strings.Index(s[from:], `\x`)
		if i < 0 {
			return -1
		}
		if from += i; isEscape(s[from:]) {
			return from
		}
		from += 2
	}
}

// isEscape says whether s begins with \x5c or \x80 to \xff.
func isEscape(s string) bool {
	if len(s) < 4 || s[0] != '\\' || s[1] != 'x' || strings.IndexByte(digits, s[2]) < 0 || strings.IndexByte(digits, s[3]) < 0 {
		return false
	}
	return value(s) >= utf8.RuneSelf || value(s) == '\\'
}

// value is the byte that an escape stands for.
func value(s string) byte {
	return byte(strings.IndexByte(digits, s[2])<<4 | strings.IndexByte(digits, s[3]))
}
