package ingest

import (
	"archive/tar"
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
)

// group is a run of images that are written together: a synset of the training
// set, or a piece of a flat split. Groups are independent of each other, which
// is what makes work parallel and interruptions cheap.
type group struct {
	split  string
	name   string // synset, or piece-00000 of a flat split
	synset string // of every image; "" where images differ or have none
	from   string // the source, for errors
	bytes  int64  // to be read, for progress

	classes []string // of images of a group with more than one

	// each calls f with every image, in an order that is always the same. Its
	// bytes may be valid during the call only.
	each func(ctx context.Context, f func(item) error) error
}

// item is one image as it was read.
type item struct {
	name   string
	b      []byte
	synset string // "" = the group's, or none
}

// maxImage bounds one image, so that a damaged header cannot ask for all
// memory.
const maxImage = 1 << 30

// tarFile is an archive read in place.
type tarFile struct {
	*os.File
	path string
	size int64
}

func openTar(path string) (*tarFile, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s: not a regular file", path)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return &tarFile{f, path, info.Size()}, nil
}

// member is a file in a tar: its bytes lie at offset.
type member struct {
	name         string
	offset, size int64
}

// members lists the files of the archive, by name, by reading its headers only.
func (t *tarFile) members(ctx context.Context) ([]member, error) {
	section := io.NewSectionReader(t, 0, t.size)
	r := tar.NewReader(section) // skips contents by seeking
	var out []member
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			after := "its beginning"
			if len(out) > 0 {
				after = "member " + out[len(out)-1].name
			}
			return nil, fmt.Errorf("%s: after %s: %w", t.path, after, unexpected(err))
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		at, err := section.Seek(0, io.SeekCurrent)
		if err != nil {
			return nil, err
		}
		if at+h.Size > t.size {
			return nil, fmt.Errorf("%s: member %s: the archive is truncated: %d of its %d bytes are there", t.path, h.Name, t.size-at, h.Size)
		}
		out = append(out, member{h.Name, at, h.Size})
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s: no files in it; is it a tar?", t.path)
	}
	slices.SortFunc(out, func(a, b member) int { return cmp.Compare(a.name, b.name) })
	for i := 1; i < len(out); i++ {
		if out[i].name == out[i-1].name {
			return nil, fmt.Errorf("%s: member %s is there twice", t.path, out[i].name)
		}
	}
	return out, nil
}

// trainGroups makes a group of each tar in the training tar.
func (t *tarFile) trainGroups(ctx context.Context) ([]group, error) {
	list, err := t.members(ctx)
	if err != nil {
		return nil, err
	}
	var groups []group
	var dirs []entry
	for _, m := range list {
		synset, ok := strings.CutSuffix(path.Base(m.name), ".tar")
		if dir := path.Dir(m.name); !ok && dir != "." { // or one directory a synset
			dirs = append(dirs, entry{name: path.Base(m.name), class: path.Base(dir), size: m.size, read: func() ([]byte, error) { return t.read(m) }})
			continue
		}
		if !ok {
			return nil, fmt.Errorf("%s: member %s is not a tar: the training archive is a tar of one tar a synset", t.path, m.name)
		}
		groups = append(groups, group{
			split: "train", name: synset, synset: synset, from: t.path, bytes: m.size,
			each: func(ctx context.Context, f func(item) error) error { return t.inner(ctx, m, f) },
		})
	}
	if len(dirs) > 0 {
		if dirs, err = sortEntries(t.path, dirs); err != nil {
			return nil, err
		}
		groups = append(groups, byClass("train", t.path, dirs)...)
	}
	names := map[string]bool{}
	for _, g := range groups {
		if names[g.name] {
			return nil, fmt.Errorf("%s: class %s is there twice", t.path, g.name)
		}
		names[g.name] = true
	}
	return groups, nil
}

// inner walks a tar within the tar, front to back.
func (t *tarFile) inner(ctx context.Context, m member, f func(item) error) error {
	r := tar.NewReader(io.NewSectionReader(t, m.offset, m.size))
	last := ""
	var buf []byte
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		h, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: member %s: after %q: %w", t.path, m.name, last, unexpected(err))
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if last = h.Name; h.Size > maxImage {
			return fmt.Errorf("%s: member %s: %s: %d bytes, more than an image has", t.path, m.name, h.Name, h.Size)
		}
		buf = slices.Grow(buf[:0], int(h.Size))
		b := buf[:h.Size]
		if _, err := io.ReadFull(r, b); err != nil {
			return fmt.Errorf("%s: member %s: %s: %w", t.path, m.name, h.Name, unexpected(err))
		}
		if err := f(item{name: path.Base(h.Name), b: b}); err != nil {
			return err
		}
	}
}

// entries lists an archive's images.
func (t *tarFile) entries(ctx context.Context) ([]entry, error) {
	list, err := t.members(ctx)
	if err != nil {
		return nil, err
	}
	var out []entry
	for _, m := range list {
		out = append(out, entry{name: path.Base(m.name), size: m.size, read: func() ([]byte, error) { return t.read(m) }})
	}
	return out, nil
}

func (t *tarFile) read(m member) ([]byte, error) {
	if m.size > maxImage {
		return nil, fmt.Errorf("%s: member %s: %d bytes, more than an image has", t.path, m.name, m.size)
	}
	b := make([]byte, m.size)
	if _, err := t.ReadAt(b, m.offset); err != nil {
		return nil, fmt.Errorf("%s: member %s: %w", t.path, m.name, unexpected(err))
	}
	return b, nil
}

// unexpected names an early end for what it is.
func unexpected(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return fmt.Errorf("the archive is truncated: %w", err)
	}
	return err
}

// unzipped undoes gzip where the first bytes say so.
func unzipped(r io.Reader) (io.Reader, error) {
	br := bufio.NewReaderSize(r, 1<<20)
	if head, _ := br.Peek(2); bytes.Equal(head, []byte{0x1f, 0x8b}) {
		return gzip.NewReader(br)
	}
	return br, nil
}
