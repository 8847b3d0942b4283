package export

import (
	"cmp"
	"encoding/json"
	"io"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/synshard/synshard/internal/parquet"
	"github.com/synshard/synshard/shard"
)

// parquetRows is the number of rows of a row group: what Hugging Face has where
// there are images, so that one can be shown without reading many.
const parquetRows = 100

// imageType is how Hugging Face has an image, and value a plain value. A field
// must be nullable, or its feature is not seen.
var imageType = arrow.StructOf(null("bytes", arrow.BinaryTypes.Binary), null("path", arrow.BinaryTypes.String))

func null(name string, t arrow.DataType) arrow.Field {
	return arrow.Field{Name: name, Type: t, Nullable: true}
}

func value(dtype string) map[string]any { return map[string]any{"dtype": dtype, "_type": "Value"} }

// parquetSchema is that of Hugging Face's image classification sets: image and
// label, whose names are the synsets of the view's classes, and the synset.
func parquetSchema(v *shard.View) (*arrow.Schema, error) {
	label := value("int64")
	if len(v.Classes()) > 0 {
		label = map[string]any{"names": v.Classes(), "_type": "ClassLabel"}
	}
	features, err := json.Marshal(map[string]any{"info": map[string]any{"features": map[string]any{
		"image": map[string]any{"_type": "Image"}, "label": label, "synset": value("string"),
	}}})
	if err != nil {
		return nil, err
	}
	md := arrow.NewMetadata([]string{"huggingface"}, []string{string(features)})
	return arrow.NewSchema([]arrow.Field{
		null("image", imageType), null("label", arrow.PrimitiveTypes.Int64), null("synset", arrow.BinaryTypes.String),
	}, &md), nil
}

// parquet writes rows of a view as a Parquet file. The path in image is the
// image's own name, with its class where another has it too.
func (e *exporter) parquet(w io.Writer, v *shard.View, names *namer, from, to int) error {
	schema, err := parquetSchema(v)
	if err != nil {
		return err
	}
	out, err := parquet.NewWriter(w, schema, parquet.WriterOptions{})
	if err != nil {
		return err
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	image := b.Field(0).(*array.StructBuilder)
	flush := func() error {
		rec := b.NewRecord()
		defer rec.Release()
		if rec.NumRows() == 0 {
			return nil
		}
		return out.Write(rec)
	}
	err = e.each(v, from, to, func(i int, bytes []byte) error {
		name, err := names.name(i)
		if err != nil {
			return err
		}
		image.Append(true)
		image.FieldBuilder(0).(*array.BinaryBuilder).Append(bytes)
		image.FieldBuilder(1).(*array.StringBuilder).Append(name)
		if l := v.Label(i); l >= 0 {
			b.Field(1).(*array.Int64Builder).Append(l)
		} else {
			b.Field(1).(*array.Int64Builder).AppendNull()
		}
		if s := v.Synset(i); s != "" {
			b.Field(2).(*array.StringBuilder).Append(s)
		} else {
			b.Field(2).AppendNull()
		}
		if (i-from+1)%parquetRows == 0 {
			return flush()
		}
		return nil
	})
	if err == nil {
		err = flush()
	}
	return cmp.Or(err, out.Close())
}
