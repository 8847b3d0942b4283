package describe

import (
	"fmt"
	"html"
	"io"
	"math"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/synshard/synshard/model"
)

// WriteSVG draws a network on a page across: a card for each block, named, with its kind,
// the shapes that go in and come out, its parameters and multiply-adds; in it a box for
// each operation that does something, with its output's shape and its parameters.
func WriteSVG(w io.Writer, n *model.Network) error {
	d := newDrawing(n)
	p := &pen{d: d}
	p.put(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" role="img" font-family="Helvetica, Arial, sans-serif" font-size="10">`+"\n", d.w, d.h)
	p.put(`<title>%s</title><rect width="100%%" height="100%%" fill="white"/>`+"\n", html.EscapeString("The network "+n.Name))
	p.title()
	for i := range d.cards {
		for _, from := range d.reads(i) {
			p.arrow(d.cards[from], d.cards[i])
		}
	}
	for _, c := range d.cards {
		p.card(c)
	}
	p.legend()
	p.put("</svg>\n")
	_, err := io.WriteString(w, p.b.String())
	return err
}

// pen writes a drawing.
type pen struct {
	d *drawing
	b strings.Builder
}

func (p *pen) put(format string, args ...any) { fmt.Fprintf(&p.b, format, args...) }

// text writes at a place; anchor is start, middle or end.
func (p *pen) text(x, y, size float64, anchor, fill, weight, s string) {
	p.put(`<text x="%.1f" y="%.1f" font-size="%g" text-anchor="%s" fill="%s" font-weight="%s">%s</text>`, x, y, size, anchor, fill, weight, html.EscapeString(s))
}

// textWidth is about how wide a text is.
func textWidth(s string, size float64) float64 {
	return 0.58 * size * float64(utf8.RuneCountInString(s))
}

const (
	ink  = "#1b1f24"
	soft = "#57606a"
	line = "#7d8590"
)

// fills are the boxes' colours by operation.
var fills = map[model.Op]string{model.Conv: "#cfe3f7", model.MaxPool: "#fbd9bd", model.AvgPool: "#fbeccb", model.GlobalAvgPool: "#fbeccb",
	model.Concat: "#d5e8d4", model.Add: "#d5e8d4", model.Linear: "#e3d4ee", model.Dropout: "#eeeeee", model.Flatten: "#eeeeee",
	model.LRN: "#eeeeee", model.BatchNorm: "#dfe8ef", model.ReLU: "#dfe8ef"}

func (p *pen) title() {
	n, cost := p.d.n, p.d.n.Cost()
	p.text(margin, 30, 19, "start", ink, "700", n.Name)
	sums := fmt.Sprintf("%s parameters", grouped(int64(cost.Parameters)))
	if cost.MainParameters != cost.Parameters {
		sums += fmt.Sprintf(", %s without the auxiliary heads", grouped(int64(cost.MainParameters)))
	}
	p.text(margin, 49, 12, "start", soft, "400", fmt.Sprintf("%s; %s multiply-adds for an image of %d×%d", sums, grouped(cost.Multiplies), n.Input, n.Input))
}

// grouped writes a count with a comma at each thousand.
func grouped(v int64) string {
	return message.NewPrinter(language.English).Sprint(v)
}

// short writes a count in three digits or so.
func short(v int64) string {
	for _, unit := range []struct {
		size int64
		name string
	}{{1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if v >= unit.size {
			return fmt.Sprintf("%.3g%s", math.Round(1000*float64(v)/float64(unit.size))/1000, unit.name)
		}
	}
	return fmt.Sprint(v)
}

// across writes a shape with the sign of multiplication.
func across(s model.Shape) string { return strings.ReplaceAll(s.String(), "x", "×") }

// arrow leads from a card to one that reads it: straight where that is its neighbour, else
// below the row. To an auxiliary head it is dashed.
func (p *pen) arrow(from, to *card) {
	const above = 30.0 // the cards' tops, where arrows come and go
	x, y, tx, ty := from.x+from.w, from.y+above, to.x-6, to.y+above
	dash := ""
	if to.aux {
		dash = ` stroke-dasharray="5 4"`
	}
	path := fmt.Sprintf("M%.0f %.0fH%.0f", x, y, tx)
	if from.y != to.y || p.amid(from, to) {
		low := from.y + rowHeight(p.d.rowOf(from)) + gutter/2
		path = fmt.Sprintf("M%.0f %.0fh%.0fV%.0fH%.0fV%.0fH%.0f", x, y, between/2, low, to.x-between/2, ty, tx)
	}
	p.put(`<path d="%s" fill="none" stroke="%s" stroke-width="2" stroke-linejoin="round"%s/><path d="M%.0f %.0fl-7 -4.5v9z" fill="%s"/>`+"\n", path, line, dash, to.x, ty, line)
}

// amid says whether there is a card between two of a row.
func (p *pen) amid(a, b *card) bool {
	for _, c := range p.d.rowOf(a) {
		if c.x > a.x && c.x < b.x {
			return true
		}
	}
	return false
}

func (d *drawing) rowOf(c *card) []*card {
	for _, row := range d.rows {
		if row[0].y == c.y {
			return row
		}
	}
	return nil
}

func (p *pen) card(c *card) {
	dash := ""
	if c.aux {
		dash = ` stroke-dasharray="5 4"`
	}
	p.put(`<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="8" fill="#f7f9fb" stroke="#b8c0c8"%s/>`+"\n", c.x, c.y, c.w, c.h, dash)
	x, kind := c.x+cardPad, c.kind
	if kind != "" {
		p.text(x, c.y+18, 13, "start", ink, "700", kind)
		x += textWidth(kind, 13) + 12
	}
	if room := c.x + c.w - cardPad - x; textWidth(c.block, 11) <= room || kind == "" {
		p.text(x, c.y+18, 11, "start", soft, "400", c.block)
	}
	p.text(c.x+cardPad, c.y+33, 10, "start", soft, "400", across(c.in)+" → "+across(c.out))
	p.text(c.x+cardPad, c.y+46, 10, "start", soft, "400", grouped(int64(c.parameters))+" parameters")
	p.text(c.x+cardPad, c.y+59, 10, "start", soft, "400", short(c.multiplies)+" multiply-adds")
	for _, b := range c.boxes {
		p.lines(c, b)
	}
	for _, b := range c.boxes {
		p.box(c, b)
	}
	if c.note != "" {
		p.text(c.x+cardPad, c.y+c.h-10, 10, "start", soft, "400", c.note)
	}
}

// at gives the middle of a column, and the top of a row's boxes.
func (c *card) at(column float64, row int) (x, y float64) {
	free := c.w - float64(c.columns)*columnW
	return c.x + free/2 + (column+0.5)*columnW, c.y + cardTop + float64(row)*rowH
}

// lines draws what a box reads: from below another, or from the card's top.
func (p *pen) lines(c *card, b *box) {
	x, y := c.at(b.x, b.row)
	joins := b.bar(p.d.n)
	for _, in := range b.inputs {
		fx, fy := c.at(in.x, in.row)
		fy += boxH
		tx := x
		if joins {
			tx = fx // straight down onto the bar
		}
		p.put(`<path d="M%.0f %.0fC%.0f %.0f %.0f %.0f %.0f %.0f" fill="none" stroke="%s"/>`, fx, fy, fx, fy+8, tx, min(fy+14, y)-8, tx, min(fy+14, y), line)
		if fy+14 < y {
			p.put(`<path d="M%.0f %.0fV%.0f" stroke="%s"/>`, tx, fy+14, y, line)
		}
	}
	if b.outside {
		if b.bypass >= 0 {
			x, _ = c.at(b.bypass, 0)
		}
		p.put(`<path d="M%.0f %.0fV%.0f" stroke="%s"/>`, x, c.y+cardTop-10, y, line)
	}
	if b.bypass >= 0 {
		p.put(`<text x="%.1f" y="%.1f" font-size="9" text-anchor="middle" fill="%s" stroke="#f7f9fb" stroke-width="4" paint-order="stroke">as it came in</text>`, x, (c.y+cardTop+y)/2, soft)
	}
}

func (p *pen) box(c *card, b *box) {
	node := p.d.n.Nodes[b.node]
	x, y := c.at(b.x, b.row)
	left, width, height := x-boxW/2, boxW, boxH
	if b.bar(p.d.n) {
		from, _ := c.at(b.from, 0)
		to, _ := c.at(b.to, 0)
		left, width = from-boxW/2, to-from+boxW
	}
	layer := p.d.layers[b.node]
	what := strings.Join(append([]string{operation(node)}, b.followed...), " + ")
	p.put(`<g><title>%s: %s, %s, %s parameters, %s multiply-adds</title><rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="4" fill="%s" stroke="#6e7781" stroke-width=".8"/>`,
		html.EscapeString(node.Name), what, across(p.d.shapes[b.node]), grouped(int64(layer.Parameters)), grouped(layer.Multiplies), left, y, width, height, fills[node.Op])
	second := across(p.d.shapes[b.node])
	if layer.Parameters > 0 {
		second += " · " + short(int64(layer.Parameters))
	}
	p.text(left+width/2, y+13, 10, "middle", ink, "400", operation(node))
	p.text(left+width/2, y+25, 8.5, "middle", soft, "400", second)
	p.put("</g>\n")
}

// operation names what a node does: its window, and its stride where it has one.
func operation(node model.Node) string {
	name := node.Op.String()
	switch node.Op {
	case model.MaxPool:
		name = "max"
	case model.AvgPool:
		name = "mean"
	case model.GlobalAvgPool:
		name = "mean of all"
	case model.Linear:
		name = "linear"
	}
	if node.Kernel[0] > 0 {
		name = fmt.Sprintf("%s %d×%d", name, node.Kernel[0], node.Kernel[1])
		if node.Stride[0] > 1 {
			name += fmt.Sprintf(", /%d", node.Stride[0])
		}
	}
	return name
}

// legend says what the page's signs mean.
func (p *pen) legend() {
	x, y := margin, p.d.h-margin-16
	for _, l := range []struct {
		op   model.Op
		name string
	}{{model.Conv, "convolution"}, {model.MaxPool, "maximum of a window"}, {model.AvgPool, "mean"}, {model.Concat, "joined"}, {model.Linear, "fully connected"}} {
		p.put(`<rect x="%.1f" y="%.1f" width="16" height="11" rx="3" fill="%s" stroke="#6e7781" stroke-width=".8"/>`, x, y-10, fills[l.op])
		p.text(x+21, y, 10, "start", soft, "400", l.name)
		x += textWidth(l.name, 10) + 44
	}
	p.text(margin, y+17, 10, "start", soft, "400", "In a box: window, /stride; channels×height×width · trained parameters. Batch norm and ReLU stand in the box of what they follow.")
}
