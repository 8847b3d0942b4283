package entry

import (
	"slices"
	"strings"
)

// PathColumns are what columns of paths are called, as ColumnName gives it,
// best first.
var PathColumns = []string{"path", "filepath", "imagepath", "imgpath", "filename", "imagefilename", "file", "imagefile", "image", "img", "imagename", "fname", "fpath", "filepaths", "imagepaths", "filenames"}

// LabelColumns are what columns of labels are called, best first: names before
// numbers.
var LabelColumns = []string{
	"synset", "wnid", "synsetid", "label", "labels", "class", "cls", "target", "targets", "category",
	"classname", "labelname", "categoryname", "classid", "labelid", "categoryid", "classindex", "classidx", "labelindex", "labelidx", "finelabel", "coarselabel", "y",
}

// splitColumns are what columns are called that say the split of each row, by a word
// for it.
var splitColumns = []string{"split", "datasplit", "subset", "partition", "dataset", "set"}

// boolSplits are columns that say of each row whether it is of one split.
var boolSplits = map[string]string{
	"isvalid": "val", "isval": "val", "isvalidation": "val", "istest": "test",
	"istrain": "train", "istraining": "train", "istrainingimage": "train",
}

// MaySplit says whether a column of this name may say the split of each row.
func MaySplit(name string) bool { return Rank(name, splitColumns) >= 0 || BoolSplit(name) != "" }

// BoolSplit is the split that a column's true rows are of: is_valid, is_test; "" of
// others.
func BoolSplit(name string) string { return boolSplits[ColumnName(name)] }

// CutSplits parts columns that may say the split from those that may say the class,
// each in their order.
func CutSplits(all []Column) (classes, splits []Column) {
	for _, c := range all {
		if MaySplit(c.Name) {
			splits = append(splits, c)
		} else {
			classes = append(classes, c)
		}
	}
	return classes, splits
}

// measures are columns that say something else of an image than its class.
var measures = []string{
	"width", "height", "w", "h", "size", "bytes", "filesize", "channels", "depth", "mode", "format", "xmin", "ymin", "xmax", "ymax", "x1", "y1", "x2", "y2", "x", "bbox", "box",
	"sha256", "sha1", "md5", "hash", "checksum", "crc32", "url", "uri", "link", "source", "license", "licence", "date", "time", "timestamp", "index", "idx", "id", "imageid", "row", "weight", "score", "confidence",
	"text", "texts", "caption", "captions", "description", "title", "comment", "comments", "notes",
}

// Measure says whether a column of this name says something else of an image than its
// class: a size, a sum, a caption.
func Measure(name string) bool { return Rank(name, measures) >= 0 }

// ColumnName is a column's name as PathColumns and LabelColumns have it: in
// lower case, without what separates words.
func ColumnName(s string) string {
	return strings.NewReplacer("_", "", "-", "", " ", "", ".", "").Replace(strings.ToLower(strings.TrimSpace(s)))
}

// Rank is a name's place among names as ColumnName gives them; -1: it is not
// among them.
func Rank(name string, among []string) int { return slices.Index(among, ColumnName(name)) }

// ColumnOf builds a Column value by value. Values that occur again are kept
// once.
type ColumnOf struct {
	Column
	place map[Label]int32
}

// NewColumn begins a column of a name. classNames are those of its numbers; nil:
// it has none.
func NewColumn(name string, classNames []string) *ColumnOf {
	return &ColumnOf{Column: Column{Name: name, ClassNames: classNames}, place: map[Label]int32{}}
}

// Add appends a row's value.
func (c *ColumnOf) Add(l Label) {
	at, ok := c.place[l]
	if !ok {
		at = int32(len(c.Values))
		c.place[l] = at
		c.Values = append(c.Values, l)
	}
	c.Rows = append(c.Rows, at)
}

// Pad appends rows that say nothing until there are n.
func (c *ColumnOf) Pad(n int) {
	for len(c.Rows) < n {
		c.Add(Label{})
	}
}

// Best gives the place of the column from which labels are taken: the one whose
// name stands first in LabelColumns; -1 of none.
func Best(columns []Column) int {
	best := -1
	for i, c := range columns {
		if best < 0 || worth(c.Name) < worth(columns[best].Name) {
			best = i
		}
	}
	return best
}

// worth is a column's rank among those of labels, the last for other names.
func worth(name string) int {
	if r := Rank(name, LabelColumns); r >= 0 {
		return r
	}
	return len(LabelColumns)
}
