package arrowipc

import "encoding/binary"

// Arrow keeps what it says of itself in flatbuffers. These are the few ways of
// looking into one that are needed here; every place is checked, for the bytes
// come from a file. What is not there reads as the default.

var le = binary.LittleEndian

// flat is a flatbuffer.
type flat []byte

// table is a table in a flatbuffer. The zero table has no fields.
type table struct {
	f  flat
	at int // of the table
	vt int // of its vtable
	n  int // bytes of the vtable
}

// table follows the offset that stands at a place.
func (f flat) table(at int) (table, bool) {
	if at < 0 || at+4 > len(f) {
		return table{}, false
	}
	pos := at + int(le.Uint32(f[at:]))
	if pos+4 > len(f) {
		return table{}, false
	}
	vt := pos - int(int32(le.Uint32(f[pos:])))
	if vt < 0 || vt+4 > len(f) {
		return table{}, false
	}
	n := int(le.Uint16(f[vt:]))
	if n < 4 || vt+n > len(f) {
		return table{}, false
	}
	return table{f, pos, vt, n}, true
}

// field is the place of field i, whose value has so many bytes.
func (t table) field(i, size int) (int, bool) {
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

func (t table) u8(i int) byte {
	if p, ok := t.field(i, 1); ok {
		return t.f[p]
	}
	return 0
}

func (t table) i16(i int, otherwise int16) int16 {
	if p, ok := t.field(i, 2); ok {
		return int16(le.Uint16(t.f[p:]))
	}
	return otherwise
}

func (t table) i32(i int, otherwise int32) int32 {
	if p, ok := t.field(i, 4); ok {
		return int32(le.Uint32(t.f[p:]))
	}
	return otherwise
}

func (t table) i64(i int) int64 {
	if p, ok := t.field(i, 8); ok {
		return int64(le.Uint64(t.f[p:]))
	}
	return 0
}

// sub is the table that field i refers to.
func (t table) sub(i int) (table, bool) {
	p, ok := t.field(i, 4)
	if !ok {
		return table{}, false
	}
	return t.f.table(p)
}

// vector is the place of the first element of field i, of size bytes each, and
// their number: 0 of none, -1 of one that does not lie in the flatbuffer.
func (t table) vector(i, size int) (place, n int) {
	p, ok := t.field(i, 4)
	if !ok {
		return 0, 0
	}
	p += int(le.Uint32(t.f[p:]))
	if p+4 > len(t.f) {
		return 0, -1
	}
	n = int(le.Uint32(t.f[p:]))
	if n > (len(t.f)-p-4)/size {
		return 0, -1
	}
	return p + 4, n
}

func (t table) str(i int) string {
	p, n := t.vector(i, 1)
	if n <= 0 {
		return ""
	}
	return string(t.f[p : p+n])
}

// tables are the tables of the vector of field i; ok is false where one is
// broken.
func (t table) tables(i int) (out []table, ok bool) {
	p, n := t.vector(i, 4)
	if n < 0 {
		return nil, false
	}
	for k := range n {
		one, ok := t.f.table(p + 4*k)
		if !ok {
			return nil, false
		}
		out = append(out, one)
	}
	return out, true
}
