package layout

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/synshard/synshard/source"
	"github.com/synshard/synshard/source/layout/labelfile"
)

// webTars says which inputs are WebDataset's: tars with a label beside an image, and
// tars beside such ones.
func (m *mapper) webTars(from, to int) map[int]bool {
	web := map[int]bool{}
	for i := from; i < to; i++ {
		if in := &m.inputs[i]; in.Info.Kind == source.Tar && m.o.Read != nil && (m.forced["webdataset"] || webLabels(in.Entries)) {
			web[i] = true
		}
	}
	if len(web) > 0 {
		for i := from; i < to; i++ {
			if m.inputs[i].Info.Kind == source.Tar {
				web[i] = true
			}
		}
	}
	return web
}

// webLabels says whether there is a .cls, or a .json beside an image of its key.
func webLabels(entries []source.Entry) bool {
	images, notes := map[string]bool{}, []string{}
	for k := range entries {
		e := &entries[k]
		key, ext := labelfile.Key(e.Name)
		switch {
		case e.Archive || source.Junk(e.Name):
		case strings.EqualFold(ext, "cls"):
			return true
		case strings.EqualFold(ext, "json"):
			notes = append(notes, key)
		case source.ImageName(e.Name) && len(images) < 1<<16: // the first samples tell
			images[key] = true
		}
	}
	return slices.ContainsFunc(notes, func(key string) bool { return images[key] })
}

// webdataset is the rule of one tar of samples.
type webdataset struct {
	m       *mapper
	from    string
	samples map[string]webSample
}

// webSample is what the files beside an image say.
type webSample struct {
	labelfile.Sample
	bad error // why its label cannot be read
}

// newWeb makes a unit of one of WebDataset's tars: its labels are read.
func (m *mapper) newWeb(i int) (*unit, error) {
	in := &m.inputs[i]
	w := &webdataset{m: m, from: in.Info.Path, samples: map[string]webSample{}}
	u := &unit{inputs: []int{i}, rule: w, hint: m.rowSplit(i)}
	m.kind("WebDataset")
	var files []*source.Entry
	for k := range in.Entries {
		if _, ext := labelfile.Key(in.Entries[k].Name); labelfile.Holds(ext) && !source.Junk(in.Entries[k].Name) {
			files = append(files, &in.Entries[k])
		}
	}
	slices.SortFunc(files, func(a, b *source.Entry) int { return strings.Compare(a.Name, b.Name) })
	for _, e := range files {
		b, err := m.o.Read(*e)
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", in.Info.Path, e.Name, err)
		}
		key, ext := labelfile.Key(e.Name)
		s := w.samples[key]
		if err := s.Add(ext, b); err != nil && s.bad == nil {
			s.bad = err
		}
		w.samples[key] = s
	}
	m.webs = append(m.webs, w)
	if err := w.oneImage(in.Entries); err != nil {
		return nil, err
	}
	return u, w.pair()
}

// oneImage refuses samples of several images, which may be the image and what belongs to it: a mask, a
// depth. Where a flag says that each is one of the class, or no class is wanted, they are noted.
func (w *webdataset) oneImage(entries []source.Entry) error {
	first, several, example := map[string]string{}, map[string]bool{}, ""
	for k := range entries {
		e := &entries[k]
		key, _ := labelfile.Key(e.Name)
		if _, ok := w.samples[key]; !ok || e.Archive || !w.m.files.Image(e.Name) {
			continue
		}
		one, ok := first[key]
		if !ok {
			first[key] = e.Name
			continue
		}
		several[key] = true
		example = cmp.Or(example, one+" and "+e.Name)
	}
	what := fmt.Sprintf("%d samples have several images, such as %s", len(several), example)
	switch {
	case len(several) == 0:
	case w.m.forced["webdataset"], w.m.o.LabelsOptional:
		w.m.note("%s: %s: each is one of the sample's class", w.from, what)
	default:
		return &Ambiguity{Path: w.from, What: what, Readings: []Reading{
			{"each is an image of the sample's class", "--layout webdataset"}, {"one of them is the image, and others are about it", "give a tar with that one alone"}}}
	}
	return nil
}

// pair notes the synsets that stand beside numbers. One number is one synset.
func (w *webdataset) pair() error {
	for _, key := range slices.Sorted(maps.Keys(w.samples)) {
		s := w.samples[key]
		if s.bad != nil || s.Class == "" || s.Label.Kind != source.NumberLabel || s.Label.Number < 0 {
			continue
		}
		if err := w.m.pair(s.Label.Number, s.Class); err != nil {
			return fmt.Errorf("%s: %s: %w", w.from, key, err)
		}
	}
	return nil
}

// resolve gives each sample its class, when the samples of all tars are known: numbers
// are places in the list given, or those that stand beside synsets elsewhere.
func (w *webdataset) resolve() error {
	for _, key := range slices.Sorted(maps.Keys(w.samples)) {
		s := w.samples[key]
		if s.bad != nil || s.Class != "" {
			continue
		}
		var err error
		if s.Class = w.m.table.pairs[s.Label.Number]; s.Label.Kind != source.NumberLabel || w.m.o.Classes != nil || s.Class == "" {
			s.Class, err = w.m.className(s.Label, nil, w.from)
		}
		if err != nil {
			return within(w.from+": "+key, err)
		}
		w.samples[key] = s
	}
	return nil
}

// place implements rule.
func (w *webdataset) place(_, _ int, e *source.Entry) (spot, error) {
	key, ext := labelfile.Key(e.Name)
	if labelfile.Holds(ext) && !source.Junk(e.Name) {
		return spot{consumed: true}, nil
	}
	if reason, image, out := w.m.files.LeftOut(e.Name); out {
		return spot{reason: reason, image: image}, nil
	}
	s := w.samples[key]
	if s.bad != nil {
		return spot{reason: s.bad.Error(), image: true}, nil
	}
	return spot{class: s.Class, identity: cmp.Or(s.Path, e.Name)}, nil
}
