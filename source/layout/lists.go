package layout

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/synshard/synshard/internal/utf8name"
	"github.com/synshard/synshard/source"
	"github.com/synshard/synshard/source/layout/labelfile"
	"github.com/synshard/synshard/source/layout/listing"
	"github.com/synshard/synshard/source/layout/naming"
)

// listed is what lists beside the images of a tree say, by the images' paths in it.
type listed struct {
	lists  []*listing.List
	paths  []string          // of all images, as the lists count them
	split  map[string]string // of the images that lists name; "": it is none's
	train  bool              // a list says what is for training: what none names is of no split
	from   string            // the names of the lists that say splits
	labels *labels           // of lists whose labels decide
	under  map[int32]bool    // directories with images that labels are of, in or below them
	names  map[string]bool   // of the directories, for labels: see dirNames
	common int               // how long the path of the directory is that holds all images
}

const (
	mostLists     = 64      // of a tree: more are of one image each, or of something else
	mostListBytes = 1 << 28 // of one
)

// readLists reads the lists that lie beside the images of a tree.
func (t *tree) readLists(inputs []int) error {
	if t.rows || t.m.o.Read == nil {
		return nil
	}
	files := map[string]*source.Entry{}
	var names []string
	for _, i := range inputs {
		for k := range t.m.inputs[i].Entries {
			e := &t.m.inputs[i].Entries[k]
			if name := t.virtual(i, e.Name); listing.May(name) || len(listing.Joined(name)) > 0 || listing.Part(name) {
				if !e.Archive && !source.Junk(e.Name) && e.Size <= mostListBytes && !t.labels.consumed[place{i, e.Name}] && !t.m.inputs[i].Info.Sequential && !labelFile(naming.Base(name)) {
					files[name] = e
					names = append(names, name)
				}
			}
		}
	}
	t.m.hadLists = t.m.hadLists || len(names) > 0
	if len(names) == 0 || t.m.forced["nolists"] {
		return nil
	}
	if len(names) > mostLists {
		t.m.note("%s: %d tables, such as %s, and none is read: give the one that lists the images", t.path, len(names), slices.Min(names))
		return nil
	}
	slices.Sort(names)
	t.index(inputs)
	images := listing.NewImages(t.listed.paths)
	for _, name := range names {
		if err := t.readList(name, files, images); err != nil {
			return err
		}
	}
	listing.SortByName(t.listed.lists)
	if err := t.listedSplits(); err != nil {
		return err
	}
	return t.listedLabels()
}

// index gathers the paths of all images, in order.
func (t *tree) index(inputs []int) {
	for _, i := range inputs {
		for k := range t.m.inputs[i].Entries {
			if e := &t.m.inputs[i].Entries[k]; !e.Archive && t.isImage(e.Name) {
				t.listed.paths = append(t.listed.paths, t.virtual(i, e.Name))
			}
		}
	}
	slices.Sort(t.listed.paths)
}

