package infer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/synshard/synshard/shard"
)

// walker finds the messages of a stream.
type Walker struct {
	R       io.ReaderAt
	Size    int64
	Head    []byte // the schema's message and those of dictionaries
	Batches []BatchPlace
	Ended   bool // by the stream's mark
}

type BatchPlace struct{ At, Size, Rows int64 }

// Kinds of MessageHeader.
const (
	headSchema     = 1
	headDictionary = 2
	headBatch      = 3
)

func (w *Walker) Walk() error {
	var magic [8]byte
	at := int64(0)
	if _, err := w.R.ReadAt(magic[:], 0); err == nil && bytes.HasPrefix(magic[:], []byte("ARROW1")) {
		at = 8
	}
	for at+8 <= w.Size {
		var prefix [8]byte
		if _, err := w.R.ReadAt(prefix[:], at); err != nil {
			return err
		}
		meta := int64(int32(binary.LittleEndian.Uint32(prefix[4:])))
		if binary.LittleEndian.Uint32(prefix[:]) != 0xffffffff || meta == 0 {
			w.Ended = meta == 0
			break // the end of the stream, or a file's footer
		}
		if meta < 8 || at+8+meta > w.Size {
			return fmt.Errorf("%w: message of %d bytes at %d", shard.ErrCorrupt, meta, at)
		}
		b := make([]byte, meta)
		if _, err := w.R.ReadAt(b, at+8); err != nil {
			return err
		}
		m, err := parseMessage(b)
		if err != nil {
			return fmt.Errorf("%w: message at %d: %w", shard.ErrCorrupt, at, err)
		}
		end := at + 8 + meta + m.body
		if m.body < 0 || end < at || end > w.Size {
			return fmt.Errorf("%w: message at %d ends after the file", shard.ErrCorrupt, at)
		}
		if err := w.take(m, at, end); err != nil {
			return err
		}
		at = end
	}
	if len(w.Head) == 0 {
		return fmt.Errorf("%w: no Arrow file or stream", shard.ErrCorrupt)
	}
	return nil
}

func (w *Walker) take(m message, at, end int64) error {
	switch m.kind {
	case headSchema, headDictionary:
		b := make([]byte, end-at)
		if _, err := w.R.ReadAt(b, at); err != nil {
			return err
		}
		w.Head = append(w.Head, b...)
	case headBatch:
		if m.rows < 0 || m.rows > w.Size {
			return fmt.Errorf("%w: record batch at %d of %d rows", shard.ErrCorrupt, at, m.rows)
		}
		w.Batches = append(w.Batches, BatchPlace{at, end - at, m.rows})
	}
	return nil
}

// message is what matters of a Message of Arrow's format.
type message struct {
	kind       byte
	body, rows int64
}

// parseMessage reads the flatbuffer: Message {0 version, 1 header's kind,
// 2 header, 3 length of the body}, RecordBatch {0 length}.
func parseMessage(b []byte) (m message, err error) {
	root, err := fbTable(b, 0)
	if err != nil {
		return m, err
	}
	if at := root.field(1); at > 0 && at < len(b) {
		m.kind = b[at]
	}
	if m.body, err = root.int64(3); err != nil {
		return m, err
	}
	at := root.field(2)
	if at <= 0 {
		return m, errors.New("no header")
	}
	head, err := fbTable(b, at)
	if err != nil {
		return m, err
	}
	switch m.kind {
	case headSchema:
		return m, head.checkTables(1, 2, 0)
	case headBatch:
		if _, _, err = head.vector(1, 16); err == nil {
			_, _, err = head.vector(2, 16)
		}
		if err == nil {
			m.rows, err = head.int64(0)
		}
	}
	return m, err
}

// vector is where a field's vector begins and how many elements of so many
// bytes it has. Arrow's reader makes room for as many as are announced.
func (t flatTable) vector(i, size int) (at, n int, err error) {
	if at = t.field(i); at == 0 {
		return 0, 0, nil
	}
	if at < 0 || at+4 > len(t.b) {
		return 0, 0, errFlatbuffer
	}
	at += int(binary.LittleEndian.Uint32(t.b[at:]))
	if at < 0 || at+4 > len(t.b) {
		return 0, 0, errFlatbuffer
	}
	if n = int(binary.LittleEndian.Uint32(t.b[at:])); n > (len(t.b)-at-4)/size {
		return 0, 0, errFlatbuffer
	}
	return at + 4, n, nil
}

// checkTables checks the vectors of a schema, or a field, and of the fields
// below it: 1 fields and 2 metadata of the one, 5 children and 6 metadata of
// the other.
func (t flatTable) checkTables(fields, metadata, depth int) error {
	if depth > 16 {
		return errFlatbuffer
	}
	if _, _, err := t.vector(metadata, 4); err != nil {
		return err
	}
	at, n, err := t.vector(fields, 4)
	for i := 0; i < n && err == nil; i++ {
		var child flatTable
		if child, err = fbTable(t.b, at+4*i); err == nil {
			err = child.checkTables(5, 6, depth+1)
		}
	}
	return err
}

// flatTable is a table of a flatbuffer.
type flatTable struct {
	b      []byte
	at, vt int
}

var errFlatbuffer = errors.New("malformed flatbuffer")

// fbTable follows the offset at a place to a table.
func fbTable(b []byte, at int) (flatTable, error) {
	if at < 0 || at+4 > len(b) {
		return flatTable{}, errFlatbuffer
	}
	t := flatTable{b: b, at: at + int(binary.LittleEndian.Uint32(b[at:]))}
	if t.at < 0 || t.at+4 > len(b) {
		return t, errFlatbuffer
	}
	t.vt = t.at - int(int32(binary.LittleEndian.Uint32(b[t.at:])))
	if t.vt < 0 || t.vt+4 > len(b) {
		return t, errFlatbuffer
	}
	return t, nil
}

// field is where a field lies; 0: it is not there.
func (t flatTable) field(i int) int {
	size, at := int(binary.LittleEndian.Uint16(t.b[t.vt:])), 4+2*i
	if at+2 > size || t.vt+at+2 > len(t.b) {
		return 0
	}
	offset := int(binary.LittleEndian.Uint16(t.b[t.vt+at:]))
	if offset == 0 {
		return 0
	}
	return t.at + offset
}

func (t flatTable) int64(i int) (int64, error) {
	at := t.field(i)
	if at == 0 {
		return 0, nil
	}
	if at < 0 || at+8 > len(t.b) {
		return 0, errFlatbuffer
	}
	return int64(binary.LittleEndian.Uint64(t.b[at:])), nil
}

// bounded is an allocator that no damaged length can make take all memory: a
// buffer of more than a file's bytes, unpacked a hundred times, is a panic,
// which guarded turns into damage.
func Bounded(size int64) memory.Allocator { return limit{memory.DefaultAllocator, 100*size + 1<<20} }

type limit struct {
	memory.Allocator
	most int64
}

func (l limit) Allocate(n int) []byte {
	l.check(n)
	return l.Allocator.Allocate(n)
}

func (l limit) Reallocate(n int, b []byte) []byte {
	l.check(n)
	return l.Allocator.Reallocate(n, b)
}

func (l limit) check(n int) {
	if int64(n) > l.most {
		panic(fmt.Sprintf("a buffer of %d bytes", n))
	}
}

// guarded turns a panic of a reader, which damage can cause, into an error.
func Guarded(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", shard.ErrCorrupt, p)
		}
	}()
	return f()
}
