package layout

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/synshard/synshard/source"
	"github.com/synshard/synshard/source/classlist"
	"github.com/synshard/synshard/source/layout/labelfile"
	"github.com/synshard/synshard/source/layout/naming"
)

// rowKind says whether a container's entries are rows of a file, or images given one by
// one: all of them are images, whatever their names.
func rowKind(k source.Kind) bool {
	return k == source.List || k == source.Parquet || k == source.Arrow || k == source.Files
}

// labelled says whether any entry of an input has a label of its own.
func (m *mapper) labelled(i int) bool {
	in := &m.inputs[i]
	return in.Info.ClassNames != nil || slices.ContainsFunc(in.Info.Columns, says) ||
		slices.ContainsFunc(in.Entries, func(e source.Entry) bool { return e.Label.Kind != source.NoLabel })
}

// unread refuses a file of rows whose only columns of classes cannot be read as such, and tells
// of them beside others.
func (m *mapper) unread(i int) error {
	info := &m.inputs[i].Info
	switch names := strings.Join(info.Unread, ", "); {
	case names == "" || m.namesAlone() || m.column != "":
		return nil
	case m.labelled(i):
		m.note("%s: not read as classes, for a row is no one name or number: %s", info.Path, names)
		return nil
	default:
		return &Ambiguity{Path: info.Path, What: "of what is called after classes (" + names + ") a row is no one name or number, as a list is none: an image has one class here", Readings: []Reading{
			{"no image has a class", "--layout flat"}, {"directories are the classes", "--layout top"}, {"one of each list is the class", "give a file with a column of it"}}}
	}
}

// says says whether a column has any label.
func says(c source.Column) bool {
	return slices.ContainsFunc(c.Values, func(l source.Label) bool { return l.Kind != source.NoLabel })
}

// columns is the rule of files whose rows have labels.
type columns struct {
	m      *mapper
	column *source.Column   // nil: each entry has its label
	names  []string         // of the labels' numbers; nil: the file has none
	dirs   map[int64]string // the same, by the directories of a list's paths; nil: they say none
	cache  map[source.Label]string
	from   string
	paths  bool // the directories in the paths say the split
}

// newColumns makes a unit of one file of rows.
func (m *mapper) newColumns(i int) (*unit, error) {
	in := &m.inputs[i]
	u := &unit{inputs: []int{i}, hint: m.rowSplit(i)}
	if m.forced["flat"] {
		m.kind("images without classes")
		u.rule = everyImage{}
		return u, nil
	}
	c := &columns{m: m, from: in.Info.Path, cache: map[source.Label]string{}}
	u.rule = c
	m.kind("rows with labels")
	names := in.Info.ClassNames
	if len(in.Info.Columns) > 0 {
		others, err := c.choose(&in.Info)
		if err != nil {
			return nil, err
		}
		if names = c.column.ClassNames; names == nil {
			if err := c.orderBy(others); err != nil {
				return nil, err
			}
		}
	}
	if err := c.take(names); err != nil {
		return nil, err
	}
	if in.Info.Kind == source.List && c.column != nil && c.names == nil && m.o.Classes == nil && !m.forced["numbers"] {
		if c.dirs = byDirs(c.column, in.Entries); c.dirs != nil {
			m.note("%s: numbers are the classes that the directories of its paths are called after", c.from)
			for n, name := range c.dirs {
				if err := m.pair(n, name); err != nil {
					return nil, within(c.from, err)
				}
			}
		}
	}
	c.takeWords(in.Entries)
	if in.Info.Kind == source.List && splitColumn(in.Info.Splits) == nil {
		u.own = pathSplits(in.Entries)
		c.paths = u.own != nil
	}
	return u, nil
}

// take makes classes of the names that a file has for its labels' numbers; nil: it has none.
func (c *columns) take(names []string) (err error) {
	if names == nil || c.m.forced["numbers"] {
		return nil
	}
	if c.names, err = c.m.takeNames(names, c.from); err != nil {
		return fmt.Errorf("%s: %w", c.from, err)
	}
	return nil
}

// takeWords takes labels that are the words of ImageNet's classes, all of them, as
// its synsets.
func (c *columns) takeWords(entries []source.Entry) {
	seen := map[string]bool{}
	for k := range entries {
		switch l := c.label(k, &entries[k]); {
		case l.Kind == source.NumberLabel || len(seen) > 1000:
			return
		case l.Kind == source.NameLabel:
			seen[l.Name] = true
		}
	}
	names := slices.Sorted(maps.Keys(seen))
	l, err := (&classlist.List{Names: names}).Synsets()
	if len(names) == 0 || err != nil {
		return
	}
	for i, n := range names {
		c.cache[source.Label{Kind: source.NameLabel, Name: n}] = l.Names[i]
	}
	c.m.note("the labels are the words of ImageNet's classes: they are taken as its synsets")
}

