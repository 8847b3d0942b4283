// Package arrowipc reads Arrow's IPC files and streams, whatever bytes they
// hold: every length and offset is checked before it is used, so that damage
// ends in an error that is ErrCorrupt, never in a panic or in the machine's
// memory. Arrow's own reader is not used: a flipped byte can end it.
//
// A file (its name may end in .arrow, .ipc or .feather) is read by its footer,
// as its schema may stand there alone; a stream by its messages. Columns come
// as Arrow's arrays whose offsets have been checked: looking at any of their
// values cannot fail.
package arrowipc

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"sync"

	"github.com/apache/arrow/go/v15/arrow"
)

var (
	// ErrCorrupt marks bytes that are not what was written.
	ErrCorrupt = errors.New("data corrupt")
	// ErrUnsupported marks what is sound and not read here: its text names it.
	ErrUnsupported = errors.New("not supported")
)

func corruptf(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, ErrCorrupt)...)
}

func unsupportedf(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, ErrUnsupported)...)
}

// guard calls f and turns a panic in it into an error that is ErrCorrupt. It is
// for calls into Arrow's library over what a file holds; a panic in another
// goroutine cannot be caught.
func guard(f func() error) (err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case runtime.Error: // it tells of the library's code alone
			err = corruptf("its lengths and what is there do not fit")
		default:
			err = corruptf("%v", p)
		}
	}()
	return f()
}

// Batch is the place of a record batch.
type Batch struct {
	Rows int64 // how many it has
	At   int64 // offset of its message in the file
	Body int64 // offset of its columns' bytes in the file
	Size int64 // how many these are
}

// File is an Arrow file or stream whose messages have been found. It may be
// used from many goroutines.
type File struct {
	// Stream says that it is a stream, without a footer. Ended says that it has
	// its end: a file always, a stream where its mark is there. Without the mark
	// it may have been cut between two messages.
	Stream, Ended bool

	in      io.ReaderAt
	mem     []byte // all of it, where it is in memory
	size    int64
	end     int64 // where messages end: a file's footer
	schema  *arrow.Schema
	fields  []field
	batches []Batch

	mu           sync.Mutex
	dictionaries map[int64][]*dictionary // by id, in order
}

// Open finds the schema and the record batches of a file or stream of size
// bytes. What is no Arrow, or damaged, is ErrCorrupt; a Feather file of version
// 1 and big-endian numbers are ErrUnsupported. in is read as long as the File
// is used.
func Open(in io.ReaderAt, size int64) (*File, error) { return open(&File{in: in, size: size}) }

// OpenBytes is Open of what is in memory: arrays are slices of b.
func OpenBytes(b []byte) (*File, error) {
	return open(&File{in: bytes.NewReader(b), mem: b, size: int64(len(b))})
}

var (
	magic   = []byte("ARROW1")
	feather = []byte("FEA1")
)

// Magic says whether the first bytes of something are an Arrow file's or an
// Arrow stream's; 8 bytes are enough to tell.
func Magic(head []byte) bool {
	return bytes.HasPrefix(head, magic) || bytes.HasPrefix(head, feather) ||
		len(head) >= 8 && le.Uint32(head) == continuation && le.Uint32(head[4:]) > 0 && le.Uint32(head[4:]) < 1<<28
}

func open(f *File) (*File, error) {
	f.dictionaries = map[int64][]*dictionary{}
	if err := guard(f.find); err != nil {
		return nil, err
	}
	return f, nil
}

// find finds schema and messages.
func (f *File) find() error {
	var head [8]byte
	n := min(f.size, int64(len(head)))
	if err := readFull(f.in, head[:n], 0); err != nil {
		return err
	}
	switch {
	case bytes.HasPrefix(head[:n], feather):
		return unsupportedf("a Feather file of version 1 (write it anew as Feather 2, which is Arrow)")
	case bytes.HasPrefix(head[:n], magic):
		return f.readFooter()
	case n == 0:
		return corruptf("no bytes: not an Arrow file or stream")
	}
	f.Stream = true
	return f.walk()
}

