package shard

import (
	"encoding/binary"
	"fmt"
	"io"
)

// Arrow's encapsulated messages, read as far as is needed to know where the
// images of a batch are: Message.fbs and Schema.fbs of the Arrow format,
// version 5, in flatbuffers. Everything is bounds-checked; nothing is trusted.

// message is the head of an encapsulated message.
type message struct {
	kind    byte  // 1: schema, 3: record batch
	body    int64 // place of the body in the file
	end     int64 // place after the body
	rows    int64
	buffers []buffer
}

type buffer struct{ offset, length int64 }

// imageBytesBuffer is the place of image.bytes' data among the buffers of a
// shard's record batch: after the validity of the struct, and the validity and
// offsets of the bytes.
const imageBytesBuffer = 3

const (
	schemaMessage = 1
	batchMessage  = 3
	maxHead       = 16 << 20
)

var magic = []byte("ARROW1\x00\x00")

// parseMessage reads the message that begins at place start of the file and
// whose first bytes are b. Bytes of the file's beginning and of the schema
// before it are passed over when start is 0.
func parseMessage(b []byte, start int64) (message, error) {
	at := int64(0)
	if start == 0 {
		at = int64(len(magic))
		m, err := parseHead(b, at, start)
		if err != nil {
			return m, err
		}
		if m.kind == schemaMessage {
			at = m.end
		}
	}
	return parseHead(b, at, start)
}

// parseHead reads the message whose head is at b[at:].
func parseHead(b []byte, at, start int64) (message, error) {
	var m message
	if at < 0 || at+8 > int64(len(b)) {
		return m, io.ErrUnexpectedEOF
	}
	if le.Uint32(b[at:]) != 0xffffffff {
		return m, corruptf("no message at %d", start+at)
	}
	size := int64(int32(le.Uint32(b[at+4:])))
	if size == 0 {
		return m, io.EOF
	}
	if size < 8 || size > maxHead {
		return m, corruptf("message head of %d bytes at %d", size, start+at)
	}
	if at+8+size > int64(len(b)) {
		return m, io.ErrUnexpectedEOF
	}
	f := fbuf(b[at+8 : at+8+size])
	root, ok := f.table(0)
	if !ok {
		return m, corruptf("message at %d", start+at)
	}
	m.kind = byte(root.u8(1))
	length := root.i64(3)
	m.body = start + at + 8 + size
	m.end = m.body + length
	if length < 0 || length > 1<<40 {
		return m, corruptf("message body of %d bytes at %d", length, m.body)
	}
	if m.kind != batchMessage {
		return m, nil
	}
	header, ok := root.sub(2)
	if !ok {
		return m, corruptf("record batch without a header at %d", start+at)
	}
	m.rows = header.i64(0)
	place, n, ok := header.vector(2, 16)
	if !ok || m.rows < 0 {
		return m, corruptf("record batch header at %d", start+at)
	}
	for i := range n {
		o := place + i*16
		buf := buffer{int64(le.Uint64(f[o:])), int64(le.Uint64(f[o+8:]))}
		if buf.offset < 0 || buf.length < 0 || buf.offset > length || buf.length > length-buf.offset {
			return m, corruptf("buffer %d of the batch at %d lies outside it", i, start+at)
		}
		m.buffers = append(m.buffers, buf)
	}
	if len(m.buffers) <= imageBytesBuffer {
		return m, fmt.Errorf("%w: record batch of %d buffers", ErrCorrupt, len(m.buffers))
	}
	return m, nil
}

// fbuf is a flatbuffer; ftable a table in it.
type fbuf []byte

type ftable struct {
	f  fbuf
	at int // of the table
	vt int // of its vtable
	n  int // bytes of the vtable
}

func (f fbuf) table(at int) (ftable, bool) {
	if at < 0 || at+4 > len(f) {
		return ftable{}, false
	}
	pos := at + int(int32(le.Uint32(f[at:])))
	if pos < 0 || pos+4 > len(f) {
		return ftable{}, false
	}
	vt := pos - int(int32(le.Uint32(f[pos:])))
	if vt < 0 || vt+4 > len(f) {
		return ftable{}, false
	}
	n := int(le.Uint16(f[vt:]))
	if n < 4 || vt+n > len(f) {
		return ftable{}, false
	}
	return ftable{f, pos, vt, n}, true
}

// field is the place of a field's value of the given size; false: default.
func (t ftable) field(i, size int) (int, bool) {
	slot := 4 + 2*i
	if slot+2 > t.n {
		return 0, false
	}
	o := int(le.Uint16(t.f[t.vt+slot:]))
	if o == 0 || t.at+o+size > len(t.f) {
		return 0, false
	}
	return t.at + o, true
}

func (t ftable) u8(i int) byte {
	if p, ok := t.field(i, 1); ok {
		return t.f[p]
	}
	return 0
}

func (t ftable) i64(i int) int64 {
	if p, ok := t.field(i, 8); ok {
		return int64(le.Uint64(t.f[p:]))
	}
	return 0
}

func (t ftable) sub(i int) (ftable, bool) {
	p, ok := t.field(i, 4)
	if !ok {
		return ftable{}, false
	}
	return t.f.table(p)
}

// vector is the place of the first element and the number of them.
func (t ftable) vector(i, size int) (place, n int, ok bool) {
	p, ok := t.field(i, 4)
	if !ok {
		return 0, 0, false
	}
	p += int(int32(le.Uint32(t.f[p:])))
	if p < 0 || p+4 > len(t.f) {
		return 0, 0, false
	}
	n = int(int32(le.Uint32(t.f[p:])))
	if n < 0 || n > (len(t.f)-p-4)/size {
		return 0, 0, false
	}
	return p + 4, n, true
}

var le = binary.LittleEndian
