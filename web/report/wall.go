package report

import (
	"cmp"
	"encoding/base64"
	"html/template"
	"maps"
	"slices"
)

// wall holds the images of a report: first it is said which are wanted, then all are
// fetched at once.
type wall struct {
	words  func(string) string
	wanted map[ImageName]bool
	shots  []*Shot
}

// Shot is an image of the report.
type Shot struct {
	Name      ImageName
	Truth     Label // Synset "": not known
	Predicted Label
	Share     float64      // probability of Predicted
	Source    template.URL // a data URL; "": there is none
	Others    []string     // what others said of it
}

// Label is a class as people read it.
type Label struct{ Synset, Words string }

func (w *wall) label(synset string) Label {
	l := Label{Synset: synset}
	if w.words != nil && synset != "" {
		l.Words = w.words(synset)
	}
	return l
}

// String is the words, or the synset where there are none.
func (l Label) String() string { return cmp.Or(l.Words, l.Synset) }

// shot asks for the image of row i.
func (w *wall) shot(p Predictions, i int) *Shot {
	s := &Shot{Name: ImageName{Path: p.Paths[i]}}
	if t := p.Truth[i]; t >= 0 {
		s.Name.Synset = p.Classes[t]
		s.Truth = w.label(p.Classes[t])
	}
	if c := p.Top[i*p.K]; c >= 0 {
		s.Predicted, s.Share = w.label(p.Classes[c]), float64(p.Prob[i*p.K])
	}
	w.wanted[s.Name] = true
	w.shots = append(w.shots, s)
	return s
}

// hang fetches what was asked for.
func (w *wall) hang(images Images) error {
	if images == nil || len(w.wanted) == 0 {
		return nil
	}
	names := slices.SortedFunc(maps.Keys(w.wanted), func(a, b ImageName) int {
		return cmp.Or(cmp.Compare(a.Synset, b.Synset), cmp.Compare(a.Path, b.Path))
	})
	found, err := images.Thumbnails(names)
	if err != nil {
		return err
	}
	for _, s := range w.shots {
		if b := found[s.Name]; b != nil {
			s.Source = template.URL("data:image/jpeg;base64," + base64.StdEncoding.EncodeToString(b))
		}
	}
	return nil
}
