package zipfile

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/synshard/synshard/source/entry"
)

// The directory of a zip is read here rather than by archive/zip, which keeps
// 300 bytes of each member for as long as it is open: the zips of a million
// images would take half a gigabyte.

var le = binary.LittleEndian

const (
	zipEnd        = "PK\x05\x06"
	zipEnd64      = "PK\x06\x06"
	zipLocator64  = "PK\x06\x07"
	zipRecord     = "PK\x01\x02"
	zipLocal      = "PK\x03\x04"
	zipEndSize    = 22
	zipEnd64Size  = 56
	zipRecordSize = 46
	zipLocalSize  = 30
)

// zipDirectory says where the directory of a zip lies.
type zipDirectory struct {
	at, size, records int64
	base              int64 // what offsets count from: bytes may stand in front of the archive
}

// zipHeader is a record of the directory, in the words of its format.
type zipHeader struct {
	name            string
	flags, method   uint16
	modified        int64
	crc             uint32
	packed, size    uint64
	offset          int64 // of the local header in the file
	extra           []byte
	creator, system byte
	attributes      uint32
}

var errZip = errors.New("its directory is damaged")

// findDirectory finds the directory by the record at the file's end, behind
// which a comment may stand.
func findDirectory(r io.ReaderAt, size int64) (d zipDirectory, err error) {
	tail := make([]byte, min(size, 1<<16+zipEndSize))
	if _, err := r.ReadAt(tail, size-int64(len(tail))); err != nil && err != io.EOF {
		return d, err
	}
	at := len(tail)
	for {
		if at = bytes.LastIndex(tail[:at], []byte(zipEnd)); at < 0 {
			return d, errors.New("there is no directory at its end: it is cut off, or no zip")
		}
		if at+zipEndSize <= len(tail) && at+zipEndSize+int(le.Uint16(tail[at+20:])) <= len(tail) {
			break
		}
		at += len(zipEnd) - 1 // go on in front of it
	}
	end := tail[at:]
	if le.Uint16(end[4:]) != 0 && le.Uint16(end[4:]) != 0xffff {
		return d, errors.New("it is the last of several files that one zip was split into: join them first")
	}
	where := size - int64(len(tail)) + int64(at)
	d = zipDirectory{records: int64(le.Uint16(end[10:])), size: int64(le.Uint32(end[12:])), at: int64(le.Uint32(end[16:]))}
	if d.records == 0xffff || d.size == 0xffffffff || d.at == 0xffffffff {
		if where, err = d.end64(r, where); err != nil {
			return d, err
		}
	}
	if d.size < 0 || d.at < 0 || d.size > where || d.at > where-d.size {
		return d, errZip
	}
	// The directory ends where the record begins, which tells of bytes in front
	// of the archive; but for writers that counted them already.
	if base := where - d.size - d.at; base > 0 && !isRecord(r, d.at) {
		d.base = base
	}
	return d, nil
}

// end64 reads the record of archives with more than 16 and 32 bits hold, where
// there is one.
func (d *zipDirectory) end64(r io.ReaderAt, where int64) (int64, error) {
	var locator [20]byte
	if where < 20 {
		return where, nil
	}
	if _, err := r.ReadAt(locator[:], where-20); err != nil || string(locator[:4]) != zipLocator64 {
		return where, err
	}
	for _, at := range []int64{int64(le.Uint64(locator[8:])), where - 20 - zipEnd64Size} { // the second where bytes stand in front
		var end [zipEnd64Size]byte
		if at < 0 || at > where-20-zipEnd64Size {
			continue
		}
		if _, err := r.ReadAt(end[:], at); err != nil {
			return 0, err
		}
		if string(end[:4]) == zipEnd64 {
			*d = zipDirectory{records: int64(le.Uint64(end[32:])), size: int64(le.Uint64(end[40:])), at: int64(le.Uint64(end[48:]))}
			return at, nil
		}
	}
	return 0, errZip
}

func isRecord(r io.ReaderAt, at int64) bool {
	var b [4]byte
	_, err := r.ReadAt(b[:], at)
	return err == nil && string(b[:]) == zipRecord
}

