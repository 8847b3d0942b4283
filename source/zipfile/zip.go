// Package zipfile reads zips in place, as people's tools write them: with
// backslashes, names in old code pages, links, bytes in front of the archive.
package zipfile

import (
	"compress/bzip2"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
	"golang.org/x/text/encoding/charmap"

	"github.com/synshard/synshard/internal/regular"
	"github.com/synshard/synshard/source/entry"
)

// Zip is an archive read in place.
type Zip struct {
	entry.File
	skip    entry.SkipFunc
	members []zipMember // an Entry's Place is one here
	dirs    entry.Directories
}

// New gives a zip, of which skip is told what is left out.
func New(f entry.File, skip entry.SkipFunc) *Zip { return &Zip{File: f, skip: skip} }

// zipMember is what is kept of a member beside its entry.Entry.
type zipMember struct {
	offset int64 // of its local header
	packed int64
	crc    uint32
	method uint16
}

// The methods of compression that are read.
const (
	zipStored   = 0
	zipDeflated = 8
	zipBzip2    = 12
	zipZstd     = 93
	zipXZ       = 95
)

// zipMethods are the names of those that are not.
var zipMethods = map[uint16]string{
	1: "shrunk", 2: "reduced", 3: "reduced", 4: "reduced", 5: "reduced", 6: "imploded",
	9: "Deflate64", 14: "LZMA", 96: "JPEG", 97: "WavPack", 98: "PPMd", 99: "AES",
}

// IsZip says whether a file begins as a zip does. One may begin with other
// bytes, too.
func IsZip(head []byte) bool {
	for _, magic := range []string{zipLocal, zipEnd, "PK00" + zipLocal, "PK\x07\x08" + zipLocal} {
		if strings.HasPrefix(string(head), magic) {
			return true
		}
	}
	return false
}

// List gives the members of the zip by name.
func (z *Zip) List(ctx context.Context) ([]entry.Entry, error) {
	out, links, err := z.directory(ctx)
	if err != nil {
		if ctx.Err() == nil && !errors.Is(err, entry.ErrRead) {
			err = fmt.Errorf("%w: not a whole zip: %w", entry.ErrCorrupt, err)
		}
		return nil, fmt.Errorf("%s: %w", z.Path(), err)
	}
	out = entry.SortByName(out, z.skip)
	if len(links) > 0 {
		linked, err := entry.Follow(out, links, z.skip)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", z.Path(), err)
		}
		out = entry.SortByName(append(out, linked...), z.skip)
	}
	z.dirs.Tell(z.skip)
	return out, nil
}

func (z *Zip) directory(ctx context.Context) (out []entry.Entry, links []entry.Link, err error) {
	d, err := findDirectory(z, z.Size())
	if err != nil {
		return nil, nil, err
	}
	err = d.each(z, func(h *zipHeader) error {
		if len(out)%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		e, ok := z.entryOf(h)
		if !ok {
			return nil
		}
		e.Place = int64(len(z.members))
		z.members = append(z.members, zipMember{h.offset, int64(h.packed), h.crc, h.method})
		if h.mode()&fs.ModeSymlink == 0 {
			out = append(out, e)
		} else if link, ok := z.link(&e); ok {
			links = append(links, entry.Link{Entry: e, To: link})
		}
		return nil
	})
	return out, links, err
}

// entryOf is what a record says; ok is false where it is nothing to read, which
// is told but of directories.
func (z *Zip) entryOf(h *zipHeader) (e entry.Entry, ok bool) {
	raw := h.cleanerName()
	name, clean := entry.CleanName(raw)
	e = entry.Entry{Name: name, Size: int64(h.size), Modified: h.modified}
	out := func(reason string, image bool) (entry.Entry, bool) {
		z.skip(name, reason, image)
		return e, false
	}
	mode := h.mode()
	switch {
	case mode.IsDir(), strings.HasSuffix(raw, "/"): // some writers do not set the mode
		if clean {
			z.dirs.Own(name)
		}
		return e, false
	case !clean:
		return out("its name leads out of the archive", entry.ImageName(name))
	case entry.Junk(name):
		return out(entry.Junked(name))
	}
	z.dirs.Holds(name)
	switch {
	case h.flags&1 != 0 || h.method == 99:
		return out("encrypted", entry.ImageName(name))
	case mode&^fs.ModeSymlink != 0:
		return out("not a regular file: "+regular.Kind(mode), entry.ImageName(name))
	}
	switch h.method {
	case zipStored, zipDeflated, zipBzip2, zipZstd, zipXZ:
	default:
		method, known := zipMethods[h.method]
		if !known {
			method = fmt.Sprintf("method %d", h.method)
		}
		return out("compressed by "+method+", which is not read", entry.ImageName(name))
	}
	if h.size > 1<<62 || h.packed > 1<<62 {
		return out("of an impossible size", entry.ImageName(name))
	}
	return e, true
}

