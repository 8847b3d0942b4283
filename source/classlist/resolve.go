package classlist

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/synshard/synshard/source/classlist/form"
)

// Index gives the label of a name that stands in the list just so.
func (l *List) Index(name string) (int, bool) {
	l.once.Do(l.build)
	i, ok := l.index[name]
	return i, ok
}

func (l *List) build() {
	l.index, l.words = make(map[string]int, len(l.Names)), make(map[string][]int)
	for i, name := range l.Names {
		l.index[name] = i
		words := []string{name}
		words = append(words, form.Words(name)...)
		if l.Words != nil {
			words = append(words, l.Words[i]...)
			words = append(words, strings.Join(l.Words[i], ", "))
		}
		for _, w := range words {
			if w = normal(w); w != "" && !slices.Contains(l.words[w], i) {
				l.words[w] = append(l.words[w], i)
			}
		}
	}
}

// normal is a word as it is compared: case, apostrophes, and what is between
// words do not matter.
func normal(s string) string {
	s = strings.NewReplacer("_", " ", "-", " ", "'", "", "’", "").Replace(strings.ToLower(s))
	return strings.Join(strings.Fields(s), " ")
}

// NotInList says that a label is none of a list's classes, or is one of several.
type NotInList struct {
	Label  string // as it stands there
	Source string // of the list
	Reason string // for people

	Several bool // it is one of several classes, which the reason names
}

func (e *NotInList) Error() string {
	from := e.Source
	if !strings.HasPrefix(from, "the ") {
		from = strings.TrimSuffix("the class list "+from, " ")
	}
	return fmt.Sprintf("label %q: %s: %s", e.Label, from, e.Reason)
}

func (l *List) outside(label, format string, args ...any) error {
	return &NotInList{Label: label, Source: l.Source, Reason: fmt.Sprintf(format, args...)}
}

// Number gives the class that a number stands for: the place in the list,
// counted from First. -1 is the usual sign of none, and gives -1. Any other
// number outside the list is a *NotInList.
func (l *List) Number(n int64) (int, error) {
	if n == -1 {
		return -1, nil
	}
	if at := n - int64(l.First); at >= 0 && at < int64(len(l.Names)) {
		return int(at), nil
	}
	return -1, l.outside(strconv.FormatInt(n, 10), "its classes have the numbers %d to %d", l.First, l.First+len(l.Names)-1)
}

// Name gives the class that a name stands for: one that is in the list just so,
// or else the only one that has it among its words (case, underscores, hyphens and
// apostrophes do not matter), or is the same class of ImageNet's. None, or several,
// is a *NotInList.
func (l *List) Name(s string) (int, error) {
	if i, ok := l.Index(s); ok {
		return i, nil
	}
	switch found := l.meanings(s, nil); len(found) {
	case 1:
		return found[0], nil
	case 0:
		return -1, l.outside(s, "none of its %d classes", len(l.Names))
	default:
		return -1, &NotInList{s, l.Source, fmt.Sprintf("%s and %s both have this name", l.Names[found[0]], l.Names[found[1]]), true}
	}
}

// Text gives the class that a label in a text stands for, which is a number or a
// name. A number that is also another class's name is a *NotInList. In a list of
// ByName it is a name.
func (l *List) Text(s string) (int, error) {
	if l.named {
		return l.Name(s)
	}
	s = strings.TrimSpace(s)
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return l.Name(s)
	}
	named, isName := l.Index(s)
	place, err := l.Number(n)
	switch {
	case isName && err == nil && named != place:
		return -1, &NotInList{s, l.Source, fmt.Sprintf("it is the number of %q and the name of number %d", l.Names[place], named+l.First), true}
	case isName:
		return named, nil
	}
	return place, err
}

// Relation is how two lists stand to each other.
type Relation int

const (
	Equal     Relation = iota // the same names in the same order
	Respelled                 // the same classes in the same order, of which some are spelled otherwise
	Reordered                 // the same classes in another order
	Different                 // other classes
)

func (r Relation) String() string {
	return [...]string{"equal", "the same classes spelled otherwise", "the same classes in another order", "other classes"}[r]
}

// Comparison is what Compare found.
type Comparison struct {
	Relation     Relation // how the two lists differ
	First        int      // the first label whose classes differ, or are spelled otherwise; -1: none
	OnlyA, OnlyB []string // names whose class the other list lacks, in label order
}

