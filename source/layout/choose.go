package layout

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/synshard/synshard/source"
	"github.com/synshard/synshard/source/classlist"
)

// choose takes the column that says the class: the one asked for, or the best called of those that
// have labels. The others must say the same in their way, as numbers and names
// of the same classes do.
func (c *columns) choose(info *source.Info) (others []*source.Column, err error) {
	var all []*source.Column
	for k := range info.Columns {
		if col := &info.Columns[k]; says(*col) {
			all = append(all, col)
		}
	}
	if c.m.column != "" {
		return nil, c.asked(all)
	}
	if len(all) == 0 {
		c.column = &info.Columns[0]
		return nil, nil
	}
	c.column = all[0]
	for _, col := range all {
		if col.Name == info.LabelColumn {
			c.column = col
		}
	}
	for _, col := range all {
		if col == c.column {
			continue
		}
		switch {
		case sameClasses(c.column, col):
		case strings.EqualFold(col.Name, c.column.Name):
			return nil, c.namesakes(col.Name)
		default:
			return nil, &Ambiguity{Path: c.from, What: fmt.Sprintf("the columns %s and %s have different classes", c.column.Name, col.Name), Readings: []Reading{
				{c.column.Name + " is the class", "--layout " + ColumnWord + c.column.Name}, {col.Name + " is", "--layout " + ColumnWord + col.Name}}}
		}
		if named(col) && !named(c.column) { // names before numbers
			col, c.column = c.column, col
		}
		others = append(others, col)
	}
	return others, nil
}

// asked takes the column that a flag names.
func (c *columns) asked(all []*source.Column) error {
	for _, col := range all {
		if !strings.EqualFold(col.Name, c.m.column) {
			continue
		}
		if c.column != nil && !sameClasses(c.column, col) {
			return c.namesakes(col.Name)
		}
		if c.column == nil {
			c.column, c.m.hasColumn = col, true
		}
	}
	if c.column == nil {
		return fmt.Errorf("%s: no column %s with labels", c.from, c.m.column)
	}
	return nil
}

// namesakes refuses two columns that no flag can tell apart.
func (c *columns) namesakes(name string) error {
	return &Ambiguity{Path: c.from, What: fmt.Sprintf("two columns are called %s and have different classes", name), Readings: []Reading{
		{"one of them is the class", "call the other otherwise"}, {"there are none", "--layout flat"}}}
}

// named says whether a column's labels have names.
func named(c *source.Column) bool {
	return c.ClassNames != nil || !slices.ContainsFunc(c.Values, func(l source.Label) bool { return l.Kind == source.NumberLabel && l.Number >= 0 })
}

// sameClasses says whether two columns divide the rows alike. Rows in which either says
// nothing do not count.
func sameClasses(a, b *source.Column) bool {
	toB, toA := map[int32]int32{}, map[int32]int32{}
	for k := range min(len(a.Rows), len(b.Rows)) {
		x, y := a.Rows[k], b.Rows[k]
		if none(a.Values[x]) || none(b.Values[y]) {
			continue
		}
		if was, ok := toB[x]; ok && was != y {
			return false
		}
		if was, ok := toA[y]; ok && was != x {
			return false
		}
		toB[x], toA[y] = y, x
	}
	return true
}

func none(l source.Label) bool {
	return l.Kind == source.NoLabel || l.Kind == source.NumberLabel && l.Number == -1
}

// orderBy takes the order of the classes from a column of numbers beside the names:
// its class names where they are the same, or the numbers' own order.
func (c *columns) orderBy(others []*source.Column) error {
	for _, col := range others {
		pairs := map[int64]string{}
		agrees := true
		for k := range min(len(c.column.Rows), len(col.Rows)) {
			name, number := c.column.Values[c.column.Rows[k]], col.Values[col.Rows[k]]
			if name.Kind != source.NameLabel || number.Kind != source.NumberLabel || number.Number < 0 {
				continue
			}
			pairs[number.Number] = name.Name
			agrees = agrees && number.Number < int64(len(col.ClassNames)) && col.ClassNames[number.Number] == name.Name
		}
		if len(pairs) == 0 {
			continue
		}
		if agrees {
			l, err := classlist.New(col.ClassNames, nil, c.from)
			if err != nil {
				return fmt.Errorf("%s: column %s: %w", c.from, col.Name, err)
			}
			return c.m.table.add(l)
		}
		for _, n := range slices.Sorted(maps.Keys(pairs)) {
			if err := c.m.pair(n, pairs[n]); err != nil {
				return fmt.Errorf("%s: column %s: %w", c.from, col.Name, err)
			}
		}
		return nil
	}
	return nil
}

