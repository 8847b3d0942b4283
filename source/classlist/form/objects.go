package form

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/synshard/synshard/source/classlist/literal"
)

// parseLiterals reads a list that is JSON, or the same in Python.
func parseLiterals(text string) (*Form, error) {
	values, err := literal.Parse(text)
	if bad := (*literal.Error)(nil); errors.As(err, &bad) {
		return nil, errorAt(bad.Line, "%s", bad.Problem)
	}
	if err != nil {
		return nil, err
	}
	f := &Form{Unit: "line"}
	switch {
	case len(values) > 1:
		f.Entries, err = fromList(literal.Value{Line: values[0].Line, Kind: literal.List, Items: values})
	case values[0].Kind == literal.List:
		f.Entries, err = fromList(values[0])
	default:
		f.Entries, err = fromObject(values[0])
	}
	if n := len(f.Entries); n > 1 && f.Entries[0].Line == f.Entries[n-1].Line {
		f.Unit = "class" // all on one line: its number says nothing
		for i := range f.Entries {
			f.Entries[i].Line = i + 1
		}
	}
	return f, err
}

// fromList reads a list of names, of lists or of objects.
func fromList(v literal.Value) ([]Entry, error) {
	entries := make([]Entry, 0, len(v.Items))
	for _, item := range v.Items {
		e, err := fromItem(item)
		if err != nil {
			return nil, err
		}
		if n := len(entries); n > 0 && entries[n-1].Numbered != e.Numbered {
			return nil, errorAt(e.Line, "some classes have a number and some have none")
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// fromItem reads a class: a name, a list of a number, a synset and words, or an
// object that has them under usual keys.
func fromItem(v literal.Value) (Entry, error) {
	switch v.Kind {
	case literal.Text:
		return fromName(v.Line, v.Text), nil
	case literal.List:
		return fromWords(v)
	case literal.Object:
		return fromRecord(v)
	}
	return Entry{}, errorAt(v.Line, "want a name, a list or an object and not %s", v.Text)
}

// fromName reads a name as a line has it: a synset and words, or a name.
func fromName(line int, s string) Entry {
	if synset, words, ok := cutSynset(s); ok {
		return Entry{Line: line, Name: synset, Words: Words(words)}
	}
	return Entry{Line: line, Name: strings.TrimSpace(s)}
}

func fromWords(v literal.Value) (Entry, error) {
	e := Entry{Line: v.Line}
	items := v.Items
	if len(items) > 1 && items[0].Kind == literal.Number {
		e.Numbered, e.Number = true, items[0].Number
		items = items[1:]
	}
	var words []string
	for _, w := range items {
		switch {
		case w.Kind != literal.Text:
			return e, errorAt(w.Line, "want names and not %q", w.Text)
		case IsSynset(w.Text) && e.Name != "":
			return e, errorAt(w.Line, "%s and %s in one class", e.Name, w.Text)
		case IsSynset(w.Text):
			e.Name = w.Text
		default:
			words = append(words, Words(w.Text)...)
		}
	}
	if e.Name == "" {
		e.Name = strings.Join(words, ", ")
	} else {
		e.Words = words
	}
	return e, nil
}

// fromRecord reads an object of a class, by the names that headings have.
func fromRecord(v literal.Value) (Entry, error) {
	var r record
	for i, k := range v.Keys {
		item := v.Items[i]
		value := item.Text
		if item.Kind == literal.List {
			var words []string
			for _, w := range item.Items {
				words = append(words, w.Text)
			}
			value = strings.Join(words, ", ")
		}
		if item.Kind == literal.Object || item.Kind == literal.Other {
			continue
		}
		r.put(columnOf(k.Text), value)
	}
	e, ok := r.entry(v.Line)
	if !ok {
		return e, errorAt(v.Line, "neither a synset nor a name in it")
	}
	return e, nil
}

// wrappers are keys whose value is a list of classes, the surest first.
var wrappers = []string{"id2label", "idx_to_class", "class_to_idx", "label2id", "class_names", "classes", "names", "categories", "wnids", "synsets", "labels"}

// fromObject reads an object: from number to class, from class to number, from
// synset to words, or one that holds such a thing under a usual key.
func fromObject(v literal.Value) ([]Entry, error) {
	if len(v.Keys) == 0 {
		return nil, errorAt(v.Line, "no classes in it")
	}
	if numbers := countFunc(v.Keys, isNumber); numbers == len(v.Keys) {
		return byNumber(v)
	} else if numbers > 0 {
		return nil, errorAt(v.Line, "%d of %d keys are numbers", numbers, len(v.Keys))
	}
	if countFunc(v.Items, func(i literal.Value) bool { return i.Kind == literal.Number }) == len(v.Keys) {
		return toNumber(v)
	}
	if countFunc(v.Keys, func(k literal.Value) bool { return IsSynset(k.Text) }) == len(v.Keys) {
		return bySynset(v)
	}
	return fromWrapper(v)
}

func isNumber(k literal.Value) bool {
	_, err := strconv.ParseInt(k.Text, 10, 64)
	return err == nil
}

func countFunc(list []literal.Value, f func(literal.Value) bool) (n int) {
	for _, v := range list {
		if f(v) {
			n++
		}
	}
	return n
}

func byNumber(v literal.Value) ([]Entry, error) {
	var entries []Entry
	for i, k := range v.Keys {
		e, err := fromItem(v.Items[i])
		if err != nil {
			return nil, err
		}
		e.Line, e.Numbered = k.Line, true
		e.Number, _ = strconv.ParseInt(k.Text, 10, 64)
		entries = append(entries, e)
	}
	return entries, nil
}

func toNumber(v literal.Value) ([]Entry, error) {
	var entries []Entry
	for i, k := range v.Keys {
		e := fromName(k.Line, k.Text)
		e.Numbered, e.Number = true, v.Items[i].Number
		entries = append(entries, e)
	}
	return entries, nil
}

// bySynset reads {"n01440764": "tench"}. An object has no order of its own, so
// only the ascending one is not in doubt.
func bySynset(v literal.Value) ([]Entry, error) {
	var entries []Entry
	for i, k := range v.Keys {
		item := v.Items[i]
		if item.Kind != literal.Text && item.Kind != literal.List {
			return nil, errorAt(item.Line, "want the words of %s and not %q", k.Text, item.Text)
		}
		words, err := fromItem(item)
		if err != nil {
			return nil, err
		}
		if IsSynset(words.Name) {
			return nil, errorAt(item.Line, "%s is called %s", k.Text, words.Name)
		}
		entries = append(entries, Entry{Line: k.Line, Name: k.Text, Words: Words(words.Name)})
	}
	if !slices.IsSortedFunc(entries, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) }) {
		return nil, errorAt(v.Line, "synsets and their words in no order: which label is whose cannot be told; give a list")
	}
	return entries, nil
}

// fromWrapper looks for the classes in an object that holds them somewhere.
func fromWrapper(v literal.Value) ([]Entry, error) {
	labels := classLabels(v, "")
	switch len(labels) {
	case 0:
	case 1:
		return fromAny(labels[0].names)
	default:
		for _, l := range labels {
			if l.key == "label" || l.key == "labels" {
				return fromAny(l.names)
			}
		}
		return nil, errorAt(v.Line, "%d lists of classes in it: %s and %s", len(labels), labels[0].key, labels[1].key)
	}
	for _, key := range wrappers {
		if inner := v.Get(key); inner != nil && (inner.Kind == literal.List || inner.Kind == literal.Object) {
			return fromAny(*inner)
		}
	}
	return nil, errorAt(v.Line, "an object in which no list of classes is known: neither numbers nor synsets are its keys, and none of %s", strings.Join(wrappers, ", "))
}

func fromAny(v literal.Value) ([]Entry, error) {
	if v.Kind == literal.List {
		return fromList(v)
	}
	return fromObject(v)
}

// classLabel is a ClassLabel of Hugging Face, and the feature that it is.
type classLabel struct {
	key   string
	names literal.Value
}

// classLabels finds every different ClassLabel below a value. The same list
// under the same name, as dataset_infos.json has it once a configuration, counts
// once.
func classLabels(v literal.Value, key string) []classLabel {
	if v.Kind != literal.Object {
		return nil
	}
	if names := v.Get("names"); names != nil && (names.Kind == literal.List || names.Kind == literal.Object) {
		if t := v.Get("_type"); t != nil && t.Text == "ClassLabel" {
			return []classLabel{{key, *names}}
		}
	}
	var out []classLabel
	for i, k := range v.Keys {
		for _, l := range classLabels(v.Items[i], k.Text) {
			if !slices.ContainsFunc(out, func(o classLabel) bool { return o.key == l.key && o.names.Same(l.names) }) {
				out = append(out, l)
			}
		}
	}
	return out
}
