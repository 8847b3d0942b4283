package layout

import (
	"fmt"

	"github.com/synshard/synshard/source/layout/naming"
)

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
	splits, others, certain, sure := t.likeSplits(kids)
	if len(splits) == 0 {
		return 0, false, nil
	}
	first, _ := t.likeSplit(splits[0])
	if len(splits) == 1 && len(others) == 0 && !certain {
		if !sure || t.nodes[v].images > 0 {
			return 0, false, nil
		}
		if split == "" { // around all, a hint that a flag outranks
			t.soft = first
			return splits[0], false, nil
		}
	}
	if split != "" { // a split within a split
		if len(others) > 0 {
			return 0, false, nil // a class that is called so
		}
		if len(splits) == 1 && first == split && t.nodes[v].images == 0 {
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
	return 0, true, t.eachSplit(splits)
}

// likeSplits tells directories that may be called after splits from others. It is
// certain where one is called just so, or where several are and train is among them; sure
// where the name of one speaks of nothing else.
func (t *tree) likeSplits(kids []int32) (splits, others []int32, certain, sure bool) {
	found := map[string]bool{}
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
	return splits, others, certain || len(found) > 1 && found["train"], sure
}

// eachSplit reads what is below the directories of splits.
func (t *tree) eachSplit(splits []int32) error {
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
			return err
		}
	}
	return nil
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
