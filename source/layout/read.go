package layout

import (
	"maps"
	"slices"
	"strings"

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

// depth is how many directories a path has.
func (t *tree) depth(n int32) int {
	if path := t.nodes[n].path; path != "" {
		return strings.Count(path, "/") + 1
	}
	return 0
}

func (t *tree) ambiguous(what string, readings ...Reading) error {
	return &Ambiguity{Path: t.path, What: what, Readings: readings}
}