// readList reads one list, or leaves it among the files that are no images.
func (t *tree) readList(name string, files map[string]*source.Entry, images *listing.Images) error {
	dir, _ := naming.Cut(name)
	b, err := t.m.o.Read(*files[name])
	if err != nil {
		return within(t.path+"/"+name, err)
	}
	used := []string{name}
	var l *listing.List
	if joined := listing.Joined(name); len(joined) > 0 {
		beside := map[string][]byte{}
		for _, j := range joined {
			if e := files[j]; e != nil {
				if beside[j], err = t.m.o.Read(*e); err != nil {
					return within(t.path+"/"+j, err)
				}
				used = append(used, j)
			}
		}
		if len(beside) == 0 {
			return nil
		}
		l, err = listing.Join(name, dir, b, beside, images)
	} else if !listing.May(name) || listing.Part(name) && files[listing.Whole(dir)] != nil {
		return nil
	} else {
		l, err = listing.Read(name, dir, b, images)
	}
	if err != nil {
		t.notRead(name, err)
		return nil
	}
	switch {
	case len(l.Doubt) > 0:
		return t.ambiguous(fmt.Sprintf("%s may list the images in %s or those in %s", name, dirName(l.Doubt[0]), dirName(l.Doubt[1])),
			Reading{"it says nothing", "--layout nolists"}, Reading{"one directory is meant", "give it with the list, without the other"})
	case l.Missing > 0 && !t.m.forced["lists"]:
		return t.ambiguous(fmt.Sprintf("%s lists images here, and %d of its %d lines do not, such as %s", name, l.Missing, len(l.Paths), l.First),
			Reading{"it is a list of these images, of which some are missing", "--layout lists"}, Reading{"it says nothing", "--layout nolists"})
	}
	says, err := t.speaks(l)
	if err != nil || !says {
		return err
	}
	if err := t.repeatsIn(l); err != nil {
		return err
	}
	t.m.noteComments(t.path+"/"+name, l.Comments)
	for k, at := range l.Images {
		if at < 0 {
			t.m.lost(spot{reason: "listed in " + name + ", and not there", image: true}, l.Paths[k])
		}
	}
	t.listed.lists = append(t.listed.lists, l)
	for _, u := range used {
		t.labels.consumed[place{int(files[u].Container), files[u].Name}] = true
	}
	return nil
}

// repeatsIn holds a list to say one thing of each image.
func (t *tree) repeatsIn(l *listing.List) error {
	rows, labels, splits := repeats{}, t.m.labelColumn(l.Columns), splitColumn(l.Splits)
	for k, at := range l.Images {
		if at < 0 {
			continue
		}
		class, split := "", l.Split
		if labels != nil {
			class = labels.Values[labels.Rows[k]].String()
		}
		if splits != nil {
			split, _ = splitOfValue(splits, int(splits.Rows[k]))
		}
		again, err := rows.again(t.listed.paths[at], rowOf(l.Name, l.Lines, k, class, split))
		if err != nil {
			return t.ambiguous(err.Error(), Reading{"one of them is right", "take the other out"}, Reading{"the list says nothing", "--layout nolists"})
		}
		if again {
			t.m.lost(spot{reason: RepeatReason}, l.Paths[k])
		}
	}
	return nil
}

// notRead tells of a file that is called as a list of splits is, and is none.
func (t *tree) notRead(name string, err error) {
	if naming.SplitList(name) {
		t.m.note("%s/%s is not read: %v", t.path, name, err)
	}
}

func dirName(dir string) string {
	if dir == "" {
		return "the root"
	}
	return dir
}

// speaks says whether a list says a split or a label, and finds the column of labels.
func (t *tree) speaks(l *listing.List) (bool, error) {
	info := source.Info{Columns: l.Columns, Others: l.Others}
	if err := t.m.promote(&info, t.path+"/"+l.Name); err != nil {
		var doubt *Ambiguity
		if errors.As(err, &doubt) {
			doubt.Readings = append(doubt.Readings, Reading{"the list says nothing", "--layout nolists"})
		}
		return false, err
	}
	l.Columns = info.Columns
	return l.Split != "" || splitColumn(l.Splits) != nil || t.m.labelColumn(l.Columns) != nil, nil
}

// listedSplits gives the images the splits that lists say.
func (t *tree) listedSplits() error {
	by := map[string]string{} // the list that said it
	var from []string
	for _, l := range t.listed.lists {
		column := splitColumn(l.Splits)
		if column == nil && l.Split == "" {
			continue
		}
		if t.listed.split == nil {
			t.listed.split = map[string]string{}
		}
		from = append(from, l.Name)
		for k, at := range l.Images {
			if at < 0 {
				continue
			}
			path, split := t.listed.paths[at], l.Split
			if column != nil {
				split, _ = splitOfValue(column, int(column.Rows[k]))
			}
			first, twice := t.listed.split[path]
			switch {
			case twice && first != split && l.Weak:
				continue
			case twice && first != split:
				return t.ambiguous(fmt.Sprintf("%s is of %s by %s and of %s by %s", path, first, by[path], split, l.Name),
					Reading{"the lists say nothing", "--layout nolists"}, Reading{"they are of several divisions", "give the folder without those of others"})
			}
			t.listed.split[path], by[path] = split, l.Name
			t.listed.train = t.listed.train || split == "train"
			if split != "" {
				t.own[split] = true
			}
		}
	}
	if t.listed.from = strings.Join(from, ", "); len(from) > 0 {
		t.m.note("%s: the splits are read from %s", t.path, t.listed.from)
	}
	return nil
}

