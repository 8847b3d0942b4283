package source

import (
	"cmp"
	"slices"
	"strings"
)

// pathColumns are what columns of paths are called, as columnName gives it, best first.
var pathColumns = []string{"path", "filepath", "imagepath", "imgpath", "filename", "imagefilename", "file", "imagefile", "image", "img", "imagename", "fname", "fpath"}

// labelColumns are what columns of labels are called, best first: names before numbers.
var labelColumns = []string{
	"synset", "wnid", "synsetid", "label", "labels", "class", "cls", "target", "targets", "category",
	"classname", "labelname", "categoryname", "classid", "labelid", "categoryid", "classindex", "classidx", "labelindex", "labelidx", "finelabel", "y",
}

// columnName is a column's name as pathColumns and labelColumns have it: in lower case, without what
// separates words.
func columnName(s string) string {
	return strings.NewReplacer("_", "", "-", "", " ", "", ".", "").Replace(strings.ToLower(strings.TrimSpace(s)))
}

// rank is a name's place among names as columnName gives them; -1: it is not among them.
func rank(name string, among []string) int { return slices.Index(among, columnName(name)) }

// columnOf builds a Column value by value. Values that occur again are kept once.
type columnOf struct {
	Column
	place map[Label]int32
}

func newColumn(name string, classNames []string) *columnOf {
	return &columnOf{Column: Column{Name: name, ClassNames: classNames}, place: map[Label]int32{}}
}

// add appends a row's value.
func (c *columnOf) add(l Label) {
	at, ok := c.place[l]
	if !ok {
		at = int32(len(c.Values))
		c.place[l] = at
		c.Values = append(c.Values, l)
	}
	c.Rows = append(c.Rows, at)
}

// pad appends rows that say nothing until there are n.
func (c *columnOf) pad(n int) {
	for len(c.Rows) < n {
		c.add(Label{})
	}
}

// label takes the labels of entries from the best of info's columns: the one whose name stands
// first in labelColumns.
func label(entries []Entry, info *Info) {
	best := -1
	for i, c := range info.Columns {
		if best < 0 || cmp.Less(worth(c.Name), worth(info.Columns[best].Name)) {
			best = i
		}
	}
	if best < 0 {
		return
	}
	c := info.Columns[best]
	info.LabelColumn, info.ClassNames = c.Name, c.ClassNames
	for i := range entries {
		entries[i].Label = c.Values[c.Rows[i]]
	}
}

// worth is a column's rank among those of labels, the last for other names.
func worth(name string) int {
	if r := rank(name, labelColumns); r >= 0 {
		return r
	}
	return len(labelColumns)
}
