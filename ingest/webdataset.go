package ingest

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"strconv"
	"strings"
)

// webEntries lists the samples of WebDataset tars in place: files that share a
// name up to the first point are one sample, an image with .cls (a number, or
// the class's name) or .json (with "synset" or "label"). Numbers are places in
// names.
func (j *job) webEntries(ctx context.Context, files, names []string) ([]entry, error) {
	var out []entry
	for _, file := range files {
		t, err := openTar(file)
		if err != nil {
			return nil, err
		}
		j.files = append(j.files, t.File)
		list, err := t.members(ctx)
		if err != nil {
			return nil, err
		}
		images, class := []entry{}, map[string]string{}
		for _, m := range list {
			dir, base := path.Split(m.name)
			key, ext, _ := strings.Cut(base, ".")
			key = dir + key
			read := func() ([]byte, error) {
				b := make([]byte, m.size)
				if _, err := t.ReadAt(b, m.offset); err != nil {
					return nil, fmt.Errorf("%s: member %s: %w", t.path, m.name, unexpected(err))
				}
				return b, nil
			}
			switch strings.ToLower(ext) {
			case "jpg", "jpeg", "png":
				if m.size > maxImage {
					return nil, fmt.Errorf("%s: member %s: %d bytes, more than an image has", file, m.name, m.size)
				}
				images = append(images, entry{name: m.name, class: key, size: m.size, read: read})
			case "cls", "json":
				if m.size > 64<<20 {
					return nil, fmt.Errorf("%s: member %s: %d bytes of label", file, m.name, m.size)
				}
				b, err := read()
				if err != nil {
					return nil, err
				}
				c, err := webClass(ext, b, names)
				if err != nil {
					return nil, fmt.Errorf("%s: member %s: %w", file, m.name, err)
				}
				if class[key] == "" || ext == "json" && c != "" {
					class[key] = c
				}
			}
		}
		for _, e := range images {
			e.class = class[e.class]
			out = append(out, e)
		}
	}
	return sortEntries(strings.Join(files, ", "), out)
}

func webClass(ext string, b []byte, names []string) (string, error) {
	if strings.EqualFold(ext, "cls") {
		return className(strings.TrimSpace(string(b)), names)
	}
	var v struct {
		Synset string `json:"synset"`
		WNID   string `json:"wnid"`
		Label  any    `json:"label"`
	}
	if err := json.Unmarshal(b, &v); err != nil {
		return "", err
	}
	switch {
	case v.Synset != "":
		return v.Synset, nil
	case v.WNID != "":
		return v.WNID, nil
	}
	switch l := v.Label.(type) {
	case string:
		return className(l, names)
	case float64:
		return className(fmt.Sprint(int(l)), names)
	}
	return "", nil
}

// className turns a label into a class: a number into a place in names, where
// there are names; anything else is a name.
func className(s string, names []string) (string, error) {
	n, err := strconv.Atoi(s)
	if err != nil || s == "" {
		return s, nil
	}
	if len(names) == 0 {
		return "", fmt.Errorf("label %d: give the list of classes that it is a place in", n)
	}
	if n < 0 || n >= len(names) {
		return "", fmt.Errorf("label %d, and %d classes are given", n, len(names))
	}
	return names[n], nil
}
