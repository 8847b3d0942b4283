package listing

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/synshard/synshard/source"
	"github.com/synshard/synshard/source/layout/naming"
)

// List is what a list beside images says.
type List struct {
	Name  string // of the file
	Split string // by its name: "train", "val" or "test"; "": it says none
	// Weak is that of a list of two splits in one, trainval: lists of either outrank it.
	Weak bool
	Found
	*source.Table
}

// ErrNoList says that a file is no list of images of this tree.
var ErrNoList = errors.New("its lines are no images here")

// May says whether a file may list images, by its name: a table of any name, a text
// called after splits or after what it lists. A file may be asked for with others:
// see Joined. What somebody predicted is none, nor are ILSVRC's own ImageSets, which say of
// every image what its directory does.
func May(name string) bool {
	if strings.Contains(strings.ToLower(name), "submission") || strings.Contains("/"+name, "/ImageSets/CLS-LOC/") {
		return false
	}
	switch strings.ToLower(path.Ext(name)) {
	case ".csv", ".tsv", ".lst", ".jsonl", ".ndjson":
		return true
	case ".txt":
		return naming.SplitList(name) || called[strings.ToLower(naming.Stem(name))]
	}
	return false
}

// called are texts that list images and their labels by name.
var called = map[string]bool{"labels": true, "label": true, "list": true, "annotations": true, "image_list": true, "imagelist": true, "filelist": true, "files": true, "image_labels": true, "class_labels": true}

// Read reads a list in the directory dir of the tree. It is ErrNoList where hardly
// any line names an image.
func Read(name, dir string, b []byte, x *Images) (*List, error) {
	l := &List{Name: name}
	l.Split, l.Weak = naming.ListSplit(name)
	var err error
	if l.Table, err = source.ParseListOf(naming.Base(name), b, x.known); err != nil {
		return nil, err
	}
	return l, l.find(dir, x)
}

func (l *List) find(dir string, x *Images) error {
	l.Found = x.Find(l.Paths, dir, l.Split)
	if len(l.Doubt) == 0 && 2*l.Missing > len(l.Paths) {
		return ErrNoList
	}
	return nil
}

// The three files of CUB-200 and its kind, of which each line begins with an image's
// number.
const (
	numbered   = "images.txt"             // 1 001.Black_footed_Albatross/a.jpg
	trainTest  = "train_test_split.txt"   // 1 0, where 1 is for training
	classOfOne = "image_class_labels.txt" // 1 1
)

// Joined gives the files that are one list with images.txt of the same directory, where
// name is it; nil: none.
func Joined(name string) []string {
	if dir, base := naming.Cut(name); base == numbered {
		return []string{path.Join(dir, trainTest), path.Join(dir, classOfOne)}
	}
	return nil
}

// Part says whether a file may be one of those that Joined gives.
func Part(name string) bool {
	base := naming.Base(name)
	return base == trainTest || base == classOfOne
}

// Whole is the file of a directory that Joined is asked with.
func Whole(dir string) string { return path.Join(dir, numbered) }

// Join reads images.txt with the files of Joined that are there; one of the two is.
func Join(name, dir string, images []byte, beside map[string][]byte, x *Images) (*List, error) {
	l := &List{Name: name, Table: &source.Table{}}
	ids, paths, lines, err := pairs(images)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", numbered, err)
	}
	l.Paths, l.Lines = paths, lines
	at := make(map[string]int, len(ids))
	for i, id := range ids {
		if _, twice := at[id]; twice {
			return nil, fmt.Errorf("%s: the number %s appears twice", numbered, id)
		}
		at[id] = i
	}
	for _, file := range Joined(name) {
		b, ok := beside[file]
		if !ok {
			continue
		}
		what := naming.Base(file)
		ids, values, lines, err := pairs(b)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", what, err)
		}
		column := source.Column{Name: "label", Rows: make([]int32, len(paths)), Values: []source.Label{{}}}
		read := source.ParseLabel
		if what == trainTest {
			column.Name, read = "split", trainOrTest
		}
		place := map[source.Label]int32{}
		for k, id := range ids {
			i, ok := at[id]
			v := read(values[k])
			if !ok || v.Kind == source.NoLabel {
				return nil, fmt.Errorf("%s: line %d: %s %s: no image has this number, or it says nothing", what, lines[k], id, values[k])
			}
			if _, ok := place[v]; !ok {
				place[v] = int32(len(column.Values))
				column.Values = append(column.Values, v)
			}
			column.Rows[i] = place[v]
		}
		if what == trainTest {
			l.Splits = append(l.Splits, column)
		} else {
			l.Columns = append(l.Columns, column)
		}
	}
	return l, l.find(dir, x)
}

func trainOrTest(s string) source.Label {
	switch s {
	case "1":
		return source.Label{Kind: source.NameLabel, Name: "train"}
	case "0":
		return source.Label{Kind: source.NameLabel, Name: "test"}
	}
	return source.Label{}
}

// pairs reads lines of a number and a value. lines are their numbers, from 1.
func pairs(b []byte) (ids, values []string, lines []int32, err error) {
	n := int32(0)
	for line := range strings.Lines(strings.TrimPrefix(string(b), "\ufeff")) {
		n++
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		id, value, ok := strings.Cut(line, " ")
		if _, err := strconv.ParseUint(id, 10, 64); err != nil || !ok {
			return nil, nil, nil, fmt.Errorf("line %d: want a number and a value and not %.60q", n, line)
		}
		ids, values, lines = append(ids, id), append(values, strings.TrimSpace(value)), append(lines, n)
	}
	if len(ids) == 0 {
		return nil, nil, nil, errors.New("nothing in it")
	}
	return ids, values, lines, nil
}

// Scope is the directory that holds all images of the list, and the list itself in dir.
func (l *List) Scope(dir string, paths []string) string {
	for _, at := range l.Images {
		if at < 0 {
			continue
		}
		own, _ := naming.Cut(paths[at])
		for dir != "" && own != dir && !strings.HasPrefix(own, dir+"/") {
			dir, _ = naming.Cut(dir)
		}
	}
	return dir
}

// SortByName puts lists into the order in which they are read: by name, those that
// others outrank last.
func SortByName(all []*List) {
	slices.SortFunc(all, func(a, b *List) int {
		if a.Weak != b.Weak {
			return map[bool]int{false: -1, true: 1}[a.Weak]
		}
		return strings.Compare(a.Name, b.Name)
	})
}
