package ingest

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// listEntries reads a list of images, "path,label" a line with commas or tabs;
// paths are relative to the list's directory. A first line "path,label" is a
// heading. Without a label the image has no class.
func listEntries(file string) ([]entry, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	list, err := parseList(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	for i := range list {
		p := filepath.FromSlash(list[i].name)
		if !filepath.IsAbs(p) {
			p = filepath.Join(filepath.Dir(file), p)
		}
		info, err := os.Stat(p)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		list[i].size = info.Size()
		list[i].read = func() ([]byte, error) { return os.ReadFile(p) }
	}
	return sortEntries(file, list)
}

func parseList(b []byte) ([]entry, error) {
	c := csv.NewReader(bytes.NewReader(b))
	c.FieldsPerRecord = -1
	if line, _, _ := bytes.Cut(b, []byte("\n")); bytes.ContainsRune(line, '\t') {
		c.Comma = '\t'
	}
	var list []entry
	for n := 1; ; n++ {
		rec, err := c.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		if n == 1 && rec[0] == "path" {
			continue
		}
		if len(rec) > 2 || rec[0] == "" {
			return nil, fmt.Errorf("line %d: want path,label and not %q", n, rec)
		}
		e := entry{name: rec[0]}
		if len(rec) == 2 {
			e.class = strings.TrimSpace(rec[1])
		}
		list = append(list, e)
	}
	if len(list) == 0 {
		return nil, errors.New("no images in the list")
	}
	return list, nil
}
