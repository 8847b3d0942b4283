// Package classlist reads ordered lists of classes: one grammar for every verb.
//
// A class's label is its place in the list, counted from 0. Parse tells the form
// of a file by its text, never by its name:
//
//   - a name a line; blank lines do not count, and a name may stand in quotes.
//     A line of # alone, or of # and a blank, is a comment, which
//     is noted; #name is a name. Where all others begin with numbers or synsets
//     every line that begins with # is a comment
//   - a synset and its words a line, with a blank, a tab, a comma or a colon
//     between them: n01440764 tench, Tinca tinca
//   - a number before or after the name on every line: 0 n01440764, 0: tench,
//     tench,0; numbers go from 0 or from 1 without a gap
//   - a table with a heading, between tabs, commas or semicolons: columns of
//     numbers (label, index, id, ...), synsets (synset, wnid, ...), names (name,
//     class, ...) and words
//   - JSON, or the same as Python prints it: a list of names; a list of lists or
//     objects; {"0": "tench"}; {"0": ["n01440764", "tench"]}; {"tench": 0};
//     an object a line; Hugging Face's ClassLabel and what holds one
//     (dataset_info.json, config.json)
//
// What can be read in two ways is refused, and an error names its line.
package classlist

import (
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode"

	"github.com/synshard/synshard/internal/regular"
	"github.com/synshard/synshard/source/classlist/form"
)

// List is an ordered list of classes. A class's label is its place.
type List struct {
	// Names are in label order, all different: synsets ("n01440764") where the
	// list has them, else the names as they stand there.
	Names []string
	// Words are those that the list has beside the names, by label; nil where it
	// has none at all.
	Words [][]string
	// Source says where the list is from: a path, a built-in name, or words that begin
	// with "the".
	Source string
	// First is the number that the list itself gives its first class: 1 where
	// its lines are numbered from 1, else 0. Number and Text count from it.
	First int
	// Notes are worth telling: what was taken for what.
	Notes []string

	named        bool // Text takes a number for a name
	nearImageNet bool // most names are the words of ImageNet's class at their place

	once  sync.Once
	index map[string]int   // by name
	words map[string][]int // by normal(word), ascending
}

// New makes a list of names in label order. They must be different and not empty.
func New(names []string, words [][]string, source string) (*List, error) {
	entries := make([]form.Entry, len(names))
	for i, n := range names {
		entries[i] = form.Entry{Line: i + 1, Name: n}
		if words != nil {
			entries[i].Words = words[i]
		}
	}
	l, err := finish(entries, "class", false)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", source, err)
	}
	l.Source = source
	return l, nil
}

// Kept makes the list that a dataset keeps of its own classes, in label order: they were
// held to be classes when it was made, and none is read as anything but its name.
func Kept(names []string, source string) *List {
	return (&List{Names: names, Source: source}).ByName()
}

// ByName is the list for labels that are names, as whoever wrote them says: its Text takes
// no number for a place.
func (l *List) ByName() *List {
	return &List{Names: l.Names, Words: l.Words, Source: l.Source, First: l.First, Notes: l.Notes, named: true}
}

// WithNames is the list with other names for the same classes, in the same order.
func (l *List) WithNames(names []string) (*List, error) {
	if l.named {
		return (&List{Names: names, Words: l.Words, Source: l.Source, First: l.First, Notes: l.Notes}).ByName(), nil
	}
	out, err := New(names, l.Words, l.Source)
	if err == nil {
		out.First, out.Notes = l.First, l.Notes
	}
	return out, err
}

// Error is what is wrong with a list, and where.
type Error = form.Error

// ErrNotDataset is for a Dataset function to say that a directory is none.
var ErrNotDataset = errors.New("not a dataset")

// Dataset reads the classes of a dataset's directory; ErrNotDataset where it is
// none.
type Dataset func(dir string) (*List, error)

// Read reads a list: a built-in one by its name ("imagenet-1k"), the classes of a
// dataset's directory through dataset, or a file. A name that is both built in
// and there as a file is refused; "./imagenet-1k" is the file and
// "builtin:imagenet-1k" the built-in list.
func Read(path string, dataset Dataset) (*List, error) {
	if name, ok := strings.CutPrefix(path, builtinPrefix); ok {
		if l, ok := Builtin(name); ok {
			return l, nil
		}
		return nil, fmt.Errorf("%s: no such class list is built in; there is %s", path, imagenet1k)
	}
	info, err := os.Stat(path)
	if l, ok := Builtin(path); ok {
		if errors.Is(err, fs.ErrNotExist) {
			return l, nil
		}
		return nil, fmt.Errorf("%s is a built-in class list, and something here has that name: write %s%s or .%c%s", path, builtinPrefix, path, filepath.Separator, path)
	}
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		if dataset == nil {
			return nil, fmt.Errorf("%s: a directory, not a class list", path)
		}
		l, err := dataset(path)
		if err != nil {
			return nil, fmt.Errorf("classes of %s: %w", path, err)
		}
		return l, nil
	}
	return readFile(path)
}

