package shard

import "encoding/binary"

// Arrow keeps what it says of itself in flatbuffers. These are the few ways of
// looking into one that are needed here; every place is checked, for the bytes
// come from a file. What is not there reads as the default, zero.

var le = binary.LittleEndian

// fbuf is a flatbuffer.
type fbuf []byte

// ftable is a table in a flatbuffer. The zero ftable has no fields.
type ftable struct {
	f  fbuf
	at int // of the table
	vt int // of its vtable
	n  int // bytes of the vtable
}

// table follows the offset that stands at a place.
func (f fbuf) table(at int) (ftable, bool) {
	if at < 0 || at+4 > len(f) {
		return ftable{}, false
	}
	pos := at + int(le.Uint32(f[at:]))
	if pos+4 > len(f) {
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

// field is the place of field i, whose value has so many bytes.
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

func (t ftable) i32(i int) int32 {
	if p, ok := t.field(i, 4); ok {
		return int32(le.Uint32(t.f[p:]))
	}
	return 0
}

func (t ftable) i64(i int) int64 {
	if p, ok := t.field(i, 8); ok {
		return int64(le.Uint64(t.f[p:]))
	}
	return 0
}

// sub is the table that field i refers to.
func (t ftable) sub(i int) (ftable, bool) {
	p, ok := t.field(i, 4)
	if !ok {
		return ftable{}, false
	}
	return t.f.table(p)
}

// vector is the place of the first element of field i, of size bytes each, and
// their number.
func (t ftable) vector(i, size int) (place, n int, ok bool) {
	p, ok := t.field(i, 4)
	if !ok {
		return 0, 0, false
	}
	p += int(le.Uint32(t.f[p:]))
	if p+4 > len(t.f) {
		return 0, 0, false
	}
	n = int(le.Uint32(t.f[p:]))
	if n > (len(t.f)-p-4)/size {
		return 0, 0, false
	}
	return p + 4, n, true
}

func (t ftable) str(i int) string {
	p, n, ok := t.vector(i, 1)
	if !ok {
		return ""
	}
	return string(t.f[p : p+n])
}

// tables are the tables of the vector of field i; none where one is broken.
func (t ftable) tables(i int) []ftable {
	p, n, ok := t.vector(i, 4)
	if !ok {
		return nil
	}
	out := make([]ftable, n)
	for k := range n {
		if out[k], ok = t.f.table(p + 4*k); !ok {
			return nil
		}
	}
	return out
}
