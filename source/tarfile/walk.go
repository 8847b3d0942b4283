package tarfile

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"

	"github.com/synshard/synshard/source/entry"
)

const (
	tarBlock = 512
	// maxGap bounds the zero bytes before the next of several archives in one
	// file. Writers fill up to a record, of 10 KiB mostly and of 1 MiB at most;
	// more is a hole where there were data.
	maxGap = 4 << 20
)

// member is what a tar says of one file or, with To, of a link.
type member = entry.Link

// A file's place in a tar: where its bytes lie, or, where they do not lie
// together (a sparse file), -1 minus where the headers before them begin.
func sparsePlace(start int64) int64                { return -1 - start }
func sparse(e *entry.Entry) (start int64, ok bool) { return -1 - e.Place, e.Place < 0 }

// tarInput is what a tar is read from, in place or front to back.
type tarInput interface {
	io.Reader
	peek() ([]byte, error) // the next block, or what there is of it
	pos() int64            // of the next byte
	end() int64            // -1: not known
}

// window reads a part of a file in place. Headers come through a small buffer:
// one read for the end of a member, the padding and the next header; contents
// do not.
type window struct {
	r            io.ReaderAt
	at, from, to int64 // the next byte; all bytes
	buf          []byte
	bufAt        int64
}

const windowBuffer = 4096

func newWindow(r io.ReaderAt, from, size int64) *window {
	return &window{r: r, at: from, from: from, to: from + size, buf: make([]byte, 0, windowBuffer)}
}

func (w *window) Read(b []byte) (int, error) {
	if w.at >= w.to {
		return 0, io.EOF
	}
	b = b[:min(int64(len(b)), w.to-w.at)]
	if n := w.buffered(); len(n) > 0 {
		n := copy(b, n)
		w.at += int64(n)
		return n, nil
	}
	if len(b) >= windowBuffer {
		n, err := w.r.ReadAt(b, w.at)
		w.at += int64(n)
		return n, err
	}
	if err := w.fill(); err != nil {
		return 0, err
	}
	n := copy(b, w.buffered())
	w.at += int64(n)
	return n, nil
}

func (w *window) buffered() []byte {
	if from := w.at - w.bufAt; from >= 0 && from < int64(len(w.buf)) {
		return w.buf[from:]
	}
	return nil
}

func (w *window) fill() error {
	w.buf, w.bufAt = w.buf[:min(windowBuffer, w.to-w.at)], w.at
	n, err := w.r.ReadAt(w.buf, w.at)
	if n == len(w.buf) {
		return nil
	}
	w.buf = w.buf[:0]
	return entry.Unexpected(err)
}

// Seek lets archive/tar pass over contents. It never seeks from the end.
func (w *window) Seek(offset int64, whence int) (int64, error) {
	if whence == io.SeekStart {
		offset -= w.at - w.from
	}
	if whence == io.SeekEnd || offset > 0 && offset > w.to-w.at || w.at+offset < w.from {
		return 0, fmt.Errorf("%w: it ends %d bytes early", io.ErrUnexpectedEOF, offset-(w.to-w.at))
	}
	w.at += offset
	return w.at - w.from, nil
}

func (w *window) peek() ([]byte, error) {
	n := min(tarBlock, w.to-w.at)
	if int64(len(w.buffered())) < n {
		if err := w.fill(); err != nil {
			return nil, err
		}
	}
	return w.buffered()[:n], nil
}

func (w *window) pos() int64 { return w.at }
func (w *window) end() int64 { return w.to }

// stream reads front to back.
type stream struct {
	r  *bufio.Reader
	at int64
}

func newStream(r io.Reader) *stream { return &stream{r: bufio.NewReaderSize(r, 1<<18)} }

func (s *stream) Read(b []byte) (int, error) {
	n, err := s.r.Read(b)
	s.at += int64(n)
	return n, err
}

func (s *stream) peek() ([]byte, error) {
	b, err := s.r.Peek(tarBlock)
	if err == io.EOF {
		err = nil
	}
	return b, err
}

func (s *stream) pos() int64 { return s.at }
func (s *stream) end() int64 { return -1 }

// tarWalk reads what a tar holds, front to back: files, and links to them. It
// goes on behind the end of an archive where another one follows, as cat makes
// them.
type tarWalk struct {
	in     tarInput
	prefix string         // of names: that of the tar it is in, and a slash
	skip   entry.SkipFunc // names with the prefix
	last   string         // the member at which it is
	found  bool           // there was a member
	dirs   entry.Directories
}

// opening is what a tar.Reader reads from: it looks at the block where the next
// header, or the mark at the end, begins.
type opening struct {
	tarInput
	start int64 // of that block
	data  bool  // a byte of it is not zero
}

