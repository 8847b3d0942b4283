package layout

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Layouts are the words that Options.Layout may have, and what each forces.
var Layouts = map[string]string{
	"classes":    "the first directories are the classes, whatever they are called, and there are no splits",
	"splits":     "directories called train, val or test are the splits, and those beside them are left out",
	"top":        "the first directories below the root, or below a split, are the classes",
	"leaves":     "the innermost directories are the classes, wherever they stand",
	"synsets":    "directories called after synsets are the classes, and images elsewhere are left out",
	"numbers":    "numbers are the names of classes, not places in a list",
	"names":      "a synset in an image's name is its class",
	"flat":       "no image has a class",
	"lists":      "lists beside the images say splits and classes, whatever their directories are called, and may name images that are missing",
	"nolists":    "lists beside the images say nothing",
	"webdataset": "tars are WebDataset's, though few labels are in them",
}

// ColumnWord, and the name of a column behind it, is a word of Options.Layout too: that
// column of lists and files of rows says the class.
const ColumnWord = "column="

// Forced is the reading that the words of a layout force.
type Forced struct {
	words  map[string]bool // of Layouts
	column string          // that says the class; "": the best one
}

// ParseForced reads Options.Layout.
func ParseForced(words string) (Forced, error) {
	f := Forced{words: map[string]bool{}}
	for w := range strings.SplitSeq(words, ",") {
		if w = strings.TrimSpace(w); w == "" {
			continue
		}
		if column, ok := strings.CutPrefix(w, ColumnWord); ok && column != "" {
			f.column = column
			continue
		}
		if Layouts[w] == "" {
			return Forced{}, fmt.Errorf("layout %q: want one of %s, %sNAME", w, strings.Join(slices.Sorted(maps.Keys(Layouts)), ", "), ColumnWord)
		}
		f.words[w] = true
	}
	return f, nil
}

// Flat says that no image has a class.
func (f Forced) Flat() bool { return f.words["flat"] }
