package list

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/synshard/synshard/source/entry"
)

// json reads an object a line. Its keys are the columns, those of an object in it too,
// as "annotation.label"; a row may lack labels, and not its path.
func (t *table) json(ctx context.Context, in *bufio.Reader) error {
	o := objects{table: t, byName: map[string]*column{}}
	for n := 1; ; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		b, err := in.ReadBytes('\n')
		if err != nil && err != io.EOF {
			return err
		}
		if len(bytes.TrimSpace(b)) > 0 {
			if err := o.row(b); err != nil {
				return fmt.Errorf("line %d: %w", n, err)
			}
			t.lines = append(t.lines, int32(n))
		}
		if err == io.EOF {
			break
		}
	}
	for _, c := range t.columns {
		if !c.endless {
			c.Pad(len(t.paths))
		}
	}
	return nil
}

// objects is a table that is being read from JSON.
type objects struct {
	*table
	path   string // the key of paths
	byName map[string]*column
}

func (t *objects) row(b []byte) error {
	var row map[string]json.RawMessage
	if err := json.Unmarshal(b, &row); err != nil {
		return err
	}
	keys := sortedKeys(row)
	if t.path == "" {
		if t.path = t.pathKey(row, keys); t.path == "" {
			return errors.New("no key says which is the path (path, file_name, image ...)")
		}
	}
	name, err := jsonPath(row[t.path])
	if err != nil {
		return fmt.Errorf("%s: %w", t.path, err)
	}
	for _, key := range keys {
		if key == t.path {
			continue
		}
		if err := t.value(key, row[key], true); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	t.paths = append(t.paths, name)
	return nil
}

// pathKey is the key that is called as paths are, or one of an image's name.
func (t *objects) pathKey(row map[string]json.RawMessage, keys []string) (path string) {
	for _, key := range keys {
		if r := entry.Rank(key, entry.PathColumns); r >= 0 && (path == "" || r < entry.Rank(path, entry.PathColumns)) {
			path = key
		}
	}
	for _, key := range keys {
		if name, err := jsonPath(row[key]); path == "" && err == nil && t.isImage(name) {
			path = key
		}
	}
	return path
}

// value adds one value; of an object, where it may be open, what is in it.
func (t *objects) value(key string, raw json.RawMessage, open bool) error {
	last := key[strings.LastIndexByte(key, '.')+1:]
	known := entry.MaySplit(last) || entry.Rank(last, entry.LabelColumns) >= 0
	var inner map[string]json.RawMessage
	if open && !known && json.Unmarshal(raw, &inner) == nil && inner != nil {
		for _, k := range sortedKeys(inner) {
			if err := t.value(key+"."+k, inner[k], false); err != nil {
				return fmt.Errorf("%s: %w", k, err)
			}
		}
		return nil
	}
	text, err := jsonText(raw)
	if err != nil && known {
		return err
	}
	if err != nil { // what says nothing of a class
		return nil
	}
	c := t.byName[key]
	if c == nil {
		c = t.newColumn(key, !known)
		t.byName[key] = c
	}
	if !c.endless {
		c.Pad(len(t.paths))
	}
	c.add(text)
	return nil
}

func sortedKeys(row map[string]json.RawMessage) []string {
	var keys []string
	for key := range row {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
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
