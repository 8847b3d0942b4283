package classlist

import (
	"slices"
	"strconv"
	"strings"
)

// parseLiterals reads a list that is JSON, or the same in Python.
func parseLiterals(text string) (*List, error) {
	values, err := literals(text)
	if err != nil {
		return nil, err
	}
	var entries []entry
	switch {
	case len(values) > 1:
		entries, err = fromList(literal{line: values[0].line, kind: 'a', items: values})
	case values[0].kind == 'a':
		entries, err = fromList(values[0])
	default:
		entries, err = fromObject(values[0])
	}
	if err != nil {
		return nil, err
	}
	unit := "line"
	if n := len(entries); n > 1 && entries[0].line == entries[n-1].line {
		unit = "class" // all on one line: its number says nothing
		for i := range entries {
			entries[i].line = i + 1
		}
	}
	return finish(entries, unit)
}

// fromList reads a list of names, of lists or of objects.
func fromList(v literal) ([]entry, error) {
	entries := make([]entry, 0, len(v.items))
	for _, item := range v.items {
		e, err := fromItem(item)
		if err != nil {
			return nil, err
		}
		if n := len(entries); n > 0 && entries[n-1].numbered != e.numbered {
			return nil, errorAt(e.line, "some classes have a number and some have none")
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// fromItem reads a class: a name, a list of a number, a synset and words, or an
// object that has them under usual keys.
func fromItem(v literal) (entry, error) {
	switch v.kind {
	case 's':
		return fromName(v.line, v.text), nil
	case 'a':
		return fromWords(v)
	case 'o':
		return fromRecord(v)
	}
	return entry{}, errorAt(v.line, "want a name, a list or an object and not %s", v.text)
}

// fromName reads a name as a line has it: a synset and words, or a name.
func fromName(line int, s string) entry {
	if synset, words, ok := cutSynset(s); ok {
		return entry{line: line, name: synset, words: splitWords(words)}
	}
	return entry{line: line, name: strings.TrimSpace(s)}
}

func fromWords(v literal) (entry, error) {
	e := entry{line: v.line}
	items := v.items
	if len(items) > 1 && items[0].kind == 'n' {
		e.numbered, e.number = true, items[0].number
		items = items[1:]
	}
	var words []string
	for _, w := range items {
		switch {
		case w.kind != 's':
			return e, errorAt(w.line, "want names and not %q", w.text)
		case IsSynset(w.text) && e.name != "":
			return e, errorAt(w.line, "%s and %s in one class", e.name, w.text)
		case IsSynset(w.text):
			e.name = w.text
		default:
			words = append(words, splitWords(w.text)...)
		}
	}
	if e.name == "" {
		e.name = strings.Join(words, ", ")
	} else {
		e.words = words
	}
	return e, nil
}

// fromRecord reads an object of a class, by the names that headings have.
func fromRecord(v literal) (entry, error) {
	var r record
	for i, k := range v.keys {
		item := v.items[i]
		value := item.text
		if item.kind == 'a' {
			var words []string
			for _, w := range item.items {
				words = append(words, w.text)
			}
			value = strings.Join(words, ", ")
		}
		if item.kind == 'o' || item.kind == '-' {
			continue
		}
		r.put(columnOf(k.text), value)
	}
	e, ok := r.entry(v.line)
	if !ok {
		return e, errorAt(v.line, "neither a synset nor a name in it")
	}
	return e, nil
}

// wrappers are keys whose value is a list of classes, the surest first.
var wrappers = []string{"id2label", "idx_to_class", "class_to_idx", "label2id", "class_names", "classes", "names", "categories", "wnids", "synsets", "labels"}

// fromObject reads an object: from number to class, from class to number, from
// synset to words, or one that holds such a thing under a usual key.
func fromObject(v literal) ([]entry, error) {
	if len(v.keys) == 0 {
		return nil, errorAt(v.line, "no classes in it")
	}
	if numbers := countFunc(v.keys, isNumber); numbers == len(v.keys) {
		return byNumber(v)
	} else if numbers > 0 {
		return nil, errorAt(v.line, "%d of %d keys are numbers", numbers, len(v.keys))
	}
	if countFunc(v.items, func(i literal) bool { return i.kind == 'n' }) == len(v.keys) {
		return toNumber(v)
	}
	if countFunc(v.keys, func(k literal) bool { return IsSynset(k.text) }) == len(v.keys) {
		return bySynset(v)
	}
	return fromWrapper(v)
}

func isNumber(k literal) bool {
	_, err := strconv.ParseInt(k.text, 10, 64)
	return err == nil
}

func countFunc(list []literal, f func(literal) bool) (n int) {
	for _, v := range list {
		if f(v) {
			n++
		}
	}
	return n
}

func byNumber(v literal) ([]entry, error) {
	var entries []entry
	for i, k := range v.keys {
		e, err := fromItem(v.items[i])
		if err != nil {
			return nil, err
		}
		e.line, e.numbered = k.line, true
		e.number, _ = strconv.ParseInt(k.text, 10, 64)
		entries = append(entries, e)
	}
	return entries, nil
}

func toNumber(v literal) ([]entry, error) {
	var entries []entry
	for i, k := range v.keys {
		e := fromName(k.line, k.text)
		e.numbered, e.number = true, v.items[i].number
		entries = append(entries, e)
	}
	return entries, nil
}

// bySynset reads {"n01440764": "tench"}. An object has no order of its own, so
// only the ascending one is not in doubt.
func bySynset(v literal) ([]entry, error) {
	var entries []entry
	for i, k := range v.keys {
		item := v.items[i]
		if item.kind != 's' && item.kind != 'a' {
			return nil, errorAt(item.line, "want the words of %s and not %q", k.text, item.text)
		}
		words, err := fromItem(item)
		if err != nil {
			return nil, err
		}
		if IsSynset(words.name) {
			return nil, errorAt(item.line, "%s is called %s", k.text, words.name)
		}
		entries = append(entries, entry{line: k.line, name: k.text, words: splitWords(words.name)})
	}
	if !slices.IsSortedFunc(entries, func(a, b entry) int { return strings.Compare(a.name, b.name) }) {
		return nil, errorAt(v.line, "synsets and their words in no order: which label is whose cannot be told; give a list")
	}
	return entries, nil
}

// fromWrapper looks for the classes in an object that holds them somewhere.
func fromWrapper(v literal) ([]entry, error) {
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
		return nil, errorAt(v.line, "%d lists of classes in it: %s and %s", len(labels), labels[0].key, labels[1].key)
	}
	for _, key := range wrappers {
		if inner := v.get(key); inner != nil && (inner.kind == 'a' || inner.kind == 'o') {
			return fromAny(*inner)
		}
	}
	return nil, errorAt(v.line, "an object in which no list of classes is known: neither numbers nor synsets are its keys, and none of %s", strings.Join(wrappers, ", "))
}

func fromAny(v literal) ([]entry, error) {
	if v.kind == 'a' {
		return fromList(v)
	}
	return fromObject(v)
}

// classLabel is a ClassLabel of Hugging Face, and the feature that it is.
type classLabel struct {
	key   string
	names literal
}

// classLabels finds every different ClassLabel below a value. The same list
// under the same name, as dataset_infos.json has it once a configuration, counts
// once.
func classLabels(v literal, key string) []classLabel {
	if v.kind != 'o' {
		return nil
	}
	if names := v.get("names"); names != nil && (names.kind == 'a' || names.kind == 'o') {
		if t := v.get("_type"); t != nil && t.text == "ClassLabel" {
			return []classLabel{{key, *names}}
		}
	}
	var out []classLabel
	for i, k := range v.keys {
		for _, l := range classLabels(v.items[i], k.text) {
			if !slices.ContainsFunc(out, func(o classLabel) bool { return o.key == l.key && o.names.same(l.names) }) {
				out = append(out, l)
			}
		}
	}
	return out
}

// same compares two values without their lines.
func (v literal) same(o literal) bool {
	return v.kind == o.kind && v.text == o.text && v.number == o.number &&
		slices.EqualFunc(v.keys, o.keys, literal.same) && slices.EqualFunc(v.items, o.items, literal.same)
}
