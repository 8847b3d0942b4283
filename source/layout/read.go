package layout

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/synshard/synshard/internal/utf8name"
	"github.com/synshard/synshard/source/layout/naming"
)

// understand gives every directory of images its verdict.
func (t *tree) understand() error {
	if t.nodes[0].below == 0 {
		return nil
	}
	forced := t.m.forced
	var err error
	switch {
	case forced["flat"]:
		t.assignAll(0, verdict{how: unlabelled})
		t.found("", "images without classes")
	case forced["classes"]:
		v := int32(0)
		for kids := t.kids(v); len(kids) == 1 && t.nodes[v].images == 0 && len(t.kids(kids[0])) > 0; kids = t.kids(v) {
			v = kids[0]
		}
		err = t.top(v, "", t.kids(v))
	default:
		err = t.read(0, "")
	}
	if err == nil && forced["splits"] && len(t.own) == 0 {
		err = &NoEffect{Option: "--layout splits", Reason: t.path + " has no directory called train, val or test"}
	}
	t.describe()
	return err
}

// found notes what the images of a split are.
func (t *tree) found(split, kind string) { t.kinds[split] = kind }

// describe says what was found: once where it is the same in all splits.
func (t *tree) describe() {
	splits := slices.Sorted(maps.Keys(t.kinds))
	all := slices.Collect(maps.Values(t.kinds))
	slices.Sort(all)
	switch all = slices.Compact(all); {
	case len(splits) == 0:
	case len(t.own) == 0:
		t.m.kind(all[0])
	case len(all) == 1:
		t.m.kind("splits of " + all[0])
	default:
		parts := make([]string, len(splits))
		for i, s := range splits {
			parts[i] = s + ": " + t.kinds[s]
		}
		t.m.kind("splits (" + strings.Join(parts, "; ") + ")")
	}
}

// read reads what is below a directory: splits, where split is not known, then
// classes.
func (t *tree) read(v int32, split string) error {
	for {
		if l := t.labelsAt(v); l != nil && (l != t.listed.labels || t.listed.under[v]) {
			if kids := t.kids(v); split != "" || !t.allSplits(kids) {
				t.assignAll(v, verdict{split: split, how: byLabels, labels: l})
				if split == "" {
					maps.Copy(t.own, splitsOf(l.splits))
				}
				t.found(split, "images labelled by "+l.name)
				return nil
			}
		}
		kids := t.kids(v)
		if split == "" && t.splitsBelow(v, kids) {
			return t.classesOfSplits(v, kids)
		}
		if t.allKnown(kids) {
			return t.known(v, split, kids)
		}
		if next, done, err := t.readSplits(v, split, kids); done || err != nil {
			return err
		} else if next > 0 {
			v = next
			continue
		}
		if len(kids) != 1 || t.nodes[v].images > 0 || !t.wrapper(kids[0]) {
			return t.classes(v, split, kids)
		}
		v = kids[0]
	}
}

// allKnown says whether all directories are called after classes of the list given, so
// that nothing else about their names is in doubt.
func (t *tree) allKnown(kids []int32) bool {
	c := t.m.o.Classes
	if c == nil || t.m.o.Layout != "" {
		return false
	}
	for _, k := range kids {
		if _, ok := c.Index(t.nodes[k].name); !ok || naming.Integer(t.nodes[k].name) {
			return false
		}
	}
	return len(kids) > 0
}

func (t *tree) known(v int32, split string, kids []int32) error {
	for _, k := range kids {
		for _, n := range t.below(k) {
			if err := t.noSplitsIn(k, n, split); err != nil {
				return err
			}
		}
	}
	return t.top(v, split, kids)
}

// splitsBelow says whether directories stand above splits: each of several holds nothing but
// directories called just so, with images right in them, and of these there are
// several kinds.
func (t *tree) splitsBelow(v int32, kids []int32) bool {
	if len(kids) < 2 || t.nodes[v].images > 0 || t.m.forced["top"] || t.m.forced["leaves"] || t.m.forced["synsets"] || t.m.forced["names"] {
		return false
	}
	found := map[string]bool{}
	for _, k := range kids {
		if t.nodes[k].images > 0 || naming.SplitWord(t.nodes[k].name) != "" || naming.Generic(t.nodes[k].name) || naming.Portion(t.nodes[k].name) {
			return false
		}
		of := map[string]bool{}
		for _, s := range t.kids(k) {
			word := naming.SplitWord(t.nodes[s].name)
			if word == "" || len(t.kids(s)) > 0 || of[word] {
				return false
			}
			of[word], found[word] = true, true
		}
	}
	return len(found) > 1
}

