package arrowipc

import (
	"github.com/apache/arrow/go/v15/arrow"
)

// layout is how a column's values lie in buffers, after that of validity.
type layout int

const (
	layoutNull     layout = iota // no buffers, not even of validity
	layoutFixed                  // values of so many bits
	layoutText                   // 32-bit offsets, bytes
	layoutLarge                  // 64-bit offsets, bytes
	layoutView                   // views of 16 bytes, any number of buffers
	layoutList                   // 32-bit offsets, a child
	layoutBigList                // 64-bit offsets, a child
	layoutRuns                   // a child, so many values a row
	layoutStruct                 // children
	layoutListView               // offsets, sizes, a child
	layoutSparse                 // union: types and no validity, children
	layoutDense                  // union: types, offsets and no validity, children
	layoutEncoded                // run ends: no buffers, two children
)

// field is a column of the schema and how it lies in a batch.
type field struct {
	arrow.Field
	layout layout
	bits   int // of a value, or values a row
	kids   []field
	// Of a column of numbers that stand for values of a dictionary: the
	// dictionary's, and the column that it is.
	dictionary int64
	values     *field
}

// unread is the type of columns that cannot be read here.
type unread struct {
	arrow.NullType
	name string
}

func (u *unread) Name() string   { return u.name }
func (u *unread) String() string { return u.name + " (not supported)" }

// schemaReader bounds what a schema may make: no deeper than people nest, and
// no more fields than a flatbuffer has room for, since tables may be shared.
type schemaReader struct{ left int }

const maxDepth = 32

// readSchema reads a Schema {0 endianness, 1 fields, 2 metadata}.
func readSchema(t table) ([]field, *arrow.Schema, error) {
	if t.i16(0, 0) != 0 {
		return nil, nil, unsupportedf("numbers are big-endian")
	}
	tables, ok := t.tables(1)
	if !ok {
		return nil, nil, corruptf("schema's fields")
	}
	r := schemaReader{left: len(t.f) / 16}
	fields, err := r.fields(tables, 0)
	if err != nil {
		return nil, nil, err
	}
	list := make([]arrow.Field, len(fields))
	for i := range fields {
		list[i] = fields[i].Field
	}
	md, ok := metadata(t, 2)
	if !ok {
		return nil, nil, corruptf("schema's metadata")
	}
	return fields, arrow.NewSchema(list, &md), nil
}

// metadata reads a vector of KeyValue {0 key, 1 value}.
func metadata(t table, i int) (arrow.Metadata, bool) {
	pairs, ok := t.tables(i)
	var keys, values []string
	for _, p := range pairs {
		keys, values = append(keys, p.str(0)), append(values, p.str(1))
	}
	return arrow.NewMetadata(keys, values), ok
}