// each calls f with every record of the directory.
func (d *zipDirectory) each(r io.ReaderAt, f func(*zipHeader) error) error {
	in := bufio.NewReaderSize(io.NewSectionReader(r, d.base+d.at, d.size), 1<<16)
	n := int64(0)
	for {
		var b [zipRecordSize]byte
		if _, err := io.ReadFull(in, b[:]); err == io.EOF {
			break
		} else if err != nil {
			return fmt.Errorf("%w after %d members: %w", errZip, n, err)
		}
		if string(b[:4]) != zipRecord {
			if n > 0 && string(b[:4]) == "PK\x05\x05" { // a signature of the directory itself
				break
			}
			return fmt.Errorf("%w after %d members", errZip, n)
		}
		h, err := d.header(b[:], in)
		if err != nil {
			return fmt.Errorf("%w after %d members: %w", errZip, n, err)
		}
		n++
		if err := f(h); err != nil {
			return err
		}
	}
	if n&0xffff != d.records&0xffff { // older writers count no further
		return fmt.Errorf("%w: %d members, and %d are announced", errZip, n, d.records)
	}
	return nil
}

func (d *zipDirectory) header(b []byte, in io.Reader) (*zipHeader, error) {
	h := &zipHeader{
		creator: b[4], system: b[5], flags: le.Uint16(b[8:]), method: le.Uint16(b[10:]), crc: le.Uint32(b[16:]),
		packed: uint64(le.Uint32(b[20:])), size: uint64(le.Uint32(b[24:])), attributes: le.Uint32(b[38:]), offset: int64(le.Uint32(b[42:])),
	}
	name, extra, comment := int(le.Uint16(b[28:])), int(le.Uint16(b[30:])), int(le.Uint16(b[32:]))
	rest := make([]byte, name+extra+comment)
	if _, err := io.ReadFull(in, rest); err != nil {
		return nil, entry.Unexpected(err)
	}
	h.name, h.extra = string(rest[:name]), rest[name:name+extra]
	h.modified = dosTime(le.Uint16(b[14:]), le.Uint16(b[12:]))
	h.fields()
	if h.offset < 0 {
		return nil, errZip
	}
	h.offset += d.base
	return h, nil
}

// fields reads the extra fields: sizes of more than 32 bits (1), the time in
// Unix's seconds (0x5455).
func (h *zipHeader) fields() {
	for id, b := range extraFields(h.extra) {
		switch {
		case id == 1:
			long := func(v *uint64) {
				if *v == 0xffffffff && len(b) >= 8 {
					*v, b = le.Uint64(b), b[8:]
				}
			}
			offset := uint64(h.offset)
			long(&h.size)
			long(&h.packed)
			long(&offset)
			h.offset = int64(offset)
		case id == 0x5455 && len(b) >= 5 && b[0]&1 != 0:
			h.modified = entry.UnixNano(time.Unix(int64(int32(le.Uint32(b[1:]))), 0))
		}
	}
}

// extraFields gives the extra fields of a record by their numbers, as far as
// they are whole.
func extraFields(b []byte) func(func(uint16, []byte) bool) {
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= 4 {
			id, size := le.Uint16(b), int(le.Uint16(b[2:]))
			if b = b[4:]; size > len(b) || !yield(id, b[:size]) {
				return
			}
			b = b[size:]
		}
	}
}

// dosTime is a time of MS-DOS, which says nothing of zones: two seconds,
// minutes and hours of a day; days, months and years since 1980.
func dosTime(date, clock uint16) int64 {
	if date == 0 {
		return 0
	}
	return entry.UnixNano(time.Date(int(date>>9)+1980, time.Month(date>>5&15), int(date&31), int(clock>>11), int(clock>>5&63), int(clock&31)*2, 0, time.UTC))
}

// mode is the kind of file, where the system that wrote the record has kinds.
func (h *zipHeader) mode() fs.FileMode {
	const unix, macOS = 3, 19
	if h.system != unix && h.system != macOS {
		if h.attributes&0x10 != 0 { // a directory of MS-DOS
			return fs.ModeDir
		}
		return 0
	}
	switch h.attributes >> 16 & 0xf000 {
	case 0x4000:
		return fs.ModeDir
	case 0xa000:
		return fs.ModeSymlink
	case 0x1000:
		return fs.ModeNamedPipe
	case 0xc000:
		return fs.ModeSocket
	case 0x2000, 0x6000:
		return fs.ModeDevice
	}
	return 0
}
