// Package layout says what the names in containers mean: which split and which
// class an image is of, and which files are left out and why. It is pure: the
// same names give the same plan, and what can be read in two ways is refused
// with both readings and the flag that chooses (*Ambiguity).
//
// The rules, for trees (folders, tars, zips, and lists whose rows say no class):
//
//   - A directory called train, training, val, valid, validation, dev, test or
//     testing is a split where all directories beside it are (or are called
//     after one: imagenet21k_train, train.X1). It stands above the classes.
//   - A directory called after a synset (n01440764, n02085620-Chihuahua) is a class at any
//     depth. Without synsets the directories right below a split, or below the last
//     directory that is alone, are the classes.
//   - An archive in a folder, or within another archive, is like a directory of its name.
//   - Images that lie flat are labelled by a synset in their name, by the
//     development kit, by the file of labels that lies with them
//     (LOC_val_solution.csv, val_annotations.txt, metadata.csv, .jsonl or .parquet), or not.
//
// Tars with a .cls or .json beside each image are WebDataset's. Rows of lists,
// Parquet and Arrow files have their label in a column, and their split in the
// name of their file or in the dataset card's data_files.
//
// Classes are in ascending order of their names, unless a list is given or the
// containers hold one of their own.
package layout

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/synshard/synshard/source"
	"github.com/synshard/synshard/source/classlist"
	"github.com/synshard/synshard/source/layout/naming"
)

// Input is a container: what is known of it, and what is in it.
type Input struct {
	Info source.Info // as source.Set.Infos has it
	// Entries are what the container lists, those of a Sequential one where its
	// names were read before (by Set.Walk); else none, and Plan.Place tells what its entries
	// are, one by one.
	Entries []source.Entry
	// Split is that of all its images where a flag says so: "train", "val" or "test".
	Split string
}

// Options say how names are read.
type Options struct {
	// Layout forces a reading, by words of Layouts with commas between them; "" tells from
	// the names.
	Layout string
	// Split is where images go that no name puts into a split; "": train.
	Split string
	// ValFraction of the training images, about, become the split val: an image
	// is in it or not by a hash of Seed, its class and its name in the class (Image.Path)
	// alone, so that more images move none, and how they are packed does not matter. Each
	// class gives the fraction in expectation: one of few images may give none, or
	// all, which Plan.Notes tell.
	ValFraction float64 // 0 up to 1; 0: none
	Seed        uint64
	// Classes closes the list of classes and gives their order; nil: as found.
	Classes *classlist.List
	// Truth gives the synset of an image of ILSVRC2012's validation set by its base
	// name; nil: not known.
	Truth func(name string) (synset string, err error)
	// LabelsOptional: images without a class, as those to predict over, are not worth a
	// note.
	LabelsOptional bool
	// Read reads the files that hold labels; nil: they count as files that are no images.
	Read func(source.Entry) ([]byte, error)
	// Head gives the first bytes of a file, by which one is known as an image whose name
	// tells nothing; nil: it counts as a file that is no image.
	Head func(source.Entry) ([]byte, error)
}

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

// Plan is what the names mean.
type Plan struct {
	// Layout describes what was found, for people.
	Layout string `json:"layout"`
	// Classes are in label order.
	Classes []string `json:"classes"`
	// Splits are in order of their names.
	Splits []Split `json:"splits"`
	// Skipped are the files left out, by reason.
	Skipped []Skipped `json:"skipped,omitempty"`
	// Labels are the files that say the labels: neither images nor left out.
	Labels []*source.Entry `json:"-"`
	// Notes are worth telling.
	Notes []string `json:"notes,omitempty"`
	// Missing are rows of lists whose files are not there, the first few by name: they are among
	// the images, and whoever reads them finds them unreadable.
	Missing *Skipped `json:"missing,omitempty"`
	// Repeats are the rows of lists that are left out for RepeatReason.
	Repeats []*source.Entry `json:"-"`

	m *maker
}

// Split is the images of a split, in the order of inputs and entries.
type Split struct {
	Name   string  `json:"split"` // train, val or test
	Images []Image `json:"-"`
	// Unlabelled is how many of them have no class.
	Unlabelled int `json:"unlabelled"`
}

// Image is an entry that is an image, or an archive that stands for an unknown
// number of images of one class.
type Image struct {
	*source.Entry       // in Input.Entries
	Class         int32 // the label: a place in Plan.Classes; -1: none
	// ByName says that the class is looked up for each image by its name: in the
	// development kit, or in a file of labels.
	ByName bool
	// Path is the image's name in its class: below the directory of the class or of
	// the split, or as a list, a row or a sample has it. A name of bytes is escaped, see
	// internal/utf8name, a row's is as its column has it. "" of an archive.
	Path string
}

// Skipped is a kind of files that are left out.
type Skipped struct {
	Reason string   `json:"reason"` // for people
	Count  int      `json:"count"`  // of files
	Images bool     `json:"images"` // they are images
	Names  []string `json:"names"`  // the first few, by name
}

// Placement is what one entry means.
type Placement struct {
	Split string // "": it is left out
	Class int32  // as Image.Class
	Path  string // as Image.Path
	// Reason says why it is left out, and Image whether it is an image.
	Reason string
	Image  bool
}

