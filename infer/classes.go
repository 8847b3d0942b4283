package infer

import (
	"fmt"
	"slices"
	"strings"
)

// Most truths that are named where they are no class of the model.
const mostStrangers = 5

// meet keeps some truths that are no class of the model.
func (s *Summary) meet(synset string) {
	if len(s.strangers) <= mostStrangers && !slices.Contains(s.strangers, synset) {
		s.strangers = append(s.strangers, synset)
	}
}

func (s *Summary) some() string {
	if len(s.strangers) > mostStrangers {
		return strings.Join(s.strangers[:mostStrangers], ", ") + ", ..."
	}
	return strings.Join(s.strangers, ", ")
}

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
