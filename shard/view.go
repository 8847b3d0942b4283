package shard

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/synshard/synshard/wordnet"
)

// Selection narrows a split. A synset is an id or a word and means itself and
// all below it in WordNet; the name of a class that is no synset means that
// class.
type Selection struct {
	Synsets        []string // none: all
	Exclude        []string // taken out of them, whatever the order
	LimitPerSynset int      // the first so many in index order; 0: no limit
	// Job, from 0, of Jobs: a run of the rows that are left, equal in size to the
	// others within one row. Jobs 0 is everything.
	Job, Jobs int
	// OnSense is told of a word of which several senses have classes: the first of them is
	// taken, and not the others, which have some that it has not. Nil: nobody wants to know.
	OnSense func(word string, taken wordnet.ID, left []wordnet.ID)
}

// Identity tells what the jobs of one whole select together from what any others do: the
// split, the sum of its index, and sel but for its job.
func (s *Split) Identity(sel Selection) string { return s.Info.identity(s.Name, sel) }

func (s *SplitInfo) identity(name string, sel Selection) string {
	return fmt.Sprintf("dataset %s %s %q %q %d", name, s.IndexSHA256, sel.Synsets, sel.Exclude, sel.LimitPerSynset)
}

// ParseIdentity takes Identity's text apart: the split, the sum of its index, and how the
// selection narrows it, "" where it does not. ok is false for any other text.
func ParseIdentity(text string) (split, sum, selection string, ok bool) {
	words := strings.SplitN(text, " ", 4)
	if len(words) != 4 || words[0] != "dataset" {
		return "", "", "", false
	}
	whole := (&SplitInfo{IndexSHA256: words[2]}).identity(words[1], Selection{})
	if text != whole {
		selection = words[3]
	}
	return words[1], words[2], selection, true
}

// View is what is selected of a split, with labels for it. It may be used from
// many goroutines.
type View struct {
	split   *Split
	rows    []int32
	labels  []int64 // of split.index.synsets; nil: the dataset's own
	classes []string
}

// Select gives the rows of a selection, in index order. Where Synsets or
// Exclude narrow it, the classes are those of the dataset that remain, and
// labels are places among them; else both are the dataset's. g may be nil
// where no synset is named that may have others below it. A name that selects no
// class, and an empty choice of classes, are errors; one without images is not.
func (s *Split) Select(sel Selection, g *wordnet.Graph) (*View, error) {
	switch {
	case sel.Jobs < 0 || sel.Jobs == 0 && sel.Job != 0 || sel.Jobs > 0 && (sel.Job < 0 || sel.Job >= sel.Jobs):
		return nil, fmt.Errorf("select: job %d of %d", sel.Job, sel.Jobs)
	case sel.LimitPerSynset < 0:
		return nil, fmt.Errorf("select: limit of %d a synset", sel.LimitPerSynset)
	}
	v := &View{split: s}
	for _, c := range s.d.classes {
		v.classes = append(v.classes, c.Synset)
	}
	if len(sel.Synsets) > 0 || len(sel.Exclude) > 0 {
		if err := v.narrow(sel, g); err != nil {
			return nil, fmt.Errorf("select: %w", err)
		}
	}
	v.take(sel.LimitPerSynset)
	if sel.Jobs > 0 {
		n := int64(len(v.rows))
		v.rows = v.rows[n*int64(sel.Job)/int64(sel.Jobs) : n*int64(sel.Job+1)/int64(sel.Jobs)]
	}
	return v, nil
}

// Where is what of a view keep is true of, given an image's place in the view.
func (v *View) Where(keep func(i int) bool) *View {
	part := *v
	part.rows = nil
	for i, row := range v.rows {
		if keep(i) {
			part.rows = append(part.rows, row)
		}
	}
	return &part
}

// take lists the rows whose synset is wanted, up to limit of each.
func (v *View) take(limit int) {
	x := v.split.index
	left := make([]int, len(x.synsets)) // how many more are taken of each synset
	for i := range left {
		switch {
		case v.labels != nil && v.labels[i] < 0:
		case limit > 0 && x.synsets[i] != "":
			left[i] = limit
		default:
			left[i] = math.MaxInt
		}
	}
	v.rows = make([]int32, 0, x.len())
	for i, n := range x.synsetOf {
		if left[n] > 0 {
			left[n]--
			v.rows = append(v.rows, int32(i))
		}
	}
	v.rows = slices.Clip(v.rows)
}

