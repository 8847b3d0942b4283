package source

import (
	"archive/zip"
	"compress/bzip2"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"strings"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
	"golang.org/x/text/encoding/charmap"
)

// zipFile is a zip read in place.
type zipFile struct {
	*file
	number  int32
	skip    func(name, reason string, image bool)
	members []*zip.File // an Entry's place is one here
}

// zipMethods are the compressions of members that are read, and for those
// that are not their names.
var zipMethods = map[uint16]string{
	1: "shrunk", 2: "reduced", 3: "reduced", 4: "reduced", 5: "reduced", 6: "imploded",
	9: "Deflate64", 14: "LZMA", 96: "JPEG", 97: "WavPack", 98: "PPMd", 99: "AES",
}

const (
	zipBzip2 = 12
	zipZstd  = 93
	zipXZ    = 95
)

// list gives the members of the zip by name.
func (z *zipFile) list(ctx context.Context) ([]Entry, error) {
	r, err := zip.NewReader(z, z.size())
	if err != nil {
		return nil, fmt.Errorf("%w: %s: not a whole zip: %w", ErrCorrupt, z.path, err)
	}
	registerMethods(r)
	z.members = r.File
	var out []Entry
	var links []member
	for i, m := range r.File {
		if i%1024 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		e, link, ok := z.member(m)
		m.Extra, m.Comment = nil, "" // read, and much where there are a million
		e.place = int64(i)
		switch {
		case !ok:
		case link != "":
			links = append(links, member{e, link})
		default:
			out = append(out, e)
		}
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

// member is what a header says; ok is false where it is nothing to read, which
// is told but of directories.
func (z *zipFile) member(m *zip.File) (e Entry, link string, ok bool) {
	raw := zipName(m)
	name, clean := cleanName(raw)
	e = Entry{Name: name, Size: int64(m.UncompressedSize64), Container: z.number}
	if t := unixNano(m.Modified); t != 0 {
		e.Modified = t
	}
	out := func(reason string, image bool) (Entry, string, bool) {
		z.skip(name, reason, image)
		return e, "", false
	}
	mode := m.Mode()
	switch {
	case mode.IsDir(), strings.HasSuffix(raw, "/"): // some writers do not set the mode
		return e, "", false
	case !clean:
		return out("its name leads out of the archive", ImageName(name))
	case Junk(name):
		return out(JunkReason, false)
	case m.Flags&1 != 0 || m.Method == 99:
		return out("encrypted", ImageName(name))
	case mode&fs.ModeSymlink != 0:
		return z.link(m, e)
	case !mode.IsRegular():
		return out("not a regular file: "+kindOf(mode), ImageName(name))
	case m.UncompressedSize64 > 1<<62:
		return out("of an impossible size", ImageName(name))
	}
	switch m.Method {
	case zip.Store, zip.Deflate, zipBzip2, zipZstd, zipXZ:
		return e, "", true
	}
	method, known := zipMethods[m.Method]
	if !known {
		method = fmt.Sprintf("method %d", m.Method)
	}
	return out("compressed by "+method+", which is not read", ImageName(name))
}

// zipName is a member's name with slashes: some writers use backslashes,
// against the format. Where the name is not marked as UTF-8, it is so by the field that repeats it, or by its bytes, or it is in code page
// 437.
func zipName(m *zip.File) string {
	name := m.Name
	if m.NonUTF8 {
		if u, ok := unicodePath(m.Extra, name); ok {
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
	for len(extra) >= 4 {
		id, size := binary.LittleEndian.Uint16(extra), int(binary.LittleEndian.Uint16(extra[2:]))
		if extra = extra[4:]; size > len(extra) {
			return "", false
		}
		if b := extra[:size]; id == 0x7075 && size > 5 && b[0] == 1 && binary.LittleEndian.Uint32(b[1:]) == crc32.ChecksumIEEE([]byte(name)) && utf8.Valid(b[5:]) {
			return string(b[5:]), true
		}
		extra = extra[size:]
	}
	return "", false
}

// maxLinkName bounds what a link leads to.
const maxLinkName = 4096

// link reads what a symbolic link leads to.
func (z *zipFile) link(m *zip.File, e Entry) (Entry, string, bool) {
	out := func(reason string) (Entry, string, bool) {
		z.skip(e.Name, reason, maybeImages(e.Name))
		return e, "", false
	}
	if m.UncompressedSize64 > maxLinkName {
		return out("a link to a name that is too long")
	}
	b, err := readZip(m, nil)
	if err != nil {
		return out("a link that cannot be read: " + err.Error())
	}
	dir, _ := splitName(e.Name)
	to, ok := linkTarget(dir, strings.ReplaceAll(string(b), `\`, "/"), false)
	if !ok {
		return out("a link out of the archive, to " + string(b))
	}
	return e, to, true
}

// splitName cuts a name into its directory and what is behind it.
func splitName(name string) (dir, base string) {
	i := strings.LastIndexByte(name, '/')
	return name[:max(i, 0)], name[i+1:]
}

func registerMethods(r *zip.Reader) {
	r.RegisterDecompressor(zipBzip2, func(in io.Reader) io.ReadCloser { return io.NopCloser(bzip2.NewReader(in)) })
	r.RegisterDecompressor(zipZstd, zstd.ZipDecompressor(zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true)))
	r.RegisterDecompressor(zipXZ, func(in io.Reader) io.ReadCloser {
		x, err := xz.NewReader(in)
		if err != nil {
			return io.NopCloser(failing{err})
		}
		return io.NopCloser(x)
	})
}

// failing is a reader that cannot be had.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// readZip reads a member and compares its checksum.
func readZip(m *zip.File, buf []byte) ([]byte, error) {
	if err := plausible(m); err != nil {
		return nil, err
	}
	r, err := m.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	buf = sized(buf, int64(m.UncompressedSize64))
	if _, err := io.ReadFull(r, buf); err != nil {
		return nil, unexpected(err)
	}
	// The checksum is compared where the member ends.
	switch n, err := r.Read(make([]byte, 1)); {
	case n > 0:
		return nil, errors.New("it is longer than the archive says")
	case err != io.EOF:
		return nil, unexpected(err)
	}
	return buf, nil
}

// plausible refuses sizes that the compression cannot have made, before there is
// room made for them. Deflate's best is 1032 to one.
func plausible(m *zip.File) error {
	packed, size := m.CompressedSize64, m.UncompressedSize64
	switch {
	case m.Method == zip.Store && size != packed, m.Method == zip.Deflate && size/1032 > packed:
		return fmt.Errorf("%d bytes cannot come of %d", size, packed)
	}
	return nil
}

func (z *zipFile) read(e *Entry, buf []byte) ([]byte, error) {
	if e.Size > MaxImage {
		return nil, fmt.Errorf("%w: %s: %s: %w", ErrUnreadable, z.path, e.Name, tooLarge(e.Size))
	}
	b, err := readZip(z.members[e.place], buf)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %s: %w", ErrCorrupt, z.path, e.Name, err)
	}
	return b, nil
}

func (z *zipFile) each(ctx context.Context, entries []Entry, f visit) error {
	return eachRead(ctx, z, entries, f)
}

func (z *zipFile) walk(context.Context, func(Entry, io.Reader) error) error { return errNotSequential }
