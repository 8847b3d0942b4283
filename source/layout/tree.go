package layout

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/synshard/synshard/internal/utf8name"
	"github.com/synshard/synshard/source"
	"github.com/synshard/synshard/source/layout/naming"
)

// tree is the directories of inputs that belong together, as one: an archive is a
// directory of its name.
type tree struct {
	m      *mapper
	path   string   // for errors
	prefix []string // of the names of each input, by its place in mapper.inputs
	nodes  []node
	byPath map[string]int32
	raw    []map[string]int32 // of each input: the node of a directory as its entries have it
	labels labelFiles
	listed listed
	bare   map[string]bool // directories with files that are no images, in or below them
	unseen bool            // an input was not listed
	rows   bool            // its entries are rows: all are images
	own    map[string]bool
	soft   string            // the split that a directory around all may be called after
	kinds  map[string]string // what was found, by split

	lastInput int
	lastDir   string
	lastNode  int32
}

// node is a directory.
type node struct {
	name, path string
	parent     int32
	kids       []int32
	images     int // that lie in it, archives' unknown numbers as one
	below      int // the same of it and all below it
	named      int // images with a synset in their name
	synset     string
	synsets    bool // which is not the same for all
	val, test  int  // images that ILSVRC named so
	archive    bool
	file       bool // an input: an archive in a folder
	verdict    *verdict
}

// verdict is what the images of a directory are.
type verdict struct {
	split  string
	class  string
	how    how
	labels *labels
	reason string // of how leave
	depth  int    // of the directory of the class, or of the split, below the root
}

type how uint8

const (
	byDirectory how = iota // the class is the verdict's
	byName                 // a synset in the image's name
	byTruth                // ILSVRC2012's validation set, from the development kit
	byLabels               // a file of labels
	unlabelled
	leave
)

// newTree makes a unit of inputs read as one tree. rows is the directory of a file of rows that
// says something, which is not the file: see rowDirs.
func (m *mapper) newTree(inputs []int, rows string) (*unit, error) {
	t := &tree{m: m, path: m.given(inputs[0]), byPath: map[string]int32{}, prefix: make([]string, len(m.inputs)), raw: make([]map[string]int32, len(m.inputs)), own: map[string]bool{}, bare: map[string]bool{}, kinds: map[string]string{}, rows: rowKind(m.inputs[inputs[0]].Info.Kind)}
	t.nodes = append(t.nodes, node{parent: -1})
	t.byPath[""] = 0
	t.lastInput = -1
	u := &unit{inputs: inputs, rule: t, own: t.own}
	for _, i := range inputs {
		t.raw[i] = map[string]int32{}
		t.prefix[i] = naming.WithoutArchiveEnd(m.inputs[i].Info.Within)
		if t.rows {
			t.prefix[i] = rows
		}
		if len(m.inputs[i].Entries) == 0 && m.inputs[i].Info.Sequential {
			t.unseen = true
		}
		t.list(i)
		if t.prefix[i] != "" {
			t.nodes[t.make(t.prefix[i])].file = !t.rows
		}
	}
	t.sum()
	var err error
	if t.labels, err = t.readLabelFiles(inputs); err != nil {
		return nil, err
	}
	if err = t.readLists(inputs); err != nil {
		return nil, err
	}
	if err = t.understand(); err == nil {
		err = t.agrees()
	}
	if t.rows && len(t.own) == 1 {
		t.softenRows()
	}
	u.hint = t.hint(inputs[0])
	return u, err
}

// softenRows makes a hint of the one split in a list's paths: val.txt may well list
// what lies in train/.
func (t *tree) softenRows() {
	for s := range t.own {
		t.soft = s
	}
	clear(t.own)
	for i := range t.nodes {
		if v := t.nodes[i].verdict; v != nil {
			v.split = ""
		}
	}
}

