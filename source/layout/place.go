package layout

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/synshard/synshard/internal/utf8name"
	"github.com/synshard/synshard/source"
	"github.com/synshard/synshard/source/layout/naming"
)

// place places every entry listed, and orders the classes.
func (m *mapper) place() (*Plan, error) {
	p := &placing{m: m, splits: map[string]*Split{}, skipped: maps.Clone(m.missing), outside: map[string]notInList{}, gone: map[string]*Skipped{}}
	for i := range m.inputs {
		for k := range m.inputs[i].Entries {
			if err := p.entry(i, k, &m.inputs[i].Entries[k]); err != nil {
				return nil, err
			}
		}
	}
	p.unlabelled()
	if err := p.refusal(); err != nil {
		return nil, err
	}
	p.missing()
	return p.plan()
}

// placing is a plan under way.
type placing struct {
	m               *mapper
	splits          map[string]*Split
	skipped         map[string]*Skipped  // by reason
	outside         map[string]notInList // by class
	gone            map[string]*Skipped  // that lists name and that are not there
	pathsGone       bool                 // some of them are named by paths, and not by URLs
	archives        int                  // within archives, that were not listed
	labels, repeats []*source.Entry
}

// entry places entry k of input i.
func (p *placing) entry(i, k int, e *source.Entry) error {
	m, u := p.m, p.m.of[i]
	s, err := u.rule.place(i, k, e)
	switch {
	case err != nil:
		return within(m.inputs[i].Info.Path, err)
	case s.consumed:
		p.labels = append(p.labels, e)
		return nil
	case s.reason != "":
		skip(p.skipped, s, e.Name)
		m.noteFile(u, e.Name, s.reason)
		return nil
	}
	class, err := m.table.id(s.class)
	if err != nil {
		if at, ok := p.outside[s.class]; !ok || at.input == i && e.Name < at.name {
			p.outside[s.class] = notInList{i, e.Name, err}
		}
		return nil
	}
	name := m.splitOf(i, &s)
	if again, err := m.repeated(i, k, e, s.class, name); err != nil {
		return err
	} else if again {
		p.repeats = append(p.repeats, e)
		skip(p.skipped, spot{reason: RepeatReason}, e.Name)
		return nil
	}
	if e.Archive {
		p.archives++
	}
	sp := p.splits[name]
	if sp == nil {
		sp = &Split{Name: name}
		p.splits[name] = sp
	}
	if class < 0 {
		sp.Unlabelled++
	}
	sp.Images = append(sp.Images, Image{e, class, s.byName, s.identity})
	return nil
}

// unlabelled leaves out images without a class where others of their split have one.
func (p *placing) unlabelled() {
	for name, s := range p.splits {
		if s.Unlabelled < len(s.Images) {
			p.m.withClass[p.m.undivided(name)] = true
		}
	}
	for name, s := range p.splits {
		if s.Unlabelled == 0 {
			continue
		}
		s.Images = slices.DeleteFunc(s.Images, func(im Image) bool {
			reason := p.m.noLabel(name, im.Class, im.Entry)
			if reason != "" {
				s.Unlabelled--
				skip(p.skipped, spot{reason: reason, image: true}, im.Name)
			}
			return reason != ""
		})
		if len(s.Images) == 0 {
			delete(p.splits, name)
		}
	}
}

// noLabel is why an image is left out that has no class; "": it is not. ILSVRC2012's validation
// images stay: their labels are elsewhere.
func (m *mapper) noLabel(split string, class int32, e *source.Entry) string {
	if class >= 0 || e.Archive || m.o.LabelsOptional || m.forced["flat"] || !m.withClass[m.undivided(split)] || naming.ILSVRCSplit(naming.Base(e.Name)) == "val" {
		return ""
	}
	return "no label, and others of " + m.undivided(split) + " have one"
}

