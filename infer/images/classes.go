package images

import (
	"fmt"
	"slices"

	"github.com/synshard/synshard/source/classlist"
)

// CompareClasses says what is wrong where a class list of as many names as the model
// has classes is not the model's own: a head of the right width alone shows
// nothing. Names are compared by what they mean: see classlist.Compare. "" is no
// objection: the lists are equal, or of other lengths, which is refused elsewhere or
// plain to see.
func CompareClasses(own, given []string) string {
	if len(own) != len(given) || slices.Equal(own, given) {
		return ""
	}
	n := len(own)
	a, err := classlist.New(own, nil, "the model")
	b, bErr := classlist.New(given, nil, "the list")
	if err != nil || bErr != nil { // names twice over: they are compared as they stand
		return fmt.Sprintf("the %d classes are as many as the model's own, and %d of them are others", n, len(without(own, given)))
	}
	switch c := classlist.Compare(a, b); c.Relation {
	case classlist.Respelled:
		return fmt.Sprintf("the %d classes are the model's own spelled otherwise, such as %s and %s", n, own[c.First], given[c.First])
	case classlist.Reordered:
		return fmt.Sprintf("the %d classes are the model's own in another order", n)
	default:
		return fmt.Sprintf("the %d classes are as many as the model's own, and %d of them are others", n, len(c.OnlyB))
	}
}

// without are the names of given that own lacks.
func without(own, given []string) []string {
	return slices.DeleteFunc(slices.Clone(given), func(name string) bool { return slices.Contains(own, name) })
}
