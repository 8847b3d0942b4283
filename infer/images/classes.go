package images

import (
	"fmt"
	"slices"
)

// CompareClasses says what is wrong where a class list of as many names as the model
// has classes is not the model's own: a head of the right width alone shows
// nothing. "" is no objection: the lists are equal, or of other lengths, which
// is refused elsewhere or plain to see.
func CompareClasses(own, given []string) string {
	if len(own) != len(given) || slices.Equal(own, given) {
		return ""
	}
	mine := map[string]bool{}
	for _, name := range own {
		mine[name] = true
	}
	shared := 0
	for _, name := range given {
		if mine[name] {
			shared++
		}
	}
	if shared == len(own) {
		return fmt.Sprintf("the %d classes are the model's own in another order", len(own))
	}
	return fmt.Sprintf("the %d classes are as many as the model's own, and %d of them are others", len(own), len(own)-shared)
}