// hint is the split that the images' own names speak of, all of them, or else that of the
// tree itself, whose first input is i.
func (t *tree) hint(i int) string {
	val, test := 0, 0
	for i := range t.nodes {
		val += t.nodes[i].val
		test += t.nodes[i].test
	}
	all := t.nodes[0].below
	info := &t.m.inputs[i].Info
	switch own := t.m.pathSplit(t.path, info.Kind); {
	case all > 0 && val == all:
		return "val"
	case all > 0 && test == all:
		return "test"
	case t.rows:
		return cmp.Or(naming.FileSplit(cmp.Or(info.Within, info.Path)), t.soft, t.m.rowSplit(i))
	case t.soft != "":
		return t.soft
	default:
		return own
	}
}

// pathSplit is the split that a path as it was given speaks of: a folder's own
// name, a file's, or that of the directory a file is in.
func (m *mapper) pathSplit(path string, kind source.Kind) string {
	dir, name := naming.Cut(filepath.ToSlash(filepath.Clean(path)))
	if kind == source.Folder {
		if s, sure := naming.LikeSplit(name); sure {
			return s
		}
		return ""
	}
	return cmp.Or(naming.FileSplit(name), naming.SplitWord(naming.Base(dir)))
}

// list notes the directories of an input's images.
func (t *tree) list(i int) {
	entries := t.m.inputs[i].Entries
	for k := range entries {
		e := &entries[k]
		if e.Archive {
			n := &t.nodes[t.node(i, e.Name)]
			n.images++
			n.archive = true
			continue
		}
		if !t.isImage(e.Name) {
			t.noImage(i, e.Name)
			continue
		}
		dir, name := naming.Cut(e.Name)
		n := &t.nodes[t.node(i, dir)]
		n.images++
		if synset := naming.SynsetIn(name); synset != "" {
			n.synsets = n.synsets || n.named > 0 && n.synset != synset
			n.synset = synset
			n.named++
		}
		switch naming.ILSVRCSplit(name) {
		case "val":
			n.val++
		case "test":
			n.test++
		}
	}
}

// noImage remembers the directory of a file that is no image, and those above it.
func (t *tree) noImage(i int, name string) {
	if reason, _, _ := t.m.files.LeftOut(name); reason == source.JunkReason || t.rows {
		return
	}
	dir, _ := naming.Cut(name)
	for dir = t.virtual(i, dir); dir != "" && !t.bare[dir]; dir, _ = naming.Cut(dir) {
		t.bare[dir] = true
	}
}

// noteBare tells of directories beside those of classes in which there is no image.
func (t *tree) noteBare(v int32) {
	var names []string
	for dir := range t.bare {
		up, name := naming.Cut(dir)
		if n, ok := t.byPath[dir]; up == t.nodes[v].path && (!ok || t.nodes[n].below == 0) {
			names = append(names, name)
		}
	}
	if len(names) > 0 {
		slices.Sort(names)
		where := cmp.Or(t.nodes[v].path, t.path)
		t.m.note("%s: directories without an image that is read, beside those of classes: %d, such as %s: no class is made of them", where, len(names), strings.Join(names[:min(3, len(names))], ", "))
	}
}

// isImage says whether a name is that of an image that counts: no junk, and of a
// format that is decoded. A row is an image whatever it is called.
func (t *tree) isImage(name string) bool {
	if t.rows {
		return !t.m.files.Undecoded(name)
	}
	return t.m.files.Image(name)
}

// node gives the node of a directory as an input has it, and makes it where there
// is none.
func (t *tree) node(i int, dir string) int32 {
	if i == t.lastInput && dir == t.lastDir {
		return t.lastNode
	}
	n, ok := t.raw[i][dir]
	if !ok {
		n = t.make(t.virtual(i, dir))
		t.raw[i][dir] = n
	}
	t.lastInput, t.lastDir, t.lastNode = i, dir, n
	return n
}

