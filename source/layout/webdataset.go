package layout

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/synshard/synshard/source"
	"github.com/synshard/synshard/source/classlist"
)

// webTars says which inputs are WebDataset's: tars with a label beside an image, and
// tars beside such ones.
func (m *maker) webTars(from, to int) map[int]bool {
	web := map[int]bool{}
	for i := from; i < to; i++ {
		if in := &m.inputs[i]; in.Info.Kind == source.Tar && m.o.Read != nil && (m.forced["webdataset"] || webLabels(in.Entries)) {
			web[i] = true
		}
	}
	if len(web) > 0 {
		for i := from; i < to; i++ {
			if m.inputs[i].Info.Kind == source.Tar {
				web[i] = true
			}
		}
	}
	return web
}

// sampleKey cuts a member's name into its sample's key, up to the first point of the base
// name, and the rest.
func sampleKey(name string) (key, ext string) {
	at := strings.LastIndexByte(name, '/') + 1
	if i := strings.IndexByte(name[at:], '.'); i >= 0 {
		return name[:at+i], name[at+i+1:]
	}
	return name, ""
}

// webLabels says whether there is a .cls, or a .json beside an image of its key.
func webLabels(entries []source.Entry) bool {
	images, notes := map[string]bool{}, []string{}
	for k := range entries {
		e := &entries[k]
		key, ext := sampleKey(e.Name)
		switch {
		case e.Archive || source.Junk(e.Name):
		case strings.EqualFold(ext, "cls"):
			return true
		case strings.EqualFold(ext, "json"):
			notes = append(notes, key)
		case source.ImageName(e.Name) && len(images) < 1<<16: // the first samples tell
			images[key] = true
		}
	}
	return slices.ContainsFunc(notes, func(key string) bool { return images[key] })
}

// webdataset is the rule of one tar of samples.
type webdataset struct {
	m       *maker
	from    string
	samples map[string]webSample
}

// webSample is what the files beside an image say.
type webSample struct {
	label source.Label
	class string
	bad   string // why its label cannot be read
	json  bool
	path  string // the image's own name, where an export of a dataset has it
}

// newWeb makes a unit of one of WebDataset's tars: its labels are read.
func (m *maker) newWeb(i int) (*unit, error) {
	in := &m.inputs[i]
	if in.Info.Sequential {
		return nil, fmt.Errorf("%s: a compressed tar of WebDataset's samples, whose labels stand behind their images: decompress it", in.Info.Path)
	}
	w := &webdataset{m: m, from: in.Info.Path, samples: map[string]webSample{}}
	u := &unit{inputs: []int{i}, rule: w, hint: m.rowSplit(i)}
	m.kind("WebDataset")
	var files []*source.Entry
	for k := range in.Entries {
		if _, ext := sampleKey(in.Entries[k].Name); (strings.EqualFold(ext, "cls") || strings.EqualFold(ext, "json")) && !source.Junk(in.Entries[k].Name) {
			files = append(files, &in.Entries[k])
		}
	}
	slices.SortFunc(files, func(a, b *source.Entry) int { return strings.Compare(a.Name, b.Name) })
	for _, e := range files {
		b, err := m.o.Read(*e)
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", in.Info.Path, e.Name, err)
		}
		key, ext := sampleKey(e.Name)
		s := w.samples[key]
		if err := s.add(strings.ToLower(ext), b, m.pair); err != nil {
			s.bad = err.Error()
		}
		w.samples[key] = s
	}
	m.webs = append(m.webs, w)
	return u, nil
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// add reads one file of a sample's labels. pair notes the synset of a number.
func (s *webSample) add(ext string, b []byte, pair func(number int64, name string) error) error {
	if ext == "cls" {
		l, err := plainLabel(b)
		if err != nil {
			return err
		}
		if s.json && s.label.Kind == source.NumberLabel && l.Kind == source.NumberLabel && l != s.label {
			return fmt.Errorf(".cls says %s and .json %s", l, s.label)
		}
		if !s.json {
			s.label = l
		}
		return nil
	}
	name, label, path, err := jsonLabel(b)
	if s.path = path; err != nil || name == "" && label.Kind == source.NoLabel {
		return err
	}
	if s.label.Kind == source.NumberLabel && label.Kind == source.NumberLabel && s.label != label {
		return fmt.Errorf(".cls says %s and .json %s", s.label, label)
	}
	if name != "" && label.Kind == source.NumberLabel && label.Number >= 0 {
		if err := pair(label.Number, name); err != nil {
			return err
		}
	}
	s.json, s.label, s.class = true, label, name
	return nil
}

