// Package network makes a page of a network: its drawing, and what its factorised
// convolutions save. The page stands alone, as a report does.
package network

import (
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/describe"
	"github.com/synshard/synshard/web/look"
)

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"style":   look.Style,
	"count":   look.Count,
	"percent": func(share float64) string { return strconv.FormatFloat(100*share, 'f', 0, 64) + "\u00a0%" },
	"across":  func(s string) string { return strings.NewReplacer("1x1", "1×1", "x", "×").Replace(s) },
	"figure":  figure,
}).Parse(pageText))

// page is what the template sees.
type page struct {
	Name       string
	Drawing    template.HTML
	Principles []describe.Principle
	Kinds      []kind
	Pairs      []describe.Saving
}

// kind sums up what one way of factorising saves in a network.
type kind struct {
	What                               string
	Pairs                              int
	Weights, Plain, Multiplies, PlainM int64
}

// Saved is the share of the plain form's weights that is not there, SavedM that of its
// multiply-adds.
func (k kind) Saved() float64  { return 1 - float64(k.Weights)/float64(k.Plain) }
func (k kind) SavedM() float64 { return 1 - float64(k.Multiplies)/float64(k.PlainM) }

// Write makes the page.
func Write(w io.Writer, n *model.Network) error {
	var drawing strings.Builder
	if err := describe.WriteSVG(&drawing, n); err != nil {
		return err
	}
	p := page{Name: n.Name, Drawing: template.HTML(drawing.String()), Principles: describe.Principles(), Pairs: describe.Savings(n)}
	p.Kinds = kinds(p.Pairs)
	return pageTemplate.Execute(w, p)
}

// kinds sums pairs up by what they are, what saves most multiply-adds first.
func kinds(pairs []describe.Saving) (out []kind) {
	for _, s := range pairs {
		at := slices.IndexFunc(out, func(k kind) bool { return k.What == s.What })
		if at < 0 {
			at, out = len(out), append(out, kind{What: s.What})
		}
		k := &out[at]
		k.Pairs++
		k.Weights, k.Plain = k.Weights+s.Weights, k.Plain+s.PlainWeights
		k.Multiplies, k.PlainM = k.Multiplies+s.Multiplies, k.PlainM+s.PlainMultiplies
	}
	slices.SortStableFunc(out, func(a, b kind) int { return cmp.Compare(b.PlainM-b.Multiplies, a.PlainM-a.Multiplies) })
	return out
}

// figure draws a step: its window as cells, or, where channels matter, its grids as boxes
// as deep as they have channels.
func figure(s describe.Step) template.HTML {
	if s.Grid == 1 {
		return window(s.Kernel)
	}
	return grids(s)
}

const (
	cell      = 20.0
	windowMax = 5 // cells of the largest window
)

func window(k [2]int) template.HTML {
	var b strings.Builder
	side := windowMax*cell + 2
	fmt.Fprintf(&b, `<svg class="window" viewBox="0 0 %g %g" role="img" aria-label="a window of %d×%d">`, side, side, k[0], k[1])
	x0, y0 := 1+float64(windowMax-k[1])*cell/2, 1+float64(windowMax-k[0])*cell/2
	for r := range k[0] {
		for c := range k[1] {
			fmt.Fprintf(&b, `<rect class="cell" x="%g" y="%g" width="%g" height="%g"/>`, x0+float64(c)*cell, y0+float64(r)*cell, cell, cell)
		}
	}
	b.WriteString(`</svg>`)
	return template.HTML(b.String())
}

// grids draws what goes in and what comes out, each as a slab whose depth is its channels.
func grids(s describe.Step) template.HTML {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="grids" viewBox="0 0 250 130" role="img" aria-label="%d channels of %d×%d to %d by %d×%d">`, s.In, s.Grid, s.Grid, s.Out, s.Kernel[0], s.Kernel[1])
	slab := func(x float64, channels int) float64 {
		depth := 6 + float64(channels)/3
		fmt.Fprintf(&b, `<path class="slab" d="M%g 40v60h%gv-60zM%g 40l14 -14h%gl-14 14M%g 40l14 -14v60l-14 14"/>`, x, depth, x, depth, x+depth)
		fmt.Fprintf(&b, `<text x="%g" y="118">%d</text>`, x+depth/2, channels)
		return x + depth + 14
	}
	x := slab(8, s.In)
	fmt.Fprintf(&b, `<path class="to" d="M%g 66h52m-6 -4l6 4l-6 4"/><text x="%g" y="58">%d×%d</text>`, x+8, x+34, s.Kernel[0], s.Kernel[1])
	slab(x+70, s.Out)
	b.WriteString(`</svg>`)
	return template.HTML(b.String())
}
