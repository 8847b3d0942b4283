package shard

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/synshard/synshard/internal/utf8name"
)

// Keys of a shard's schema metadata.
const (
	keyVersion = "synshard.format_version"
	keySplit   = "synshard.split"
	keySynset  = "synshard.synset"
	keyWords   = "synshard.words"
	keyKind    = "synshard.kind" // shard, index or classes
	keyHF      = "huggingface"
)

var (
	objectType = arrow.StructOf(
		null("synset", arrow.BinaryTypes.String),
		null("xmin", arrow.PrimitiveTypes.Int32),
		null("ymin", arrow.PrimitiveTypes.Int32),
		null("xmax", arrow.PrimitiveTypes.Int32),
		null("ymax", arrow.PrimitiveTypes.Int32),
	)
	imageType = arrow.StructOf(
		null("bytes", arrow.BinaryTypes.Binary),
		null("path", arrow.BinaryTypes.String),
	)
)

// null is a nullable field. All of ours are: Hugging Face drops its features
// where a field is not.
func null(name string, t arrow.DataType) arrow.Field {
	return arrow.Field{Name: name, Type: t, Nullable: true}
}

// rowFields are the columns that shards and index share.
var rowFields = []arrow.Field{
	null("label", arrow.PrimitiveTypes.Int64),
	null("synset", arrow.BinaryTypes.String),
	null("ilsvrc2012_id", arrow.PrimitiveTypes.Int32),
	null("width", arrow.PrimitiveTypes.Int32),
	null("height", arrow.PrimitiveTypes.Int32),
	null("format", arrow.BinaryTypes.String),
	null("mode", arrow.BinaryTypes.String),
	null("sha256", &arrow.FixedSizeBinaryType{ByteWidth: 32}),
	null("objects", arrow.ListOf(objectType)),
}

var (
	shardFields = append([]arrow.Field{null("image", imageType)}, rowFields...)
	indexFields = slices.Concat(
		[]arrow.Field{null("path", arrow.BinaryTypes.String)},
		rowFields,
		[]arrow.Field{
			null("file", arrow.BinaryTypes.String),
			null("offset", arrow.PrimitiveTypes.Int64),
			null("length", arrow.PrimitiveTypes.Int64),
			null("crc32c", arrow.PrimitiveTypes.Uint32),
		})
	classFields = []arrow.Field{
		null("label", arrow.PrimitiveTypes.Int64),
		null("synset", arrow.BinaryTypes.String),
		null("ilsvrc2012_id", arrow.PrimitiveTypes.Int32),
		null("words", arrow.ListOf(arrow.BinaryTypes.String)),
		null("gloss", arrow.BinaryTypes.String),
		null("path", arrow.ListOf(arrow.BinaryTypes.String)),
	}
)

// value is a Hugging Face feature that holds plain values.
func value(dtype string) map[string]any { return map[string]any{"dtype": dtype, "_type": "Value"} }

// hfFeatures is the value of the metadata key "huggingface" for a shard: a
// feature for every column, or none would be recognised.
func hfFeatures(names []string) (string, error) {
	label := value("int64")
	if len(names) > 0 {
		label = map[string]any{"names": names, "_type": "ClassLabel"}
	}
	i32, str := value("int32"), value("string")
	features := map[string]any{
		"image": map[string]any{"_type": "Image"}, "label": label, "synset": str,
		"ilsvrc2012_id": i32, "width": i32, "height": i32, "format": str, "mode": str,
		"sha256":  value("binary"),
		"objects": []any{map[string]any{"synset": str, "xmin": i32, "ymin": i32, "xmax": i32, "ymax": i32}},
	}
	b, err := json.Marshal(map[string]any{"info": map[string]any{"features": features}})
	if err != nil {
		return "", fmt.Errorf("describe features: %w", err)
	}
	return string(b), nil
}

// hfNames reads the class names back.
func hfNames(text string) ([]string, error) {
	if text == "" {
		return nil, nil
	}
	var doc struct {
		Info struct {
			Features struct {
				Label struct {
					Names []string `json:"names"`
				} `json:"label"`
			} `json:"features"`
		} `json:"info"`
	}
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		return nil, corruptf("metadata %q: %v", keyHF, err)
	}
	return doc.Info.Features.Label.Names, nil
}

// shardSchema is the schema of a shard that says m of itself. The order of the
// metadata is fixed, so that equal input gives equal files.
func shardSchema(m FileMeta) (*arrow.Schema, error) {
	names := slices.Clone(m.ClassNames)
	for i := range names {
		names[i] = utf8name.Ensure(names[i]) // or JSON would put something else there
	}
	hf, err := hfFeatures(names)
	if err != nil {
		return nil, err
	}
	keys := []string{keyVersion, keyKind, keySplit, keySynset, keyWords, keyHF}
	values := []string{strconv.Itoa(formatVersion), "shard", m.Split, m.Synset, m.Words, hf}
	for _, k := range slices.Sorted(maps.Keys(m.Extra)) {
		if slices.Contains(keys, k) {
			return nil, fmt.Errorf("metadata key %q is the format's own", k)
		}
		keys, values = append(keys, k), append(values, m.Extra[k])
	}
	for i := range keys {
		keys[i], values[i] = utf8name.Ensure(keys[i]), utf8name.Ensure(values[i])
	}
	md := arrow.NewMetadata(keys, values)
	return arrow.NewSchema(shardFields, &md), nil
}

// plainSchema is the schema of an index or a class list.
func plainSchema(kind string, fields []arrow.Field) *arrow.Schema {
	md := arrow.NewMetadata([]string{keyVersion, keyKind}, []string{strconv.Itoa(formatVersion), kind})
	return arrow.NewSchema(fields, &md)
}

// shardMeta reads back what shardSchema wrote.
func shardMeta(md map[string]string) (FileMeta, error) {
	m := FileMeta{Split: md[keySplit], Synset: md[keySynset], Words: md[keyWords]}
	names, err := hfNames(md[keyHF])
	if err != nil {
		return m, err
	}
	m.ClassNames = names
	for k, v := range md {
		switch k {
		case keyVersion, keyKind, keySplit, keySynset, keyWords, keyHF:
		default:
			if m.Extra == nil {
				m.Extra = map[string]string{}
			}
			m.Extra[k] = v
		}
	}
	return m, nil
}