// virtual is the path in the tree of a directory of an input.
func (t *tree) virtual(i int, dir string) string {
	if strings.Contains(dir, ".") {
		elements := strings.Split(dir, "/")
		for k, e := range elements {
			elements[k] = naming.WithoutArchiveEnd(e)
		}
		dir = strings.Join(elements, "/")
	}
	switch {
	case t.prefix[i] == "":
		return dir
	case dir == "":
		return t.prefix[i]
	}
	return t.prefix[i] + "/" + dir
}

func (t *tree) make(path string) int32 {
	if n, ok := t.byPath[path]; ok {
		return n
	}
	dir, name := naming.Cut(path)
	parent := t.make(dir)
	n := int32(len(t.nodes))
	t.nodes = append(t.nodes, node{name: name, path: path, parent: parent})
	t.nodes[parent].kids = append(t.nodes[parent].kids, n)
	t.byPath[path] = n
	return n
}

// sum counts the images below each directory, and puts directories in order of
// their names.
func (t *tree) sum() {
	for n := len(t.nodes) - 1; n >= 0; n-- { // parents are made before their kids
		v := &t.nodes[n]
		v.below += v.images
		if v.parent >= 0 {
			t.nodes[v.parent].below += v.below
		}
		slices.SortFunc(v.kids, func(a, b int32) int { return cmp.Compare(t.nodes[a].name, t.nodes[b].name) })
	}
}

// kids are the directories right below one that hold images.
func (t *tree) kids(v int32) []int32 {
	var out []int32
	for _, k := range t.nodes[v].kids {
		if t.nodes[k].below > 0 {
			out = append(out, k)
		}
	}
	return out
}

// below are all directories below one in which images lie, in order.
func (t *tree) below(v int32) []int32 {
	var out []int32
	for _, k := range t.kids(v) {
		if t.nodes[k].images > 0 {
			out = append(out, k)
		}
		out = append(out, t.below(k)...)
	}
	return out
}

// between are the names of the directories from below v to n, n's included.
func (t *tree) between(v, n int32) []int32 {
	var out []int32
	for ; n != v && n >= 0; n = t.nodes[n].parent {
		out = append(out, n)
	}
	slices.Reverse(out)
	return out
}

func (t *tree) names(list []int32) []string {
	out := make([]string, len(list))
	for i, n := range list {
		out[i] = t.nodes[n].name
	}
	return out
}

// some names a few directories of a list.
func (t *tree) some(list []int32) string {
	const few = 3
	names := t.names(list)
	slices.Sort(names)
	if len(names) > few {
		return fmt.Sprintf("%s and %d others", strings.Join(names[:few], ", "), len(names)-few)
	}
	return strings.Join(names, ", ")
}

// place implements rule.
func (t *tree) place(i, _ int, e *source.Entry) (spot, error) {
	if s, done := t.notImage(i, e); done {
		return s, nil
	}
	dir, name := naming.Cut(e.Name)
	var v *verdict
	if e.Archive {
		dir, name = e.Name, ""
	}
	n, known := t.lastNode, i == t.lastInput && dir == t.lastDir
	if !known {
		if n, known = t.raw[i][dir]; known {
			t.lastInput, t.lastDir, t.lastNode = i, dir, n
		} else {
			n, known = t.nearest(t.virtual(i, dir))
		}
	}
	if known {
		v = t.nodes[n].verdict
	}
	if v == nil {
		if t.unseen {
			return t.alone(i, e)
		}
		return spot{}, fmt.Errorf("%s: it was not listed", e.Name)
	}
	s, err := t.judge(v, i, e, name)
	if err == nil {
		t.bySplitList(&s, v, t.virtual(i, e.Name))
	}
	return s, err
}

// nearest finds the next directory above that has a verdict for what is below it:
// an archive, whose members were not listed.
func (t *tree) nearest(path string) (int32, bool) {
	for {
		if n, ok := t.byPath[path]; ok {
			v := t.nodes[n].verdict
			return n, v != nil
		}
		if path == "" {
			return 0, false
		}
		path, _ = naming.Cut(path)
	}
}

