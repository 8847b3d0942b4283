package layout

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/synshard/synshard/source"
	"github.com/synshard/synshard/source/layout/naming"
)

// mapper finds out what names mean: it maps images to splits and classes, which makes a Plan.
type mapper struct {
	inputs    []Input
	o         Options
	forced    map[string]bool // words of o.Layout
	column    string          // behind ColumnWord
	hasColumn bool            // an input has it
	numbers   bool            // numbers were taken for names, as Options.Layout says
	units     []*unit
	of        []*unit // of each input
	table     table
	files     naming.Files
	notes     []string
	kinds     []string // descriptions of layouts
	webs      []*webdataset
	ownVal    bool                // the names themselves put images into val
	hadLists  bool                // there are files that may list images
	missing   map[string]*Skipped // rows of lists beside images that lead to no image, or to one again, by reason
	withClass map[string]bool     // splits in which images have classes
	rows      repeats             // the rows of lists given
	lists     int                 // how many lists are given
	data      []string            // the first files left out that hold data
}

// unit is inputs that are read by one rule.
type unit struct {
	inputs []int
	rule   rule
	own    map[string]bool // the splits that its directories say
	hint   string          // the split that its name says
	split  string          // the split where neither says one: decided by settle
	unread []string        // the first files left out that are called after splits
}

// rule says what entries are.
type rule interface {
	// place says what an entry of input i is: its k-th, or where k is -1 one that was
	// not listed.
	place(i, k int, e *source.Entry) (spot, error)
}

// spot is what an entry is, before classes are numbered.
type spot struct {
	split    string // "": the unit's
	soft     bool   // split is from the image's own name, and a flag outranks it
	class    string // "": none
	byName   bool   // class was looked up for the image
	identity string // the image's name in its class
	reason   string // why it is left out
	image    bool   // and whether it is an image
	consumed bool   // a file of labels: neither an image nor left out
}

func newMapper(inputs []Input, o Options) (*mapper, error) {
	forced, err := ParseForced(o.Layout)
	if err != nil {
		return nil, err
	}
	if o.WebDataset {
		forced.words["webdataset"] = true
	}
	m := &mapper{inputs: slices.Clone(inputs), o: o, forced: forced.words, column: forced.column, missing: map[string]*Skipped{}, withClass: map[string]bool{}, rows: repeats{}, of: make([]*unit, len(inputs))}
	m.table.given, m.table.named = o.Classes, m.forced["numbers"]
	if o.Split != "" && !slices.Contains(naming.Splits, o.Split) {
		return nil, fmt.Errorf("split %q: want one of %s", o.Split, strings.Join(naming.Splits, ", "))
	}
	if o.ValFraction < 0 || o.ValFraction >= 1 {
		return nil, fmt.Errorf("a fraction of %v for validation: want one from 0 to below 1", o.ValFraction)
	}
	for i, in := range inputs {
		if in.Info.Lines != nil {
			m.lists++
		}
		if in.Split != "" && !slices.Contains(naming.Splits, in.Split) {
			return nil, fmt.Errorf("%s: split %q: want one of %s", in.Info.Path, in.Split, strings.Join(naming.Splits, ", "))
		}
		for k := range in.Entries {
			if int(in.Entries[k].Container) != i {
				return nil, fmt.Errorf("%s: an entry of container %d among those of input %d", in.Entries[k].Name, in.Entries[k].Container, i)
			}
		}
	}
	return m, nil
}

// understand finds the rule of every input.
func (m *mapper) understand() error {
	for from := 0; from < len(m.inputs); {
		to := from + 1
		for to < len(m.inputs) && m.given(to) == m.given(from) {
			to++
		}
		if err := m.group(from, to); err != nil {
			return err
		}
		from = to
	}
	for _, w := range m.webs {
		if err := w.resolve(); err != nil {
			return err
		}
	}
	if m.forced["webdataset"] && len(m.webs) == 0 {
		return &NoEffect{Option: "--layout webdataset", Reason: "no source is a tar"}
	}
	for _, w := range []string{"lists", "nolists"} {
		if m.forced[w] && !m.hadLists {
			return &NoEffect{Option: "--layout " + w, Reason: "no list lies beside the images"}
		}
	}
	if m.column != "" && !m.hasColumn {
		return &NoEffect{Option: "--layout " + ColumnWord + m.column, Reason: "no source has this column with labels"}
	}
	return m.settle()
}