func readFile(path string) (*List, error) {
	b, err := regular.ReadFile(path, regular.Document)
	if err != nil {
		return nil, err
	}
	if filepath.Base(path) == "words.txt" {
		list := filepath.Join(filepath.Dir(path), "wnids.txt")
		if _, err := os.Stat(list); err == nil {
			return nil, fmt.Errorf("%s says what synsets are called, in no order of classes; the classes are in %s", path, list)
		}
	}
	l, err := Parse(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	l.Source = path
	return l, nil
}

// Parse reads a list. An error of its text is an *Error.
func Parse(b []byte) (*List, error) {
	f, err := form.Parse(b)
	if err != nil {
		return nil, err
	}
	l, err := finish(f.Entries, f.Unit, true)
	if err == nil {
		l.Notes = append(f.Notes, l.Notes...)
	}
	return l, err
}

// finish puts entries into the order of their numbers, where they have some, and
// holds the list to what a list must be. unit is what their lines count.
// In free text a name must be one, and none of an image.
func finish(entries []form.Entry, unit string, text bool) (*List, error) {
	fail := func(line int, format string, args ...any) (*List, error) {
		return nil, &Error{Unit: unit, Line: line, Problem: fmt.Sprintf(format, args...)}
	}
	if len(entries) == 0 {
		return fail(0, "no classes in it")
	}
	l := &List{}
	if err := l.order(entries, unit); err != nil {
		return nil, err
	}
	for _, e := range entries {
		if strings.TrimSpace(e.Name) == "" {
			return fail(e.Line, "a class without a name")
		}
		if text && !speaks(e.Name) {
			return fail(e.Line, "%q is no name: is it a program, or markup?", e.Name)
		}
		if text && imageFile.MatchString(e.Name) {
			return fail(e.Line, "%q is an image's file: is it a list of images?", e.Name)
		}
	}
	if dictionary(entries) {
		return fail(0, "%d synsets in order: a dictionary of WordNet's words, not a list of classes", len(entries))
	}
	entries = l.takeImageNet(entries)
	seen := make(map[string]int, len(entries))
	for _, e := range entries {
		if first, twice := seen[e.Name]; twice {
			hint := ""
			switch {
			case l.nearImageNet:
				hint = "; these are nearly ImageNet's classes: give " + imagenet1k + " for them"
			case !IsSynset(e.Name):
				hint = "; where two classes have one name, a list of synsets keeps them apart"
			}
			return fail(max(first, e.Line), "%q appears twice, first at %s %d%s", e.Name, unit, min(first, e.Line), hint)
		}
		seen[e.Name] = e.Line
		l.Names = append(l.Names, e.Name)
	}
	if slices.ContainsFunc(entries, func(e form.Entry) bool { return len(e.Words) > 0 }) {
		for _, e := range entries {
			l.Words = append(l.Words, e.Words)
		}
	}
	l.noteMixture()
	return l, nil
}

// order sorts entries by their numbers, which go from 0 or 1 without a gap.
func (l *List) order(entries []form.Entry, unit string) error {
	if !entries[0].Numbered {
		return nil
	}
	slices.SortStableFunc(entries, func(a, b form.Entry) int {
		switch {
		case a.Number < b.Number:
			return -1
		case a.Number > b.Number:
			return 1
		}
		return 0
	})
	first := entries[0].Number
	if first != 0 && first != 1 {
		return &Error{Unit: unit, Line: entries[0].Line, Problem: fmt.Sprintf("the smallest number is %d, want 0 or 1", first)}
	}
	for i, e := range entries {
		want := first + int64(i)
		if e.Number == want {
			continue
		}
		problem := fmt.Sprintf("number %d, and no class has %d", e.Number, want)
		if e.Number < want {
			problem = fmt.Sprintf("number %d appears twice, first at %s %d", e.Number, unit, entries[i-1].Line)
		}
		return &Error{Unit: unit, Line: e.Line, Problem: problem}
	}
	l.First = int(first)
	return nil
}

var imageFile = regexp.MustCompile(`(?i)\.(jpe?g|png|webp|gif|bmp|tiff?)$`)

// speaks says whether a name says something: there are letters or digits in it, and it is
// neither a piece of a program nor of markup.
func speaks(name string) bool {
	return strings.ContainsFunc(name, func(r rune) bool {
		return unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsSymbol(r) && r > unicode.MaxASCII
	}) &&
		!program.MatchString(name)
}

var program = regexp.MustCompile(`[=(]\s*[\[{(]*$|^(<.*>|\|.*\|)$|[\[{]$`)

// noteMixture tells where only some of the names are synsets.
func (l *List) noteMixture() {
	n, other := 0, ""
	for _, name := range l.Names {
		if IsSynset(name) {
			n++
		} else if other == "" {
			other = name
		}
	}
	if n > 0 && n < len(l.Names) {
		l.Notes = append(l.Notes, fmt.Sprintf("%d of %d names are synsets and the others are not, such as %q", n, len(l.Names), other))
	}
}

// dictionary says whether these are WordNet's synsets and not somebody's classes:
// more than any release of ImageNet has classes (21,841).
func dictionary(entries []form.Entry) bool {
	return len(entries) > 30_000 && !slices.ContainsFunc(entries, func(e form.Entry) bool { return !IsSynset(e.Name) })
}

// IsSynset says whether a name is a synset's as ImageNet writes it: n and eight
// digits.
func IsSynset(name string) bool { return form.IsSynset(name) }

const (
	builtinPrefix = "builtin:"
	imagenet1k    = "imagenet-1k"
)

//go:embed imagenet-1k.txt
var imagenetText []byte

var imagenet = sync.OnceValue(func() *List {
	var l List
	for line := range strings.Lines(string(imagenetText)) {
		synset, words, _ := strings.Cut(strings.TrimSpace(line), " ")
		l.Names, l.Words = append(l.Names, synset), append(l.Words, form.Words(words))
	}
	l.Source = imagenet1k
	return &l
})

// Builtin gives a list that is built in: "imagenet-1k" is ILSVRC2012's 1,000
// synsets in ascending order, which is torchvision's, Keras's and timm's, with
// their words in WordNet 3.0. It must not be changed.
func Builtin(name string) (*List, bool) {
	if name != imagenet1k {
		return nil, false
	}
	return imagenet(), true
}