// Compare compares two lists by what their names mean: a synset, ImageNet's words
// for it, and the words that a list has beside it are the same class.
func Compare(a, b *List) Comparison {
	c := Comparison{First: -1}
	if slices.Equal(a.Names, b.Names) {
		return c
	}
	inB, ambiguous := match(a, b)
	taken := make([]bool, len(b.Names))
	inOrder := len(a.Names) == len(b.Names)
	for i, at := range inB {
		if at < 0 {
			c.OnlyA = append(c.OnlyA, a.Names[i])
		} else {
			taken[at] = true
		}
		if at != i {
			inOrder = false
			if c.First < 0 {
				c.First = i
			}
		}
	}
	for i, t := range taken {
		if !t {
			c.OnlyB = append(c.OnlyB, b.Names[i])
		}
	}
	switch {
	case inOrder:
		c.Relation = Respelled
		c.First = slices.IndexFunc(a.Names, func(n string) bool { i, ok := b.Index(n); return !ok || a.Names[i] != n })
	case len(c.OnlyA) == 0 && len(c.OnlyB) == 0 && !ambiguous:
		c.Relation = Reordered
	default:
		c.Relation = Different
		if c.First < 0 {
			c.First = min(len(a.Names), len(b.Names))
		}
	}
	return c
}

// Match gives, for each class of a, the label of the same class in b, or -1: by
// what the names mean, as Compare does. A class of b is that of one of a, first of
// one with its very name.
func Match(a, b *List) []int {
	inB, _ := match(a, b)
	return inB
}

func match(a, b *List) (inB []int, ambiguous bool) {
	inB = make([]int, len(a.Names))
	used := make([]bool, len(b.Names))
	for i, name := range a.Names {
		inB[i] = -1
		if at, ok := b.Index(name); ok {
			inB[i], used[at] = at, true
		}
	}
	for i := range a.Names {
		if inB[i] >= 0 {
			continue
		}
		var words []string
		if a.Words != nil {
			words = a.Words[i]
		}
		found := b.meanings(a.Names[i], words)
		switch {
		case len(found) == 1:
			inB[i] = found[0]
		case len(a.Names) == len(b.Names) && slices.Contains(found, i): // of several the one at the same place
			inB[i] = i
		case len(found) > 1:
			ambiguous = true
		}
		if at := inB[i]; at >= 0 {
			if used[at] {
				inB[i], ambiguous = -1, true
				continue
			}
			used[at] = true
		}
	}
	return inB, ambiguous
}

// meanings gives the classes that a name may be which the list does not have just
// so: those with it among their words; a synset by its own words, ImageNet's where
// none are known; a word of ImageNet's by its synset.
func (l *List) meanings(name string, words []string) []int {
	l.once.Do(l.build)
	if found := l.words[normal(name)]; len(found) > 0 {
		return found
	}
	im := imagenet()
	if IsSynset(name) {
		if len(words) == 0 {
			words = im.wordsOf(name)
		}
		// Two synsets may have a word in common, and are two classes.
		return slices.DeleteFunc(slices.Clone(l.withWords(words)), func(k int) bool { return IsSynset(l.Names[k]) })
	}
	im.once.Do(im.build)
	var found []int
	for _, at := range im.words[normal(name)] {
		if k, ok := l.index[im.Names[at]]; ok {
			found = append(found, k)
		}
	}
	return found
}

// withWords gives the classes that have these words for a name: all of them, or
// else the first.
func (l *List) withWords(words []string) []int {
	if len(words) == 0 {
		return nil
	}
	if found := l.words[normal(strings.Join(words, ", "))]; len(found) > 0 {
		return found
	}
	return l.words[normal(words[0])]
}

func (l *List) wordsOf(name string) []string {
	if i, ok := l.Index(name); ok && l.Words != nil {
		return l.Words[i]
	}
	return nil
}

