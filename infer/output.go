package infer

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/synshard/synshard/infer/prediction"
)

// layout is the output's schema and where its optional columns are; -1: none.
type layout struct {
	schema                         *arrow.Schema
	probs, logits, emb, derived, k int
	half                           bool
}

// layout makes the schema.
func (o *Options) layout() layout {
	k, classes := int32(o.TopK), int32(len(o.Spec.Classes))
	field := func(name string, t arrow.DataType) arrow.Field {
		return arrow.Field{Name: name, Type: t, Nullable: true}
	}
	fields := []arrow.Field{
		field("path", arrow.BinaryTypes.String),
		field("label", arrow.PrimitiveTypes.Int64),
		field("synset", arrow.BinaryTypes.String),
		field("pred_label", arrow.FixedSizeListOf(k, arrow.PrimitiveTypes.Int64)),
		field("pred_synset", arrow.FixedSizeListOf(k, arrow.BinaryTypes.String)),
		field("pred_prob", arrow.FixedSizeListOf(k, arrow.PrimitiveTypes.Float32)),
		field("error", arrow.BinaryTypes.String),
	}
	l := layout{probs: -1, logits: -1, emb: -1, k: int(k), half: o.Embedding == "fp16"}
	add := func(name string, n int32, t arrow.DataType) int {
		fields = append(fields, field(name, arrow.FixedSizeListOf(n, t)))
		return len(fields) - 1
	}
	if o.Probabilities {
		l.probs = add("probabilities", classes, arrow.PrimitiveTypes.Float32)
	}
	if o.Logits {
		l.logits = add("logits", classes, arrow.PrimitiveTypes.Float32)
	}
	if l.half {
		l.emb = add("embedding", int32(o.Width), arrow.FixedWidthTypes.Float16)
	} else if o.Embedding != "" {
		l.emb = add("embedding", int32(o.Width), arrow.PrimitiveTypes.Float32)
	}
	l.derived = len(fields)
	for _, d := range o.Derived {
		fields = append(fields, d.Field)
	}
	md := o.metadata()
	l.schema = arrow.NewSchema(fields, &md)
	return l
}

// metadata is what the output says of itself, in a fixed order.
func (o *Options) metadata() arrow.Metadata {
	keys := []string{prediction.KeyFingerprint, prediction.KeySpec, prediction.KeyModel, prediction.KeyInput, prediction.KeyBackend, prediction.KeyChunk}
	values := []string{o.Fingerprint(), o.Spec.JSON(), o.Model, o.Input, o.Backend, strconv.Itoa(o.chunk())}
	for _, name := range slices.Sorted(maps.Keys(o.Notes)) {
		keys, values = append(keys, prediction.KeyNote+name), append(values, o.Notes[name])
	}
	if o.Parts > 1 {
		keys = append(keys, prediction.KeyWhole, prediction.KeyPart)
		values = append(values, o.whole(), fmt.Sprintf("%d/%d", o.Part, o.Parts))
	}
	return arrow.NewMetadata(keys, values)
}

// record makes a record batch of rows.
func (o *Options) record(l layout, rows []row) (arrow.Record, error) {
	b := array.NewRecordBuilder(memory.DefaultAllocator, l.schema)
	defer b.Release()
	b.Reserve(len(rows))
	str := func(i int, s string) {
		if f := b.Field(i).(*array.StringBuilder); s == "" {
			f.AppendNull()
		} else {
			f.Append(s)
		}
	}
	for i := range rows {
		p := &rows[i]
		b.Field(prediction.ColPath).(*array.StringBuilder).Append(p.path)
		if label := b.Field(prediction.ColLabel).(*array.Int64Builder); p.label < 0 {
			label.AppendNull()
		} else {
			label.Append(p.label)
		}
		str(prediction.ColSynset, p.synset)
		str(prediction.ColError, p.err)
		o.appendTop(b, p)
		appendFloats(b, l.probs, p.all)
		appendFloats(b, l.logits, p.logits)
		if l.half {
			appendHalves(b.Field(l.emb).(*array.FixedSizeListBuilder), p.embedding)
		} else {
			appendFloats(b, l.emb, p.embedding)
		}
		for j, d := range o.Derived {
			if err := d.Append(b.Field(l.derived+j), p.all); err != nil {
				return nil, fmt.Errorf("column %s of %s: %w", d.Field.Name, p.path, err)
			}
		}
	}
	return b.NewRecord(), nil
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
	list.ValueBuilder().(*array.Float32Builder).AppendValues(v, nil)
}

func appendHalves(list *array.FixedSizeListBuilder, v []float32) {
	if v == nil {
		list.AppendNull()
		return
	}
	list.Append(true)
	values := list.ValueBuilder().(*array.Float16Builder)
	for _, x := range v {
		values.Append(prediction.Half(x))
	}
}

func (o *Options) appendTop(b *array.RecordBuilder, p *row) {
	labels, synsets, probs := b.Field(prediction.ColPredLabel).(*array.FixedSizeListBuilder), b.Field(prediction.ColPredSynset).(*array.FixedSizeListBuilder), b.Field(prediction.ColPredProb).(*array.FixedSizeListBuilder)
	if p.top == nil {
		for _, l := range []*array.FixedSizeListBuilder{labels, synsets, probs} {
			l.AppendNull()
		}
		return
	}
	for _, l := range []*array.FixedSizeListBuilder{labels, synsets, probs} {
		l.Append(true)
	}
	for i := range o.TopK {
		labels.ValueBuilder().(*array.Int64Builder).Append(int64(p.top[i]))
		synsets.ValueBuilder().(*array.StringBuilder).Append(o.Spec.Classes[p.top[i]])
		probs.ValueBuilder().(*array.Float32Builder).Append(p.prob[i])
	}
}
