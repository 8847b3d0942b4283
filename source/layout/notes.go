package layout

import (
	"cmp"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"

	"golang.org/x/text/unicode/norm"

	"github.com/synshard/synshard/source/layout/naming"
)

// noteSplits tells what one would want to know of the splits.
func (m *mapper) noteSplits(p *Plan) {
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
	if m.o.ValFraction > 0 && train != nil && val == nil {
		m.note("a fraction of %v took no image for val", m.o.ValFraction)
	}
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

// noteTwice tells of images that may be there twice: of one class, name and size in several containers.
func (m *mapper) noteTwice(p *Plan) {
	seed := maphash.MakeSeed()
	for _, s := range p.Splits {
		if n := len(s.Images); n == 0 || s.Images[0].Container == s.Images[n-1].Container { // they lie by container
			continue
		}
		first, twice, example := map[uint64]int32{}, 0, ""
		for i := range s.Images {
			im := &s.Images[i]
			if im.Size <= 0 || im.Archive || rowKind(m.inputs[im.Container].Info.Kind) {
				continue
			}
			key := maphash.Comparable(seed, of{im.Class, im.Size, im.Path})
			if in, ok := first[key]; !ok {
				first[key] = im.Container
			} else if in != im.Container {
				twice++
				example = cmp.Or(example, fmt.Sprintf("%s in %s and in %s", im.Name, m.inputs[in].Info.Path, m.inputs[im.Container].Info.Path))
			}
		}
		if twice > 0 {
			m.note("%d images of %s have the class, the name and the size of one in another source, such as %s: if they are the same, they are there twice", twice, s.Name, example)
		}
	}
}

// of is what the same image has in two containers.
type of struct {
	class int32
	size  int64
	path  string
}

// noteFile remembers a file left out that may say what is not known of images: one that is
// called after splits, as Stanford Dogs' test_list.mat, or one that holds data.
func (m *mapper) noteFile(u *unit, name, reason string) {
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

// noteComments tells of lines of a list that were passed over.
func (m *mapper) noteComments(list string, lines []int32) {
	if len(lines) > 0 {
		m.note("%s: %d lines that begin with # are taken for comments, such as line %d: they name no image", list, len(lines), lines[0])
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
func (m *mapper) noteUnread(p *Plan) {
	for _, u := range m.units {
		if len(u.unread) > 0 && len(u.own) == 0 {
			m.note("%s: all images are of %s: %s may list others as of other splits, and is not read; lists of paths and labels are sources of their own (--train LIST --test LIST)", m.given(u.inputs[0]), cmp.Or(m.inputs[u.inputs[0]].Split, u.split), strings.Join(u.unread, ", "))
		}
	}
	bare := slices.ContainsFunc(p.Splits, func(s Split) bool { return s.Unlabelled == len(s.Images) && s.Name != "test" })
	if len(m.data) > 0 && bare && !m.o.LabelsOptional {
		m.note("images have no class, and these files are not read, which may say some: %s", strings.Join(m.data, ", "))
	}
}

// noteMissing tells of classes that have images in one split and none in the other.
func (m *mapper) noteMissing(p *Plan, have, lack []int, split, because string) {
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
func (m *mapper) noteAlike(classes []string) {
	seen := make(map[string]string, len(classes))
	for _, name := range classes {
		key := strings.ToLower(norm.NFC.String(name))
		if other, ok := seen[key]; ok {
			m.note("the classes %q and %q differ only in case or in how accents are written", other, name)
		}
		seen[key] = name
	}
}