func (r *schemaReader) fields(tables []table, depth int) ([]field, error) {
	if r.left -= len(tables); r.left < 0 || depth > maxDepth {
		return nil, corruptf("schema of more fields than it has bytes for")
	}
	out := make([]field, len(tables))
	for i, t := range tables {
		if err := r.field(&out[i], t, depth); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// field reads a Field {0 name, 1 nullable, 2 kind of type, 3 type, 4
// dictionary, 5 children, 6 metadata}.
func (r *schemaReader) field(f *field, t table, depth int) error {
	f.Name, f.Nullable = t.str(0), t.u8(1) != 0
	children, ok := t.tables(5)
	if !ok {
		return corruptf("children of column %q", f.Name)
	}
	var err error
	if f.kids, err = r.fields(children, depth+1); err != nil {
		return err
	}
	if f.Metadata, ok = metadata(t, 6); !ok {
		return corruptf("metadata of column %q", f.Name)
	}
	detail, ok := t.sub(3)
	if !ok {
		return corruptf("type of column %q", f.Name)
	}
	if !f.simple(t.u8(2), detail) && !f.nested(t.u8(2), detail) {
		return corruptf("type of column %q: kind %d with %d children", f.Name, t.u8(2), len(f.kids))
	}
	if d, ok := t.sub(4); ok {
		return f.encode(d)
	}
	return nil
}

// encode makes the field one of a dictionary: DictionaryEncoding {0 id, 1 type
// of the indices, 2 ordered}.
func (f *field) encode(d table) error {
	var index field
	if t, ok := d.sub(1); !ok {
		index.fixed(arrow.PrimitiveTypes.Int32) // the default
	} else if !index.simple(kindInt, t) {
		return corruptf("indices of column %q", f.Name)
	}
	values := *f
	f.values, f.dictionary = &values, d.i64(0)
	f.layout, f.bits, f.kids = layoutFixed, index.bits, nil
	f.Type = &arrow.DictionaryType{IndexType: index.Type, ValueType: values.Type, Ordered: d.u8(2) != 0}
	return nil
}

// Kinds of a type, numbered as the format does.
const (
	kindNull = iota + 1
	kindInt
	kindFloat
	kindBinary
	kindUtf8
	kindBool
	kindDecimal
	kindDate
	kindTime
	kindTimestamp
	kindInterval
	kindList
	kindStruct
	kindUnion
	kindFixedBinary
	kindFixedList
	kindMap
	kindDuration
	kindLargeBinary
	kindLargeUtf8
	kindLargeList
	kindRunEnd
	kindBinaryView
	kindUtf8View
	kindListView
	kindLargeListView
)

func (f *field) fixed(t arrow.DataType) bool {
	f.Type, f.layout, f.bits = t, layoutFixed, t.(arrow.FixedWidthDataType).BitWidth()
	return true
}

func (f *field) is(t arrow.DataType, l layout) bool {
	f.Type, f.layout = t, l
	return true
}

// unit is a type's unit of time, field i of its table; seconds to nanoseconds.
func unit(t table, i int, otherwise int16) (arrow.TimeUnit, bool) {
	u := t.i16(i, otherwise)
	return arrow.TimeUnit(u), u >= 0 && u <= 3
}

// simple gives the field its type where that is one without children, with the
// fields of its table, and their defaults, as the format has them.
func (f *field) simple(kind byte, t table) bool {
	switch kind {
	case kindNull:
		return f.is(arrow.Null, layoutNull)
	case kindInt:
		return f.integer(t.i32(0, 0), t.u8(1) != 0)
	case kindFloat:
		switch t.i16(0, 0) {
		case 0:
			return f.fixed(arrow.FixedWidthTypes.Float16)
		case 1:
			return f.fixed(arrow.PrimitiveTypes.Float32)
		case 2:
			return f.fixed(arrow.PrimitiveTypes.Float64)
		}
	case kindBinary:
		return f.is(arrow.BinaryTypes.Binary, layoutText)
	case kindUtf8:
		return f.is(arrow.BinaryTypes.String, layoutText)
	case kindLargeBinary:
		return f.is(arrow.BinaryTypes.LargeBinary, layoutLarge)
	case kindLargeUtf8:
		return f.is(arrow.BinaryTypes.LargeString, layoutLarge)
	case kindBinaryView:
		return f.is(arrow.BinaryTypes.BinaryView, layoutView)
	case kindUtf8View:
		return f.is(arrow.BinaryTypes.StringView, layoutView)
	case kindBool:
		return f.fixed(arrow.FixedWidthTypes.Boolean)
	case kindFixedBinary:
		if n := t.i32(0, 0); n > 0 && n < 1<<24 {
			return f.fixed(&arrow.FixedSizeBinaryType{ByteWidth: int(n)})
		}
	case kindDecimal:
		switch p, s := t.i32(0, 0), t.i32(1, 0); t.i32(2, 128) {
		case 128:
			return f.fixed(&arrow.Decimal128Type{Precision: p, Scale: s})
		case 256:
			return f.fixed(&arrow.Decimal256Type{Precision: p, Scale: s})
		}
	default:
		return f.time(kind, t)
	}
	return false
}

func (f *field) integer(bits int32, signed bool) bool {
	types := map[int32][2]arrow.DataType{
		8:  {arrow.PrimitiveTypes.Uint8, arrow.PrimitiveTypes.Int8},
		16: {arrow.PrimitiveTypes.Uint16, arrow.PrimitiveTypes.Int16},
		32: {arrow.PrimitiveTypes.Uint32, arrow.PrimitiveTypes.Int32},
		64: {arrow.PrimitiveTypes.Uint64, arrow.PrimitiveTypes.Int64},
	}
	pair, ok := types[bits]
	if !ok {
		return false
	}
	if signed {
		return f.fixed(pair[1])
	}
	return f.fixed(pair[0])
}

func (f *field) time(kind byte, t table) bool {
	switch kind {
	case kindDate:
		if t.i16(0, 1) == 0 {
			return f.fixed(arrow.FixedWidthTypes.Date32)
		}
		return f.fixed(arrow.FixedWidthTypes.Date64)
	case kindTime:
		u, ok := unit(t, 0, 1)
		if t.i32(1, 32) == 32 {
			return f.fixed(&arrow.Time32Type{Unit: u}) && ok
		}
		return f.fixed(&arrow.Time64Type{Unit: u}) && ok
	case kindTimestamp:
		u, ok := unit(t, 0, 0)
		return f.fixed(&arrow.TimestampType{Unit: u, TimeZone: t.str(1)}) && ok
	case kindDuration:
		u, ok := unit(t, 0, 1)
		return f.fixed(&arrow.DurationType{Unit: u}) && ok
	case kindInterval:
		switch t.i16(0, 0) {
		case 0:
			return f.fixed(arrow.FixedWidthTypes.MonthInterval)
		case 1:
			return f.fixed(arrow.FixedWidthTypes.DayTimeInterval)
		case 2:
			return f.fixed(arrow.FixedWidthTypes.MonthDayNanoInterval)
		}
	}
	return false
}

// nested gives the field its type where that is one with children.
func (f *field) nested(kind byte, t table) bool {
	one := len(f.kids) == 1
	switch kind {
	case kindList:
		return one && f.is(arrow.ListOfField(f.kids[0].Field), layoutList)
	case kindLargeList:
		return one && f.is(arrow.LargeListOfField(f.kids[0].Field), layoutBigList)
	case kindFixedList:
		if f.bits = int(t.i32(0, 0)); f.bits <= 0 {
			return false
		}
		return one && f.is(arrow.FixedSizeListOfField(int32(f.bits), f.kids[0].Field), layoutRuns)
	case kindStruct:
		fields := make([]arrow.Field, len(f.kids))
		for i := range f.kids {
			fields[i] = f.kids[i].Field
		}
		return f.is(arrow.StructOf(fields...), layoutStruct)
	case kindMap: // a list of structs
		return one && f.kids[0].layout == layoutStruct && f.is(arrow.ListOfField(f.kids[0].Field), layoutList)
	case kindListView, kindLargeListView:
		return one && f.is(&unread{name: "list view"}, layoutListView)
	case kindRunEnd:
		return len(f.kids) == 2 && f.is(&unread{name: "run-end encoded"}, layoutEncoded)
	case kindUnion:
		if t.i16(0, 0) == 0 {
			return f.is(&unread{name: "union"}, layoutSparse)
		}
		return f.is(&unread{name: "union"}, layoutDense)
	}
	return false
}
