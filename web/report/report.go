// Package report makes one HTML file of a training run, of predictions, or of both: what
// a person wants to see first, curves, and the images that went wrong. The file stands
// alone: it fetches nothing, runs no script, and is the same bytes for the same inputs.
package report

import (
	"context"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strconv"

	"github.com/synshard/synshard/eval"
	"github.com/synshard/synshard/infer/prediction"
	"github.com/synshard/synshard/web/look"
)

// Options are what a report is of.
type Options struct {
	Title string // above it all
	Run   *Run   // nil: of no run
	// Sets are the predictions: none, one, or two models' over the same images.
	Sets      []Predictions
	Hierarchy *eval.Hierarchy            // of the first set's classes; nil: without WordNet's measures
	Words     func(synset string) string // what people call it; "" where nothing is known
	Images    Images                     // nil: without thumbnails
}

// Predictions are one model's.
type Predictions struct {
	Name string // the file's, for people
	*prediction.Set
}

// Images finds images by their names in predictions.
type Images interface {
	// Thumbnails gives JPEGs of those that are there; others are left out.
	Thumbnails(ctx context.Context, names []ImageName) (map[ImageName][]byte, error)
}

// ImageName is what predictions know of an image: its Path, and the Synset of its truth,
// "" where it has none.
type ImageName struct{ Path, Synset string }

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"percent":  look.Percent,
	"count":    look.Count,
	"breaking": look.Breaking,
	"hundred":  func(share float64) string { return strconv.FormatFloat(100*share, 'f', 2, 64) },
	"chart":    func(c *Chart) template.HTML { return c.svg() },
	"style":    look.Style,
}).Parse(pageText))

// page is what the template sees.
type page struct {
	Title       string
	Run         *runSection
	Predictions *predictionsSection
	Compared    *comparisonSection
	NoImages    bool // thumbnails were not asked for
	SubtreeRows int  // that a subtree must have to be shown
}

// Write makes the report. It is an error when predictions have no row whose truth is known.
func Write(ctx context.Context, w io.Writer, o Options) error {
	p := page{Title: o.Title, NoImages: o.Images == nil, SubtreeRows: subtreeRows}
	if o.Run != nil {
		p.Run = newRunSection(o.Run)
	}
	g := &gallery{words: o.Words, wanted: map[ImageName]bool{}}
	var err error
	switch len(o.Sets) {
	case 0:
	case 1:
		p.Predictions, err = newPredictionsSection(o.Sets[0], o.Hierarchy, g)
	case 2:
		if p.Predictions, err = newPredictionsSection(o.Sets[0], o.Hierarchy, g); err == nil {
			p.Compared, err = newComparisonSection(o.Sets[0], o.Sets[1], g)
		}
	default:
		err = fmt.Errorf("a report is of two sets of predictions at most, not %d", len(o.Sets))
	}
	if err != nil {
		return err
	}
	if err := g.load(ctx, o.Images); err != nil {
		return err
	}
	return pageTemplate.Execute(w, p)
}