// plainLabel reads a .cls: a number or a name, and nothing else.
func plainLabel(b []byte) (source.Label, error) {
	if !utf8.Valid(b) || bytes.ContainsFunc(bytes.TrimSpace(b), func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return source.Label{}, errors.New("its .cls is not text")
	}
	text := strings.TrimSpace(string(b))
	l := source.ParseLabel(text)
	if l.Kind == source.NumberLabel && strings.ContainsRune(text, '.') || l.Kind == source.NameLabel && json.Valid([]byte(text)) && !isInteger(text) {
		return source.Label{}, fmt.Errorf("its .cls is %.20q, neither a whole number nor a name", text)
	}
	return l, nil
}

// jsonLabel reads a .json: the synset, the label, and the image's own name.
func jsonLabel(b []byte) (synset string, label source.Label, path string, err error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v map[string]any
	if err := d.Decode(&v); err != nil {
		return "", label, "", fmt.Errorf("its .json cannot be read: %v", err)
	}
	if _, ours := v["sha256"].(string); ours { // as an export of a dataset has it: anybody's path may be anything
		path, _ = v["path"].(string)
	}
	for _, key := range []string{"synset", "wnid"} {
		if s, ok := v[key].(string); ok && s != "" && synset == "" {
			synset = s
		}
	}
	for _, key := range []string{"label", "cls", "class", "class_name", "classname"} {
		if v[key] == nil {
			continue
		}
		if label, err = labelOf(v[key]); err != nil {
			return "", label, "", fmt.Errorf("its .json: %s: %w", key, err)
		}
		break
	}
	return synset, label, path, nil
}

// resolve gives each sample its class, when the samples of all tars are known: numbers
// are places in the list given, or those that stand beside synsets elsewhere.
func (w *webdataset) resolve() error {
	for _, key := range slices.Sorted(maps.Keys(w.samples)) {
		s := w.samples[key]
		if s.bad != "" || s.class != "" {
			continue
		}
		if s.label.Kind == source.NumberLabel && w.m.o.Classes == nil && w.m.table.pairs[s.label.Number] != "" {
			s.class = w.m.table.pairs[s.label.Number]
		} else {
			var err error
			s.class, err = w.m.className(s.label, nil, w.from)
			var outside *classlist.NotInList
			switch {
			case errors.As(err, &outside):
				s.bad = err.Error()
			case err != nil:
				return err
			}
		}
		w.samples[key] = s
	}
	return nil
}

// place implements rule.
func (w *webdataset) place(_, _ int, e *source.Entry) (spot, error) {
	key, ext := sampleKey(e.Name)
	if strings.EqualFold(ext, "cls") || strings.EqualFold(ext, "json") {
		return spot{consumed: true}, nil
	}
	if s, out := w.m.files.leftOut(e.Name); out {
		return s, nil
	}
	s := w.samples[key]
	if s.bad != "" {
		return spot{reason: "WebDataset: " + s.bad, image: true}, nil
	}
	return spot{class: s.class, identity: cmpOr(s.path, e.Name)}, nil
}

// labelOf is a label in JSON.
func labelOf(v any) (source.Label, error) {
	switch v := v.(type) {
	case nil:
		return source.Label{}, nil
	case string:
		return source.ParseLabel(v), nil
	case json.Number:
		n, err := v.Int64()
		if err != nil {
			return source.Label{}, fmt.Errorf("%s is neither a whole number nor a name", v)
		}
		return source.Label{Kind: source.NumberLabel, Number: n}, nil
	}
	return source.Label{}, errors.New("neither a number nor a name")
}
