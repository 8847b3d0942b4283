// Package entrytest holds containers in memory, for tests of their readers.
package entrytest

import (
	"bytes"

	"github.com/synshard/synshard/source/entry"
)

type held struct {
	*bytes.Reader
	path string
}

func (h held) Path() string   { return h.path }
func (held) Unchanged() error { return nil }

// Hold gives bytes as a file that has this path and does not change.
func Hold(path string, b []byte) entry.File { return held{bytes.NewReader(b), path} }