// classesOfSplits reads directories of classes that stand above those of splits.
func (t *tree) classesOfSplits(v int32, kids []int32) error {
	if err := t.numbers(kids); err != nil {
		return err
	}
	at := map[string]int32{}
	for _, k := range kids {
		class := t.nodes[k].name
		if s, ok := naming.Synset(class); ok {
			class = s
		}
		if first, ok := at[class]; ok {
			return t.twice(class, first, k)
		}
		at[class] = k
		for _, s := range t.kids(k) {
			split := naming.SplitWord(t.nodes[s].name)
			t.own[split] = true
			t.isOf(s, s, split, class)
			t.found(split, "directories of classes, each above its splits")
		}
	}
	return nil
}

// wrapper says whether a directory that stands alone is around the classes, or
// around images that lie flat, and is no class itself.
func (t *tree) wrapper(n int32) bool {
	name := t.nodes[n].name
	if _, ok := naming.Synset(name); ok {
		return false
	}
	d := &t.nodes[n]
	return len(t.kids(n)) > 0 || naming.Generic(name) || !d.archive && (d.val+d.test == d.images || d.named == d.images)
}

// likeSplit gives the split that a directory may be called after. An archive in a
// folder is a file, whose name may speak of more.
func (t *tree) likeSplit(n int32) (split string, sure bool) {
	name := t.nodes[n].name
	if split, sure = naming.LikeSplit(name); split == "" && t.nodes[n].file {
		split = naming.FileSplit(name)
	}
	return split, sure
}

func (t *tree) allSplits(kids []int32) bool {
	for _, k := range kids {
		if s, _ := t.likeSplit(k); s == "" {
			return false
		}
	}
	return len(kids) > 0
}

// readSplits reads directories of which some are splits. next is the directory to go on
// with, where there is only one and it says nothing new.
func (t *tree) readSplits(v int32, split string, kids []int32) (next int32, done bool, err error) {
	var splits, others []int32
	found, certain, sure := map[string]bool{}, false, false
	for _, k := range kids {
		s, ok := t.likeSplit(k)
		if s == "" {
			others = append(others, k)
			continue
		}
		splits = append(splits, k)
		found[s] = true
		sure = sure || ok
		certain = certain || naming.SplitWord(t.nodes[k].name) != ""
	}
	certain = certain || len(found) > 1 && found["train"]
	if len(splits) == 0 {
		return 0, false, nil
	}
	if len(splits) == 1 && len(others) == 0 && !certain {
		if !sure || t.nodes[v].images > 0 {
			return 0, false, nil
		}
		if s, _ := t.likeSplit(splits[0]); split == "" { // around all, a hint that a flag outranks
			t.soft = s
			return splits[0], false, nil
		}
	}
	if split != "" { // a split within a split
		if len(others) > 0 {
			return 0, false, nil // a class that is called so
		}
		if s, _ := t.likeSplit(splits[0]); len(splits) == 1 && s == split && t.nodes[v].images == 0 {
			return splits[0], false, nil
		}
		return 0, true, t.ambiguous(fmt.Sprintf("%s within a directory called after the split %s: %s", plural(len(splits), "split"), split, t.some(splits)),
			Reading{"they are classes", "--layout top"}, Reading{"they are splits", "give the directory around them alone"})
	}
	others, left := t.withoutLeftOvers(others)
	if len(others) > 0 && !certain {
		return 0, false, nil // "test_tube" among classes
	}
	if len(others) > 0 && !t.m.forced["splits"] {
		return 0, true, t.ambiguous(fmt.Sprintf("directories called after splits (%s) beside others (%s)", t.some(splits), t.some(others)),
			Reading{"they are splits, and the others are left out", "--layout splits"}, Reading{"all of them are classes", "--layout classes"})
	}
	for _, k := range append(others, left...) {
		t.assignAll(k, verdict{how: leave, reason: "beside the directories of splits"})
	}
	t.stray(v)
	names := map[string]string{}
	for _, k := range splits {
		s, _ := t.likeSplit(k)
		t.own[s] = true
		word := naming.SplitWord(t.nodes[k].name)
		if first := names[s]; word != "" && first != "" {
			t.m.note("%s: %s and %s are both taken for the split %s", t.path, first, t.nodes[k].name, s)
		} else if word != "" {
			names[s] = t.nodes[k].name
		}
		if err := t.read(k, s); err != nil {
			return 0, true, err
		}
	}
	return 0, true, nil
}

