package source

import (
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/synshard/synshard/source/columns"
	"github.com/synshard/synshard/source/entry"
)

// Set is open containers and what they hold. Its methods may be called from
// many goroutines, Close when the others have returned.
type Set struct {
	options    Options
	infos      []Info
	containers []container
	entries    []Entry
	files      openArchives
	remote     remote
	closers    []func()

	unpacking    unpacking  // what is compressed
	unpackingOne sync.Mutex // at a time, to list them

	skipping sync.Mutex
}

// container reads what is in one container.
type container interface {
	entry.Reader
	// Each calls f with entries of this container in the order given.
	Each(ctx context.Context, entries []Entry, f entry.Visit) error
	// Unchanged wants the container's file to be what it was.
	Unchanged() error
}

// walker is a Sequential container.
type walker interface {
	Walk(ctx context.Context, f func(Entry, io.Reader) error) error
}

// Infos describes the containers, in the order of the paths given, those found in
// a folder behind it. The caller must not change it.
func (s *Set) Infos() []Info { return s.infos }

// Entries lists what is in the containers that are not Sequential: by
// container, then by the bytes of the names; lists and files of columns in the
// order of their rows. Junk is not among them. The caller must not change it.
func (s *Set) Entries() []Entry { return s.entries }

// Read gives an entry's bytes, in buf where they fit. An image that cannot be
// had is ErrUnreadable; damage to its container is ErrCorrupt. Entries of a
// Sequential container, and Archives, cannot be read so: see Each and Walk.
func (s *Set) Read(e Entry, buf []byte) ([]byte, error) {
	c, err := s.of(&e)
	if err != nil {
		return nil, err
	}
	if e.Archive {
		return nil, fmt.Errorf("%s: %s: an archive within the archive is no single image", s.infos[e.Container].Path, e.Name)
	}
	return c.Read(&e, buf[:0])
}

// Each calls f with the entries in the order given, which is cheap where it is
// that of Entries: a row group is read once. An entry that is an Archive is
// expanded to its members, in their order there, named as in a Set that lists
// them. The bytes are valid during the call.
//
// err is ErrUnreadable where that one image cannot be had; there are no bytes
// then, and f decides what it means. Any other trouble ends the run, as does an
// error of f, which is returned as it is.
func (s *Set) Each(ctx context.Context, entries []Entry, f func(e Entry, b []byte, err error) error) error {
	for len(entries) > 0 {
		n := 1
		for n < len(entries) && entries[n].Container == entries[0].Container {
			n++
		}
		c, err := s.of(&entries[0])
		if err != nil {
			return err
		}
		number := entries[0].Container
		err = c.Each(ctx, entries[:n], func(e Entry, b []byte, err error) error {
			e.Container = number // of members of an archive, too
			return f(e, b, err)
		})
		if err != nil {
			return err
		}
		entries = entries[n:]
	}
	return nil
}

// Group gives the group of rows that an entry of a file of columns is in, a row
// group of Parquet or a record batch of Arrow, which is cheap to read as a whole,
// and about how many bytes it has. Entries of other containers are in group -1.
func (s *Set) Group(e Entry) (group int, bytes int64) {
	c, err := s.of(&e)
	if err != nil {
		return -1, 0
	}
	if rows, ok := c.(*columns.Columns); ok {
		g, _ := rows.Group(e.Place)
		return g, rows.GroupBytes(g)
	}
	return -1, 0
}

// Walk reads a Sequential container front to back and calls f with every entry,
// those of tars within it too. The reader gives Entry.Size bytes and is valid
// during the call; f need not read it. A pipe can be walked once.
func (s *Set) Walk(ctx context.Context, container int, f func(Entry, io.Reader) error) error {
	if container >= 0 && container < len(s.infos) {
		if w, ok := s.containers[container].(walker); ok {
			return w.Walk(ctx, func(e Entry, r io.Reader) error {
				e.Container = int32(container)
				return f(e, r)
			})
		}
	}
	return fmt.Errorf("container %d is not one that is read front to back", container)
}

// Unchanged wants the files of archives, lists and columns to be what they were
// when they were opened, by size, time and inode; else the error names the file.
func (s *Set) Unchanged() error {
	for _, c := range s.containers {
		if err := c.Unchanged(); err != nil {
			return err
		}
	}
	return nil
}

// Close closes all files.
func (s *Set) Close() error {
	for _, f := range s.closers {
		f()
	}
	s.unpacking.Close()
	s.files.Close()
	return s.remote.close()
}

func (s *Set) of(e *Entry) (container, error) {
	if e.Container < 0 || int(e.Container) >= len(s.containers) {
		return nil, fmt.Errorf("%s: it is of no container of this set", e.Name)
	}
	return s.containers[e.Container], nil
}
