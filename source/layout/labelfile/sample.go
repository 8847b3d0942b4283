package labelfile

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/synshard/synshard/source"
	"github.com/synshard/synshard/source/classlist"
)

// Sample is what stands beside an image in WebDataset's tars: in a .cls, a number or a
// name, and in a .json, where the synset outranks the label.
type Sample struct {
	Label source.Label // what the .json, or else the .cls, says; of a number and a name the number
	Class string       // the synset of a .json, or the name beside a number; "": none
	// Path is the image's own name, where a .json of an export of ours has it.
	Path string

	cls, json source.Label
	synset    string
}

// Errors of a sample's labels, which are that sample's.
var (
	ErrNotText  = errors.New("its .cls is not text")
	ErrNotLabel = errors.New("its .cls is neither a whole number nor a name")
	ErrJSON     = errors.New("its .json cannot be read")
	ErrValue    = errors.New("its .json has a label that is neither a whole number nor a name")
	ErrDiffer   = errors.New("its .cls and its .json say different labels")
)

// Key cuts a member's name into its sample's key, up to the first point of the base
// name, and the rest.
func Key(name string) (key, ext string) {
	at := strings.LastIndexByte(name, '/') + 1
	if i := strings.IndexByte(name[at:], '.'); i >= 0 {
		return name[:at+i], name[at+i+1:]
	}
	return name, ""
}

// Holds says whether an ending, as Key gives it, is that of a file of labels.
func Holds(ext string) bool { return strings.EqualFold(ext, "cls") || strings.EqualFold(ext, "json") }

// Add reads one file of a sample, of which Holds is true.
func (s *Sample) Add(ext string, b []byte) error {
	var err error
	if strings.EqualFold(ext, "cls") {
		s.cls, err = plain(b)
	} else {
		s.synset, s.json, s.Path, err = fromJSON(b)
	}
	if err == nil && s.differ() {
		err = ErrDiffer
	}
	s.Label, s.Class = s.json, s.synset
	if s.json.Kind == source.NoLabel {
		s.Label = s.cls
	}
	if number, name := numberAndName(s.cls, s.json); name != "" {
		s.Label, s.Class = number, cmp.Or(s.synset, name)
	}
	return err
}

// differ says whether the two files say different classes, as far as that is known without a list of them:
// two numbers, two synsets, or two names. A synset outranks words, and says nothing of them.
func (s *Sample) differ() bool {
	if s.cls.Kind == source.NumberLabel && s.json.Kind == source.NumberLabel {
		return s.cls != s.json
	}
	name, other := s.cls.Name, cmp.Or(s.synset, s.json.Name)
	switch {
	case name == "" || other == "" || classlist.IsSynset(name) != classlist.IsSynset(other):
		return false
	case classlist.IsSynset(name):
		return name != other
	}
	return firstWord(name) != firstWord(other)
}

// firstWord is the first of a class's words, up to a comma, in small letters and without underscores.
func firstWord(name string) string {
	name, _, _ = strings.Cut(name, ",")
	return strings.ToLower(strings.ReplaceAll(strings.TrimSpace(name), "_", " "))
}

// numberAndName tells the number and the name apart of two labels that are one of each.
func numberAndName(a, b source.Label) (number source.Label, name string) {
	switch {
	case a.Kind == source.NumberLabel && b.Kind == source.NameLabel:
		return a, b.Name
	case a.Kind == source.NameLabel && b.Kind == source.NumberLabel:
		return b, a.Name
	}
	return source.Label{}, ""
}

// plain reads a .cls: a number or a name, and nothing else.
func plain(b []byte) (source.Label, error) {
	if !utf8.Valid(b) || bytes.ContainsFunc(bytes.TrimSpace(b), func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return source.Label{}, ErrNotText
	}
	text := strings.TrimSpace(string(b))
	l := source.ParseLabel(text)
	if l.Kind == source.NumberLabel && strings.ContainsRune(text, '.') || l.Kind == source.NameLabel && json.Valid([]byte(text)) {
		return source.Label{}, ErrNotLabel // 1.0, [1], "x", null
	}
	return l, nil
}

// fromJSON reads a .json: the synset, the label, and the image's own name.
func fromJSON(b []byte) (synset string, label source.Label, path string, err error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v map[string]any
	if d.Decode(&v) != nil {
		return "", label, "", ErrJSON
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
		if v[key] != nil {
			label, err = value(v[key])
			break
		}
	}
	return synset, label, path, err
}

func value(v any) (source.Label, error) {
	switch v := v.(type) {
	case string:
		return source.ParseLabel(v), nil
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return source.Label{Kind: source.NumberLabel, Number: n}, nil
		}
	}
	return source.Label{}, ErrValue
}