func (o *opening) Read(b []byte) (int, error) {
	at := o.pos()
	n, err := o.tarInput.Read(b)
	if from, to := max(o.start-at, 0), min(o.start+tarBlock-at, int64(n)); from < to {
		o.data = o.data || len(bytes.Trim(b[from:to], "\x00")) > 0
	}
	return n, err
}

// Seek is the input's, where it has one.
func (o *opening) Seek(offset int64, whence int) (int64, error) {
	if s, ok := o.tarInput.(io.Seeker); ok {
		return s.Seek(offset, whence)
	}
	return 0, errors.ErrUnsupported
}

// each calls f with every file and link; r reads a file's bytes during the
// call.
func (w *tarWalk) each(ctx context.Context, f func(m *member, r io.Reader) error) error {
	for {
		o := &opening{tarInput: w.in, start: w.in.pos()}
		t := tar.NewReader(o)
		for {
			if err := ctx.Err(); err != nil {
				return err
			}
			h, err := t.Next()
			if err == io.EOF {
				if err := w.ended(o); err != nil {
					return err
				}
				break
			}
			if err != nil {
				return w.damage(err)
			}
			w.found = true
			if o.start, err = w.one(h, t, o.start, f); err != nil {
				return err
			}
			o.data = false
		}
		if more, err := w.gap(); err != nil {
			return err
		} else if !more {
			w.dirs.Tell(w.skip)
			return nil
		}
	}
}

// ended looks at what stands where archive/tar saw the end. It says that also of
// extended headers (PAX's, or GNU's of long names) with nothing behind them.
func (w *tarWalk) ended(o *opening) error {
	switch {
	case o.data:
		return w.damage(fmt.Errorf("an extended header without its member: %w", io.ErrUnexpectedEOF))
	case w.in.pos()-o.start < tarBlock:
		w.skip(w.prefix, noEndMark, false)
	}
	return nil
}

// one calls f with what a header says, which began at start, and gives where
// the next one begins.
func (w *tarWalk) one(h *tar.Header, t *tar.Reader, start int64, f func(*member, io.Reader) error) (next int64, err error) {
	at := w.in.pos()
	m := w.member(h, start)
	next = roundUp(at)
	switch h.Typeflag {
	case tar.TypeLink, tar.TypeSymlink, tar.TypeChar, tar.TypeBlock, tar.TypeFifo, tar.TypeDir: // no bytes, whatever the size
	default:
		next = roundUp(at + h.Size)
	}
	sparse, known := sparseHeader(h)
	sparse = sparse && known
	if m != nil && m.To == "" {
		w.last = m.Name
		if end := w.in.end(); end >= 0 && !sparse && m.Size > end-at {
			return 0, fmt.Errorf("%w: member %s at byte %d: the archive is truncated: %d of its %d bytes are there", entry.ErrCorrupt, m.Name, start, end-at, m.Size)
		}
	}
	if m != nil {
		if err := f(m, t); err != nil {
			return 0, err
		}
	}
	if sparse { // how many bytes there are in the archive, only their end says
		if _, err := io.Copy(io.Discard, t); err != nil {
			return 0, w.damage(err)
		}
		next = roundUp(w.in.pos())
	}
	return next, nil
}

// noEndMark is told of an archive that others read without a word: it was cut
// off between two members, or its writer never closed it.
const noEndMark = "the archive has no mark at its end: if it was cut off there, members are missing"

func roundUp(at int64) int64 { return (at + tarBlock - 1) &^ (tarBlock - 1) }

// damage says where an archive is damaged. Errors of what it is read from stay
// what they are.
func (w *tarWalk) damage(err error) error {
	after := "at its beginning"
	if w.last != "" {
		after = fmt.Sprintf("at byte %d, after member %s", w.in.pos(), w.last)
	}
	if errors.Is(err, entry.ErrCorrupt) { // a decompressor says so
		return fmt.Errorf("%s: %w", after, err)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: %s: the archive is truncated: %w", entry.ErrCorrupt, after, err)
	}
	if errors.Is(err, tar.ErrHeader) || errors.Is(err, tar.ErrFieldTooLong) {
		return fmt.Errorf("%w: %s: %w", entry.ErrCorrupt, after, err)
	}
	return fmt.Errorf("%s: %w", after, err)
}

