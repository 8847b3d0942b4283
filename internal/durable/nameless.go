package durable

import (
	"os"
)

// Nameless makes a file in the directory for temporary files that is gone when it is
// closed, or its process ends: it has no name. pattern is as of os.CreateTemp.
func Nameless(pattern string) (*os.File, error) {
	f, err := os.CreateTemp("", pattern)
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