// unknown says whether an image has no class though classes were given, and no other of its split
// can be looked at, for its container was not listed. Of a test split that is nothing amiss.
func (m *mapper) unknown(i int, split string, class int32, e *source.Entry) bool {
	in := &m.inputs[i]
	return class < 0 && !e.Archive && in.Info.Sequential && len(in.Entries) == 0 && m.o.Classes != nil && split != "test" && !m.forced["flat"] && !m.o.LabelsOptional
}

// undivided is the split that a split is a fraction of, or itself.
func (m *mapper) undivided(split string) string {
	if split == "val" && m.o.ValFraction > 0 {
		return "train"
	}
	return split
}

// missing counts the images that lists name and that are not there.
func (p *placing) missing() {
	for _, s := range p.splits {
		for _, im := range s.Images {
			if k := p.m.inputs[im.Container].Info.Kind; im.Size < 0 && (k == source.List || k == source.Files) {
				skip(p.gone, spot{reason: "not there", image: true}, im.Name)
				p.pathsGone = p.pathsGone || !strings.Contains(im.Name, "://")
			}
		}
	}
}

// refusal is why what was placed makes no plan; nil: it does.
func (p *placing) refusal() error {
	m := p.m
	switch {
	case len(p.outside) > 0:
		return m.outside(p.outside)
	case len(p.splits) == 0 && !m.unseen():
		return m.nothing(p.skipped)
	case m.forced["numbers"] && !m.numbers && !m.unseen():
		return &NoEffect{Option: "--layout numbers", Reason: "no labels and no directories of classes are numbers"}
	case m.o.ValFraction > 0 && m.ownVal:
		return &NoEffect{Option: "--val-fraction", Reason: "there is a validation split already"}
	case m.o.ValFraction > 0 && p.archives > 0:
		return fmt.Errorf("%d archives within archives were not listed, and a part of their images is to be split off", p.archives)
	}
	return nil
}

// plan numbers the classes in their order and tells what is worth telling.
func (p *placing) plan() (*Plan, error) {
	m := p.m
	plan := &Plan{Layout: strings.Join(m.kinds, "; "), Splits: []Split{}, Labels: p.labels, Repeats: p.repeats}
	for _, name := range slices.Sorted(maps.Keys(p.splits)) {
		plan.Splits = append(plan.Splits, *p.splits[name])
	}
	for _, reason := range slices.Sorted(maps.Keys(p.skipped)) {
		plan.Skipped = append(plan.Skipped, *p.skipped[reason])
	}
	order, err := m.table.order()
	if err != nil {
		return nil, err
	}
	for _, sp := range plan.Splits {
		for k := range sp.Images {
			if c := &sp.Images[k].Class; *c >= 0 {
				*c = order[*c]
			}
		}
	}
	switch plan.Missing = p.gone["not there"]; {
	case plan.Missing == nil:
	case p.pathsGone:
		m.note("%d files that lists name are not there; paths are relative to the list's directory", plan.Missing.Count)
	default:
		m.note("%d files that lists name are not at their URLs, or not to be read there; why is said of each that is refused", plan.Missing.Count)
	}
	plan.Classes = m.table.names()
	m.noteSplits(plan)
	m.noteUnread(plan)
	if !m.o.LabelsOptional {
		m.noteTwice(plan)
	}
	m.noteAlike(plan.Classes)
	plan.Notes = m.notes
	return plan, nil
}

// notInList is an image whose class is not in the list given.
type notInList struct {
	input int
	name  string
	err   error
}

// outside is the error of the first of such classes.
func (m *mapper) outside(all map[string]notInList) error {
	first := all[slices.Min(slices.Collect(maps.Keys(all)))]
	err := fmt.Errorf("%s: %s: %w", m.inputs[first.input].Info.Path, first.name, first.err)
	if n := len(all) - 1; n > 0 {
		err = fmt.Errorf("%w (%d classes more are outside the list)", err, n)
	}
	return err
}

// unseen says whether there is an input that was not listed.
func (m *mapper) unseen() bool {
	return slices.ContainsFunc(m.inputs, func(in Input) bool { return in.Info.Sequential && len(in.Entries) == 0 })
}

