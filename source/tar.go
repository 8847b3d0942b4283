package source

import (
	"archive/tar"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// tarFile is an archive read in place.
type tarFile struct {
	*file
	*home
}

// list gives the members of the archive by name, reading its headers only.
// With deep, those of tars in it are given in their places.
func (t *tarFile) list(ctx context.Context, deep bool) ([]Entry, error) {
	w := &tarWalk{in: newWindow(t, 0, t.size()), skip: t.skip}
	top, err := t.members(ctx, w)
	if err == nil && !w.found {
		err = errors.New("no files in it; is it a tar?")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.path, err)
	}
	if !deep || !slices.ContainsFunc(top, func(e Entry) bool { return e.Archive }) {
		return top, nil
	}
	var out []Entry
	for i := range top {
		if !top[i].Archive {
			out = append(out, top[i])
			continue
		}
		inner, err := t.members(ctx, t.inner(&top[i]))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", t.path, err)
		}
		out = append(out, t.flat(inner)...)
	}
	return out, sortEntries(t.path, out)
}

// inner walks a tar within the tar.
func (t *tarFile) inner(e *Entry) *tarWalk {
	return &tarWalk{in: newWindow(t, e.place, e.Size), prefix: e.Name + "/", skip: t.skip, last: e.Name}
}

// flat tells of the archives among the members of one that is in the tar
// already, and drops them.
func (t *tarFile) flat(inner []Entry) []Entry {
	return slices.DeleteFunc(inner, func(e Entry) bool {
		if e.Archive {
			t.skip(e.Name, tooDeep, true)
		}
		return e.Archive
	})
}

const tooDeep = "an archive in an archive in an archive: unpack the outermost first"

// members lists one archive, by name.
func (t *tarFile) members(ctx context.Context, w *tarWalk) ([]Entry, error) {
	var out []Entry
	var links []member
	err := w.each(ctx, func(m *member, _ io.Reader) error {
		m.Container = t.number
		if m.link != "" {
			links = append(links, *m)
		} else {
			out = append(out, m.Entry)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(links) > 0 {
		linked, err := follow(out, links, t.skip)
		if err != nil {
			return nil, err
		}
		out = append(out, linked...)
	}
	return out, sortEntries("", out)
}

// sortEntries puts entries in order of their names, which must differ.
func sortEntries(from string, list []Entry) error {
	slices.SortFunc(list, func(a, b Entry) int { return cmp.Compare(a.Name, b.Name) })
	for i := 1; i < len(list); i++ {
		if list[i].Name == list[i-1].Name {
			return twice(from, list[i].Name)
		}
	}
	return nil
}

func twice(from, name string) error {
	if from != "" {
		from += ": "
	}
	return fmt.Errorf("%s%s is there twice", from, name)
}

func (t *tarFile) read(e *Entry, buf []byte) ([]byte, error) {
	if e.Size > MaxImage {
		return nil, fmt.Errorf("%w: %s: %s: %w", ErrUnreadable, t.path, e.Name, tooLarge(e.Size))
	}
	var err error
	buf = sized(buf, e.Size)
	if start, sparse := e.sparse(); sparse {
		r := tar.NewReader(newWindow(t, start, t.size()-start))
		if _, err = r.Next(); err == nil {
			_, err = io.ReadFull(r, buf)
		}
	} else if len(buf) > 0 {
		_, err = t.ReadAt(buf, e.place)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %s: %w", t.path, e.Name, damaged(err))
	}
	return buf, nil
}

// damaged marks what reading a container in place gives where the bytes are
// not what was announced.
func damaged(err error) error {
	if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, tar.ErrHeader) {
		return fmt.Errorf("%w: %w", ErrCorrupt, unexpected(err))
	}
	return err
}

func (t *tarFile) each(ctx context.Context, entries []Entry, f visit) error {
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
		if err := give(t, e, &buf, f); err != nil {
			return err
		}
	}
	return nil
}

// give reads one entry for f, into a buffer that is kept from one to the next.
func give(c container, e *Entry, buf *[]byte, f visit) error {
	b, err := c.read(e, *buf)
	switch {
	case err == nil:
		*buf = b
		return f(*e, b, nil)
	case errors.Is(err, ErrUnreadable):
		return f(*e, nil, err)
	}
	return err
}

// eachInner reads a tar within the tar front to back, once: its files in their
// order there and then what its links lead to, by name.
func (t *tarFile) eachInner(ctx context.Context, archive *Entry, buf *[]byte, f visit) error {
	var seen []Entry
	var links []member
	var stop error // of f
	names := map[string]bool{}
	err := t.inner(archive).each(ctx, func(m *member, r io.Reader) error {
		m.Container = t.number
		switch {
		case m.link != "":
			links = append(links, *m)
			return nil
		case m.Archive:
			t.skip(m.Name, tooDeep, true)
			return nil
		case names[m.Name]:
			return twice("", m.Name)
		}
		names[m.Name], seen = true, append(seen, m.Entry)
		b, err := readMember(m, r, *buf)
		if err == nil {
			*buf = b
		} else if !errors.Is(err, ErrUnreadable) {
			return err
		}
		stop = f(m.Entry, b, err)
		return stop
	})
	if err == nil && len(links) > 0 {
		seen, err = follow(seen, links, t.skip)
		for i := 0; i < len(seen) && err == nil; i++ {
			if names[seen[i].Name] {
				err = twice("", seen[i].Name)
				break
			}
			if err := give(t, &seen[i], buf, f); err != nil {
				return err
			}
		}
	}
	if err != nil && stop == nil {
		err = fmt.Errorf("%s: %w", t.path, err)
	}
	return err
}

// readMember reads a member where the walk stands.
func readMember(m *member, r io.Reader, buf []byte) ([]byte, error) {
	if m.Size > MaxImage {
		return nil, fmt.Errorf("%w: %s: %w", ErrUnreadable, m.Name, tooLarge(m.Size))
	}
	buf = sized(buf, m.Size)
	if _, err := io.ReadFull(r, buf); err != nil {
		return nil, fmt.Errorf("%s: %w", m.Name, damaged(err))
	}
	return buf, nil
}

func (t *tarFile) walk(context.Context, func(Entry, io.Reader) error) error { return errNotSequential }

// unixNano is a time as an Entry has it.
func unixNano(t time.Time) int64 {
	if s := t.Unix(); s <= 0 || s > 1<<33 { // no time, or beyond what nanoseconds can say
		return 0
	}
	return t.UnixNano()
}
