package source

import (
	"errors"
	"fmt"
	"os"

	"github.com/synshard/synshard/internal/openfiles"
	"github.com/synshard/synshard/internal/regular"
)

// mostFiles bounds the archives that are open at a time: a Set may hold
// thousands.
const mostFiles = 64

// openArchives are the archives of a Set, of which a few are open at a time.
type openArchives struct {
	*openfiles.Pool[*file, *os.File]
}

func newOpenArchives() openArchives {
	return openArchives{openfiles.New(regular.AtMost(mostFiles, 8), (*file).open)}
}

// file is a regular file that is read in place, opened when it is needed. It
// stays what it was when it was first seen, or reading is an error.
type file struct {
	archives openArchives
	was      regular.State
}

// add opens a file for the first time.
func (o openArchives) add(path string) (*file, error) {
	a := &file{o, regular.State{Path: path}}
	f, err := a.use()
	if err != nil {
		return nil, err
	}
	f.Release()
	return a, nil
}

// open opens the file, which the first time may be any.
func (a *file) open() (*os.File, error) {
	f, info, err := regular.Open(a.Path())
	if err != nil {
		return nil, err
	}
	if a.was.Info == nil {
		a.was.Info = info
	} else if err := a.was.Same(info); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (a *file) use() (*openfiles.File[*file, *os.File], error) {
	f, err := a.archives.Get(a)
	if errors.Is(err, os.ErrClosed) {
		err = fmt.Errorf("%s: %w", a.Path(), err)
	}
	return f, err
}

// ReadAt reads from the file, which it opens where it is not open.
func (a *file) ReadAt(b []byte, at int64) (int, error) {
	f, err := a.use()
	if err != nil {
		return 0, err
	}
	defer f.Release()
	return f.Open.ReadAt(b, at)
}

// Size is the file's, in bytes.
func (a *file) Size() int64 { return a.was.Info.Size() }

func (a *file) modified() int64 { return a.was.Info.ModTime().UnixNano() }

// Path is the file's.
func (a *file) Path() string { return a.was.Path }

// Unchanged wants the path to lead to the file it led to, as it was.
func (a *file) Unchanged() error { return a.was.Unchanged() }
