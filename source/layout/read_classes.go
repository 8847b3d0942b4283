package layout

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/synshard/synshard/internal/utf8name"
	"github.com/synshard/synshard/source/layout/naming"
)

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

func (t *tree) twice(class string, a, b int32) error {
	return t.ambiguous(fmt.Sprintf("class %s stands in two places, %s and %s", class, t.nodes[a].path, t.nodes[b].path),
		Reading{"it is one class, and what is around it says nothing", "--layout leaves"}, Reading{"the directories around it are the classes", "--layout top"},
		Reading{"one of the places is meant", "give the directory around it alone"})
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
	number := func(n int32) bool { return naming.Integer(t.nodes[n].name) }
	named := func(n int32) bool { return !number(n) }
	if t.m.o.Classes != nil && t.m.forced["numbers"] && slices.ContainsFunc(dirs, number) {
		t.m.numbers = true // beside others some may be another class's place
	}
	if slices.ContainsFunc(dirs, named) {
		return nil
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