// takeImageNet gives a list of the words of ImageNet's 1,000 classes in their
// order its synsets: two pairs of classes share their first word (crane,
// maillot), so that the words alone would not tell them apart. A class for the
// background may stand before or behind them.
func (l *List) takeImageNet(entries []form.Entry) []form.Entry {
	im := imagenet()
	n := len(im.Names)
	if len(entries) != n && len(entries) != n+1 {
		return entries
	}
	at := 0
	if len(entries) == n+1 && background(entries[0].Name) {
		at = 1
	} else if len(entries) == n+1 && !background(entries[n].Name) {
		return entries
	}
	wrong := 0
	for i := range n {
		if !means(entries[at+i].Name, im.Words[i]) {
			wrong++
		}
	}
	if wrong > 0 {
		if wrong < n/5 {
			l.nearImageNet = true
			l.Notes = append(l.Notes, fmt.Sprintf("%d of 1,000 names are the words of ImageNet's class at their place and %d are not: taken as names, not as synsets", n-wrong, wrong))
		}
		return entries
	}
	entries = slices.Clone(entries)
	for i := range n {
		entries[at+i].Name, entries[at+i].Words = im.Names[i], im.Words[i]
	}
	l.Notes = append(l.Notes, "the words of ImageNet's 1,000 classes in their order: taken as their synsets")
	return entries
}

func background(name string) bool {
	return slices.Contains([]string{"background", "dummy", "none", "unknown", "__background__"}, strings.ToLower(name))
}

// means says whether a name is a class's words, or some of them. A number behind
// them tells classes of one name apart (crane2).
func means(name string, words []string) bool {
	if IsSynset(name) {
		return false
	}
	parts := append(form.Words(name), strings.TrimRight(name, "0123456789"))
	for _, part := range parts {
		for _, w := range words {
			if normal(part) == normal(w) {
				return true
			}
		}
	}
	return false
}

// Synsets gives the list with synsets for names, where every name is the words of
// one of ImageNet's 1,000 classes as WordNet has them ("tench, Tinca tinca"), all
// or some of them, in any order. Else it says what speaks against it. A list of single
// words only ("plane") may be anybody's and is left alone. The error is a *NotInList where
// all are ImageNet's and one is the name of two classes. "crane", which two classes
// are called, is the one that fits where the others are in ascending order.
func (l *List) Synsets() (*List, error) {
	if len(l.Names) == 0 {
		return nil, errors.New("no names")
	}
	im := imagenet()
	found := make([][]int, len(l.Names))
	sure := false
	for i, name := range l.Names {
		parts := 0
		if found[i], parts = withAllWords(strings.TrimRight(name, "0123456789")); len(found[i]) == 0 {
			return nil, fmt.Errorf("%q is not the words of one of ImageNet's 1,000 classes", name)
		}
		sure = sure || parts > 1
	}
	if !sure {
		return nil, fmt.Errorf("%q and the other names are single words, not ImageNet's", l.Names[0])
	}
	names, words := make([]string, len(found)), make([][]string, len(found))
	for i, f := range found {
		at := f[0]
		if len(f) > 1 {
			if at = between(found, i); at < 0 {
				return nil, im.outside(l.Names[i], "it is the name of %s and of %s", im.Names[f[0]], im.Names[f[1]])
			}
		}
		names[i], words[i] = im.Names[at], im.Words[at]
	}
	return New(names, words, l.Source)
}

// withAllWords gives ImageNet's classes whose words are those of a name, or else
// have all of them among theirs, and how many words the name has.
func withAllWords(name string) (found []int, parts int) {
	im := imagenet()
	im.once.Do(im.build)
	words := form.Words(name)
	for k, w := range words {
		at := im.words[normal(w)]
		if k == 0 {
			found = slices.Clone(at)
		}
		found = slices.DeleteFunc(found, func(c int) bool { return !slices.Contains(at, c) })
	}
	whole := slices.DeleteFunc(slices.Clone(found), func(c int) bool { return len(im.Words[c]) != len(words) })
	if len(whole) > 0 {
		found = whole
	}
	return found, len(words)
}

// between gives the one candidate of i that stands between those of its
// neighbours, or -1.
func between(found [][]int, i int) int {
	low, high := -1, len(imagenet().Names)
	for k := i - 1; k >= 0; k-- {
		if len(found[k]) == 1 {
			low = found[k][0]
			break
		}
	}
	for k := i + 1; k < len(found); k++ {
		if len(found[k]) == 1 {
			high = found[k][0]
			break
		}
	}
	at := -1
	for _, c := range found[i] {
		if low < c && c < high {
			if at >= 0 {
				return -1
			}
			at = c
		}
	}
	return at
}