const keptNames = 5 // of each reason for leaving out

// Make reads the names of all inputs, which are in the order of Set.Infos: an
// entry's Container is its input's place. What cannot be read in one way only is
// an *Ambiguity; an option that these inputs make nothing of is a *NoEffect; a
// class outside Options.Classes is a *classlist.NotInList.
func Make(inputs []Input, o Options) (*Plan, error) {
	m, err := newMaker(inputs, o)
	if err != nil {
		return nil, err
	}
	if err := m.understand(); err != nil {
		return nil, err
	}
	p, err := m.place()
	if err != nil {
		return nil, err
	}
	p.m = m
	return p, nil
}

// Place says what an entry means that was not listed: a member of an Archive
// entry, or an entry of a Sequential container. It agrees with what Make says
// where they are listed. It fails where the entry's name alone does not tell. One
// goroutine at a time may call it.
func (p *Plan) Place(e source.Entry) (Placement, error) {
	if e.Container < 0 || int(e.Container) >= len(p.m.inputs) {
		return Placement{}, fmt.Errorf("%s: it is of no input of this plan", e.Name)
	}
	return p.m.placeOne(&e)
}

// maker makes a plan.
type maker struct {
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

func newMaker(inputs []Input, o Options) (*maker, error) {
	m := &maker{inputs: slices.Clone(inputs), o: o, forced: map[string]bool{}, missing: map[string]*Skipped{}, rows: repeats{}, of: make([]*unit, len(inputs))}
	m.table.given, m.table.named = o.Classes, strings.Contains(o.Layout, "numbers")
	for w := range strings.SplitSeq(o.Layout, ",") {
		if w = strings.TrimSpace(w); w == "" {
			continue
		}
		if column, ok := strings.CutPrefix(w, ColumnWord); ok && column != "" {
			m.column = column
			continue
		}
		if Layouts[w] == "" {
			return nil, fmt.Errorf("layout %q: want one of %s, %sNAME", w, strings.Join(slices.Sorted(maps.Keys(Layouts)), ", "), ColumnWord)
		}
		m.forced[w] = true
	}
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
func (m *maker) understand() error {
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
func (m *maker) given(i int) string {
	if in := &m.inputs[i].Info; in.Given != "" {
		return in.Given
	}
	return m.inputs[i].Info.Path
}

// group makes units of the inputs of one path given: WebDataset's tars and files
// of rows one each, all others one tree.
func (m *maker) group(from, to int) error {
	web := m.webTars(from, to)
	card, err := m.dataCard(from, to)
	if err != nil {
		return err
	}
	var tree []int
	for i := from; i < to; i++ {
		if err := m.promote(&m.inputs[i].Info, m.inputs[i].Info.Path); err != nil {
			return err
		}
		var u *unit
		switch in := &m.inputs[i]; {
		case web[i]:
			u, err = m.newWeb(i)
		case rowKind(in.Info.Kind) && m.labelled(i):
			u, err = m.newColumns(i)
		case rowKind(in.Info.Kind):
			u, err = m.newTree([]int{i})
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
		u, err := m.newTree(tree)
		if err != nil {
			return err
		}
		m.add(u)
	}
	return nil
}

func (m *maker) add(u *unit) {
	m.units = append(m.units, u)
	for _, i := range u.inputs {
		m.of[i] = u
	}
}

// lost counts a row of a list beside images that gives none.
func (m *maker) lost(s spot, name string) { skip(m.missing, s, name) }

func (m *maker) note(format string, args ...any) {
	if n := fmt.Sprintf(format, args...); !slices.Contains(m.notes, n) {
		m.notes = append(m.notes, n)
	}
}

func (m *maker) kind(k string) {
	if !slices.Contains(m.kinds, k) {
		m.kinds = append(m.kinds, k)
	}
}

// settle decides the split of each unit that has none of its own, and holds the
// options to have an effect.
func (m *maker) settle() error {
	hints, free := map[string]bool{}, false
	for _, u := range m.units {
		flag := m.inputs[u.inputs[0]].Split
		own := slices.Sorted(maps.Keys(u.own))
		switch {
		case flag != "" && len(own) > 0 && (len(own) > 1 || own[0] != flag):
			return &NoEffect{Option: "--" + flag, Reason: fmt.Sprintf("%s has splits of its own, %s: give it without", m.given(u.inputs[0]), strings.Join(own, ", "))}
		case m.o.Split != "" && len(own) > 0:
			return &NoEffect{Option: "--split", Reason: fmt.Sprintf("%s has splits of its own: %s", m.given(u.inputs[0]), strings.Join(own, ", "))}
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
		return &NoEffect{Option: "--split", Reason: "the names of the files say their splits: " + strings.Join(slices.Sorted(maps.Keys(hints)), ", ")}
	case m.o.Split != "" && len(m.units) > 0 && !free:
		return &NoEffect{Option: "--split", Reason: "every source has its split"}
	}
	return nil
}

// place places every entry listed, and orders the classes.
func (m *maker) place() (*Plan, error) {
	splits, skipped := map[string]*Split{}, maps.Clone(m.missing)
	outside, gone := map[string]notInList{}, map[string]*Skipped{}
	archives := 0
	var labels, repeats []*source.Entry
	for i := range m.inputs {
		u := m.of[i]
		for k := range m.inputs[i].Entries {
			e := &m.inputs[i].Entries[k]
			s, err := u.rule.place(i, k, e)
			if err != nil {
				return nil, within(m.inputs[i].Info.Path, err)
			}
			switch {
			case s.consumed:
				labels = append(labels, e)
				continue
			case s.reason != "":
				skip(skipped, s, e.Name)
				m.noteFile(u, e.Name, s.reason)
				continue
			}
			class, err := m.table.id(s.class)
			if err != nil {
				if at, ok := outside[s.class]; !ok || at.input == i && e.Name < at.name {
					outside[s.class] = notInList{i, e.Name, err}
				}
				continue
			}
			name := m.splitOf(i, &s)
			if again, err := m.repeated(i, k, e, s.class, name); err != nil {
				return nil, err
			} else if again {
				repeats = append(repeats, e)
				skip(skipped, spot{reason: RepeatReason}, e.Name)
				continue
			}
			if e.Archive {
				archives++
			}
			sp := splits[name]
			if sp == nil {
				sp = &Split{Name: name}
				splits[name] = sp
			}
			if class < 0 {
				sp.Unlabelled++
			}
			if k := m.inputs[i].Info.Kind; e.Size < 0 && (k == source.List || k == source.Files) {
				skip(gone, spot{reason: "not there", image: true}, e.Name)
			}
			sp.Images = append(sp.Images, Image{e, class, s.byName, s.identity})
		}
	}
	if len(splits) == 0 && len(outside) == 0 && !m.unseen() {
		return nil, m.nothing(skipped)
	}
	if len(outside) > 0 {
		return nil, m.outside(outside)
	}
	if m.forced["numbers"] && !m.numbers && !m.unseen() {
		return nil, &NoEffect{Option: "--layout numbers", Reason: "no labels and no directories of classes are numbers"}
	}
	if m.o.ValFraction > 0 && m.ownVal {
		return nil, &NoEffect{Option: "--val-fraction", Reason: "there is a validation split already"}
	}
	if m.o.ValFraction > 0 && archives > 0 {
		return nil, fmt.Errorf("%d archives within archives were not listed, and a part of their images is to be split off", archives)
	}
	p := &Plan{Layout: strings.Join(m.kinds, "; "), Splits: []Split{}, Labels: labels, Repeats: repeats}
	for _, name := range slices.Sorted(maps.Keys(splits)) {
		p.Splits = append(p.Splits, *splits[name])
	}
	for _, reason := range slices.Sorted(maps.Keys(skipped)) {
		p.Skipped = append(p.Skipped, *skipped[reason])
	}
	order, err := m.table.order()
	if err != nil {
		return nil, err
	}
	for _, sp := range p.Splits {
		for k := range sp.Images {
			if c := &sp.Images[k].Class; *c >= 0 {
				*c = order[*c]
			}
		}
	}
	if p.Missing = gone["not there"]; p.Missing != nil {
		m.note("%d files that lists name are not there; paths are relative to the list's directory", p.Missing.Count)
	}
	p.Classes = m.table.names()
	m.noteSplits(p)
	m.noteUnread(p)
	m.noteAlike(p.Classes)
	p.Notes = m.notes
	return p, nil
}

// notInList is an image whose class is not in the list given.
type notInList struct {
	input int
	name  string
	err   error
}

// outside is the error of the first of such classes.
func (m *maker) outside(all map[string]notInList) error {
	first := all[slices.Min(slices.Collect(maps.Keys(all)))]
	err := fmt.Errorf("%s: %s: %w", m.inputs[first.input].Info.Path, first.name, first.err)
	if n := len(all) - 1; n > 0 {
		err = fmt.Errorf("%w (%d classes more are outside the list)", err, n)
	}
	return err
}

// unseen says whether there is an input that was not listed.
func (m *maker) unseen() bool {
	return slices.ContainsFunc(m.inputs, func(in Input) bool { return in.Info.Sequential && len(in.Entries) == 0 })
}

// nothing is ErrNoImages, with what there is instead.
func (m *maker) nothing(skipped map[string]*Skipped) error {
	var paths, instead []string
	for i := range m.inputs {
		if p := m.given(i); !slices.Contains(paths, p) {
			paths = append(paths, p)
		}
	}
	for _, r := range slices.Sorted(maps.Keys(skipped)) {
		instead = append(instead, fmt.Sprintf("%d left out: %s, such as %s", skipped[r].Count, r, skipped[r].Names[0]))
	}
	return fmt.Errorf("%s: %w", strings.Join(append(paths, instead...), "; "), ErrNoImages)
}

func skip(skipped map[string]*Skipped, s spot, name string) {
	at := skipped[s.reason]
	if at == nil {
		at = &Skipped{Reason: s.reason, Images: s.image}
		skipped[s.reason] = at
	}
	at.Count++
	at.Names = keep(at.Names, name)
}
