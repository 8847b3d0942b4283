package describe

import (
	"cmp"
	"fmt"
	"html"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/synshard/synshard/model"
)

// WriteSVG draws a network from top to bottom: a box for each operation that
// does something (batch norm and ReLU stand in the box of what they follow), a
// line for each that is read, side by side where branches run side by side.
func WriteSVG(w io.Writer, n *model.Network) error {
	d := newDrawing(n)
	var b strings.Builder
	width, height := d.columns*cellW+2*margin, (d.rows+1)*cellH+2*margin
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="sans-serif" font-size="11">`+"\n", width, height, width, height)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="white"/>`+"\n")
	for i := range d.boxes {
		d.lines(&b, i)
	}
	for i := range d.boxes {
		d.box(&b, i)
	}
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

const (
	cellW, cellH = 150, 58
	boxW, boxH   = 138, 36
	gap          = cellH - boxH
	margin       = 20
)

// fills are the boxes' colours by operation.
var fills = map[model.Op]string{model.Conv: "#cfe3f7", model.MaxPool: "#f9dcc4", model.AvgPool: "#fbeccb", model.GlobalAvgPool: "#fbeccb", model.Concat: "#d9ead3", model.Add: "#d9ead3", model.Linear: "#e3d4ee", model.Dropout: "#eeeeee", model.Input: "#ffffff", model.Flatten: "#eeeeee", model.LRN: "#eeeeee", model.BatchNorm: "#dfe8ef", model.ReLU: "#dfe8ef"}

type drawnBox struct {
	node     int
	row      int
	x        float64   // column of the middle; 0 is the input's
	inputs   []int     // boxes
	lanes    []float64 // columns in which the lines from them run down
	followed []string
}

type drawing struct {
	n             *model.Network
	shapes        []model.Shape
	boxes         []drawnBox
	rows, columns int
	left          float64 // column of the left edge
}

func newDrawing(n *model.Network) *drawing {
	shapes, err := n.Shapes()
	if err != nil {
		panic(err) // New has checked them
	}
	d := &drawing{n: n, shapes: shapes}
	uses := make([]int, len(n.Nodes))
	for _, node := range n.Nodes {
		for _, in := range node.Inputs {
			uses[in]++
		}
	}
	of := make([]int, len(n.Nodes))
	for i, node := range n.Nodes {
		if (node.Op == model.BatchNorm || node.Op == model.ReLU) && uses[node.Inputs[0]] == 1 && n.Nodes[node.Inputs[0]].Op != model.Input {
			of[i] = of[node.Inputs[0]]
			d.boxes[of[i]].followed = append(d.boxes[of[i]].followed, node.Op.String())
			continue
		}
		box := drawnBox{node: i}
		for _, in := range node.Inputs {
			box.inputs = append(box.inputs, of[in])
			box.row = max(box.row, d.boxes[of[in]].row+1)
		}
		of[i] = len(d.boxes)
		d.boxes = append(d.boxes, box)
		d.rows = max(d.rows, box.row)
	}
	d.place()
	return d
}

// place gives each box a column: what reads one box lies side by side below
// it, a branch runs straight down, and what joins branches lies amid them.
// Boxes of a row that would touch are moved apart.
func (d *drawing) place() {
	readers := make([]int, len(d.boxes))
	for i := range d.boxes {
		for _, in := range d.boxes[i].inputs {
			readers[in]++
		}
	}
	given := make([]int, len(d.boxes))
	rows := make([][]int, d.rows+1)
	for i := range d.boxes {
		rows[d.boxes[i].row] = append(rows[d.boxes[i].row], i)
		for _, in := range d.boxes[i].inputs { // in the nodes' order, so that branches keep theirs
			d.boxes[i].lanes = append(d.boxes[i].lanes, float64(given[in])-float64(readers[in]-1)/2)
			given[in]++
		}
	}
	for _, row := range rows {
		d.placeRow(row)
	}
	least, most := 0.0, 0.0
	for _, b := range d.boxes {
		least, most = min(least, b.x), max(most, b.x)
		for _, l := range b.lanes {
			least, most = min(least, l), max(most, l)
		}
	}
	d.left, d.columns = least-0.5, int(math.Ceil(most-least+1))
}

func (d *drawing) placeRow(row []int) {
	for _, i := range row {
		b := &d.boxes[i]
		for k, in := range b.inputs {
			b.lanes[k] += d.boxes[in].x // from an offset to a column
			b.x += b.lanes[k] / float64(len(b.inputs))
		}
	}
	slices.SortStableFunc(row, func(i, j int) int { return cmp.Compare(d.boxes[i].x, d.boxes[j].x) })
	for k := 1; k < len(row); k++ {
		d.boxes[row[k]].x = max(d.boxes[row[k]].x, d.boxes[row[k-1]].x+1)
	}
}

func (d *drawing) at(i int) (x, y float64) {
	b := d.boxes[i]
	return d.column(b.x), margin + (float64(b.row)+0.5)*cellH
}

func (d *drawing) column(x float64) float64 { return margin + (x-d.left)*cellW }

// lines draws what a box reads: out of the other into this reader's lane, down,
// and into the box.
func (d *drawing) lines(b *strings.Builder, i int) {
	x, y := d.at(i)
	for k, in := range d.boxes[i].inputs {
		fx, fy := d.at(in)
		fy += boxH / 2
		lane, ty := d.column(d.boxes[i].lanes[k]), y-boxH/2
		fmt.Fprintf(b, `<path d="M%.0f %.0f`, fx, fy)
		if d.boxes[i].row > d.boxes[in].row+1 {
			fmt.Fprintf(b, ` C%.0f %.0f %.0f %.0f %.0f %.0f V%.0f`, fx, fy+gap/2, lane, fy+gap/2, lane, fy+gap, ty-gap)
			fx, fy = lane, ty-gap
		}
		fmt.Fprintf(b, ` C%.0f %.0f %.0f %.0f %.0f %.0f" fill="none" stroke="#888"/>`+"\n", fx, fy+gap/2, x, ty-gap/2, x, ty)
	}
}

func (d *drawing) box(b *strings.Builder, i int) {
	x, y := d.at(i)
	box := d.boxes[i]
	node := d.n.Nodes[box.node]
	title := node.Op.String()
	if node.Kernel[0] > 0 {
		title = fmt.Sprintf("%s %dx%d", title, node.Kernel[0], node.Kernel[1])
		if node.Stride[0] > 1 {
			title += fmt.Sprintf(" /%d", node.Stride[0])
		}
	}
	fmt.Fprintf(b, `<g><title>%s%s</title><rect x="%.0f" y="%.0f" width="%d" height="%d" rx="4" fill="%s" stroke="#555"/>`,
		html.EscapeString(node.Name), html.EscapeString(strings.Join(append([]string{""}, box.followed...), " + ")), x-boxW/2, y-boxH/2, boxW, boxH, fills[node.Op])
	fmt.Fprintf(b, `<text x="%.0f" y="%.0f" text-anchor="middle">%s</text>`, x, y-3, html.EscapeString(title))
	fmt.Fprintf(b, `<text x="%.0f" y="%.0f" text-anchor="middle" fill="#555">%s</text></g>`+"\n", x, y+12, d.shapes[box.node])
}
