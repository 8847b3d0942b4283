package prediction

import (
	"fmt"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/synshard/synshard/infer/prediction/encode"
	"github.com/synshard/synshard/internal/utf8name"
)

// Columns of every file. Others follow: probabilities, logits, embedding and
// what is derived.
const (
	colPath = iota
	colLabel
	colSynset
	colPredLabel
	colPredSynset
	colPredProb
	colError
)

// layout is the columns of a file and where the optional ones are; -1: none.
type layout struct {
	fields                      []arrow.Field
	classes                     []string
	columns                     Columns
	probs, logits, emb, derived int
}

func newLayout(c Columns, classes []string) layout {
	k, all := int32(c.TopK), int32(len(classes))
	field := func(name string, t arrow.DataType) arrow.Field {
		return arrow.Field{Name: name, Type: t, Nullable: true}
	}
	l := layout{classes: classes, columns: c, probs: -1, logits: -1, emb: -1}
	l.fields = []arrow.Field{
		field("path", arrow.BinaryTypes.String),
		field("label", arrow.PrimitiveTypes.Int64),
		field("synset", arrow.BinaryTypes.String),
		field("pred_label", arrow.FixedSizeListOf(k, arrow.PrimitiveTypes.Int64)),
		field("pred_synset", arrow.FixedSizeListOf(k, arrow.BinaryTypes.String)),
		field("pred_prob", arrow.FixedSizeListOf(k, arrow.PrimitiveTypes.Float32)),
		field("error", arrow.BinaryTypes.String),
	}
	add := func(name string, n int32, t arrow.DataType) int {
		l.fields = append(l.fields, field(name, arrow.FixedSizeListOf(n, t)))
		return len(l.fields) - 1
	}
	if c.Probabilities {
		l.probs = add("probabilities", all, arrow.PrimitiveTypes.Float32)
	}
	if c.Logits {
		l.logits = add("logits", all, arrow.PrimitiveTypes.Float32)
	}
	switch c.Embedding {
	case "fp16":
		l.emb = add("embedding", int32(c.Width), arrow.FixedWidthTypes.Float16)
	case "fp32":
		l.emb = add("embedding", int32(c.Width), arrow.PrimitiveTypes.Float32)
	}
	l.derived = len(l.fields)
	for _, d := range c.Derived {
		f := field(d.Name, arrow.BinaryTypes.String)
		switch {
		case d.Floats != nil && d.Width == 0:
			f.Type = arrow.PrimitiveTypes.Float32
		case d.Floats != nil:
			f.Type = arrow.FixedSizeListOf(int32(d.Width), arrow.PrimitiveTypes.Float32)
		}
		if d.Notes != nil {
			f.Metadata = arrow.MetadataFrom(d.Notes)
		}
		l.fields = append(l.fields, f)
	}
	return l
}

func (l *layout) schema(md metadata) *arrow.Schema { return schemaOf(l.fields, md) }

func schemaOf(fields []arrow.Field, md metadata) *arrow.Schema {
	m := md.arrow()
	return arrow.NewSchema(fields, &m)
}

// record makes a record batch of rows. Text is valid UTF-8, whatever comes.
func (l *layout) record(md metadata, rows []Row) (arrow.Record, error) {
	b := array.NewRecordBuilder(memory.DefaultAllocator, l.schema(md))
	defer b.Release()
	b.Reserve(len(rows))
	for i := range rows {
		r := &rows[i]
		if r.Top != nil && (len(r.Top) != l.columns.TopK || len(r.Prob) != l.columns.TopK) {
			return nil, fmt.Errorf("%s: %d classes and %d probabilities, not %d", r.Path, len(r.Top), len(r.Prob), l.columns.TopK)
		}
		b.Field(colPath).(*array.StringBuilder).Append(utf8name.Ensure(r.Path))
		if label := b.Field(colLabel).(*array.Int64Builder); r.Label < 0 {
			label.AppendNull()
		} else {
			label.Append(r.Label)
		}
		appendText(b.Field(colSynset), r.Synset)
		appendText(b.Field(colError), r.Error)
		l.appendTop(b, r)
		appendFloats(b, l.probs, r.Probabilities)
		appendFloats(b, l.logits, r.Logits)
		appendFloats(b, l.emb, r.Embedding)
		for j, d := range l.columns.Derived {
			appendDerived(b, l.derived+j, d, r.Probabilities)
		}
	}
	return b.NewRecord(), nil
}

// appendText adds a string; an empty one is a null.
func appendText(b array.Builder, s string) {
	if s == "" {
		b.AppendNull()
		return
	}
	b.(*array.StringBuilder).Append(utf8name.Ensure(s))
}

// appendFloats adds a list to column i, if there is such a column; nil is a
// null.
func appendFloats(b *array.RecordBuilder, i int, v []float32) {
	if i < 0 {
		return
	}
	list := b.Field(i).(*array.FixedSizeListBuilder)
	if v == nil {
		list.AppendNull()
		return
	}
	list.Append(true)
	switch values := list.ValueBuilder().(type) {
	case *array.Float32Builder:
		values.AppendValues(v, nil)
	case *array.Float16Builder:
		for _, x := range v {
			values.Append(encode.Half(x))
		}
	}
}

func appendDerived(b *array.RecordBuilder, i int, d Derived, probabilities []float32) {
	switch {
	case probabilities == nil:
		b.Field(i).AppendNull()
	case d.Strings != nil:
		b.Field(i).(*array.StringBuilder).Append(utf8name.Ensure(d.Strings(probabilities)))
	case d.Width == 0:
		b.Field(i).(*array.Float32Builder).Append(d.Floats(probabilities)[0])
	default:
		appendFloats(b, i, d.Floats(probabilities))
	}
}

func (l *layout) appendTop(b *array.RecordBuilder, r *Row) {
	labels, synsets, probs := b.Field(colPredLabel).(*array.FixedSizeListBuilder), b.Field(colPredSynset).(*array.FixedSizeListBuilder), b.Field(colPredProb).(*array.FixedSizeListBuilder)
	for _, list := range []*array.FixedSizeListBuilder{labels, synsets, probs} {
		if r.Top == nil {
			list.AppendNull()
		} else {
			list.Append(true)
		}
	}
	for i, class := range r.Top {
		labels.ValueBuilder().(*array.Int64Builder).Append(int64(class))
		synsets.ValueBuilder().(*array.StringBuilder).Append(utf8name.Ensure(l.classes[class]))
		probs.ValueBuilder().(*array.Float32Builder).Append(r.Prob[i])
	}
}