// nothing is ErrNoImages, with what there is instead.
func (m *mapper) nothing(skipped map[string]*Skipped) error {
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

// placeOne places an entry that was not listed.
func (m *mapper) placeOne(e *source.Entry) (Placement, error) {
	i := int(e.Container)
	s, err := m.of[i].rule.place(i, -1, e)
	if err != nil {
		return Placement{}, fmt.Errorf("%s: %w", m.inputs[i].Info.Path, err)
	}
	if s.consumed || s.reason != "" {
		if s.reason == "" {
			s.reason = "a file of labels"
		}
		return Placement{Class: -1, Reason: s.reason, Image: s.image}, nil
	}
	class, err := m.table.id(s.class)
	if err != nil {
		return Placement{}, fmt.Errorf("%s: %s: %w", m.inputs[i].Info.Path, e.Name, err)
	}
	split := m.splitOf(i, &s)
	reason := m.noLabel(split, class, e)
	if m.unknown(i, split, class, e) {
		reason = "no label, and the classes are given"
	}
	if reason != "" {
		return Placement{Class: -1, Reason: reason, Image: true}, nil
	}
	return Placement{Split: split, Class: class, Path: s.identity}, nil
}

// alone places an entry of a container that was never listed, by its own name: the
// one synset and the words for splits in its path, or in the name.
func (t *tree) alone(i int, e *source.Entry) (spot, error) {
	dir, name := naming.Cut(e.Name)
	s := spot{identity: utf8name.Escape(name)}
	rest := []string{}
	path := t.virtual(i, dir)
	for k, el := range strings.Split(path, "/") {
		if el == "" {
			continue
		}
		synset, ok := naming.Synset(el)
		word, sure := naming.LikeSplit(el)
		switch {
		case ok && s.class != "":
			return s, fmt.Errorf("%s: a directory of a synset within another's", e.Name)
		case ok:
			s.class = synset
			s.identity = utf8name.Escape(strings.Join(append(strings.Split(path, "/")[k+1:], name), "/"))
		case word != "" && sure && s.class == "" && (s.split == "" || s.split == word):
			s.split = word
		case word != "" && sure:
			return s, fmt.Errorf("%s: the split %s within %s", e.Name, word, cmp.Or(s.class, s.split))
		case s.class == "" && !naming.Generic(el):
			rest = append(rest, el)
		}
	}
	if flag := cmp.Or(t.m.inputs[i].Split, t.m.o.Split); flag != "" && s.split != "" && s.split != flag {
		return s, &NoEffect{Option: "--as-split", Reason: fmt.Sprintf("%s: %s has splits of its own", t.path, e.Name)}
	}
	if s.class != "" || t.m.forced["flat"] {
		return s, nil
	}
	if synset := naming.SynsetIn(name); synset != "" {
		s.class = synset
		t.soften(&s, name)
		return s, nil
	}
	if own := naming.ILSVRCSplit(name); own != "" {
		v := verdict{split: s.split, how: unlabelled}
		if own == "val" && t.m.o.Truth != nil {
			v.how = byTruth
		}
		return t.judge(&v, i, e, name)
	}
	if own := t.ownSynset(0); own != "" {
		s.class = own
		return s, nil
	}
	if len(rest) == 0 {
		return s, nil
	}
	if c := t.m.o.Classes; c != nil {
		k := slices.IndexFunc(rest, func(el string) bool { _, ok := c.Index(el); return ok })
		if k >= 0 && !slices.ContainsFunc(rest[k+1:], func(el string) bool { _, ok := c.Index(el); return ok }) {
			s.class = rest[k]
			return s, nil
		}
	}
	return s, &Ambiguity{Path: t.path, What: e.Name + ": which of its directories is the class cannot be told while others are not known", Readings: []Reading{
		{"the one that a class list has", "--classes FILE"}, {"what the others say", "unpack the archive, and give the folder"}}}
}