// Schema is the schema, with its metadata. A field of a type that Record
// refuses has a type whose name says so.
func (f *File) Schema() *arrow.Schema { return f.schema }

// Metadata is the value of a key of the schema's metadata, "" where there is none.
func (f *File) Metadata(key string) string {
	v, _ := f.schema.Metadata().GetValue(key)
	return v
}

// Batches lists the record batches in order.
func (f *File) Batches() []Batch { return f.batches }

// Rows is the number of rows of all batches.
func (f *File) Rows() (n int64) {
	for _, b := range f.batches {
		n += b.Rows
	}
	return n
}

func readFull(r io.ReaderAt, b []byte, at int64) error {
	n, err := r.ReadAt(b, at)
	if n == len(b) {
		return nil
	}
	if err == io.EOF {
		return corruptf("the file ends within %d bytes at %d", len(b), at)
	}
	return fmt.Errorf("read %d bytes at %d: %w", len(b), at, err)
}

// bytes gives n bytes at a place that has been checked: in memory a slice of
// it, else read into *buf, or where that is nil or too small into new memory.
func (f *File) bytes(at, n int64, buf *[]byte) ([]byte, error) {
	if f.mem != nil {
		return f.mem[at : at+n], nil
	}
	var b []byte
	if buf != nil {
		b = *buf
	}
	if int64(cap(b)) < n {
		b = make([]byte, n)
	}
	if buf != nil {
		*buf = b
	}
	b = b[:n]
	return b, readFull(f.in, b, at)
}

// readFooter reads a file's footer: root of a Footer {1 schema, 2 dictionaries,
// 3 record batches}.
func (f *File) readFooter() error {
	const head, tail = 8, 4 + 6
	if f.size < head+tail {
		return corruptf("%d bytes are not an Arrow file", f.size)
	}
	var end [tail]byte
	if err := readFull(f.in, end[:], f.size-tail); err != nil {
		return err
	}
	if !bytes.Equal(end[4:], magic) {
		return corruptf("it does not end as an Arrow file")
	}
	n := int64(le.Uint32(end[:]))
	if n < 8 || n > f.size-head-tail {
		return corruptf("footer of %d bytes in a file of %d", n, f.size)
	}
	f.end, f.Ended = f.size-tail-n, true
	b, err := f.bytes(f.end, n, nil)
	if err != nil {
		return err
	}
	root, ok := flat(b).table(0)
	if !ok {
		return corruptf("footer")
	}
	schema, ok := root.sub(1)
	if !ok {
		return corruptf("footer without a schema")
	}
	if f.fields, f.schema, err = readSchema(schema); err != nil {
		return err
	}
	for _, kind := range []byte{headDictionary, headBatch} { // whose blocks are the fields of these numbers
		place, n := root.vector(int(kind), 24)
		if n < 0 {
			return corruptf("footer without %s", headNames[kind])
		}
		for i := range n {
			p := root.f[place+24*i:]
			at, meta, body := int64(le.Uint64(p)), int64(int32(le.Uint32(p[8:]))), int64(le.Uint64(p[16:]))
			if at < head || meta < 8 || body < 0 || at > f.end || meta > f.end-at || body > f.end-at-meta {
				return corruptf("%s %d lies outside the file", headNames[kind], i)
			}
			m, err := f.message(at, at+meta)
			if err != nil {
				return err
			}
			if m.kind != kind || m.body != body {
				return corruptf("the message at %d is not a %s of %d bytes", at, headNames[kind], body)
			}
			if err := f.take(m, Batch{At: at, Body: at + meta, Size: body}); err != nil {
				return err
			}
		}
	}
	return nil
}

