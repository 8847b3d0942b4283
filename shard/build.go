package shard

import (
	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
)

// rowBuilder collects the columns that shards and index share. The allocator
// is Go's unless a test counts.
type rowBuilder struct {
	label          *array.Int64Builder
	synset         *array.StringBuilder
	id             *array.Int32Builder
	width, height  *array.Int32Builder
	format, mode   *array.StringBuilder
	sha            *array.FixedSizeBinaryBuilder
	objects        *array.ListBuilder
	object         *array.StructBuilder
	objectSynset   *array.StringBuilder
	x0, y0, x1, y1 *array.Int32Builder
}

func newRowBuilder(mem memory.Allocator) *rowBuilder {
	b := &rowBuilder{
		label:  array.NewInt64Builder(mem),
		synset: array.NewStringBuilder(mem),
		id:     array.NewInt32Builder(mem),
		width:  array.NewInt32Builder(mem), height: array.NewInt32Builder(mem),
		format: array.NewStringBuilder(mem), mode: array.NewStringBuilder(mem),
		sha:     array.NewFixedSizeBinaryBuilder(mem, &arrow.FixedSizeBinaryType{ByteWidth: 32}),
		objects: array.NewListBuilder(mem, objectType),
	}
	b.object = b.objects.ValueBuilder().(*array.StructBuilder)
	b.objectSynset = b.object.FieldBuilder(0).(*array.StringBuilder)
	for i, p := range []**array.Int32Builder{&b.x0, &b.y0, &b.x1, &b.y1} {
		*p = b.object.FieldBuilder(i + 1).(*array.Int32Builder)
	}
	return b
}

// builders are in the order of rowFields.
func (b *rowBuilder) builders() []array.Builder {
	return []array.Builder{b.label, b.synset, b.id, b.width, b.height, b.format, b.mode, b.sha, b.objects}
}

// text appends s, or null where it is empty.
func text(b *array.StringBuilder, s string) {
	if s == "" {
		b.AppendNull()
		return
	}
	b.Append(s)
}

// number appends v, or null where it is zero.
func number(b *array.Int32Builder, v int32) {
	if v == 0 {
		b.AppendNull()
		return
	}
	b.Append(v)
}

func (b *rowBuilder) append(r *Row) {
	if r.Label < 0 {
		b.label.AppendNull()
	} else {
		b.label.Append(r.Label)
	}
	text(b.synset, r.Synset)
	number(b.id, r.ILSVRC2012ID)
	b.width.Append(r.Width)
	b.height.Append(r.Height)
	text(b.format, r.Format)
	text(b.mode, r.Mode)
	b.sha.Append(r.SHA256[:])
	b.objects.Append(true)
	for _, o := range r.Objects {
		b.object.Append(true)
		text(b.objectSynset, o.Synset)
		b.x0.Append(o.XMin)
		b.y0.Append(o.YMin)
		b.x1.Append(o.XMax)
		b.y1.Append(o.YMax)
	}
}

// arrays empties the builders.
func arrays(builders []array.Builder) []arrow.Array {
	out := make([]arrow.Array, len(builders))
	for i, b := range builders {
		out[i] = b.NewArray()
	}
	return out
}

func releaseAll(arrs []arrow.Array) {
	for _, a := range arrs {
		a.Release()
	}
}

func releaseBuilders(bs []array.Builder) {
	for _, b := range bs {
		b.Release()
	}
}

func emptyRecord(schema *arrow.Schema) arrow.Record {
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	return b.NewRecord()
}
