package shard

import (
	"fmt"
	"slices"
	"strings"

	"synshard/wordnet"
)

// Selection narrows a split. A synset is an id or a word and means itself and
// all below it in WordNet; where an image's class is not a synset, its name is
// taken as it stands.
type Selection struct {
	Synsets        []string // none: all
	Exclude        []string
	LimitPerSynset int // 0: no limit; the first in index order
	Part, Parts    int // this of so many parts, contiguous and equal within one row; Parts 0: all
}

// View is a selected part of a split, with labels for it. It satisfies
// loader.Source.
type View struct {
	split   *Split
	rows    []int32
	labels  map[string]int64 // nil: the dataset's own
	classes []string
}

// Select gives the rows of a selection, in index order. If Synsets or Exclude
// are given, the classes are the dataset's that remain, sorted, and labels are
// places among them. g may be nil where no synsets are named.
func (s *Split) Select(sel Selection, g *wordnet.Graph) (*View, error) {
	v := &View{split: s}
	for _, c := range s.d.classes {
		v.classes = append(v.classes, c.Synset)
	}
	if len(sel.Synsets) > 0 || len(sel.Exclude) > 0 {
		if err := v.narrow(sel, g); err != nil {
			return nil, err
		}
	}
	taken := map[string]int{}
	for i := range s.rows {
		synset := s.rows[i].Synset
		if v.labels != nil {
			if _, ok := v.labels[synset]; !ok {
				continue
			}
		}
		if taken[synset]++; sel.LimitPerSynset > 0 && taken[synset] > sel.LimitPerSynset {
			continue
		}
		v.rows = append(v.rows, int32(i))
	}
	if sel.Parts > 0 {
		if sel.Part < 0 || sel.Part >= sel.Parts {
			return nil, fmt.Errorf("part %d of %d", sel.Part, sel.Parts)
		}
		n := int64(len(v.rows))
		v.rows = v.rows[n*int64(sel.Part)/int64(sel.Parts) : n*int64(sel.Part+1)/int64(sel.Parts)]
	}
	return v, nil
}

// narrow keeps the classes that are selected.
func (v *View) narrow(sel Selection, g *wordnet.Graph) error {
	keep := map[string]bool{}
	for _, c := range v.classes {
		keep[c] = len(sel.Synsets) == 0
	}
	for _, list := range []struct {
		names []string
		value bool
	}{{sel.Synsets, true}, {sel.Exclude, false}} {
		for _, name := range list.names {
			found, err := v.below(name, g)
			if err != nil {
				return err
			}
			for _, c := range found {
				keep[c] = list.value
			}
		}
	}
	all := v.classes
	v.classes, v.labels = nil, map[string]int64{}
	for _, c := range all {
		if keep[c] {
			v.labels[c] = int64(len(v.classes))
			v.classes = append(v.classes, c)
		}
	}
	if len(v.classes) == 0 {
		return fmt.Errorf("no class is selected by %s without %s", strings.Join(sel.Synsets, ", "), strings.Join(sel.Exclude, ", "))
	}
	return nil
}

// below lists the classes that a name selects.
func (v *View) below(name string, g *wordnet.Graph) ([]string, error) {
	if slices.Contains(v.classes, name) {
		if _, err := wordnet.ParseID(name); err != nil || g == nil {
			return []string{name}, nil
		}
	}
	if g == nil {
		return nil, fmt.Errorf("synset %q: WordNet is needed to know what is below it", name)
	}
	ids, err := g.Resolve(name)
	if err != nil {
		return nil, err
	}
	// Of a word's senses, those that have classes below them; of these the first.
	for _, id := range ids {
		var out []string
		for _, d := range g.Descendants(id) {
			if slices.Contains(v.classes, d.String()) {
				out = append(out, d.String())
			}
		}
		if len(out) > 0 {
			return out, nil
		}
	}
	return nil, fmt.Errorf("synset %q: the dataset has no class in or below it", name)
}

// Len is the number of images.
func (v *View) Len() int { return len(v.rows) }

// Row gives image i as the index has it.
func (v *View) Row(i int) Row { return v.split.rows[v.rows[i]] }

// Label is the image's place among Classes, or -1.
func (v *View) Label(i int) int64 {
	r := &v.split.rows[v.rows[i]]
	if v.labels == nil {
		return r.Label
	}
	return v.labels[r.Synset]
}

// Path is the image's name.
func (v *View) Path(i int) string { return v.split.rows[v.rows[i]].Path }

// Synset is the image's class, or "".
func (v *View) Synset(i int) string { return v.split.rows[v.rows[i]].Synset }

// Classes lists the synsets that labels stand for.
func (v *View) Classes() []string { return v.classes }

// Read gives the image's bytes, in buf or in a larger buffer, checked against
// their crc32c.
func (v *View) Read(i int, buf []byte) ([]byte, error) {
	return v.split.d.read(&v.split.rows[v.rows[i]], buf)
}