// rowSplit is the split that an input's file speaks of, or a directory around it.
func (m *mapper) rowSplit(i int) string {
	in := &m.inputs[i].Info
	if in.Within == "" {
		return m.pathSplit(in.Path, in.Kind)
	}
	if s := naming.FileSplit(in.Within); s != "" {
		return s
	}
	for dir, _ := naming.Cut(in.Within); dir != ""; dir, _ = naming.Cut(dir) {
		if s, sure := naming.LikeSplit(naming.Base(dir)); sure {
			return s
		}
	}
	return ""
}

// rowDirs are the directories of a folder's files of rows without labels, below the one that all of them
// lie in: splits, or classes where that is sure. Else they may be no more than parts, which they are where
// the rows' own names speak of classes. Where the dataset card says the splits they say nothing.
func (m *mapper) rowDirs(from, to int, card *labelfile.Card) (map[int]string, error) {
	dirs := map[int]string{}
	for i := from; i < to && card == nil; i++ {
		if in := &m.inputs[i]; in.Info.Within != "" && rowKind(in.Info.Kind) && !m.labelled(i) {
			dirs[i], _ = naming.Cut(in.Info.Within)
		}
	}
	all := slices.Collect(maps.Values(dirs))
	if len(all) == 0 || m.forced["flat"] {
		return nil, nil
	}
	for above := m.onlyDir(all); above != ""; above = m.onlyDir(all) {
		for i := range dirs {
			dirs[i] = strings.TrimPrefix(strings.TrimPrefix(dirs[i], above), "/")
		}
		all = slices.Collect(maps.Values(dirs))
	}
	slices.Sort(all)
	own := slices.ContainsFunc(slices.Collect(maps.Keys(dirs)), m.namesClasses)
	for _, dir := range all {
		for el := range strings.SplitSeq(dir, "/") {
			split, _ := naming.LikeSplit(el)
			switch {
			case split != "" || el == "" || m.sureClass(el) || m.namesAlone():
			case own:
				return nil, nil
			default:
				return nil, &Ambiguity{Path: m.given(from), What: "files of rows without labels lie in several directories, such as " + el, Readings: []Reading{
					{"no image has a class", "--layout flat"}, {"the directories are the classes", "--layout top"}, {"they are data sets of their own", "give the directory of one"}}}
			}
		}
	}
	return dirs, nil
}

// namesClasses says whether the names in an input may say classes: by directories, or by synsets.
func (m *mapper) namesClasses(i int) bool {
	return slices.ContainsFunc(m.inputs[i].Entries, func(e source.Entry) bool {
		return strings.Contains(e.Name, "/") || naming.SynsetIn(naming.Base(e.Name)) != ""
	})
}

// onlyDir is the first directory of all paths, where it is one and no class; else "".
func (m *mapper) onlyDir(paths []string) string {
	only, _, _ := strings.Cut(paths[0], "/")
	for _, p := range paths {
		if first, _, _ := strings.Cut(p, "/"); first != only {
			return ""
		}
	}
	if m.sureClass(only) {
		return ""
	}
	return only
}

// sureClass says whether a directory's name is a synset, or a class of the list given.
func (m *mapper) sureClass(name string) bool {
	_, ok := naming.Synset(name)
	if !ok && m.o.Classes != nil {
		_, ok = m.o.Classes.Index(name)
	}
	return ok
}

// pathSplits are the splits that the directories in a list's paths are called after,
// where they are called after several.
func pathSplits(entries []source.Entry) map[string]bool {
	found := map[string]bool{}
	last := ""
	for k := range entries {
		dir, _ := naming.Cut(entries[k].Name)
		if dir == last {
			continue
		}
		last = dir
		if s := splitIn(dir); s != "" {
			found[s] = true
		}
	}
	if len(found) < 2 {
		return nil
	}
	return found
}

// splitIn is the split of the one directory of a path that is called after one.
func splitIn(dir string) (found string) {
	for el := range strings.SplitSeq(dir, "/") {
		if s := naming.SplitWord(el); s != "" {
			if found != "" && found != s {
				return ""
			}
			found = s
		}
	}
	return found
}

// takeNames makes classes of the names that a file has for its labels' numbers: in
// the list given, or else they are the list, as ImageNet's synsets where they are
// its words.
func (m *mapper) takeNames(names []string, from string) ([]string, error) {
	l, err := classlist.New(names, nil, from)
	s, notImageNet := (&classlist.List{Names: names, Source: from}).Synsets()
	var doubt *classlist.NotInList
	switch {
	case notImageNet == nil:
		m.note("the names of the labels are the words of ImageNet's classes: they are taken as its synsets")
		l, err = s, nil
	case errors.As(notImageNet, &doubt):
		m.note("the names of the labels are the words of ImageNet's classes, and are not taken as its synsets since %v", doubt)
	}
	if err != nil {
		return nil, err
	}
	if m.o.Classes == nil {
		return l.Names, m.table.add(l)
	}
	out := make([]string, len(l.Names))
	for i, at := range classlist.Match(l, m.o.Classes) {
		if out[i] = l.Names[i]; at >= 0 {
			out[i] = m.o.Classes.Names[at]
		} // else it is an error where an image has it
	}
	return out, nil
}

