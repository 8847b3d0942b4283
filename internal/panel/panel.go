// Package panel draws plots that stand above one another, their x axes aligned and what
// their lines are beside them, as PNG or SVG.
package panel

import (
	"image/color"
	"io"
	"math"
	"path/filepath"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/synshard/synshard/internal/durable"
)

// Colours that stay apart for the colour-blind (Okabe and Ito).
var (
	Blue   = color.RGBA{0x00, 0x72, 0xb2, 0xff}
	Orange = color.RGBA{0xe6, 0x9f, 0x00, 0xff}
	Green  = color.RGBA{0x00, 0x9e, 0x73, 0xff}
	Pale   = color.RGBA{0xb5, 0xd4, 0xe9, 0xff} // blue, of what stands back
	Grey   = color.RGBA{0x88, 0x88, 0x88, 0xff}

	grid = color.RGBA{0xd8, 0xdc, 0xe0, 0xff}
)

// Point is a place in a panel.
type Point struct {
	X, Y float64 // in units of its axes
}

// Box is a rectangle in a panel.
type Box struct {
	From, To Point // its corners: the least and the greatest
}

// Segment is a straight line in a panel.
type Segment struct {
	From, To Point // its ends
}

// Panel is a plot with a title, and what its lines are, which stands beside it.
type Panel struct {
	p     *plot.Plot
	names plot.Legend
}

// New makes a panel whose y axis has a unit. Its axes begin at 0 and end where what is drawn
// does, unless Limits says more.
func New(title, unit string) *Panel {
	p := &Panel{plot.New(), plot.NewLegend()}
	p.p.Title.Text, p.p.Y.Label.Text = title, unit
	p.p.Title.TextStyle.Font.Size, p.p.Title.Padding = 13, 6
	p.p.X.Min, p.p.Y.Min = 0, 0
	p.p.X.Tick.Marker, p.p.Y.Tick.Marker = marks(10), marks(6)
	p.names.Top, p.names.Left, p.names.Padding = true, true, 3
	for _, f := range []*font.Font{&p.p.X.Tick.Label.Font, &p.p.Y.Tick.Label.Font, &p.names.TextStyle.Font} {
		f.Size = 10
	}
	for _, f := range []*font.Font{&p.p.Title.TextStyle.Font, &p.p.X.Label.TextStyle.Font, &p.p.Y.Label.TextStyle.Font, &p.p.X.Tick.Label.Font, &p.p.Y.Tick.Label.Font, &p.names.TextStyle.Font} {
		f.Variant = "Sans"
	}
	lines := plotter.NewGrid()
	lines.Horizontal.Color, lines.Vertical.Color = grid, grid
	p.p.Add(lines)
	return p
}

// Under names the x axis, with its unit.
func (p *Panel) Under(name string) { p.p.X.Label.Text = name }

// Powers makes the x axis one of powers of ten; all that is drawn must lie above 0.
func (p *Panel) Powers() {
	p.p.X.Min, p.p.X.Max = math.Inf(1), math.Inf(-1)
	p.p.X.Scale, p.p.X.Tick.Marker = plot.LogScale{}, powers{}
}

// Across ends the x axis, which begins at 0, at a value.
func (p *Panel) Across(to float64) { p.p.X.Min, p.p.X.Max = 0, to }

// Up ends the y axis at a value and has it begin at 0.
func (p *Panel) Up(to float64) { p.p.Y.Min, p.p.Y.Max = 0, to }

// Rows makes the y axis one of names, from the top; row i has its middle at RowAt(i, n).
func (p *Panel) Rows(names []string) {
	ticks := make([]plot.Tick, len(names))
	for i, name := range names {
		ticks[i] = plot.Tick{Value: RowAt(i, len(names)), Label: name}
	}
	p.p.Y.Tick.Marker = plot.ConstantTicks(ticks)
	p.p.Y.Min, p.p.Y.Max = 0, float64(len(names))
}

// RowAt is the y of the middle of row i of n; a row is 1 high.
func RowAt(i, n int) float64 { return float64(n-1-i) + 0.5 }