// notImage knows what counts as no image, before its directory is looked at.
func (t *tree) notImage(i int, e *source.Entry) (spot, bool) {
	switch {
	case e.Archive:
		return spot{}, false
	case t.rows:
		if t.isImage(e.Name) {
			return spot{}, false
		}
		return spot{reason: naming.UndecodedReason(e.Name), image: true}, true
	}
	var head func() ([]byte, error)
	if t.m.o.Head != nil {
		head = func() ([]byte, error) { return t.m.o.Head(*e) }
	}
	reason, image, out := leftOut(&t.m.files, e.Name, head)
	if out && t.labels.consumed[place{i, e.Name}] {
		return spot{consumed: true}, true
	}
	return spot{reason: reason, image: image}, out
}

// LeftOut says why a file is left out, and whether it is an image: by its name, and where that
// tells nothing by its first bytes, which head gives; nil: they are not asked. out is false for an
// image to take.
func LeftOut(name string, head func() ([]byte, error)) (reason string, image, out bool) {
	return leftOut(&naming.Files{}, name, head)
}

func leftOut(files *naming.Files, name string, head func() ([]byte, error)) (reason string, image, out bool) {
	reason, image, out = files.LeftOut(name)
	if reason == naming.NotAnImage && head != nil && naming.Endless(name) {
		if b, err := head(); err == nil && source.ImageBytes(b) { // what cannot be read is not known as one
			return naming.ImageInside, true, true
		}
	}
	return reason, image, out
}

// judge says what an image is in a directory of this verdict.
func (t *tree) judge(v *verdict, i int, e *source.Entry, name string) (spot, error) {
	s := spot{split: v.split, identity: t.identity(v, i, e), byName: v.how == byTruth || v.how == byLabels}
	switch v.how {
	case byDirectory:
		s.class = v.class
	case byName:
		s.class = naming.SynsetIn(name)
		t.soften(&s, name)
		if s.class == "" && s.split != "test" {
			s.reason, s.image = "no synset in its name, as others have", true
		}
	case byTruth:
		t.soften(&s, name)
		if naming.ILSVRCSplit(name) == "val" {
			var err error
			if s.class, err = t.m.o.Truth(name); err != nil {
				s.reason, s.image = "the development kit has no label for it", true
			}
		}
	case byLabels:
		t.soften(&s, name)
		label, ok := v.labels.of(t.virtual(i, e.Name))
		if _, listed := t.listed.split[t.virtual(i, e.Name)]; !ok && listed {
			s.byName = false // a list without labels names it
		} else if !ok {
			s.reason, s.image = "no line of "+v.labels.name+" names it", true
		} else if v.labels.splits != nil && v.split == "" {
			s.fromColumn(v.labels.splits, int(v.labels.row[t.virtual(i, e.Name)]))
		}
		s.class = label
	case unlabelled:
		t.soften(&s, name)
	case leave:
		s.reason, s.image = v.reason, true
	}
	return s, nil
}

// soften takes the split from an image's own name where its directory says none.
func (t *tree) soften(s *spot, name string) {
	if s.split == "" {
		s.split = naming.ILSVRCSplit(name)
		s.soft = s.split != ""
	}
}

// identity is an image's name below the directory of its class or, without one, of
// its split, as text. A row has the name that it has.
func (t *tree) identity(v *verdict, i int, e *source.Entry) string {
	switch {
	case e.Archive:
		return ""
	case t.rows && v.how != byDirectory:
		return e.Name
	}
	path, above := e.Name, v.depth
	if p := t.prefix[i]; p != "" {
		if n := strings.Count(p, "/") + 1; n <= above {
			above -= n
		} else {
			path = p + "/" + path
		}
	}
	for range above { // the directory has as many elements here as in the tree
		path = path[strings.IndexByte(path, '/')+1:]
	}
	return utf8name.Escape(path)
}
