package layout

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/synshard/synshard/source/classlist"
	"github.com/synshard/synshard/source/layout/naming"
)

// table numbers classes: as they come, until all are known and their order is
// decided; or by the list given.
type table struct {
	given *classlist.List // by Options.Classes
	named bool            // numbers are names
	found *classlist.List // that the inputs have themselves
	ids   map[string]int32
	pairs map[int64]string // names that stand beside numbers
	seen  []string         // by id, where no list is given
	final []string
}

// id numbers a class; "" is -1. A name outside the list given is a
// *classlist.NotInList.
func (t *table) id(name string) (int32, error) {
	if name == "" {
		return -1, nil
	}
	if id, ok := t.ids[name]; ok {
		return id, nil
	}
	id := int32(len(t.seen))
	switch {
	case t.given == nil && t.final != nil: // not seen while they were listed
		label, ok := -1, false
		if t.found != nil {
			label, ok = t.found.Index(name)
		}
		if !ok {
			return -1, fmt.Errorf("class %q: none of those that were listed", name)
		}
		id = int32(label)
	case t.given == nil:
		t.seen = append(t.seen, name)
	default:
		label, err := t.resolve(name)
		if err != nil {
			return -1, err
		}
		id = int32(label)
	}
	if t.ids == nil {
		t.ids = map[string]int32{}
	}
	t.ids[name] = id
	return id, nil
}

func (t *table) resolve(name string) (int, error) {
	if t.named {
		return t.given.Name(name)
	}
	label, err := t.given.Text(name)
	var doubt *classlist.NotInList
	if errors.As(err, &doubt) && doubt.Several && naming.Integer(name) {
		err = fmt.Errorf("%w; --layout numbers takes numbers for names", err)
	}
	return label, err
}

// add notes a list that the inputs have themselves. Two must be of the same classes
// in the same order.
func (t *table) add(l *classlist.List) error {
	if t.given != nil {
		return nil
	}
	if t.found == nil {
		t.found = l
		return nil
	}
	if c := classlist.Compare(t.found, l); c.Relation != classlist.Equal {
		return &Ambiguity{Path: l.Source, What: fmt.Sprintf("its classes are not those of %s (%v)", t.found.Source, c.Relation), Readings: []Reading{
			{t.found.Source + " has the classes", "--classes with the list that is meant"}, {l.Source + " has them", "--classes with that one"}}}
	}
	return nil
}

// pair notes a number that stands beside a class's name. One number is one class.
func (m *mapper) pair(number int64, name string) error {
	if have, ok := m.table.pairs[number]; ok && have != name {
		return fmt.Errorf("its label %d is %s, and another image's of that label is %s", number, name, have)
	}
	if m.table.pairs == nil {
		m.table.pairs = map[int64]string{}
	}
	m.table.pairs[number] = name
	return nil
}

// byPairs is the order of the numbers that stand beside the names, where they stand
// beside all.
func (t *table) byPairs() ([]string, bool) {
	var names []string
	twice := map[string]bool{}
	for _, n := range slices.Sorted(maps.Keys(t.pairs)) {
		name := t.pairs[n]
		if twice[name] {
			return nil, false // two numbers of one name say nothing
		}
		twice[name] = true
		if _, ok := t.ids[name]; ok {
			names = append(names, name)
		}
	}
	return names, len(names) == len(t.seen)
}

// order decides the labels: those of the list given or found, or the ascending order of
// the names. It gives the label of each id.
func (t *table) order() ([]int32, error) {
	if t.given != nil {
		t.final = t.given.Names
		order := make([]int32, len(t.final))
		for i := range order {
			order[i] = int32(i)
		}
		return order, nil
	}
	list := t.found
	if list == nil {
		names, ok := t.byPairs()
		if !ok {
			names = slices.Sorted(slices.Values(t.seen))
		}
		list = &classlist.List{Names: names}
	}
	order := make([]int32, len(t.seen))
	for _, name := range slices.Sorted(slices.Values(t.seen)) { // the first by name is told
		label, ok := list.Index(name)
		if !ok {
			return nil, &Ambiguity{Path: list.Source, What: fmt.Sprintf("class %q is none of its classes", name), Readings: []Reading{
				{"it is a class", "--classes with a list of all"}, {"it is none", "give the sources without it"}}}
		}
		order[t.ids[name]] = int32(label)
		t.ids[name] = int32(label)
	}
	t.final = list.Names
	if t.final == nil {
		t.final = []string{}
	}
	return order, nil
}

func (t *table) names() []string { return t.final }
