package report

import (
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"html/template"
	"maps"
	"slices"

	"github.com/synshard/synshard/web/look"
)

// gallery holds the images that a report shows. The sections add them while they are
// made; then all thumbnails are read in one pass over the dataset.
type gallery struct {
	words    func(string) string
	wanted   map[ImageName]bool
	examples []*Example
}

// Example is an image of the report, with its truth and its first prediction.
type Example struct {
	Name      ImageName    // of the image
	Truth     look.Label   // Synset "": not known
	Predicted look.Label   // first prediction; Synset "": there is none
	Share     float64      // probability of Predicted
	OfTruth   string       // of a mistake: the truth's probability, in words; "": not known
	Source    template.URL // a data URL; "": there is none
	Others    []string     // lines about other models' predictions
}

func (g *gallery) label(synset string) look.Label {
	l := look.Label{Synset: synset}
	if g.words != nil && synset != "" {
		l.Words = g.words(synset)
	}
	return l
}

// add puts the image of row i into the report.
func (g *gallery) add(p Predictions, i int) *Example {
	e := &Example{Name: ImageName{Path: p.Paths[i]}}
	if t := p.Truth[i]; t >= 0 {
		e.Name.Synset = p.Classes[t]
		e.Truth = g.label(p.Classes[t])
	}
	if c := p.Top[i*p.K]; c >= 0 {
		e.Predicted, e.Share = g.label(p.Classes[c]), float64(p.Prob[i*p.K])
	}
	if e.Predicted.Synset != "" && e.Predicted != e.Truth && e.Truth.Synset != "" {
		e.OfTruth = ofTruth(p, i)
	}
	g.wanted[e.Name] = true
	g.examples = append(g.examples, e)
	return e
}

// ofTruth says what probability the truth of row i has, as far as that is among what was kept.
func ofTruth(p Predictions, i int) string {
	for k, c := range p.Top[i*p.K : (i+1)*p.K] {
		if c == p.Truth[i] {
			return look.Percent(float64(p.Prob[i*p.K+k]))
		}
	}
	if p.K == 1 {
		return ""
	}
	return fmt.Sprintf("not in the top %d", p.K)
}

// load reads the thumbnails of all that were added.
func (g *gallery) load(ctx context.Context, images Images) error {
	if images == nil || len(g.wanted) == 0 {
		return nil
	}
	names := slices.SortedFunc(maps.Keys(g.wanted), func(a, b ImageName) int {
		return cmp.Or(cmp.Compare(a.Synset, b.Synset), cmp.Compare(a.Path, b.Path))
	})
	found, err := images.Thumbnails(ctx, names)
	if err != nil {
		return err
	}
	for _, e := range g.examples {
		if b := found[e.Name]; b != nil {
			e.Source = template.URL("data:image/jpeg;base64," + base64.StdEncoding.EncodeToString(b))
		}
	}
	return nil
}