// Line draws a curve. Where its points are marked single ones show, too. One without points
// is not there.
func (p *Panel) Line(name string, points []Point, c color.Color, width float64, marked bool) {
	if len(points) == 0 {
		return
	}
	l := &plotter.Line{XYs: plotted(points), LineStyle: draw.LineStyle{Color: c, Width: vg.Length(width)}}
	p.p.Add(l)
	p.names.Add(name, l)
	if marked {
		p.p.Add(&plotter.Scatter{XYs: plotted(points), GlyphStyle: draw.GlyphStyle{Color: c, Radius: 1.8, Shape: draw.CircleGlyph{}}})
	}
}

// Ring marks a point.
func (p *Panel) Ring(name string, at Point) {
	ring := &plotter.Scatter{XYs: plotted([]Point{at}), GlyphStyle: draw.GlyphStyle{Color: color.Black, Radius: 5, Shape: draw.RingGlyph{}}}
	p.p.Add(ring)
	p.names.Add(name, ring)
}

// Boxes draws filled rectangles.
func (p *Panel) Boxes(name string, all []Box, c color.Color) {
	b := boxes{all, c}
	p.p.Add(b)
	p.names.Add(name, b)
}

// Segments draws straight lines.
func (p *Panel) Segments(name string, all []Segment, c color.Color, width float64) {
	s := segments{all, draw.LineStyle{Color: c, Width: vg.Length(width)}}
	p.p.Add(s)
	p.names.Add(name, s)
}

func plotted(points []Point) plotter.XYs {
	out := make(plotter.XYs, len(points))
	for i, p := range points {
		out[i] = plotter.XY(p)
	}
	return out
}

// boxes implements plot.Plotter and plot.Thumbnailer.
type boxes struct {
	all []Box
	c   color.Color
}

func (b boxes) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	for _, q := range b.all {
		left, right, low, high := x(q.From.X), x(q.To.X), y(q.From.Y), y(q.To.Y)
		c.FillPolygon(b.c, []vg.Point{{X: left, Y: low}, {X: right, Y: low}, {X: right, Y: high}, {X: left, Y: high}})
	}
}

func (b boxes) Thumbnail(c *draw.Canvas) {
	c.FillPolygon(b.c, []vg.Point{c.Min, {X: c.Max.X, Y: c.Min.Y}, c.Max, {X: c.Min.X, Y: c.Max.Y}})
}

// segments implements plot.Plotter and plot.Thumbnailer.
type segments struct {
	all   []Segment
	style draw.LineStyle
}

func (s segments) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	for _, q := range s.all {
		c.StrokeLine2(s.style, x(q.From.X), y(q.From.Y), x(q.To.X), y(q.To.Y))
	}
}

func (s segments) Thumbnail(c *draw.Canvas) {
	middle := c.Center().Y
	c.StrokeLine2(s.style, c.Min.X, middle, c.Max.X, middle)
}

// The size of what is written, its height at most; names of lines take a part of its width.
const (
	width, most = 11 * vg.Inch, 12 * vg.Inch
	words       = 2.6 * vg.Inch
)

// Write draws panels above one another as a PNG or, where path ends in .svg, as SVG: dots of
// 1/dpi inch, where there are dots; what is drawn where does not depend on their number.
func Write(path string, dpi int, panels []*Panel) error {
	height := min(most, vg.Length(1+4*len(panels))*vg.Inch)
	var img vg.CanvasWriterTo
	if strings.EqualFold(filepath.Ext(path), ".svg") {
		img = &fitted{Canvas: vgsvg.New(width, height)}
	} else {
		img = vgimg.PngCanvas{Canvas: vgimg.NewWith(vgimg.UseWH(width, height), vgimg.UseDPI(dpi))}
	}
	rows := make([][]*plot.Plot, len(panels))
	for i, p := range panels {
		rows[i] = []*plot.Plot{p.p}
	}
	tiles := draw.Tiles{Rows: len(panels), Cols: 1, PadTop: 8, PadBottom: 8, PadLeft: 12, PadRight: words, PadY: 14}
	for i, cells := range plot.Align(rows, tiles, draw.New(img)) {
		panels[i].p.Draw(cells[0])
		beside := cells[0].Rectangle
		beside.Min.X, beside.Max.X = beside.Max.X+8, width
		beside.Max.Y -= 24 // the title's
		panels[i].names.Draw(draw.Canvas{Canvas: img, Rectangle: beside})
	}
	return durable.WriteFile(path, func(w io.Writer) error {
		_, err := img.WriteTo(w)
		return err
	})
}
