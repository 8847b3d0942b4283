package stats

import (
	"fmt"
	"image/color"

	"github.com/synshard/synshard/internal/panel"
)

// plotDPI is the dots of an inch of a PNG.
const plotDPI = 100

// colours of splits in their order; those of further ones are the last.
var colours = []color.Color{panel.Blue, panel.Orange, panel.Green, panel.Grey}

func colourOf(i int) color.Color { return colours[min(i, len(colours)-1)] }

// shown is the share of images at which the x axis of a size ends: a few that are huge would
// leave no room for the others.
const shown = 0.995

// WritePlot draws how images are distributed, a line a split: by shorter side, aspect ratio and
// bytes, over classes, and the values of their pixels where all splits were measured; as a PNG
// or, where path ends in .svg, as SVG.
func WritePlot(path string, splits []Split) error {
	panels := []*panel.Panel{
		shares("Images by their shorter side", "pixels", splits, func(s *Split) curve { return s.shorter }),
		shares("Images by their aspect ratio", "width by height", splits, func(s *Split) curve { return s.aspect }),
		shares("Images by their size as they are stored", "bytes", splits, func(s *Split) curve { return s.length }),
		classesPanel(splits),
	}
	for i := range splits {
		if p := splits[i].Pixels; p != nil && p.Pixels > 0 {
			panels = append(panels, pixelsPanel(&splits[i]))
		}
	}
	return panel.Write(path, plotDPI, panels)
}

// shares draws which share of images is at or below each value.
func shares(title, under string, splits []Split, of func(*Split) curve) *panel.Panel {
	p := panel.New(title, "at or below, %")
	end := 0.0
	for i := range splits {
		c := of(&splits[i])
		end = max(end, c.at(shown))
		p.Line(fmt.Sprintf("%s (%d)", splits[i].Name, splits[i].Images), c.points(c.at(shown)), colourOf(i), 1.6, false)
	}
	p.Under(under)
	p.Across(end)
	p.Up(101)
	return p
}

// steps bounds the points of a line.
const steps = 400

// points are places of the curve up to a value, evenly spread over shares.
func (c curve) points(end float64) []panel.Point {
	if len(c.values) == 0 {
		return nil
	}
	out := []panel.Point{{X: c.values[0]}}
	for k := 1; k <= steps; k++ {
		share := float64(k) / steps
		if v := c.at(share); v <= end {
			out = append(out, panel.Point{X: v, Y: 100 * share})
		}
	}
	return out
}

func classesPanel(splits []Split) *panel.Panel {
	p := panel.New("Images of the classes, largest class first", "images")
	end, top := 1.0, 1.0
	for i, s := range splits {
		var line []panel.Point
		every := max(1, len(s.sizes)/steps)
		for k, n := range s.sizes {
			if k%every == 0 || k == len(s.sizes)-1 {
				line = append(line, panel.Point{X: float64(k + 1), Y: float64(n)})
			}
		}
		if len(line) > 0 {
			end, top = max(end, float64(len(s.sizes))), max(top, line[0].Y)
		}
		p.Line(fmt.Sprintf("%s (%d of %d classes)", s.Name, len(s.sizes), s.Classes.Listed), line, colourOf(i), 1.6, len(line) < 40)
	}
	p.Under("class")
	p.Across(end)
	p.Up(1.05 * top)
	return p
}

// The channels, as they are drawn.
var channels = []struct {
	name   string
	colour color.Color
}{{"red", color.RGBA{0xc8, 0x32, 0x28, 0xff}}, {"green", panel.Green}, {"blue", panel.Blue}}

func pixelsPanel(s *Split) *panel.Panel {
	p := panel.New(fmt.Sprintf("Values of pixels, %s (%s, %d images)", s.Name, s.Pixels.Of, s.Pixels.Images), "of pixels, %")
	top := 0.0
	for c, channel := range channels {
		var line []panel.Point
		for v, n := range s.Pixels.counts[c] {
			y := 100 * float64(n) / float64(s.Pixels.Pixels)
			line = append(line, panel.Point{X: float64(v) / 255, Y: y})
			if v > 0 && v < 255 { // white paper and black frames stand above all else
				top = max(top, y)
			}
		}
		p.Line(fmt.Sprintf("%s, mean %.3f", channel.name, s.Pixels.Mean[c]), line, channel.colour, 1.2, false)
	}
	p.Under("value")
	p.Across(1)
	p.Up(1.1 * max(top, 1e-3))
	return p
}
