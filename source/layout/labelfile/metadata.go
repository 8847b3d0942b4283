package labelfile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/synshard/synshard/internal/parquet"
	"github.com/synshard/synshard/source"
)

// Metadata reads Hugging Face's metadata.csv, .jsonl or .parquet: the names of files,
// and columns of labels. In Parquet a ClassLabel has the names of its numbers with it.
func Metadata(name string, b []byte) (*source.Table, error) {
	if !strings.HasSuffix(name, ".parquet") {
		return source.ParseList(name, b)
	}
	f, err := parquet.Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil, err
	}
	lines, err := jsonLines(f)
	if err != nil {
		return nil, err
	}
	t, err := source.ParseList("metadata.jsonl", lines)
	if err != nil {
		return nil, err
	}
	text, _ := f.Metadata(source.FeaturesKey)
	names, err := source.ClassNames(text)
	if err != nil {
		return nil, err
	}
	named(t, names)
	return t, nil
}

// named gives columns the names of their numbers. One that has some is of classes, whatever
// it is called.
func named(t *source.Table, names map[string][]string) {
	rest := t.Others[:0]
	for _, c := range t.Others {
		if names[c.Name] != nil {
			t.Columns = append(t.Columns, c)
		} else {
			rest = append(rest, c)
		}
	}
	t.Others = rest
	for _, columns := range [][]source.Column{t.Columns, t.Splits} {
		for i := range columns {
			columns[i].ClassNames = names[columns[i].Name]
		}
	}
}

// maxMetadata bounds the rows of a metadata.parquet: they are held as text for a while.
const maxMetadata = 1 << 24

// jsonLines gives the plain columns of a Parquet file as the JSON lines that stand for
// them, so that one reader knows what columns are called.
func jsonLines(f *parquet.File) ([]byte, error) {
	if f.Rows() > maxMetadata {
		return nil, fmt.Errorf("%d rows, more than %d", f.Rows(), maxMetadata)
	}
	rows := make([]map[string]any, f.Rows())
	for i := range rows {
		rows[i] = map[string]any{}
	}
	from := 0
	for g := range f.Groups() {
		for _, c := range f.Columns() {
			if err := column(f, g, c, rows[from:]); err != nil {
				return nil, fmt.Errorf("column %s: %w", strings.Join(c.Path, "."), err)
			}
		}
		from += int(f.GroupRows(g))
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	for _, r := range rows {
		if err := enc.Encode(r); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), nil
}

// column adds a column's values to rows, where it is one of text or integers, or of lists of such
// that is called after classes: whoever reads the lines refuses what has several.
func column(f *parquet.File, group int, c parquet.Column, rows []map[string]any) error {
	if list := c.List && source.OfClasses(c.Path[0]); !list && (c.List || len(c.Path) != 1) {
		return nil
	}
	switch c.Kind {
	case parquet.Bytes:
		return f.Strings(group, c, func(row int, values [][]byte) error {
			texts := make([]string, len(values))
			for i, v := range values {
				texts[i] = string(v)
			}
			put(rows[row], c.Path[0], texts)
			return nil
		})
	case parquet.Int:
		return f.Ints(group, c, func(row int, values []int64) error {
			put(rows[row], c.Path[0], values)
			return nil
		})
	}
	return nil
}

// put adds the values of a row: none, one, or those of a list.
func put[T any](row map[string]any, name string, values []T) {
	switch len(values) {
	case 0:
	case 1:
		row[name] = values[0]
	default:
		row[name] = slices.Clone(values)
	}
}