// given is the path that the caller gave for an input.
func (m *mapper) given(i int) string {
	if in := &m.inputs[i].Info; in.Given != "" {
		return in.Given
	}
	return m.inputs[i].Info.Path
}

// group makes units of the inputs of one path given: WebDataset's tars and files
// of rows one each, all others one tree.
func (m *mapper) group(from, to int) error {
	web := m.webTars(from, to)
	card, err := m.dataCard(from, to)
	if err != nil {
		return err
	}
	dirs, err := m.rowDirs(from, to, card)
	if err != nil {
		return err
	}
	var tree []int
	for i := from; i < to; i++ {
		if err := m.promote(&m.inputs[i].Info, m.inputs[i].Info.Path); err != nil {
			return err
		}
		if err := m.unread(i); err != nil {
			return err
		}
		m.noteComments(m.inputs[i].Info.Path, m.inputs[i].Info.Comments)
		var u *unit
		switch in := &m.inputs[i]; {
		case web[i]:
			u, err = m.newWeb(i)
		case rowKind(in.Info.Kind) && m.labelled(i):
			u, err = m.newColumns(i)
		case rowKind(in.Info.Kind):
			u, err = m.newTree([]int{i}, dirs[i])
		default:
			tree = append(tree, i)
			continue
		}
		if err != nil {
			return err
		}
		if rowKind(m.inputs[i].Info.Kind) {
			m.splitByColumn(u, i)
			switch split, leftOut := cardSplit(card, m.inputs[i].Info.Within); {
			case split != "":
				u.hint = split
			case leftOut != "":
				u.rule = notTaken{leftOut}
			}
		}
		m.add(u)
	}
	if len(tree) > 0 {
		u, err := m.newTree(tree, "")
		if err != nil {
			return err
		}
		m.add(u)
	}
	return nil
}

func (m *mapper) add(u *unit) {
	m.units = append(m.units, u)
	for _, i := range u.inputs {
		m.of[i] = u
	}
}

// lost counts a row of a list beside images that gives none.
func (m *mapper) lost(s spot, name string) { skip(m.missing, s, name) }

func (m *mapper) note(format string, args ...any) {
	if n := fmt.Sprintf(format, args...); !slices.Contains(m.notes, n) {
		m.notes = append(m.notes, n)
	}
}

func (m *mapper) kind(k string) {
	if !slices.Contains(m.kinds, k) {
		m.kinds = append(m.kinds, k)
	}
}

// settle decides the split of each unit that has none of its own, and holds the
// options to have an effect.
func (m *mapper) settle() error {
	hints, free := map[string]bool{}, false
	for _, u := range m.units {
		flag := m.inputs[u.inputs[0]].Split
		own := slices.Sorted(maps.Keys(u.own))
		switch {
		case flag != "" && len(own) > 0 && (len(own) > 1 || own[0] != flag):
			return &NoEffect{Option: "--" + flag, Reason: fmt.Sprintf("%s has splits of its own, %s: give it without", m.given(u.inputs[0]), strings.Join(own, ", "))}
		case m.o.Split != "" && len(own) > 0:
			return &NoEffect{Option: "--as-split", Reason: fmt.Sprintf("%s has splits of its own: %s", m.given(u.inputs[0]), strings.Join(own, ", "))}
		case flag != "":
			u.split = flag
			continue
		}
		if len(own) == 0 {
			free = true
		}
		if u.hint != "" {
			hints[u.hint] = true
		}
		u.split = "train"
		if u.hint != "" {
			u.split = u.hint
		}
		if m.o.Split != "" {
			u.split = m.o.Split
		}
	}
	switch {
	case m.o.Split != "" && len(hints) > 1:
		return &NoEffect{Option: "--as-split", Reason: "the names of the files say their splits: " + strings.Join(slices.Sorted(maps.Keys(hints)), ", ")}
	case m.o.Split != "" && len(m.units) > 0 && !free:
		return &NoEffect{Option: "--as-split", Reason: "every source has its split"}
	}
	return nil
}
