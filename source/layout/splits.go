package layout

import (
	"fmt"
	"hash/fnv"
	"slices"
	"strings"

	"golang.org/x/text/unicode/norm"

	"github.com/synshard/synshard/internal/utf8name"
	"github.com/synshard/synshard/source"
	"github.com/synshard/synshard/source/layout/naming"
)

// splitOf is the split that an image of an input goes to.
func (m *maker) splitOf(i int, s *spot) string {
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

// inFraction says whether an image is in a fraction split off: whether a hash of
// the seed, its class and its name there, as a number from 0 to 1, is below it. It
// depends on nothing else, so that more images move none, and a larger fraction
// holds all of a smaller one. Each class gives the fraction in expectation.
func inFraction(seed uint64, class, identity string, fraction float64) bool {
	h := fnv.New64a()
	fmt.Fprintf(h, "%016x\x00%s\x00%s", seed, class, identity)
	return float64(mix(h.Sum64())>>11)/(1<<53) < fraction
}

// mix spreads a hash's bits over all of it: FNV's high bits depend little on the last
// letters. The finaliser of SplitMix64 (Steele, Lea, Flood 2014).
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// noteSplits tells what one would want to know of the splits.
func (m *maker) noteSplits(p *Plan) {
	of := map[string][]int{}
	for _, s := range p.Splits {
		if s.Unlabelled > 0 && s.Name != "test" && !m.o.LabelsOptional {
			m.note("%d of %d images of %s have no class", s.Unlabelled, len(s.Images), s.Name)
		}
		count := make([]int, len(p.Classes))
		for _, im := range s.Images {
			if im.Class >= 0 {
				count[im.Class]++
			}
		}
		of[s.Name] = count
	}
	train, val := of["train"], of["val"]
	if train == nil || val == nil {
		return
	}
	if m.o.ValFraction > 0 {
		m.noteMissing(p, train, val, "val", "the fraction took none of theirs")
		m.noteMissing(p, val, train, "train", "the fraction took all of theirs")
		return
	}
	m.noteMissing(p, val, train, "train", "val has some")
}

// noteFile remembers a file left out that may say what is not known of images: one that is
// called after splits, as Stanford Dogs' test_list.mat, or one that holds data.
func (m *maker) noteFile(u *unit, name, reason string) {
	if reason != naming.NotAnImage {
		return
	}
	if naming.SplitList(name) {
		u.unread = keep(u.unread, name)
	}
	if naming.Data(name) {
		m.data = keep(m.data, name)
	}
}

// keep keeps the first few names in their order.
func keep(names []string, name string) []string {
	if len(names) == keptNames && name >= names[keptNames-1] {
		return names
	}
	at, _ := slices.BinarySearch(names, name)
	names = slices.Insert(names, at, name)
	return names[:min(len(names), keptNames)]
}

// noteUnread tells that files may say splits or classes where nothing that was read does.
func (m *maker) noteUnread(p *Plan) {
	for _, u := range m.units {
		if len(u.unread) > 0 && len(u.own) == 0 {
			m.note("%s: all images are of %s: %s may list others as of other splits, and is not read; lists of paths and labels are sources of their own (--train LIST --test LIST)", m.given(u.inputs[0]), cmpOr(m.inputs[u.inputs[0]].Split, u.split), strings.Join(u.unread, ", "))
		}
	}
	bare := slices.ContainsFunc(p.Splits, func(s Split) bool { return s.Unlabelled == len(s.Images) && s.Name != "test" })
	if len(m.data) > 0 && bare && !m.o.LabelsOptional {
		m.note("images have no class, and these files are not read, which may say some: %s", strings.Join(m.data, ", "))
	}
}

// noteMissing tells of classes that have images in one split and none in the other.
func (m *maker) noteMissing(p *Plan, have, lack []int, split, because string) {
	var names []string
	for c := range p.Classes {
		if have[c] > 0 && lack[c] == 0 {
			names = append(names, p.Classes[c])
		}
	}
	if len(names) > 0 {
		m.note("classes without images in %s: %d, such as %s (%s)", split, len(names), strings.Join(names[:min(3, len(names))], ", "), because)
	}
}

// noteAlike tells of classes that one may take for one: their names differ in case,
// or in how accents are encoded, as in archives from a Mac.
func (m *maker) noteAlike(classes []string) {
	seen := make(map[string]string, len(classes))
	for _, name := range classes {
		key := strings.ToLower(norm.NFC.String(name))
		if other, ok := seen[key]; ok {
			m.note("the classes %q and %q differ only in case or in how accents are written", other, name)
		}
		seen[key] = name
	}
}

// placeOne places an entry that was not listed.
func (m *maker) placeOne(e *source.Entry) (Placement, error) {
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
	return Placement{Split: m.splitOf(i, &s), Class: class, Path: s.identity}, nil
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
			return s, fmt.Errorf("%s: the split %s within %s", e.Name, word, cmpOr(s.class, s.split))
		case s.class == "" && !naming.Generic(el):
			rest = append(rest, el)
		}
	}
	if flag := cmpOr(t.m.inputs[i].Split, t.m.o.Split); flag != "" && s.split != "" && s.split != flag {
		return s, &NoEffect{Option: "--split", Reason: fmt.Sprintf("%s: %s has splits of its own", t.path, e.Name)}
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