// agrees compares the splits of lists with those that directories are called after.
func (t *tree) agrees() error {
	for _, l := range t.listed.lists {
		for _, at := range l.Images {
			if at < 0 || t.m.forced["lists"] {
				continue
			}
			path := t.listed.paths[at]
			dir, _ := naming.Cut(path)
			v := t.nodes[t.byPath[dir]].verdict
			if said := t.listed.split[path]; v != nil && v.split != "" && said != "" && v.split != said {
				return t.ambiguous(fmt.Sprintf("%s is of %s by %s, and its directory is called after %s", path, said, t.listed.from, v.split),
					Reading{"the lists say the splits", "--layout lists"}, Reading{"the directories do", "--layout nolists"})
			}
		}
	}
	return nil
}

// bySplitList takes the split that lists say of an image.
func (t *tree) bySplitList(s *spot, v *verdict, path string) {
	if t.listed.split == nil || s.reason != "" {
		return
	}
	switch split, named := t.listed.split[path]; {
	case split != "":
		s.split, s.soft = split, false
	case v.split == "" && (named || t.listed.train):
		s.reason, s.image = "in none of the lists of splits ("+t.listed.from+")", true
	}
}

// listedLabels takes the labels of lists: those of images in directories of the same classes
// only say their order, others decide.
func (t *tree) listedLabels() error {
	numbers := map[int64]string{} // what they stand for, by directories
	var decide []*listing.List
	for _, l := range t.listed.lists {
		column := t.m.labelColumn(l.Columns)
		if column == nil {
			continue
		}
		if err := t.swapped(l); err != nil {
			return err
		}
		dirs := t.classDirs(l)
		switch same, flat := sameDirs(column, dirs), !slices.ContainsFunc(dirs, func(d string) bool { return d != "" }); {
		case flat, t.m.forced["lists"]:
			decide = append(decide, l)
		case !same:
			return t.ambiguous(fmt.Sprintf("the column %s of %s and the directories have different classes", column.Name, l.Name),
				Reading{"the list says the classes", "--layout lists"}, Reading{"the directories do", "--layout nolists"})
		default:
			if err := t.numbersOf(l, column, dirs, numbers); err != nil {
				return err
			}
		}
	}
	for _, l := range decide {
		if err := t.decide(l, numbers); err != nil {
			return err
		}
	}
	return nil
}

// labelColumn is the column of labels that is asked for, or the best called of those
// that have some; nil: there is none.
func (m *mapper) labelColumn(all []source.Column) *source.Column {
	var out *source.Column
	for k := range all {
		switch c := &all[k]; {
		case !says(*c), counts(c):
		case m.column != "" && !strings.EqualFold(c.Name, m.column):
		case out == nil || source.Best([]source.Column{*out, *c}) == 1:
			out = c
		}
	}
	return out
}

// counts says whether a column counts its rows: whole numbers, of three rows or more no two the
// same.
func counts(c *source.Column) bool {
	return len(c.Rows) > 2 && len(c.Values) == len(c.Rows) && !slices.ContainsFunc(c.Values, func(l source.Label) bool { return l.Kind != source.NumberLabel })
}

// classDirs are, for each image of a list, the directories that may be called after its
// class.
func (t *tree) classDirs(l *listing.List) []string {
	paths := make([]string, len(l.Images))
	for k, at := range l.Images {
		if at >= 0 {
			paths[k] = t.listed.paths[at]
		}
	}
	return classDirs(paths)
}

