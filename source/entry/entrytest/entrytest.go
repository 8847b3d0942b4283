// Package entrytest holds containers in memory, for tests of their readers.
package entrytest

import (
	"bytes"
	"errors"

	"github.com/synshard/synshard/source/entry"
)

type held struct {
	*bytes.Reader
	path string
}

func (h held) Path() string   { return h.path }
func (held) Unchanged() error { return nil }

type failing struct {
	entry.File
	from int64
}

// ReadAt fails from a byte on.
func (f failing) ReadAt(b []byte, at int64) (int, error) {
	if at+int64(len(b)) > f.from {
		return 0, entry.Unread(ErrAway)
	}
	return f.File.ReadAt(b, at)
}

// ErrAway is what reading a Failing file ends in.
var ErrAway = errors.New("the store does not answer")

// Failing is a file of which nothing can be read from a byte on.
func Failing(f entry.File, from int64) entry.File { return failing{f, from} }

// Hold gives bytes as a file that has this path and does not change.
func Hold(path string, b []byte) entry.File { return held{bytes.NewReader(b), path} }