// className gives the class that a label means. names are those of its numbers, if
// the file has some.
func (m *mapper) className(l source.Label, names []string, from string) (string, error) {
	switch {
	case l.Kind == source.NoLabel:
		return "", nil
	case l.Kind == source.NameLabel:
		return l.Name, nil
	case l.Number == -1:
		return "", nil
	case m.forced["numbers"]:
		m.numbers = true
		return strconv.FormatInt(l.Number, 10), nil
	case names != nil:
		if l.Number < 0 || l.Number >= int64(len(names)) {
			return "", fmt.Errorf("label %d, and the file has %d names of labels", l.Number, len(names))
		}
		return names[l.Number], nil
	case m.o.Classes != nil:
		at, err := m.o.Classes.Number(l.Number)
		if err != nil {
			return "", err
		}
		return m.o.Classes.Names[at], nil
	}
	return "", &Ambiguity{Path: from, What: fmt.Sprintf("labels are numbers (%d) and there is no class list", l.Number), Readings: numberReadings}
}

// label is what the row of an entry says.
func (c *columns) label(k int, e *source.Entry) source.Label {
	if c.column == nil || k < 0 || k >= len(c.column.Rows) {
		return e.Label
	}
	return c.column.Values[c.column.Rows[k]]
}

// place implements rule.
func (c *columns) place(_, k int, e *source.Entry) (spot, error) {
	l := c.label(k, e)
	class, ok := c.cache[l]
	if name, of := c.dirs[l.Number]; !ok && of && l.Kind == source.NumberLabel {
		class, ok = name, true
	}
	if !ok {
		var err error
		if class, err = c.m.className(l, c.names, c.from); err != nil {
			return spot{}, within(e.Name, err)
		}
		c.cache[l] = class
	}
	s := spot{class: class, identity: inClass(e.Name, class)}
	if c.paths {
		if s.split = splitIn(e.Name); s.split == "" {
			return s, &Ambiguity{Path: c.from, What: fmt.Sprintf("paths lie in directories of several splits, and %s in none of them", e.Name), Readings: []Reading{
				{"the directories are the splits", "give lists without such paths"}, {"they say nothing", "give a list for each split"}}}
		}
	}
	return s, nil
}

// inClass is a row's name in its class: below the class's directory, where the
// name begins with it.
func inClass(name, class string) string {
	if rest, ok := strings.CutPrefix(name, class+"/"); ok && class != "" && rest != "" {
		return rest
	}
	return name
}

// everyImage is the rule of rows without classes.
type everyImage struct{}

func (everyImage) place(_, _ int, e *source.Entry) (spot, error) { return spot{identity: e.Name}, nil }

// notTaken is the rule of files that are left out as a whole.
type notTaken struct{ reason string }

func (l notTaken) place(int, int, *source.Entry) (spot, error) {
	return spot{reason: l.reason, image: true}, nil
}

// dataCard reads the README.md at the root of a folder of rows, if there is one.
func (m *mapper) dataCard(from, to int) (*labelfile.Card, error) {
	rows := false
	var card *source.Entry
	for i := from; i < to; i++ {
		rows = rows || rowKind(m.inputs[i].Info.Kind)
		for k := range m.inputs[i].Entries {
			if e := &m.inputs[i].Entries[k]; e.Name == "README.md" && m.inputs[i].Info.Kind == source.Folder {
				card = e
			}
		}
	}
	if !rows || card == nil || m.o.Read == nil {
		return nil, nil
	}
	b, err := m.o.Read(*card)
	if err != nil {
		return nil, err
	}
	c, err := labelfile.ParseCard(b)
	if err != nil {
		return nil, fmt.Errorf("%s/README.md: %w", m.given(from), err)
	}
	return c, nil
}

// cardSplit is the split of a file by the card; or why it is left out; or neither, where
// the card says nothing.
func cardSplit(c *labelfile.Card, rel string) (split, leftOut string) {
	name, listed, ok := c.SplitOf(rel)
	switch {
	case !ok:
		return "", ""
	case !listed:
		return "", "the dataset card does not name its file"
	case naming.SplitWord(name) == "":
		return "", fmt.Sprintf("the dataset card puts its file into the split %q", name)
	}
	return naming.SplitWord(name), ""
}