// classDirs are, for each path, the directories below that of all which may be called after
// its class: without those called after splits, parts or nothing. "" is no path.
func classDirs(paths []string) []string {
	out := make([]string, len(paths))
	common := len(commonDir(paths))
	for k, path := range paths {
		out[k] = strings.Join(classElements(path, common), "/")
	}
	return out
}

// classElements are the directories of a path, below a common one of that length, that may be
// called after classes.
func classElements(path string, common int) (kept []string) {
	dir, _ := naming.Cut(path)
	if len(dir) <= common {
		return nil
	}
	for el := range strings.SplitSeq(strings.TrimPrefix(dir[common:], "/"), "/") {
		if s, sure := naming.LikeSplit(el); !(s != "" && sure) && !naming.Generic(el) && !naming.Portion(el) {
			kept = append(kept, el)
		}
	}
	return kept
}

// commonDir is the directory that holds all paths.
func commonDir(paths []string) string {
	common, first := "", true
	for _, path := range paths {
		if path == "" {
			continue
		}
		dir, _ := naming.Cut(path)
		if first {
			common, first = dir, false
		}
		for common != "" && dir != common && !strings.HasPrefix(dir, common+"/") {
			common, _ = naming.Cut(common)
		}
	}
	return common
}

// sameDirs says whether labels and directories divide the images alike.
func sameDirs(c *source.Column, dirs []string) bool {
	d := source.Column{Rows: make([]int32, len(dirs))}
	place := map[string]int32{}
	for k, dir := range dirs {
		if _, ok := place[dir]; !ok {
			place[dir] = int32(len(d.Values))
			d.Values = append(d.Values, source.Label{Kind: source.NameLabel, Name: dir + "/"})
		}
		d.Rows[k] = place[dir]
	}
	return sameClasses(c, &d)
}

// numbersOf notes which class of a directory a number stands for. Labels of names say
// nothing that the directories do not.
func (t *tree) numbersOf(l *listing.List, c *source.Column, dirs []string, numbers map[int64]string) error {
	for k, dir := range dirs {
		n := c.Values[c.Rows[k]]
		if n.Kind != source.NumberLabel || n.Number < 0 {
			continue
		}
		class := dirClass(dir)
		if have, ok := numbers[n.Number]; ok && have != class {
			return t.ambiguous(fmt.Sprintf("the label %d of %s is of the directory %s, and of %s elsewhere", n.Number, l.Name, class, have),
				Reading{"the directories are the classes", "--layout nolists"}, Reading{"the labels are", "--layout lists"})
		}
		numbers[n.Number] = class
		if t.m.o.Classes == nil {
			t.m.note("%s: the classes are in the order of the numbers in %s", t.path, l.Name)
		}
		if t.m.o.Classes == nil && !strings.Contains(class, "/") {
			if err := t.m.pair(n.Number, class); err != nil {
				return fmt.Errorf("%s: %w", l.Name, err)
			}
		}
	}
	return nil
}

// decide makes the labels of a list those of its images.
func (t *tree) decide(l *listing.List, numbers map[int64]string) error {
	c := &columns{m: t.m, from: t.path + "/" + l.Name}
	info := source.Info{Columns: l.Columns, LabelColumn: t.m.labelColumn(l.Columns).Name}
	if _, err := c.choose(&info); err != nil {
		return err
	}
	into := t.listed.labels
	if into == nil {
		into = &labels{name: l.Name, byPath: true, class: map[string]string{}}
		t.listed.labels, t.listed.under = into, map[int32]bool{}
	} else {
		into.name += ", " + l.Name
	}
	for k, at := range l.Images {
		if at < 0 {
			continue
		}
		label := c.label(k, &source.Entry{})
		class, known := numbers[label.Number]
		if label.Kind != source.NumberLabel || !known || t.m.o.Classes != nil {
			var err error
			if class, err = t.m.className(label, nil, c.from); err != nil {
				return within(l.Paths[k], err)
			}
		}
		path := t.listed.paths[at]
		if err := labelfile.Put(into.class, path, class); err != nil {
			return t.ambiguous(l.Name+": "+err.Error(), Reading{"one of the lists is meant", "give the folder without the other"}, Reading{"they say nothing", "--layout nolists"})
		}
		dir, _ := naming.Cut(path)
		for n := t.byPath[dir]; n >= 0 && !t.listed.under[n]; n = t.nodes[n].parent {
			t.listed.under[n] = true
		}
	}
	dir, _ := naming.Cut(l.Name)
	t.labels.metadata[l.Scope(dir, t.listed.paths)] = into
	return nil
}

