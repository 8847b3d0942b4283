package tarfile

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"strings"
	"sync/atomic"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"github.com/synshard/synshard/source/entry"
)

// compressions are those that a tar may have, by the bytes with which they
// begin. Each reads several streams one behind the other as one.
var compressions = []struct {
	name, magic string
	open        func(*bufio.Reader) (io.ReadCloser, error)
}{
	{"gzip", "\x1f\x8b", newMembers},
	{"bzip2", "BZh", func(r *bufio.Reader) (io.ReadCloser, error) { return io.NopCloser(bzip2.NewReader(r)), nil }},
	{"xz", "\xfd7zXZ\x00", func(r *bufio.Reader) (io.ReadCloser, error) {
		x, err := xz.NewReader(r)
		return io.NopCloser(x), err
	}},
	{"zstd", "\x28\xb5\x2f\xfd", func(r *bufio.Reader) (io.ReadCloser, error) {
		z, err := zstd.NewReader(r, zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderConcurrency(2))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	}},
}

// maxWindow is what zstd itself accepts without an option.
const maxWindow = 128 << 20

// Compressed says whether a file begins as one of the compressions that a tar
// may have.
func Compressed(head []byte) bool { return compression(head) >= 0 }

// compression gives the place in compressions of what a file begins with, or
// -1.
func compression(head []byte) int {
	for i := range compressions {
		if strings.HasPrefix(string(head), compressions[i].magic) {
			return i
		}
	}
	return -1
}

// Stream is a tar that can only be read front to back: a pipe, or a compressed
// file.
type Stream struct {
	name string
	file entry.File    // nil for a pipe
	pipe *bufio.Reader // nil where there is a file, or when it was read
	skip entry.SkipFunc
}

// NewStream gives a compressed tar. What is in it must be one.
func NewStream(f entry.File, skip entry.SkipFunc) (*Stream, error) {
	t := &Stream{name: f.Path(), file: f, skip: skip}
	return t, t.check()
}

// NewPipe gives a tar that is read once, compressed or not.
func NewPipe(name string, r *bufio.Reader, skip entry.SkipFunc) *Stream {
	return &Stream{name: name, pipe: r, skip: skip}
}

// open gives the tar's bytes, unpacked.
func (t *Stream) open() (io.ReadCloser, error) {
	in := t.pipe
	if t.file != nil {
		in = bufio.NewReaderSize(io.NewSectionReader(t.file, 0, t.file.Size()), 1<<20)
	} else if t.pipe = nil; in == nil {
		return nil, fmt.Errorf("%s: a pipe is read once", t.name)
	}
	head, err := in.Peek(8)
	if err != nil && err != io.EOF {
		return nil, err
	}
	i := compression(head)
	if i < 0 {
		return io.NopCloser(in), nil
	}
	watched := &watch{Reader: in}
	r, err := compressions[i].open(bufio.NewReaderSize(watched, 64<<10))
	if err != nil {
		return nil, entry.Corrupt(compressions[i].name, entry.Unexpected(watched.of(err)))
	}
	return unpacked{r, compressions[i].name, watched}, nil
}

// unpacked marks errors of a decompressor as damage to the file.
type unpacked struct {
	io.ReadCloser
	name string
	in   *watch
}

// watch remembers what reading failed with, which not every decompressor tells.
type watch struct {
	io.Reader
	failed atomic.Pointer[error]
}

func (w *watch) Read(b []byte) (int, error) {
	n, err := w.Reader.Read(b)
	if errors.Is(err, entry.ErrRead) {
		w.failed.Store(&err)
	}
	return n, err
}

// of is what reading failed with, or else the error given.
func (w *watch) of(err error) error {
	if failed := w.failed.Load(); failed != nil {
		return *failed
	}
	return err
}

func (u unpacked) Read(b []byte) (int, error) {
	n, err := u.ReadCloser.Read(b)
	if err != nil && err != io.EOF {
		err = entry.Corrupt(u.name, u.in.of(err))
	}
	return n, err
}

// Unpack gives the tar that is in a compressed file.
func Unpack(f entry.File) (io.ReadCloser, error) {
	t, err := NewStream(f, nil)
	if err != nil {
		return nil, err
	}
	return t.open()
}

// Walk calls f with every file of the tar and of the tars in it. What links
// lead to comes last, for which the archive is read twice more: a pipe's links
// are told instead.
func (t *Stream) Walk(ctx context.Context, f func(entry.Entry, io.Reader) error) error {
	var links []member
	seen := names{}
	err := t.pass(ctx, t.skip, func(m *member, r io.Reader) error {
		if m.To != "" {
			links = append(links, *m)
			return nil
		}
		if seen.again(m.Name) {
			entry.Again(m.Name, t.skip)
			return nil
		}
		return f(m.Entry, r)
	})
	if err != nil || len(links) == 0 {
		return err
	}
	if t.file == nil {
		for i := range links {
			t.skip(links[i].Name, "a link, which cannot be followed in a pipe", entry.MaybeImages(links[i].Name))
		}
		return nil
	}
	return t.linked(ctx, links, f)
}

