package layout

import (
	"fmt"
	"maps"
	"strings"

	"github.com/synshard/synshard/source"
	"github.com/synshard/synshard/source/layout/naming"
)

// splitColumn gives the column that says the split of each row: the first that has a word
// for one, or says of rows whether they are of one; nil: there is none. A column of such
// a name that has no such word is about something else.
func splitColumn(all []source.Column) *source.Column {
	for k := range all {
		for v := range all[k].Values {
			if s, ok := splitOfValue(&all[k], v); ok && s != "" {
				return &all[k]
			}
		}
	}
	return nil
}

// splitOfValue is the split that a value of a column means, "" where it says none; ok is
// false where it is a word for something else.
func splitOfValue(c *source.Column, v int) (split string, ok bool) {
	l := c.Values[v]
	text := strings.TrimSpace(l.String())
	if l.Kind == source.NumberLabel && c.ClassNames != nil {
		if l.Number < 0 || l.Number >= int64(len(c.ClassNames)) {
			return "", l.Number == -1
		}
		text = c.ClassNames[l.Number]
	}
	if of := source.BoolSplit(c.Name); of != "" {
		switch strings.ToLower(text) {
		case "true", "1", "yes", "t", "y":
			return of, true
		case "":
			return "", true
		case "false", "0", "no", "f", "n":
			// What is not for training may be for validation or for the test.
			return "", of != "train"
		}
		return "", false
	}
	split = naming.SplitWord(text)
	return split, split != "" || text == ""
}

// bySplitColumn is the rule of rows whose split a column says.
type bySplitColumn struct {
	rule
	column *source.Column
}

// splitByColumn lets the column that says the splits of an input's rows, if there is
// one, decide them.
func (m *mapper) splitByColumn(u *unit, i int) {
	c := splitColumn(m.inputs[i].Info.Splits)
	if c == nil {
		return
	}
	u.rule = bySplitColumn{u.rule, c}
	if u.own = maps.Clone(u.own); u.own == nil {
		u.own = map[string]bool{}
	}
	maps.Copy(u.own, splitsOf(c))
}

// splitsOf are the splits that a column has; of nil, none.
func splitsOf(c *source.Column) map[string]bool {
	out := map[string]bool{}
	if c == nil {
		return out
	}
	for v := range c.Values {
		if s, _ := splitOfValue(c, v); s != "" {
			out[s] = true
		}
	}
	return out
}

// place implements rule.
func (b bySplitColumn) place(i, k int, e *source.Entry) (spot, error) {
	s, err := b.rule.place(i, k, e)
	if err != nil || s.reason != "" || k < 0 || k >= len(b.column.Rows) {
		return s, err
	}
	s.fromColumn(b.column, int(b.column.Rows[k]))
	return s, nil
}

// fromColumn takes the split that a value of a column says. A word for none leaves the
// image out: to put it into train would be a guess.
func (s *spot) fromColumn(c *source.Column, v int) {
	switch split, ok := splitOfValue(c, v); {
	case !ok:
		s.reason, s.image = fmt.Sprintf("the column %s says %q, which is none of %s", c.Name, c.Values[v].String(), strings.Join(naming.Splits, ", ")), true
	case split != "":
		s.split, s.soft = split, false
	}
}
