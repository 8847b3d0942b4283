package source

import (
	"compress/bzip2"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
	"golang.org/x/text/encoding/charmap"
)

// zipFile is a zip read in place.
type zipFile struct {
	*file
	*home
	members []zipMember // an Entry's place is one here
}

// zipMember is what is kept of a member beside its Entry.
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

// list gives the members of the zip by name.
func (z *zipFile) list(ctx context.Context) ([]Entry, error) {
	out, links, err := z.directory(ctx)
	if err != nil {
		if ctx.Err() == nil {
			err = fmt.Errorf("%w: not a whole zip: %w", ErrCorrupt, err)
		}
		return nil, fmt.Errorf("%s: %w", z.path, err)
	}
	if len(links) > 0 {
		linked, err := follow(out, links, z.skip)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", z.path, err)
		}
		out = append(out, linked...)
	}
	return out, sortEntries(z.path, out)
}

func (z *zipFile) directory(ctx context.Context) (out []Entry, links []member, err error) {
	d, err := findDirectory(z, z.size())
	if err != nil {
		return nil, nil, err
	}
	err = d.each(z, func(h *zipHeader) error {
		if len(out)%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		e, ok := z.entry(h)
		if !ok {
			return nil
		}
		e.place = int64(len(z.members))
		z.members = append(z.members, zipMember{h.offset, int64(h.packed), h.crc, h.method})
		if h.mode()&fs.ModeSymlink == 0 {
			out = append(out, e)
		} else if link, ok := z.link(&e); ok {
			links = append(links, member{e, link})
		}
		return nil
	})
	return out, links, err
}

// entry is what a record says; ok is false where it is nothing to read, which
// is told but of directories.
func (z *zipFile) entry(h *zipHeader) (e Entry, ok bool) {
	raw := h.cleanerName()
	name, clean := cleanName(raw)
	e = Entry{Name: name, Size: int64(h.size), Modified: h.modified}
	out := func(reason string, image bool) (Entry, bool) {
		z.skip(name, reason, image)
		return e, false
	}
	mode := h.mode()
	switch {
	case mode.IsDir(), strings.HasSuffix(raw, "/"): // some writers do not set the mode
		return e, false
	case !clean:
		return out("its name leads out of the archive", ImageName(name))
	case Junk(name):
		return out(JunkReason, false)
	case h.flags&1 != 0 || h.method == 99:
		return out("encrypted", ImageName(name))
	case mode&^fs.ModeSymlink != 0:
		return out("not a regular file: "+kindOf(mode), ImageName(name))
	}
	switch h.method {
	case zipStored, zipDeflated, zipBzip2, zipZstd, zipXZ:
	default:
		method, known := zipMethods[h.method]
		if !known {
			method = fmt.Sprintf("method %d", h.method)
		}
		return out("compressed by "+method+", which is not read", ImageName(name))
	}
	if h.size > 1<<62 || h.packed > 1<<62 {
		return out("of an impossible size", ImageName(name))
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
func (z *zipFile) link(e *Entry) (to string, ok bool) {
	out := func(reason string) (string, bool) {
		z.skip(e.Name, reason, maybeImages(e.Name))
		return "", false
	}
	if e.Size > maxLinkName {
		return out("a link to a name that is too long")
	}
	b, err := z.member(e, nil)
	if err != nil {
		return out("a link that cannot be read: " + err.Error())
	}
	dir, _ := splitName(e.Name)
	to, ok = linkTarget(dir, strings.ReplaceAll(string(b), `\`, "/"), false)
	if !ok {
		return out("a link out of the archive, to " + string(b))
	}
	return to, true
}

// splitName cuts a name into its directory and what is behind it.
func splitName(name string) (dir, base string) {
	i := strings.LastIndexByte(name, '/')
	return name[:max(i, 0)], name[i+1:]
}

// member reads a member and compares its checksum.
func (z *zipFile) member(e *Entry, buf []byte) ([]byte, error) {
	m := &z.members[e.place]
	// Sizes that the compression cannot have made are refused before there is
	// room made for them. Deflate's best is 1032 to one.
	if m.packed > z.size() || m.method == zipStored && e.Size != m.packed || m.method == zipDeflated && e.Size/1032 > m.packed {
		return nil, fmt.Errorf("%d bytes cannot come of %d", e.Size, m.packed)
	}
	var local [zipLocalSize]byte
	if _, err := z.ReadAt(local[:], m.offset); err != nil {
		return nil, unexpected(err)
	}
	if string(local[:4]) != zipLocal {
		return nil, errors.New("there is no header where its directory says")
	}
	at := m.offset + zipLocalSize + int64(le.Uint16(local[26:])) + int64(le.Uint16(local[28:]))
	buf = sized(buf, e.Size)
	if m.method == zipStored {
		if _, err := z.ReadAt(buf, at); err != nil && (err != io.EOF || len(buf) > 0) {
			return nil, unexpected(err)
		}
	} else if err := inflate(m.method, io.NewSectionReader(z, at, m.packed), buf); err != nil {
		return nil, err
	}
	if crc32.ChecksumIEEE(buf) != m.crc {
		return nil, errors.New("its checksum is another")
	}
	return buf, nil
}

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
		return unexpected(err)
	}
	switch n, err := r.Read(make([]byte, 1)); {
	case n > 0:
		return errors.New("it is longer than its directory says")
	case err != nil && err != io.EOF:
		return err
	}
	return nil
}

func (z *zipFile) read(e *Entry, buf []byte) ([]byte, error) {
	if e.Size > MaxImage {
		return nil, fmt.Errorf("%w: %s: %s: %w", ErrUnreadable, z.path, e.Name, tooLarge(e.Size))
	}
	b, err := z.member(e, buf)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %s: %w", ErrCorrupt, z.path, e.Name, err)
	}
	return b, nil
}

func (z *zipFile) each(ctx context.Context, entries []Entry, f visit) error {
	return eachRead(ctx, z, entries, f)
}

func (z *zipFile) walk(context.Context, func(Entry, io.Reader) error) error { return errNotSequential }
