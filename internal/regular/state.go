package regular

import (
	"fmt"
	"os"
)

// SameFile says whether two paths lead to one file; false where either leads to none.
func SameFile(a, b string) bool {
	one, err := os.Stat(a)
	other, err2 := os.Stat(b)
	return err == nil && err2 == nil && os.SameFile(one, other)
}

// State is what a file looks like without being read: by it, who reads a file more than
// once knows that it was the same each time.
type State struct {
	Path string      // as errors name it
	Info os.FileInfo // at that time
}

// StateOf is the state of the file at path now.
func StateOf(path string) (State, error) {
	info, err := os.Stat(path)
	return State{path, info}, err
}

// Unchanged wants the path to lead to the file it led to, as it was.
func (s State) Unchanged() error {
	now, err := os.Stat(s.Path)
	if err != nil {
		return err
	}
	return s.Same(now)
}

// Same wants another look at the file to show what it was.
func (s State) Same(now os.FileInfo) error {
	if !os.SameFile(s.Info, now) || s.Info.Size() != now.Size() || !s.Info.ModTime().Equal(now.ModTime()) {
		return fmt.Errorf("%s: it was changed while it was read", s.Path)
	}
	return nil
}

// NotWritten wants nothing to have been written into the file, which may have lost its
// name, to another even: it is for who has the file open, or mapped.
func (s State) NotWritten() error {
	now, err := os.Stat(s.Path)
	if err != nil || !os.SameFile(s.Info, now) {
		return nil // what has lost its name cannot be written to by it
	}
	return s.Same(now)
}