// CheckFront wants the schema at a file's front, by which the file is read as a
// stream, to be that of its footer, by which it is read here: of single damage
// to either it is the only witness.
func (f *File) CheckFront() error {
	if f.Stream {
		return nil
	}
	return guard(func() error {
		m, err := f.message(8, f.end)
		if err != nil {
			return err
		}
		if m.kind != headSchema {
			return corruptf("no schema at the front")
		}
		_, front, err := readSchema(m.head)
		if err != nil {
			return err
		}
		a, b := front.Metadata(), f.schema.Metadata()
		if !front.Equal(f.schema) || !slices.Equal(a.Keys(), b.Keys()) || !slices.Equal(a.Values(), b.Values()) {
			return corruptf("the schemas at its front and at its end differ")
		}
		return nil
	})
}

// continuation begins a message since Arrow 0.15.
const continuation = 0xffffffff

// Kinds of a message's head.
const (
	headSchema     = 1
	headDictionary = 2
	headBatch      = 3
)

var headNames = map[byte]string{headSchema: "schema", headDictionary: "dictionary", headBatch: "record batch"}

// message is a Message {0 version, 1 kind of head, 2 head, 3 bytes of body}.
type message struct {
	kind byte
	head table
	body int64
	end  int64 // where the message ends and its body begins
}

// message reads the message at a place, which ends at limit at most. A message
// of no bytes, a stream's end, has kind 0.
func (f *File) message(at, limit int64) (m message, err error) {
	var prefix [8]byte
	k := min(limit-at, int64(len(prefix)))
	if err := readFull(f.in, prefix[:max(k, 0)], at); err != nil {
		return m, err
	}
	from, n := at+4, int64(le.Uint32(prefix[:]))
	if n == continuation {
		from, n = at+8, int64(le.Uint32(prefix[4:]))
	}
	switch {
	case k < 4 || from > limit:
		return m, corruptf("the message at %d is cut short", at)
	case n == 0:
		m.end = from
		return m, nil
	case n < 8 || n > limit-from:
		return m, corruptf("message of %d bytes at %d", n, at)
	}
	b, err := f.bytes(from, n, nil)
	if err != nil {
		return m, err
	}
	root, ok := flat(b).table(0)
	if !ok {
		return m, corruptf("no message at %d", at)
	}
	if v := root.i16(0, 0); v < 3 || v > 4 { // V4 since Arrow 0.8, V5 since 1.0
		return m, corruptf("the message at %d has version %d", at, v+1)
	}
	m.kind, m.body, m.end = root.u8(1), root.i64(3), from+n
	if m.head, ok = root.sub(2); !ok || m.body < 0 {
		return m, corruptf("the message at %d has no head", at)
	}
	return m, nil
}

// walk goes through a stream from message to message.
func (f *File) walk() error {
	f.end = f.size
	at := int64(0)
	for at < f.size {
		m, err := f.message(at, f.size)
		if err != nil {
			return err
		}
		switch {
		case m.kind == 0:
			if f.Ended = true; m.end != f.size {
				return corruptf("%d bytes follow the end of the stream", f.size-m.end)
			}
		case m.body > f.size-m.end:
			return corruptf("the message at %d ends after the stream", at)
		case m.kind == headSchema && f.schema == nil:
			f.fields, f.schema, err = readSchema(m.head)
		case f.schema == nil:
			return corruptf("the stream does not begin with a schema")
		default:
			err = f.take(m, Batch{At: at, Body: m.end, Size: m.body})
		}
		if err != nil {
			return err
		}
		at = m.end + m.body
	}
	if f.schema == nil {
		return corruptf("not an Arrow file or stream")
	}
	return nil
}

// take notes a record batch or a dictionary.
func (f *File) take(m message, b Batch) error {
	switch m.kind {
	case headBatch:
		if b.Rows = m.head.i64(0); b.Rows < 0 || b.Rows > math.MaxInt32 {
			return corruptf("record batch at %d of %d rows", b.At, b.Rows)
		}
		f.batches = append(f.batches, b)
	case headDictionary:
		id := m.head.i64(0)
		d := &dictionary{place: b, delta: m.head.u8(2) != 0, before: len(f.batches)}
		f.dictionaries[id] = append(f.dictionaries[id], d)
	default:
		return unsupportedf("the message at %d: a tensor or a second schema (kind %d)", b.At, m.kind)
	}
	return nil
}
