package list

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/synshard/synshard/source/entry"
)

// table is a list that is being read.
type table struct {
	paths   []string
	columns []*entry.ColumnOf
}

// text reads fields that are separated by sep: see separator.
func (t *table) text(ctx context.Context, in *bufio.Reader, sep rune) error {
	next := lines(in, sep == ' ')
	if sep != 0 && sep != ' ' {
		r := csv.NewReader(in)
		r.Comma, r.Comment, r.FieldsPerRecord = sep, '#', -1
		r.TrimLeadingSpace = sep != '\t' // which would be white space itself
		next = func() ([]string, int, error) {
			record, err := r.Read()
			if err != nil {
				return nil, 0, err
			}
			line, _ := r.FieldPos(0)
			return record, line, nil
		}
	}
	var first []string
	path, labels := 0, []int(nil)
	for n := 0; ; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		record, line, err := next()
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		case first == nil:
			first = record
			var heading bool
			if path, labels, heading, err = t.heading(record); err != nil {
				return fmt.Errorf("line %d: %w", line, err)
			}
			if heading {
				continue
			}
		case len(record) != len(first):
			return fmt.Errorf("line %d has %d fields and the first one %d", line, len(record), len(first))
		}
		if len(t.paths) == 1 && !entry.ImageName(t.paths[0]) && entry.ImageName(record[path]) && len(first) > 1 {
			return fmt.Errorf("the first line, %q, is not about an image, and as a heading it has no column of paths (path, filename, image ...)", strings.Join(first, string(sep)))
		}
		if record[path] == "" {
			return fmt.Errorf("line %d has no path", line)
		}
		t.paths = append(t.paths, record[path])
		for i, at := range labels {
			t.columns[i].Add(entry.ParseLabel(record[at]))
		}
	}
}

// heading finds the columns in a list's first record, and says whether that is
// a heading and no row.
func (t *table) heading(record []string) (path int, labels []int, heading bool, err error) {
	path = -1
	for i, name := range record {
		if r := entry.Rank(name, entry.PathColumns); r >= 0 && (path < 0 || r < entry.Rank(record[path], entry.PathColumns)) {
			path = i
		}
	}
	if path < 0 {
		switch {
		case len(record) > 2:
			return 0, nil, false, fmt.Errorf("%d fields, and no heading says which is the path (path, filename, image ...)", len(record))
		case len(record) == 1:
			return 0, nil, false, nil
		case headingOnly(record[0]) && !entry.ImageName(record[1]), headingOnly(record[1]) && strings.EqualFold(strings.TrimSpace(record[0]), "id"):
			return 0, nil, false, fmt.Errorf("the first line, %q, is not about an image, and as a heading it has no column of paths (path, filename, image ...)", strings.Join(record, ","))
		}
		if entry.ImageName(record[1]) && !entry.ImageName(record[0]) {
			path = 1
		} else {
			path = 0
		}
		t.columns = []*entry.ColumnOf{entry.NewColumn("label", nil)}
		return path, []int{1 - path}, false, nil
	}
	for i, name := range record {
		if i != path && (len(record) == 2 || entry.Rank(name, entry.LabelColumns) >= 0 || entry.MaySplit(name)) {
			labels, t.columns = append(labels, i), append(t.columns, entry.NewColumn(strings.TrimSpace(name), nil))
		}
	}
	return path, labels, true, nil
}

// headingOnly says whether a field is what a column of other than paths is called: a
// file would hardly be.
func headingOnly(field string) bool {
	switch entry.ColumnName(field) {
	case "id", "imageid", "index", "breed", "species", "label", "class":
		return true
	}
	return false
}

// lines gives a line's one field, or the two of a path and what is behind the
// last space. Empty lines and comments are passed over.
func lines(in *bufio.Reader, spaces bool) func() ([]string, int, error) {
	n := 0
	return func() ([]string, int, error) {
		for {
			b, err := in.ReadBytes('\n')
			if len(b) == 0 {
				return nil, n, err
			}
			n++
			line := strings.TrimRight(string(b), "\r\n")
			if strings.TrimSpace(line) == "" || line[0] == '#' {
				continue
			}
			if !spaces {
				return []string{line}, n, nil
			}
			line = strings.TrimSpace(line)
			i := strings.LastIndexAny(line, " \t")
			if i < 0 {
				return []string{line}, n, nil
			}
			return []string{strings.TrimSpace(line[:i]), line[i+1:]}, n, nil
		}
	}
}

// json reads an object a line. Its keys are the columns; a row may lack labels,
// and not its path.
func (t *table) json(ctx context.Context, in *bufio.Reader) error {
	path, byName := "", map[string]*entry.ColumnOf{}
	for n := 1; ; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		b, err := in.ReadBytes('\n')
		if err != nil && err != io.EOF {
			return err
		}
		if len(bytes.TrimSpace(b)) > 0 {
			if err := t.object(b, &path, byName); err != nil {
				return fmt.Errorf("line %d: %w", n, err)
			}
		}
		if err == io.EOF {
			break
		}
	}
	for _, c := range t.columns {
		c.Pad(len(t.paths))
	}
	return nil
}

func (t *table) object(b []byte, path *string, byName map[string]*entry.ColumnOf) error {
	var row map[string]json.RawMessage
	if err := json.Unmarshal(b, &row); err != nil {
		return err
	}
	var keys []string
	for key := range row {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	if *path == "" {
		for _, key := range keys {
			if r := entry.Rank(key, entry.PathColumns); r >= 0 && (*path == "" || r < entry.Rank(*path, entry.PathColumns)) {
				*path = key
			}
		}
		if *path == "" {
			return errors.New("no key says which is the path (path, file_name, image ...)")
		}
	}
	name, err := jsonPath(row[*path])
	if err != nil {
		return fmt.Errorf("%s: %w", *path, err)
	}
	for _, key := range keys {
		if key == *path || entry.Rank(key, entry.LabelColumns) < 0 && !entry.MaySplit(key) {
			continue
		}
		text, err := jsonText(row[key])
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		if byName[key] == nil {
			byName[key] = entry.NewColumn(key, nil)
			t.columns = append(t.columns, byName[key])
		}
		byName[key].Pad(len(t.paths))
		byName[key].Add(entry.ParseLabel(text))
	}
	t.paths = append(t.paths, name)
	return nil
}

// jsonPath reads a path, which may be that of Hugging Face's {"bytes": null,
// "path": ...}.
func jsonPath(raw json.RawMessage) (string, error) {
	var object struct {
		Path string `json:"path"`
	}
	var path string
	if err := json.Unmarshal(raw, &path); err != nil && json.Unmarshal(raw, &object) == nil {
		path = object.Path
	}
	if path == "" {
		return "", errors.New("no path")
	}
	return path, nil
}

// jsonText reads a label: a string, a number, null, or a list of one of these.
func jsonText(raw json.RawMessage) (string, error) {
	var v any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return "", err
	}
	if list, ok := v.([]any); ok {
		if len(list) > 1 {
			return "", fmt.Errorf("%d labels: an image has one class here", len(list))
		}
		v = nil
		if len(list) == 1 {
			v = list[0]
		}
	}
	switch v := v.(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	case json.Number:
		return v.String(), nil
	case bool:
		return strconv.FormatBool(v), nil
	}
	return "", errors.New("a label is a name or a number")
}