// cleanerName is a member's name with slashes: some writers use backslashes,
// against the format. Where the name is not marked as UTF-8, a field may repeat
// it so, or its bytes may be; else it is in code page 437.
func (h *zipHeader) cleanerName() string {
	name := h.name
	if h.flags&0x800 == 0 {
		if u, ok := unicodePath(h.extra, name); ok {
			name = u
		} else if !utf8.ValidString(name) {
			if u, err := charmap.CodePage437.NewDecoder().String(name); err == nil {
				name = u
			}
		}
	}
	return strings.ReplaceAll(name, `\`, "/")
}

// unicodePath finds Info-ZIP's field of the name in UTF-8 (0x7075: a version,
// the CRC-32 of the name it stands for, the name).
func unicodePath(extra []byte, name string) (string, bool) {
	for id, b := range extraFields(extra) {
		if id == 0x7075 && len(b) > 5 && b[0] == 1 && le.Uint32(b[1:]) == crc32.ChecksumIEEE([]byte(name)) && utf8.Valid(b[5:]) {
			return string(b[5:]), true
		}
	}
	return "", false
}

// maxLinkName bounds what a link leads to.
const maxLinkName = 4096

// link reads what a symbolic link leads to.
func (z *Zip) link(e *entry.Entry) (to string, ok bool) {
	out := func(reason string) (string, bool) {
		z.skip(e.Name, reason, entry.MaybeImages(e.Name))
		return "", false
	}
	if e.Size > maxLinkName {
		return out("a link to a name that is too long")
	}
	b, err := z.member(e, nil)
	if err != nil {
		return out("a link that cannot be read: " + err.Error())
	}
	to, ok = entry.LinkTarget(path.Dir(e.Name), strings.ReplaceAll(string(b), `\`, "/"), false)
	if !ok {
		return out("a link out of the archive, to " + string(b))
	}
	return to, true
}

// member reads a member and compares its checksum.
func (z *Zip) member(e *entry.Entry, buf []byte) ([]byte, error) {
	m := &z.members[e.Place]
	// Sizes that the compression cannot have made are refused before there is
	// room made for them. Deflate's best is 1032 to one.
	if m.packed > z.Size() || m.method == zipStored && e.Size != m.packed || m.method == zipDeflated && e.Size/1032 > m.packed {
		return nil, fmt.Errorf("%d bytes cannot come of %d", e.Size, m.packed)
	}
	var local [zipLocalSize]byte
	if _, err := z.ReadAt(local[:], m.offset); err != nil {
		return nil, entry.Unexpected(err)
	}
	if string(local[:4]) != zipLocal {
		return nil, errors.New("there is no header where its directory says")
	}
	at := m.offset + zipLocalSize + int64(le.Uint16(local[26:])) + int64(le.Uint16(local[28:]))
	buf = entry.Sized(buf, e.Size)
	if m.method == zipStored {
		if _, err := z.ReadAt(buf, at); err != nil && (err != io.EOF || len(buf) > 0) {
			return nil, entry.Unexpected(err)
		}
	} else if err := inflate(m.method, io.NewSectionReader(z, at, m.packed), buf); err != nil {
		return nil, err
	}
	if crc32.ChecksumIEEE(buf) != m.crc {
		return nil, errors.New("its checksum is another")
	}
	return buf, nil
}

// maxWindow is what zstd itself accepts without an option.
const maxWindow = 128 << 20

// inflaters are readers to be used again: each has tables and a window.
var inflaters = sync.Pool{New: func() any { return flate.NewReader(nil) }}

// inflate unpacks a member, which must be as long as buf.
func inflate(method uint16, in io.Reader, buf []byte) error {
	var r io.Reader
	switch method {
	case zipDeflated:
		f := inflaters.Get().(io.ReadCloser)
		defer inflaters.Put(f)
		if err := f.(flate.Resetter).Reset(in, nil); err != nil {
			return err
		}
		r = f
	case zipBzip2:
		r = bzip2.NewReader(in)
	case zipZstd:
		z, err := zstd.NewReader(in, zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderConcurrency(1))
		if err != nil {
			return err
		}
		defer z.Close()
		r = z
	case zipXZ:
		x, err := xz.NewReader(in)
		if err != nil {
			return err
		}
		r = x
	}
	if _, err := io.ReadFull(r, buf); err != nil {
		return entry.Unexpected(err)
	}
	switch n, err := r.Read(make([]byte, 1)); {
	case n > 0:
		return errors.New("it is longer than its directory says")
	case err != nil && err != io.EOF:
		return err
	}
	return nil
}

// Read gives a member's bytes, in buf where they fit. A member larger than
// entry.MaxImage is entry.ErrUnreadable, a damaged archive, or one whose member is not
// what its sum says, entry.ErrCorrupt.
func (z *Zip) Read(e *entry.Entry, buf []byte) ([]byte, error) {
	if e.Size > entry.MaxImage {
		return nil, fmt.Errorf("%w: %s: %s: %w", entry.ErrUnreadable, z.Path(), e.Name, entry.TooLarge(e.Size))
	}
	b, err := z.member(e, buf)
	if err != nil {
		return nil, entry.Corrupt(z.Path()+": "+e.Name, err)
	}
	return b, nil
}

// Each calls f with members in the order given.
func (z *Zip) Each(ctx context.Context, entries []entry.Entry, f entry.Visit) error {
	return entry.EachRead(ctx, z, entries, f)
}
