package shard

import (
	"bytes"
	"fmt"
	"io"

	"github.com/apache/arrow/go/v15/arrow"
)

// The reader of Arrow IPC files: footer, schema, record batches. It reads what
// this package writes and what any writer would make of the same schema without
// compression. Whatever the bytes, it ends in an error that is ErrCorrupt at
// worst and takes no more memory than the file has bytes.

const (
	messageVersion  = 4 // V5 of MetadataVersion
	headRecordBatch = 3 // of MessageHeader
)

var magic = []byte("ARROW1")

// ipcFile is the footer of a file.
type ipcFile struct {
	r      io.ReaderAt
	size   int64
	meta   map[string]string
	blocks []block
}

// block is the place of a record batch.
type block struct{ at, head, body int64 }

// openIPC reads the footer and holds the schema to fields.
func openIPC(r io.ReaderAt, size int64, fields []arrow.Field) (*ipcFile, error) {
	const ends = 8 + 4 + 6
	if size < ends {
		return nil, corruptf("%d bytes are no Arrow file", size)
	}
	var head [8]byte
	var tail [10]byte
	if err := readFull(r, head[:], 0); err != nil {
		return nil, err
	}
	if err := readFull(r, tail[:], size-int64(len(tail))); err != nil {
		return nil, err
	}
	if !bytes.HasPrefix(head[:], magic) {
		return nil, corruptf("it does not begin as an Arrow file")
	}
	if !bytes.Equal(tail[4:], magic) {
		return nil, corruptf("it does not end as an Arrow file")
	}
	n := int64(le.Uint32(tail[:]))
	if n < 8 || n > size-ends {
		return nil, corruptf("footer of %d bytes in a file of %d", n, size)
	}
	footer := make(fbuf, n)
	if err := readFull(r, footer, size-int64(len(tail))-n); err != nil {
		return nil, err
	}
	f := &ipcFile{r: r, size: size}
	if err := f.parseFooter(footer, size-int64(len(tail))-n, fields); err != nil {
		return nil, err
	}
	return f, nil
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

func (f *ipcFile) parseFooter(footer fbuf, end int64, fields []arrow.Field) error {
	root, ok := footer.table(0)
	if !ok {
		return corruptf("footer")
	}
	schema, ok := root.sub(1)
	if !ok {
		return corruptf("footer without a schema")
	}
	if schema.u8(0) != 0 {
		return corruptf("numbers are big-endian")
	}
	have := schema.tables(1)
	if len(have) != len(fields) {
		return corruptf("%d columns, want %d", len(have), len(fields))
	}
	for i, want := range fields {
		if !sameField(have[i], want) {
			return corruptf("column %d is not %s %s", i, want.Name, want.Type)
		}
	}
	f.meta = map[string]string{}
	for _, kv := range schema.tables(2) {
		f.meta[kv.str(0)] = kv.str(1)
	}
	place, n, ok := root.vector(3, 24)
	if !ok && n != 0 {
		return corruptf("footer without record batches")
	}
	for i := range n {
		p := footer[place+24*i:]
		b := block{int64(le.Uint64(p)), int64(int32(le.Uint32(p[8:]))), int64(le.Uint64(p[16:]))}
		if b.at < 8 || b.head < 16 || b.body < 0 || b.at > end || b.head > end-b.at || b.body > end-b.at-b.head {
			return corruptf("record batch %d lies outside the file", i)
		}
		f.blocks = append(f.blocks, b)
	}
	return nil
}

// sameField compares a field of a footer with a field of ours.
func sameField(t ftable, want arrow.Field) bool {
	const (
		typeInt             = 2
		typeBinary          = 4
		typeUtf8            = 5
		typeList            = 12
		typeStruct          = 13
		typeFixedSizeBinary = 15
	)
	if t.str(0) != want.Name {
		return false
	}
	if _, dictionary := t.sub(4); dictionary {
		return false
	}
	kind, children := t.u8(2), t.tables(5)
	detail, _ := t.sub(3)
	switch w := want.Type.(type) {
	case *arrow.Int32Type:
		return kind == typeInt && detail.i32(0) == 32 && detail.u8(1) == 1
	case *arrow.Uint32Type:
		return kind == typeInt && detail.i32(0) == 32 && detail.u8(1) == 0
	case *arrow.Int64Type:
		return kind == typeInt && detail.i32(0) == 64 && detail.u8(1) == 1
	case *arrow.StringType:
		return kind == typeUtf8
	case *arrow.BinaryType:
		return kind == typeBinary
	case *arrow.FixedSizeBinaryType:
		return kind == typeFixedSizeBinary && int(detail.i32(0)) == w.ByteWidth
	case *arrow.ListType:
		return kind == typeList && len(children) == 1 && sameField(children[0], w.ElemField())
	case *arrow.StructType:
		if kind != typeStruct || len(children) != len(w.Fields()) {
			return false
		}
		for i, c := range children {
			if !sameField(c, w.Field(i)) {
				return false
			}
		}
		return true
	}
	return false
}

// head reads the message of batch k, without its body.
func (f *ipcFile) head(k int) (ftable, error) {
	b := f.blocks[k]
	raw := make([]byte, b.head)
	if err := readFull(f.r, raw, b.at); err != nil {
		return ftable{}, err
	}
	n := int64(le.Uint32(raw[4:]))
	if le.Uint32(raw) != 0xffffffff || n < 8 || n > b.head-8 {
		return ftable{}, corruptf("no message at %d", b.at)
	}
	root, ok := fbuf(raw[8 : 8+n]).table(0)
	if !ok || root.u8(0) != messageVersion || root.u8(1) != headRecordBatch || root.i64(3) != b.body {
		return ftable{}, corruptf("the message at %d is no record batch of %d bytes", b.at, b.body)
	}
	batch, ok := root.sub(2)
	if !ok || batch.i64(0) < 0 {
		return ftable{}, corruptf("record batch at %d", b.at)
	}
	if _, compressed := batch.sub(3); compressed {
		return ftable{}, corruptf("the record batch at %d is compressed", b.at)
	}
	return batch, nil
}

// batch is a record batch whose columns are slices of body.
type batch struct {
	rows    int
	at      int64 // place of the body in the file
	columns []column
}

// batch reads batch k, whose body is read into buf where it fits.
func (f *ipcFile) batch(k int, fields []arrow.Field, buf []byte) (*batch, []byte, error) {
	head, err := f.head(k)
	if err != nil {
		return nil, buf, err
	}
	b := f.blocks[k]
	if int64(cap(buf)) < b.body {
		buf = make([]byte, b.body)
	}
	buf = buf[:b.body]
	out := &batch{at: b.at + b.head}
	if err := readFull(f.r, buf, out.at); err != nil {
		return nil, buf, err
	}
	if err := out.decode(head, buf, fields); err != nil {
		return nil, buf, fmt.Errorf("record batch %d: %w", k, err)
	}
	return out, buf, nil
}

func (b *batch) decode(head ftable, body []byte, fields []arrow.Field) error {
	d := decoder{f: head.f, body: body}
	var ok1, ok2 bool
	d.nodes, d.nodesLeft, ok1 = head.vector(1, 16)
	d.buffers, d.buffersLeft, ok2 = head.vector(2, 16)
	rows := head.i64(0)
	if !ok1 || !ok2 || rows > int64(len(body)) { // every row has bytes in some column
		return corruptf("%d rows in %d bytes", rows, len(body))
	}
	b.rows = int(rows)
	b.columns = make([]column, len(fields))
	for i, field := range fields {
		if err := d.column(&b.columns[i], field.Type, b.rows); err != nil {
			return fmt.Errorf("column %s: %w", field.Name, err)
		}
	}
	return nil
}