// narrow keeps the classes that are selected.
func (v *View) narrow(sel Selection, g *wordnet.Graph) error {
	all := v.classes
	place := make(map[string]int, len(all))
	keep := make([]bool, len(all))
	for i, c := range all {
		place[c], keep[i] = i, len(sel.Synsets) == 0
	}
	for _, list := range []struct {
		names []string
		value bool
	}{{sel.Synsets, true}, {sel.Exclude, false}} {
		for _, name := range list.names {
			found, senses, err := below(name, place, g)
			if err != nil {
				return err
			}
			if len(senses) > 1 && sel.OnSense != nil {
				sel.OnSense(name, senses[0], senses[1:])
			}
			for _, c := range found {
				keep[c] = list.value
			}
		}
	}
	v.classes = nil
	labels := map[string]int64{}
	for i, c := range all {
		if keep[i] {
			labels[c] = int64(len(v.classes))
			v.classes = append(v.classes, c)
		}
	}
	if len(v.classes) == 0 {
		return fmt.Errorf("no class is left after excluding %s", strings.Join(sel.Exclude, ", "))
	}
	v.labels = make([]int64, len(v.split.index.synsets))
	for i, s := range v.split.index.synsets {
		v.labels[i] = -1
		if l, ok := labels[s]; ok {
			v.labels[i] = l
		}
	}
	return nil
}

// below gives the places of the classes that a name selects: of a word, those
// below the first of its senses that has any; and that sense, with those that have others.
func below(name string, place map[string]int, g *wordnet.Graph) (out []int, senses []wordnet.ID, err error) {
	self, isClass := place[name]
	if g == nil || isClass && !isID(name) {
		if isClass {
			return []int{self}, nil, nil
		}
		return nil, nil, fmt.Errorf("synset %q: WordNet is needed to know what is below it", name)
	}
	ids, err := g.Resolve(name)
	if err != nil {
		if isClass { // a synset that this WordNet does not have
			return []int{self}, nil, nil
		}
		return nil, nil, err
	}
	for _, id := range ids {
		var found []int
		for _, d := range g.Descendants(id) {
			if i, ok := place[d.String()]; ok {
				found = append(found, i)
			}
		}
		if slices.ContainsFunc(found, func(i int) bool { return !slices.Contains(out, i) }) {
			senses = append(senses, id)
		}
		if len(senses) == 1 && len(out) == 0 {
			out = found
		}
	}
	if len(out) == 0 {
		return nil, nil, fmt.Errorf("synset %q: the dataset has no class in or below it", name)
	}
	return out, senses, nil
}

func isID(name string) bool {
	_, err := wordnet.ParseID(name)
	return err == nil
}

// Fingerprint tells a view from every other: the SHA-256, in hex, of its
// split's index, its rows and its classes.
func (v *View) Fingerprint() string {
	h := sha256.New()
	fmt.Fprintf(h, "%s %q\n", v.split.Info.IndexSHA256, v.classes)
	for _, i := range v.rows {
		h.Write(binary.LittleEndian.AppendUint32(nil, uint32(i)))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Len is the number of images.
func (v *View) Len() int { return len(v.rows) }

// Shards is how many of the split's shards its images lie in.
func (v *View) Shards() int {
	x := v.split.index
	seen, n := make([]bool, len(x.files)), 0
	for _, row := range v.rows {
		if at := x.fileOf[row]; !seen[at] {
			seen[at] = true
			n++
		}
	}
	return n
}

// Row gives image i as the index has it; its label is the dataset's.
func (v *View) Row(i int) Row { return v.split.index.row(int(v.rows[i])) }

// Label is the image's place among Classes, or -1.
func (v *View) Label(i int) int64 {
	row := int(v.rows[i])
	if v.labels == nil {
		return v.split.index.label(row)
	}
	return v.labels[v.split.index.synsetOf[row]]
}

// Path is the image's name.
func (v *View) Path(i int) string { return v.split.index.path(int(v.rows[i])) }

// Synset is the image's class, or "".
func (v *View) Synset(i int) string {
	return v.split.index.synsets[v.split.index.synsetOf[v.rows[i]]]
}

// Length is the number of the image's bytes.
func (v *View) Length(i int) int64 { return v.split.index.length(int(v.rows[i])) }

// Shape is the size in pixels, the format and the mode of image i, 0 and "" where the dataset
// does not say. It copies nothing, so that it is quick for every row.
func (v *View) Shape(i int) (width, height int32, format, mode string) {
	b, k := v.split.index.at(int(v.rows[i]))
	return i32(b.width, k), i32(b.height, k), word(b.format, k), word(b.mode, k)
}

// Classes lists the synsets that labels stand for, in the order of the labels. The
// list is the view's and not to be changed.
func (v *View) Classes() []string { return v.classes }

// ClassList gives Classes with what the dataset says of them, labels being
// places in it.
func (v *View) ClassList() []Class {
	about := make(map[string]Class, len(v.split.d.classes))
	for _, c := range v.split.d.classes {
		about[c.Synset] = c
	}
	out := make([]Class, len(v.classes))
	for i, name := range v.classes {
		out[i] = about[name]
		out[i].Label = i
	}
	return out
}

// Read gives the bytes of image i; see Split.Read.
func (v *View) Read(i int, buf []byte) ([]byte, error) { return v.split.Read(int(v.rows[i]), buf) }