func (t *tree) withoutLeftOvers(kids []int32) (others, left []int32) {
	for _, k := range kids {
		if naming.LeftOver(t.nodes[k].name) {
			left = append(left, k)
		} else {
			others = append(others, k)
		}
	}
	return others, left
}

func plural(n int, what string) string {
	if n == 1 {
		return "a " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// stray leaves out images that lie beside directories of splits or classes.
func (t *tree) stray(v int32) {
	if t.nodes[v].images > 0 {
		t.nodes[v].verdict = &verdict{how: leave, reason: "outside every class's directory"}
	}
}

// assignAll gives one verdict to a directory and all below it.
func (t *tree) assignAll(v int32, is verdict) {
	is.depth = t.depth(v)
	t.assign(v, &is)
}

func (t *tree) assign(v int32, is *verdict) {
	t.nodes[v].verdict = is
	for _, k := range t.kids(v) {
		t.assign(k, is)
	}
}

// classes reads the directories below one, which are of one split.
func (t *tree) classes(v int32, split string, kids []int32) error {
	forced := t.m.forced
	if len(kids) == 0 {
		return t.flat(v, split)
	}
	if forced["names"] {
		t.assignAll(v, verdict{split: split, how: byName})
		t.found(split, "images with their synset in the name")
		return nil
	}
	if forced["top"] {
		return t.top(v, split, kids)
	}
	all := t.below(v)
	if forced["leaves"] {
		return t.leaves(v, split, all)
	}
	var with, without []int32
	for _, n := range all {
		if len(t.synsets(v, n)) > 0 {
			with = append(with, n)
		} else {
			without = append(without, n)
		}
	}
	switch {
	case len(without) == 0, forced["synsets"] && len(with) > 0:
		for _, n := range without {
			t.nodes[n].verdict = &verdict{how: leave, reason: "outside every synset's directory"}
		}
		return t.bySynset(v, split, with)
	case len(with) > 0:
		return t.ambiguous(fmt.Sprintf("directories called after synsets (%s) beside others (%s)", t.some(with), t.some(without)),
			Reading{"all of them are classes", "--layout top"}, Reading{"the synsets are the classes, and the others are left out", "--layout synsets"})
	case forced["synsets"]:
		return &NoEffect{Option: "--layout synsets", Reason: t.path + " has no directory called after a synset"}
	}
	return t.byTop(v, split, kids, all)
}

// synsets are the directories called after synsets on the way from v to n.
func (t *tree) synsets(v, n int32) (out []int32) {
	for ; n != v && n >= 0; n = t.nodes[n].parent {
		if _, ok := naming.Synset(t.nodes[n].name); ok {
			out = append(out, n)
		}
	}
	return out
}

// bySynset makes the directories called after synsets the classes.
func (t *tree) bySynset(v int32, split string, all []int32) error {
	at := map[string]int32{}
	renamed := ""
	for _, n := range all {
		way := t.synsets(v, n)
		if len(way) > 1 {
			return t.ambiguous(fmt.Sprintf("images in %s, a directory of a synset within another's, %s", t.nodes[way[0]].path, t.nodes[way[1]].name),
				Reading{"they are of the inner one", "--layout leaves"}, Reading{"they are of the outer one", "--layout top"})
		}
		if err := t.noSplitsIn(v, n, split); err != nil {
			return err
		}
		synset, _ := naming.Synset(t.nodes[way[0]].name)
		if synset != t.nodes[way[0]].name {
			renamed = t.nodes[way[0]].name
		}
		if first, ok := at[synset]; ok && first != way[0] {
			return t.twice(synset, first, way[0])
		}
		at[synset] = way[0]
		t.isOf(n, way[0], split, synset)
	}
	if renamed != "" {
		t.m.note("directories such as %s are the classes of their synsets", renamed)
	}
	t.stray(v)
	t.noteBare(v)
	t.found(split, "directories of synsets")
	return nil
}

// isOf makes the images in n those of a class whose directory is c. As text a
// class has the escaped name.
func (t *tree) isOf(n, c int32, split, class string) {
	t.nodes[n].verdict = &verdict{split: split, class: utf8name.Escape(class), depth: t.depth(c)}
}

// depth is how many directories a path has.
func (t *tree) depth(n int32) int {
	if path := t.nodes[n].path; path != "" {
		return strings.Count(path, "/") + 1
	}
	return 0
}

func (t *tree) twice(class string, a, b int32) error {
	return t.ambiguous(fmt.Sprintf("class %s stands in two places, %s and %s", class, t.nodes[a].path, t.nodes[b].path),
		Reading{"it is one class, and what is around it says nothing", "--layout leaves"}, Reading{"the directories around it are the classes", "--layout top"},
		Reading{"one of the places is meant", "give the directory around it alone"})
}

// noSplitsIn refuses a directory called after a split that stands among or within
// those of classes.
func (t *tree) noSplitsIn(v, n int32, split string) error {
	for _, k := range t.between(v, n) {
		if s := naming.SplitWord(t.nodes[k].name); s != "" && (split == "" || s != split) {
			return t.ambiguous(fmt.Sprintf("%s: a directory called after a split, and not beside others above all classes", t.nodes[k].path),
				Reading{"it says nothing: its images are of the class above it", "--layout top"}, Reading{"it is a class", "--layout leaves"},
				Reading{"it is a split", "give the directory around it alone"})
		}
	}
	return nil
}

// inList says whether a class list has the names of all these directories, and of
// none within them: then these are the classes.
func (t *tree) inList(outer []int32, inner map[string]int32) bool {
	list := t.m.table.found
	if t.m.o.Classes != nil {
		list = t.m.o.Classes
	}
	if list == nil {
		return false
	}
	for _, k := range outer {
		if _, ok := list.Index(utf8name.Escape(t.nodes[k].name)); !ok {
			return false
		}
	}
	for name := range inner {
		if _, ok := list.Index(utf8name.Escape(name)); ok {
			return false
		}
	}
	return true
}

// byTop makes the first directories the classes, where nothing speaks for others.
func (t *tree) byTop(v int32, split string, kids, all []int32) error {
	inner := map[string]int32{}
	for _, n := range all {
		way := t.between(v, n)
		if err := t.noSplitsIn(way[0], n, split); err != nil {
			return err
		}
		for _, k := range way[1:] {
			// cat.zip with cat/ in it: both readings say cat
			if name := t.nodes[k].name; !naming.Generic(name) && name != t.nodes[way[0]].name {
				inner[t.nodes[k].name] = k
			}
		}
	}
	if files := slices.DeleteFunc(slices.Clone(kids), func(k int32) bool { return !t.nodes[k].file }); len(files) > 0 && len(files) < len(kids) {
		return t.ambiguous(fmt.Sprintf("archives (%s) beside directories of classes", t.some(files)),
			Reading{"they are classes too", "--layout top"}, Reading{"they are something else", "give the directories without them"})
	}
	if !slices.ContainsFunc(kids, func(k int32) bool { return !naming.Portion(t.nodes[k].name) }) {
		nothing := Reading{"they say nothing, and no image has a class", "--layout flat"}
		if slices.ContainsFunc(kids, func(k int32) bool { return t.nodes[k].images < t.nodes[k].below }) {
			nothing = Reading{"they say nothing, and the directories in them are the classes", "--layout leaves"}
		}
		return t.ambiguous(fmt.Sprintf("directories called after parts (%s)", t.some(kids)), Reading{"they are classes", "--layout top"}, nothing)
	}
	if n, ok := t.contradicted(kids); ok {
		return t.ambiguous(fmt.Sprintf("images of several synsets by their names in one directory, or of one in several, as in %s", t.nodes[n].path),
			Reading{"the directories are the classes", "--layout top"}, Reading{"the synsets in the names are", "--layout names"})
	}
	if len(inner) > 0 && !t.inList(kids, inner) {
		deep := slices.Collect(maps.Values(inner))
		return t.ambiguous(fmt.Sprintf("directories (%s) within directories (%s)", t.some(deep), t.some(kids)),
			Reading{"the outer ones are the classes", "--layout top"}, Reading{"the innermost ones are the classes", "--layout leaves"})
	}
	return t.top(v, split, kids)
}

// contradicted finds a directory whose images say by their names that it is no
// class: they are of several synsets, or of one that another directory has too.
func (t *tree) contradicted(kids []int32) (int32, bool) {
	of := map[string]int32{}
	for _, k := range kids {
		for _, n := range append(t.below(k), k) {
			d := &t.nodes[n]
			if d.synsets {
				return n, true
			}
			if first, ok := of[d.synset]; d.named > 0 && ok && first != k {
				return n, true
			}
			if d.named > 0 {
				of[d.synset] = k
			}
		}
	}
	return 0, false
}

// top makes the first directories the classes, with all that is in them.
func (t *tree) top(v int32, split string, kids []int32) error {
	if len(kids) == 0 {
		return t.flat(v, split)
	}
	if err := t.numbers(kids); err != nil {
		return err
	}
	for _, k := range kids {
		for _, n := range append(t.below(k), k) {
			if t.nodes[n].images > 0 {
				t.isOf(n, k, split, t.nodes[k].name)
			}
		}
	}
	t.stray(v)
	t.noteBare(v)
	t.found(split, "directories of classes")
	return nil
}

// leaves makes the innermost directories the classes.
func (t *tree) leaves(v int32, split string, all []int32) error {
	if err := t.numbers(all); err != nil {
		return err
	}
	name, dir, places := make([]string, len(all)), make([]int32, len(all)), map[string]int{}
	for i, n := range all {
		c := n
		for c != v && naming.Generic(t.nodes[c].name) && t.nodes[c].parent != v {
			c = t.nodes[c].parent
		}
		name[i], dir[i] = t.nodes[c].name, c
		if s, ok := naming.Synset(name[i]); ok {
			name[i] = s
		}
		places[name[i]]++
	}
	for i, n := range all {
		t.isOf(n, dir[i], split, name[i])
		if places[name[i]] > 1 { // images of one name in several places stay apart
			t.nodes[n].verdict.depth = t.depth(v)
		}
	}
	t.stray(v)
	t.found(split, "innermost directories of classes")
	return nil
}

// numbers refuses directories that are all called after numbers, where no class
// list says which classes they are.
func (t *tree) numbers(dirs []int32) error {
	for _, n := range dirs {
		if !naming.Integer(t.nodes[n].name) {
			return nil
		}
	}
	if t.m.forced["numbers"] {
		t.m.numbers = true
		return nil
	}
	if t.m.o.Classes != nil {
		return nil
	}
	return t.ambiguous(fmt.Sprintf("directories called after numbers (%s) and no class list", t.some(dirs)), numberReadings...)
}

var numberReadings = []Reading{{"they are places in a class list", "--classes FILE, or --classes imagenet-1k"}, {"they are the classes' names", "--layout numbers"}}

// flat reads images that lie in one directory without directories of classes.
func (t *tree) flat(v int32, split string) error {
	n := &t.nodes[v]
	if n.archive {
		return fmt.Errorf("%s: %s: %w", t.path, n.path, ErrNotListed)
	}
	is := verdict{split: split, how: unlabelled, depth: t.depth(v)}
	kind := "images without classes"
	named := n.named
	switch l := t.labelsFor(v); {
	case l != nil:
		is.how, is.labels = byLabels, l
		kind = "images labelled by " + l.name
	case t.m.forced["names"]:
		is.how = byName
		kind = "images with their synset in the name"
	case named > 0 && named+n.test == n.images:
		is.how = byName
		kind = "images with their synset in the name"
	case named > 0:
		return t.ambiguous(fmt.Sprintf("%d of %d images have a synset in their name", named, n.images),
			Reading{"it is the class, and the others are left out", "--layout names"}, Reading{"it says nothing", "--layout flat"})
	case t.ownSynset(v) != "":
		is.how, is.class = byDirectory, t.ownSynset(v)
		kind = "the images of a synset"
	case n.val > 0 && t.m.o.Truth != nil:
		is.how = byTruth
		kind = "ILSVRC's validation images, labelled by the development kit"
	case n.val > 0:
		kind = "ILSVRC's validation images, without labels"
		t.m.note("%s: the labels of its validation images are in the development kit (--devkit), which is not given", t.path)
	case n.test == n.images:
		kind = "ILSVRC's test images"
	}
	n.verdict = &is
	t.found(split, kind)
	return nil
}

// ownSynset is the synset that a tree as a whole is called after: n01440764.tar.
func (t *tree) ownSynset(v int32) string {
	if t.nodes[v].parent >= 0 {
		return ""
	}
	s, _ := naming.Synset(naming.WithoutArchiveEnd(naming.Base(strings.ReplaceAll(t.path, `\`, "/"))))
	return s
}

func (t *tree) ambiguous(what string, readings ...Reading) error {
	return &Ambiguity{Path: t.path, What: what, Readings: readings}
}