// names are those that were there, by their hashes: of fourteen million, as
// ImageNet-21k has, two that differ are equal with a chance of five in a
// million.
type names map[uint64]struct{}

var namesSeed = maphash.MakeSeed()

func (n names) again(name string) bool {
	h := maphash.String(namesSeed, name)
	_, again := n[h]
	n[h] = struct{}{}
	return again
}

// linked calls f with what links lead to, in the order in which it lies in the
// archive.
func (t *Stream) linked(ctx context.Context, links []member, f func(entry.Entry, io.Reader) error) error {
	told := func(string, string, bool) {} // in the first pass
	var files []entry.Entry
	seen, n := names{}, int64(0)
	err := t.pass(ctx, told, func(m *member, _ io.Reader) error {
		if m.To == "" {
			if m.Place = n; !seen.again(m.Name) {
				files = append(files, m.Entry)
			}
			n++
		}
		return nil
	})
	if err != nil {
		return err
	}
	found, err := entry.Follow(files, links, t.skip)
	if err != nil {
		return fmt.Errorf("%s: %w", t.name, err)
	}
	wanted := map[int64][]entry.Entry{}
	for _, e := range found {
		if seen.again(e.Name) {
			entry.Again(e.Name, t.skip)
			continue
		}
		wanted[e.Place] = append(wanted[e.Place], e)
	}
	var buf []byte
	at := int64(-1)
	return t.pass(ctx, told, func(m *member, r io.Reader) error {
		if m.To != "" {
			return nil
		}
		at++
		names := wanted[at]
		if len(names) == 1 || m.Size > entry.MaxImage && len(names) > 0 {
			return f(names[0], r)
		}
		for i, e := range names {
			if i == 0 {
				var err error
				if buf, err = readMember(m, r, buf); err != nil {
					return err
				}
			}
			if err := f(e, bytes.NewReader(buf)); err != nil {
				return err
			}
		}
		return nil
	})
}

// pass reads the archive once, for files and links. Tars in it are read
// through. An error of f is returned as it is.
func (t *Stream) pass(ctx context.Context, skip entry.SkipFunc, f func(*member, io.Reader) error) error {
	in, err := t.open()
	if err != nil {
		return err
	}
	defer in.Close()
	var stop error
	visit := func(m *member, r io.Reader) error {
		stop = f(m, memberReader{r, t.name, m.Name})
		return stop
	}
	outer := &tarWalk{in: newStream(in), skip: skip}
	err = outer.each(ctx, func(m *member, r io.Reader) error {
		if !m.Archive {
			return visit(m, r)
		}
		inner := &tarWalk{in: newStream(r), prefix: m.Name + "/", skip: skip, last: m.Name}
		return inner.each(ctx, func(m *member, r io.Reader) error {
			if m.Archive {
				skip(m.Name, tooDeep, true)
				return nil
			}
			return visit(m, r)
		})
	})
	if err == nil && !outer.found {
		err = errors.New("no files in it; is it a tar?")
	}
	if err != nil && stop == nil {
		err = fmt.Errorf("%s: %w", t.name, err)
	}
	return err
}

// memberReader names what is read where reading ends in an error: the caller
// returns it as its own.
type memberReader struct {
	io.Reader
	path, name string
}

func (m memberReader) Read(b []byte) (int, error) {
	n, err := m.Reader.Read(b)
	if err != nil && err != io.EOF {
		err = fmt.Errorf("%s: %s: %w", m.path, m.name, damaged(err))
	}
	return n, err
}

// Read is an error: the archive is not read in place.
func (t *Stream) Read(e *entry.Entry, _ []byte) ([]byte, error) {
	return nil, fmt.Errorf("%s: %s: the archive is read front to back only", t.name, e.Name)
}

// Each is an error, as Read is.
func (t *Stream) Each(_ context.Context, entries []entry.Entry, _ entry.Visit) error {
	_, err := t.Read(&entries[0], nil)
	return err
}

// Unchanged wants the file to be what it was; a pipe is.
func (t *Stream) Unchanged() error {
	if t.file == nil {
		return nil
	}
	return t.file.Unchanged()
}

// check wants a compressed file to hold a tar.
func (t *Stream) check() error {
	r, err := t.open()
	if err != nil {
		return fmt.Errorf("%s: %w", t.name, err)
	}
	defer r.Close()
	head := make([]byte, 2*tarBlock)
	n, err := io.ReadFull(r, head)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return fmt.Errorf("%s: %w", t.name, err)
	}
	if head = head[:n]; !isHeader(head) && len(bytes.Trim(head, "\x00")) > 0 {
		return fmt.Errorf("%s: it is compressed, and what is in it is no tar: unpack it", t.name)
	}
	return nil
}
