package report

import (
	"fmt"
	"html/template"
	"math"
	"strconv"
	"strings"

	"github.com/synshard/synshard/internal/panel"
	"github.com/synshard/synshard/train/runlog"
)

// Chart is lines or bars over two axes, drawn as SVG whose colours are the page's.
type Chart struct {
	Name, X, Y     string      // what it shows; the axes, with units
	XRange, YRange *[2]float64 // nil: as far as the values go
	Square         bool        // as high as wide
	Lines          []Line      // drawn in their order
	Bars           []Bar       // below the lines
	Mark           *Mark       // nil: none
}

// Line is a curve.
type Line struct {
	Name   string       // for the legend
	Style  string       // a class of web/look's style sheet: train, pale, valid, ema, other, ideal
	Points runlog.Curve // by X, ascending
	Dots   bool         // its points are few and are marked
}

// Bar stands on the x axis.
type Bar struct {
	From, To, High float64     // the interval on the x axis, and the height
	Within         *[2]float64 // the interval of the height; nil: not known
	Text           string      // for who points at it, or listens
}

// Mark is a point with words.
type Mark struct {
	At   runlog.Point // where
	Text string       // for who points at it, or listens
}

// The chart's box, in SVG's units, and what axes and their words take of it.
const (
	chartWidth, chartHeight = 720.0, 300.0
	squareWidth             = 380.0
	left, right             = 62.0, 16.0
	above, below            = 12.0, 46.0
)

// canvas maps values to places.
type canvas struct {
	b      strings.Builder
	w, h   float64
	xs, ys [2]float64
}

func (c *canvas) x(v float64) float64 {
	return left + (v-c.xs[0])/(c.xs[1]-c.xs[0])*(c.w-left-right)
}

func (c *canvas) y(v float64) float64 {
	v = min(max(v, c.ys[0]), c.ys[1]) // what lies beyond runs along the edge
	return above + (c.ys[1]-v)/(c.ys[1]-c.ys[0])*(c.h-above-below)
}

func (c *canvas) put(format string, args ...any) { fmt.Fprintf(&c.b, format, args...) }

// svg draws the chart. Everything in it is made here; texts are escaped.
func (ch *Chart) svg() template.HTML {
	c := &canvas{w: chartWidth, h: chartHeight, xs: ch.limits(ch.XRange, func(p runlog.Point) float64 { return p.X }), ys: ch.limits(ch.YRange, func(p runlog.Point) float64 { return p.Y })}
	if ch.Square {
		c.w, c.h = squareWidth, squareWidth-left-right+above+below
	}
	c.put(`<svg viewBox="0 0 %g %g" role="img" class="chart%s"><title>%s</title>`, c.w, c.h, map[bool]string{true: " square"}[ch.Square], escape(ch.Name))
	ch.axes(c)
	for _, b := range ch.Bars {
		c.put(`<rect class="bar" x="%.1f" y="%.1f" width="%.1f" height="%.1f"><title>%s</title></rect>`,
			c.x(b.From)+1, c.y(b.High), max(c.x(b.To)-c.x(b.From)-2, 1), c.y(c.ys[0])-c.y(b.High), escape(b.Text))
	}
	for _, b := range ch.Bars {
		if b.Within != nil {
			x := (c.x(b.From) + c.x(b.To)) / 2
			c.put(`<path class="within" d="M%.1f %.1fV%.1f"/>`, x, c.y(b.Within[0]), c.y(b.Within[1]))
		}
	}
	for _, l := range ch.Lines {
		c.line(l)
	}
	if m := ch.Mark; m != nil {
		c.put(`<circle class="mark" cx="%.1f" cy="%.1f" r="5"><title>%s</title></circle>`, c.x(m.At.X), c.y(m.At.Y), escape(m.Text))
	}
	c.put(`</svg>`)
	return template.HTML(c.b.String())
}

func escape(s string) string { return template.HTMLEscapeString(s) }

// axes draws the grid, its numbers and what the axes are.
func (ch *Chart) axes(c *canvas) {
	for _, t := range panel.Marks(c.ys[0], c.ys[1], 6) {
		c.put(`<path class="grid" d="M%.1f %.1fH%.1f"/><text class="y" x="%.1f" y="%.1f">%s</text>`, left, c.y(t), c.w-right, left-7, c.y(t)+4, number(t))
	}
	for _, t := range panel.Marks(c.xs[0], c.xs[1], 10) {
		c.put(`<path class="grid" d="M%.1f %.1fV%.1f"/><text class="x" x="%.1f" y="%.1f">%s</text>`, c.x(t), above, c.h-below, c.x(t), c.h-below+17, number(t))
	}
	c.put(`<path class="axis" d="M%.1f %.1fV%.1fH%.1f"/>`, left, above, c.h-below, c.w-right)
	c.put(`<text class="x name" x="%.1f" y="%.1f">%s</text>`, (left+c.w-right)/2, c.h-8, escape(ch.X))
	c.put(`<text class="x name" transform="translate(15 %.1f) rotate(-90)">%s</text>`, (above+c.h-below)/2, escape(ch.Y))
}

// number writes a tick without the noise of its arithmetic.
func number(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }

func (c *canvas) line(l Line) {
	if len(l.Points) == 0 {
		return
	}
	c.put(`<polyline class="line %s" points="`, l.Style)
	for _, p := range l.Points {
		c.put("%.1f,%.1f ", c.x(p.X), c.y(p.Y))
	}
	c.put(`"/>`)
	if l.Dots {
		for _, p := range l.Points {
			c.put(`<circle class="dot %s" cx="%.1f" cy="%.1f" r="3"><title>%s: %.4g at %.4g</title></circle>`, l.Style, c.x(p.X), c.y(p.Y), escape(l.Name), p.Y, p.X)
		}
	}
}

// limits are those of an axis: given ones, or from the least to the greatest value.
func (ch *Chart) limits(given *[2]float64, of func(runlog.Point) float64) [2]float64 {
	if given != nil {
		return *given
	}
	out := [2]float64{math.Inf(1), math.Inf(-1)}
	for _, l := range ch.Lines {
		for _, p := range l.Points {
			out[0], out[1] = min(out[0], of(p)), max(out[1], of(p))
		}
	}
	switch {
	case out[0] > out[1]:
		return [2]float64{0, 1}
	case out[0] == out[1]:
		return [2]float64{out[0] - 0.5, out[1] + 0.5}
	}
	return out
}
