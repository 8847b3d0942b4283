// Package tarfile reads tars: in place, or front to back where they are
// compressed or come from a pipe. Sparse files, links, archives one behind the
// other and tars in tars are read; what is not is told.
package tarfile

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/synshard/synshard/source/entry"
)

// Tar is an archive read in place.
type Tar struct {
	entry.File
	skip entry.SkipFunc
}

// New gives a tar, of which skip is told what is left out.
func New(f entry.File, skip entry.SkipFunc) *Tar { return &Tar{f, skip} }

// List gives the members of the archive by name, reading its headers only. With
// deep, those of tars in it are given in their places.
func (t *Tar) List(ctx context.Context, deep bool) ([]entry.Entry, error) {
	w := &tarWalk{in: newWindow(t, 0, t.Size()), skip: t.skip}
	top, err := t.members(ctx, w)
	if err == nil && !w.found {
		err = errors.New("no files in it; is it a tar?")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.Path(), err)
	}
	if !deep || !slices.ContainsFunc(top, func(e entry.Entry) bool { return e.Archive }) {
		return top, nil
	}
	var out []entry.Entry
	for i := range top {
		if !top[i].Archive {
			out = append(out, top[i])
			continue
		}
		inner, err := t.members(ctx, t.inner(&top[i]))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", t.Path(), err)
		}
		out = append(out, t.flat(inner)...)
	}
	return entry.SortByName(out, t.skip), nil
}

// inner walks a tar within the tar.
func (t *Tar) inner(e *entry.Entry) *tarWalk {
	return &tarWalk{in: newWindow(t, e.Place, e.Size), prefix: e.Name + "/", skip: t.skip, last: e.Name}
}

// flat tells of the archives among the members of one that is in the tar
// already, and drops them.
func (t *Tar) flat(inner []entry.Entry) []entry.Entry {
	return slices.DeleteFunc(inner, func(e entry.Entry) bool {
		if e.Archive {
			t.skip(e.Name, tooDeep, true)
		}
		return e.Archive
	})
}

const tooDeep = "an archive in an archive in an archive: unpack the outermost first"

// members lists one archive, by name.
func (t *Tar) members(ctx context.Context, w *tarWalk) ([]entry.Entry, error) {
	var out []entry.Entry
	var links []member
	err := w.each(ctx, func(m *member, _ io.Reader) error {
		if m.To != "" {
			links = append(links, *m)
		} else {
			out = append(out, m.Entry)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	out = entry.SortByName(out, t.skip)
	if len(links) > 0 {
		linked, err := entry.Follow(out, links, t.skip)
		if err != nil {
			return nil, err
		}
		out = entry.SortByName(append(out, linked...), t.skip)
	}
	return out, nil
}

// Read gives a member's bytes, in buf where they fit. A member larger than
// entry.MaxImage is entry.ErrUnreadable, a damaged archive entry.ErrCorrupt.
func (t *Tar) Read(e *entry.Entry, buf []byte) ([]byte, error) {
	if e.Size > entry.MaxImage {
		return nil, fmt.Errorf("%w: %s: %s: %w", entry.ErrUnreadable, t.Path(), e.Name, entry.TooLarge(e.Size))
	}
	var err error
	buf = entry.Sized(buf, e.Size)
	if start, ok := sparse(e); ok {
		r := tar.NewReader(newWindow(t, start, t.Size()-start))
		if _, err = r.Next(); err == nil {
			_, err = io.ReadFull(r, buf)
		}
	} else if len(buf) > 0 {
		_, err = t.ReadAt(buf, e.Place)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %s: %w", t.Path(), e.Name, damaged(err))
	}
	return buf, nil
}

// damaged marks what reading a container in place gives where the bytes are not
// what was announced.
func damaged(err error) error {
	if errors.Is(err, entry.ErrCorrupt) {
		return err
	}
	if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, tar.ErrHeader) {
		return fmt.Errorf("%w: %w", entry.ErrCorrupt, entry.Unexpected(err))
	}
	return err
}

// Each calls f with members, and with those of the tars among them.
func (t *Tar) Each(ctx context.Context, entries []entry.Entry, f entry.Visit) error {
	var buf []byte
	for i := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		e := &entries[i]
		if e.Archive {
			if err := t.eachInner(ctx, e, &buf, f); err != nil {
				return err
			}
			continue
		}
		if err := entry.Give(t, e, &buf, f); err != nil {
			return err
		}
	}
	return nil
}

// eachInner reads a tar within the tar front to back, once: its files in their
// order there and then what its links lead to, by name.
func (t *Tar) eachInner(ctx context.Context, archive *entry.Entry, buf *[]byte, f entry.Visit) error {
	var seen []entry.Entry
	var links []member
	var stop error // of f
	names := map[string]bool{}
	err := t.inner(archive).each(ctx, func(m *member, r io.Reader) error {
		switch {
		case m.To != "":
			links = append(links, *m)
			return nil
		case m.Archive:
			t.skip(m.Name, tooDeep, true)
			return nil
		case names[m.Name]:
			entry.Again(m.Name, t.skip)
			return nil
		}
		names[m.Name], seen = true, append(seen, m.Entry)
		b, err := readMember(m, r, *buf)
		if err == nil {
			*buf = b
		} else if !errors.Is(err, entry.ErrUnreadable) {
			return err
		}
		stop = f(m.Entry, b, err)
		return stop
	})
	if err == nil && len(links) > 0 {
		seen, err = entry.Follow(seen, links, t.skip)
		for i := 0; i < len(seen) && err == nil; i++ {
			if names[seen[i].Name] {
				entry.Again(seen[i].Name, t.skip)
				continue
			}
			names[seen[i].Name] = true
			if err := entry.Give(t, &seen[i], buf, f); err != nil {
				return err
			}
		}
	}
	if err != nil && stop == nil {
		err = fmt.Errorf("%s: %w", t.Path(), err)
	}
	return err
}

// readMember reads a member where the walk stands.
func readMember(m *member, r io.Reader, buf []byte) ([]byte, error) {
	if m.Size > entry.MaxImage {
		return nil, fmt.Errorf("%w: %s: %w", entry.ErrUnreadable, m.Name, entry.TooLarge(m.Size))
	}
	buf = entry.Sized(buf, m.Size)
	if _, err := io.ReadFull(r, buf); err != nil {
		return nil, fmt.Errorf("%s: %w", m.Name, damaged(err))
	}
	return buf, nil
}
