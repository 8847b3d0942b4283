package infer

import (
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