// promote makes a column of labels of the columns of a list whose names say nothing, where
// none is called after classes: of one that stands alone, or of several that say with a 1
// which class is a row's. Of others a flag has to choose. What is not read is told.
func (m *mapper) promote(info *source.Info, from string) error {
	if m.column != "" {
		for _, c := range info.Others {
			if strings.EqualFold(c.Name, m.column) && says(c) {
				info.Columns = append(slices.Clone(info.Columns), c)
			}
		}
		return nil
	}
	if at := slices.IndexFunc(info.Others, denies); at >= 0 && !m.namesAlone() {
		return &Ambiguity{Path: from, What: fmt.Sprintf("its column %s has rows of 0, which say what an image is not", info.Others[at].Name), Readings: []Reading{
			{"the others are its classes", "give a list without these rows"}, {"no image has a class", "--layout flat"}}}
	}
	left := slices.DeleteFunc(slices.Clone(info.Others), func(c source.Column) bool { return !mayBeClass(&c) })
	switch {
	case len(left) == 0:
		return nil
	case slices.ContainsFunc(info.Columns, says):
		named := slices.DeleteFunc(slices.Clone(info.Columns), func(c source.Column) bool { return !says(c) })
		m.note("%s: the class is read from %s; not read: %s", from, columnNames(named), columnNames(left))
		return nil
	case m.namesAlone():
		m.note("%s: no column of classes is read; not read: %s", from, columnNames(left))
		return nil
	}
	switch hot, err := m.oneHot(left, from); {
	case err != nil:
		return err
	case hot != nil:
		info.Columns, info.LabelColumn = []source.Column{*hot}, hot.Name
		return nil
	case len(left) == 1 && !slices.ContainsFunc(info.Others, func(c source.Column) bool { return c.Name != left[0].Name && !source.Measure(c.Name) }):
		info.Columns, info.LabelColumn = left, left[0].Name
		m.note("%s: the class is read from its column %s", from, left[0].Name)
		return nil
	}
	return &Ambiguity{Path: from, What: "no column is called after classes, and these may be: " + columnNames(left), Readings: m.ofColumns(left)}
}

// namesAlone says whether a flag says that names of directories or files are the classes, or
// that there are none.
func (m *mapper) namesAlone() bool {
	return slices.ContainsFunc([]string{"flat", "names", "classes", "top", "leaves", "synsets"}, func(w string) bool { return m.forced[w] })
}

const fewReadings = 4

// ofColumns are the readings that take one of the columns, or none.
func (m *mapper) ofColumns(all []source.Column) (out []Reading) {
	for _, c := range all[:min(len(all), fewReadings)] {
		out = append(out, Reading{c.Name + " is the class", "--layout " + ColumnWord + c.Name})
	}
	return append(out, Reading{"directories are the classes", "--layout top"}, Reading{"there are none", "--layout flat"})
}

// denies says whether a column says of some rows that their label is not the image's, as in
// Open Images.
func denies(c source.Column) bool {
	return strings.EqualFold(strings.TrimSpace(c.Name), "confidence") && slices.Contains(c.Values, source.Label{Kind: source.NumberLabel})
}

func columnList(all []source.Column) []string {
	names := make([]string, len(all))
	for i := range all {
		names[i] = all[i].Name
	}
	return names
}

func columnNames(all []source.Column) string {
	names := columnList(all)
	if n := len(names) - fewReadings; n > 0 {
		return fmt.Sprintf("%s and %d others", strings.Join(names[:fewReadings], ", "), n)
	}
	return strings.Join(names, ", ")
}

// mayBeClass says whether a column may say classes: it is not called after something else,
// its values are names or whole numbers, and, of three rows or more, some have the same.
func mayBeClass(c *source.Column) bool {
	distinct := 0
	for _, l := range c.Values {
		if l.Kind == source.NoLabel {
			continue
		}
		distinct++
		if _, err := strconv.ParseFloat(l.Name, 64); l.Kind == source.NameLabel && err == nil && strings.ContainsAny(l.Name, ".eE") {
			return false // a measure
		}
	}
	return distinct > 0 && !source.Measure(c.Name) && (len(c.Rows) < 3 || distinct < len(c.Rows))
}

// oneHot makes one column of those of 0 and 1, where there are several and every row has one
// 1; nil: there are not. Rows with other numbers of them are of no one class.
func (m *mapper) oneHot(all []source.Column, from string) (*source.Column, error) {
	var bits []source.Column
	for _, c := range all {
		if isBits(&c) {
			bits = append(bits, c)
		}
	}
	if len(bits) < 2 {
		return nil, nil
	}
	out := source.Column{Name: "of 0 and 1", Rows: make([]int32, len(bits[0].Rows))}
	ones := make([]int, len(out.Rows))
	for i, c := range bits {
		out.Values = append(out.Values, source.Label{Kind: source.NameLabel, Name: c.Name})
		for k, v := range c.Rows {
			if c.Values[v].Number == 1 {
				ones[k]++
				out.Rows[k] = int32(i)
			}
		}
	}
	none, several := 0, 0
	for _, n := range ones {
		switch {
		case n == 0:
			none++
		case n > 1:
			several++
		}
	}
	if none+several > 0 {
		return nil, &Ambiguity{Path: from, What: fmt.Sprintf("columns of 0 and 1 (%s), in which %d rows have several 1 and %d none: an image has one class here", columnNames(bits), several, none), Readings: m.ofColumns(bits)}
	}
	list, err := classlist.New(columnList(bits), nil, from)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", from, err)
	}
	if err := m.table.add(list); err != nil {
		return nil, err
	}
	what := fmt.Sprintf("%s: the class of a row is the one of its columns %s that has 1", from, columnNames(bits))
	if rest := len(all) - len(bits); rest > 0 {
		what += "; not read: " + columnNames(slices.DeleteFunc(slices.Clone(all), func(c source.Column) bool { return isBits(&c) }))
	}
	m.note("%s", what)
	return &out, nil
}

// isBits says whether a column has a name, and 0 or 1 in every row.
func isBits(c *source.Column) bool {
	if _, err := strconv.Atoi(c.Name); err == nil || len(c.Rows) == 0 {
		return false
	}
	return !slices.ContainsFunc(c.Values, func(l source.Label) bool {
		return l.Kind != source.NumberLabel || l.Number != 0 && l.Number != 1
	})
}