// swapped refuses a list that says of an image the name of a class whose directory is
// another one than the image's: to divide the images alike, as two names swapped do, is not enough
// where both are names.
func (t *tree) swapped(l *listing.List) error {
	if t.m.forced["lists"] {
		return nil
	}
	for i := range l.Columns {
		c := &l.Columns[i]
		if !says(*c) || t.m.column != "" && !strings.EqualFold(c.Name, t.m.column) {
			continue
		}
		meant := make([]string, len(c.Values)) // "": no directory
		for v, label := range c.Values {
			if name := likeClass(label.Name); label.Kind == source.NameLabel && t.dirNames()[name] {
				meant[v] = name
			}
		}
		for k, at := range l.Images {
			name := meant[c.Rows[k]]
			if at < 0 || name == "" {
				continue
			}
			if path := t.listed.paths[at]; !slices.Contains(namesIn(path, t.listed.common), name) {
				return t.ambiguous(fmt.Sprintf("%s says %s of %s, which is not in the directory of that name", l.Name, c.Values[c.Rows[k]], path),
					Reading{"the list says the classes", "--layout lists"}, Reading{"the directories do", "--layout nolists"})
			}
		}
	}
	return nil
}

// dirNames are the names by which a label may mean directories with images.
func (t *tree) dirNames() map[string]bool {
	if t.listed.names == nil {
		t.listed.names, t.listed.common = map[string]bool{}, len(commonDir(t.listed.paths))
		last := ""
		for _, path := range t.listed.paths { // those of a directory lie together
			if dir, _ := naming.Cut(path); dir != last {
				last = dir
				for _, name := range namesIn(path, t.listed.common) {
					t.listed.names[name] = true
				}
			}
		}
	}
	return t.listed.names
}

// namesIn are the names by which labels may mean the directories of a path below a common
// one, of that length: whole, the synset, or the words behind it.
func namesIn(path string, common int) (names []string) {
	for _, el := range classElements(path, common) {
		names = append(names, likeClass(el))
		if synset, ok := naming.Synset(el); ok {
			names = append(names, synset, likeClass(strings.TrimLeft(strings.TrimPrefix(el, synset), "-_ ")))
		}
	}
	return names
}

// likeClass makes names equal that are written otherwise in a list than on a disk.
func likeClass(name string) string { return asSpaces.Replace(strings.ToLower(name)) }

var asSpaces = strings.NewReplacer("_", " ", "-", " ")

// dirClass is the class of directories as classDirs gives them: the synset among them, or
// else their names.
func dirClass(dir string) string {
	for el := range strings.SplitSeq(dir, "/") {
		if s, ok := naming.Synset(el); ok {
			return s
		}
	}
	return utf8name.Escape(dir)
}

// byDirs gives the names of numbers of which the directories in a list's paths are called
// after the classes, one a number; nil: they are not.
func byDirs(column *source.Column, entries []source.Entry) map[int64]string {
	paths := make([]string, len(entries))
	for k := range entries {
		paths[k] = strings.ReplaceAll(entries[k].Name, `\`, "/")
	}
	dirs := classDirs(paths)
	if slices.Contains(dirs, "") || !sameDirs(column, dirs) {
		return nil
	}
	out := map[int64]string{}
	for k, dir := range dirs {
		l := column.Values[column.Rows[k]]
		if l.Kind != source.NumberLabel || naming.Integer(dir) {
			return nil
		}
		out[l.Number] = dirClass(dir)
	}
	return out
}