// member is what a header says, nil where it is nothing to read: that is told,
// but of directories and the archive's own notes.
func (w *tarWalk) member(h *tar.Header, start int64) *member {
	switch h.Typeflag {
	case tar.TypeXGlobalHeader, 'V', 'D': // a volume's label, a directory's contents
		return nil
	}
	name, ok := entry.CleanName(h.Name)
	if h.Typeflag == tar.TypeDir {
		if ok {
			w.dirs.Own(w.prefix + name)
		}
		return nil
	}
	m := &member{Entry: entry.Entry{Name: w.prefix + name, Size: h.Size, Modified: entry.UnixNano(h.ModTime), Place: w.in.pos()}}
	out := func(reason string) *member {
		w.skip(m.Name, reason, entry.ImageName(name))
		return nil
	}
	switch {
	case !ok:
		return out("its name leads out of the archive")
	case entry.Junk(name):
		reason, image := entry.Junked(name)
		w.skip(m.Name, reason, image)
		return nil
	}
	w.dirs.Holds(m.Name)
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeCont, tar.TypeGNUSparse:
		m.Archive = strings.EqualFold(path.Ext(name), ".tar")
		sparse, known := sparseHeader(h)
		switch {
		case !known:
			return out("a sparse file in a format that is not known")
		case sparse && m.Archive:
			w.skip(m.Name, "an archive within the archive that is stored as a sparse file", true)
			return nil
		case sparse:
			m.Place = sparsePlace(start)
		}
	case tar.TypeLink, tar.TypeSymlink:
		to, ok := entry.LinkTarget(path.Dir(name), h.Linkname, h.Typeflag == tar.TypeLink)
		if !ok {
			w.skip(m.Name, "a link out of the archive, to "+h.Linkname, entry.MaybeImages(name))
			return nil
		}
		m.Size, m.To = 0, w.prefix+to
	case tar.TypeChar, tar.TypeBlock:
		return out("a device")
	case tar.TypeFifo:
		return out("a FIFO")
	default:
		return out(fmt.Sprintf("a member of type %q, which is not known", h.Typeflag))
	}
	return m
}

// sparseHeader says whether a header is of a sparse file, and of one that
// archive/tar knows.
func sparseHeader(h *tar.Header) (sparse, known bool) {
	if h.Typeflag == tar.TypeGNUSparse {
		return true, true
	}
	for key := range h.PAXRecords {
		sparse = sparse || strings.HasPrefix(key, "GNU.sparse.")
	}
	major, minor := h.PAXRecords["GNU.sparse.major"], h.PAXRecords["GNU.sparse.minor"]
	switch major + "." + minor {
	case ".", "0.0", "0.1", "1.0":
		return sparse, true
	}
	return sparse, !sparse
}

// gap passes over the end of an archive and says whether another one follows.
// Bytes that are none are told.
func (w *tarWalk) gap() (more bool, err error) {
	from := w.in.pos()
	for {
		b, err := w.in.peek()
		switch {
		case err != nil:
			return false, w.damage(err)
		case len(b) == 0:
			return false, nil
		case len(bytes.Trim(b, "\x00")) > 0:
			if zeros := w.in.pos() - from; zeros > maxGap {
				return false, fmt.Errorf("%w: after member %s: %d zero bytes and then others: a hole", entry.ErrCorrupt, w.last, zeros)
			}
			if isHeader(b) {
				return true, nil
			}
			return false, w.trailing()
		}
		if _, err := io.CopyN(io.Discard, w.in, int64(len(b))); err != nil {
			return false, w.damage(err)
		}
	}
}

// trailing reads bytes behind the end to their own, so that damage to a
// compressed file is seen, and tells how many there were. As many as a member
// has may have been one.
func (w *tarWalk) trailing() error {
	n, err := io.Copy(io.Discard, w.in)
	if err != nil {
		return w.damage(err)
	}
	w.skip(w.prefix, fmt.Sprintf("%d bytes behind the end of the archive that are no tar", n), n > tarBlock)
	return nil
}

// isHeader says whether a block has the checksum of a tar's header. Old writers
// added up signed bytes.
func isHeader(b []byte) bool {
	const from, to = 148, 156
	if len(b) < tarBlock {
		return false
	}
	b = b[:tarBlock]
	want, err := strconv.ParseInt(strings.Trim(string(b[from:to]), " \x00"), 8, 64)
	if err != nil {
		return false
	}
	var unsigned, signed int64
	for i, c := range b {
		if i >= from && i < to {
			c = ' '
		}
		unsigned, signed = unsigned+int64(c), signed+int64(int8(c))
	}
	return (want == unsigned || want == signed) && b[0] != 0
}

// IsTar says whether a file begins as a tar does: with a header, or, where it
// is empty, with its end.
func IsTar(head []byte) bool {
	return isHeader(head) || len(head) >= 2*tarBlock && len(bytes.Trim(head, "\x00")) == 0
}
