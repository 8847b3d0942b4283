package list

import (
	"bufio"
	"bytes"
	"slices"
	"strings"
)

// isComment says whether a line is one and no row, as far as the line alone can tell: it is # alone or # and a
// blank, or begins with # and nothing in it is called as an image is.
func isComment(line string, isImage func(string) bool) bool {
	if !strings.HasPrefix(line, "#") {
		return false
	}
	if plainly(line) {
		return true
	}
	parts := append(strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(",;\t", r) }), line)
	return !spaced(line, isImage) && !slices.ContainsFunc(parts, func(s string) bool { return isImage(strings.Trim(s, ` "`)) })
}

// plainly says whether a line is # alone, or # and a blank: a comment, whatever else is in it.
func plainly(line string) bool {
	rest, ok := strings.CutPrefix(line, "#")
	rest = strings.TrimLeft(rest, "#")
	return ok && (rest == "" || rest[0] == ' ' || rest[0] == '\t')
}

// uncommented reads a list's text with empty lines for its comments. One that has as many fields as the
// first row is a row, unless it is plainly a comment.
type uncommented struct {
	in      *bufio.Reader
	sep     rune
	isImage func(string) bool
	lines   []int32 // that were comments, from 1

	line   int32
	fields int  // of the first row; 0: none was read yet
	quoted bool // the line begins within quotes
	rest   []byte
	err    error
}

// Read implements io.Reader.
func (u *uncommented) Read(b []byte) (int, error) {
	for len(u.rest) == 0 && u.err == nil {
		u.rest, u.err = u.in.ReadBytes('\n')
		u.line++
		u.judge(string(bytes.TrimRight(u.rest, "\r\n")))
	}
	n := copy(b, u.rest)
	if u.rest = u.rest[n:]; n > 0 {
		return n, nil
	}
	return 0, u.err
}

// judge looks at a line, and makes an empty one of a comment.
func (u *uncommented) judge(line string) {
	separated := u.sep != 0 && u.sep != ' '
	fields := 1
	if separated {
		fields += strings.Count(line, string(u.sep))
	}
	switch {
	case !u.quoted && isComment(line, u.isImage) && (fields == 1 || fields != u.fields || plainly(line)):
		u.lines, u.rest = append(u.lines, u.line), u.rest[len(line):]
		return
	case u.fields == 0 && strings.TrimSpace(line) != "":
		u.fields = fields
	}
	if separated && strings.Count(line, `"`)%2 == 1 {
		u.quoted = !u.quoted
	}
}
