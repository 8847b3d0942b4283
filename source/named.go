package source

import (
	"context"
	"io"
	"path/filepath"
)

// named is images that are files of their own, called by their paths from the
// working directory.
type named struct{}

func (named) read(e *Entry, buf []byte) ([]byte, error) {
	return readImage(filepath.FromSlash(e.Name), buf)
}

func (n named) each(ctx context.Context, entries []Entry, f visit) error {
	return eachRead(ctx, n, entries, f)
}

func (named) walk(context.Context, func(Entry, io.Reader) error) error { return errNotSequential }

func (named) unchanged() error { return nil }
