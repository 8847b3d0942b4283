package layout

import (
	"github.com/synshard/synshard/internal/splitmix"
)

// splitOf is the split that an image of an input goes to.
func (m *mapper) splitOf(i int, s *spot) string {
	u := m.of[i]
	name := u.split
	if s.split != "" && m.inputs[i].Split == "" && (!s.soft || m.o.Split == "") {
		name = s.split
	}
	if name == "val" {
		m.ownVal = true
	}
	if name == "train" && m.o.ValFraction > 0 && inFraction(m.o.Seed, s.class, s.identity, m.o.ValFraction) {
		return "val"
	}
	return name
}

// inFraction says whether an image is in a fraction split off: a larger fraction holds
// all of a smaller one. Each class gives the fraction in expectation.
func inFraction(seed uint64, class, identity string, fraction float64) bool {
	return splitmix.Fraction(seed, class, identity) < fraction
}
