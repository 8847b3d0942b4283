package describe

import (
	"math"
	"slices"

	"github.com/synshard/synshard/model"
)

// drawing is a network on a page: a card a block, or a run of nodes that are in none, from
// the left to the right in rows that fit a page across.
type drawing struct {
	n      *model.Network
	shapes []model.Shape
	layers []model.Layer
	cards  []*card
	of     []int // card of each node; -1: none
	blocks bool  // there are any
	rows   [][]*card
	w, h   float64
}

// off is how far the page is from paper's form: 0 is that, twice as wide or as high the
// same.
func (d *drawing) off() float64 { return math.Abs(math.Log(d.w / d.h / landscape)) }

// Sizes in SVG's units.
const (
	margin    = 24.0
	topMatter = 66.0 // title and sums
	footer    = 30.0 // legend
	between   = 34.0 // cards of a row, at least
	gutter    = 34.0 // below a row
	landscape = 297.0 / 210
	chainMost = 8 // boxes of a card that is no block
)

// newDrawing lays a network out. Of one without blocks the cards are as long as fits a page
// best.
func newDrawing(n *model.Network) *drawing {
	best := layOut(n, chainMost)
	for most := chainMost - 1; most > 2 && !best.blocks; most-- {
		if d := layOut(n, most); d.off() < best.off() {
			best = d
		}
	}
	return best
}

func layOut(n *model.Network, chainMost int) *drawing {
	shapes, err := n.Shapes()
	if err != nil {
		panic(err) // New has checked them
	}
	d := &drawing{n: n, shapes: shapes, layers: n.Layers(), of: make([]int, len(n.Nodes))}
	d.of[0] = -1
	for _, nodes := range d.groups(chainMost) {
		c := newCard(n, shapes, d.layers, nodes)
		for _, i := range nodes {
			d.of[i] = len(d.cards)
		}
		d.cards = append(d.cards, c)
	}
	d.name()
	for _, c := range d.cards {
		c.size()
	}
	d.arrange()
	return d
}

// groups cuts the nodes into what cards hold: a block's nodes, or as many stages of a
// chain, each of which ends with a pooling, as a card takes.
func (d *drawing) groups(chainMost int) (out [][]int) {
	var stages [][]int
	for i, node := range d.n.Nodes[1:] {
		i, before := i+1, d.n.Nodes[i]
		if i == 1 || node.Block != before.Block || node.Block == "" && before.Op == model.MaxPool {
			stages = append(stages, nil)
		}
		last := &stages[len(stages)-1]
		*last = append(*last, i)
	}
	for _, s := range stages {
		k := len(out) - 1
		if k < 0 || d.n.Nodes[s[0]].Block != "" || d.n.Nodes[out[k][0]].Block != "" || d.boxCount(out[k])+d.boxCount(s) > chainMost {
			out = append(out, s)
			continue
		}
		out[k] = append(out[k], s...)
	}
	return out
}

func (d *drawing) boxCount(nodes []int) (n int) {
	for _, i := range nodes {
		if !stands(d.n.Nodes[i].Op) {
			n++
		}
	}
	return n
}

// name gives cards that are no blocks their titles.
func (d *drawing) name() {
	d.blocks = slices.ContainsFunc(d.cards, func(c *card) bool { return c.block != "" })
	for i, c := range d.cards {
		first, last := d.n.Nodes[c.nodes[0]], d.n.Nodes[c.nodes[len(c.nodes)-1]]
		switch {
		case c.block != "":
		case d.of[d.n.Logits] == i:
			c.kind = "Head"
		case d.blocks && i == 0:
			c.kind = "Stem"
		default:
			for _, k := range c.nodes { // names of what is computed in no module say little
				if node := d.n.Nodes[k]; node.Op == model.Conv || node.Op == model.MaxPool {
					last = node
				}
			}
			c.block = first.Name + " to " + last.Name
		}
	}
}

// arrange puts the cards in rows so that the page has about the form of paper across.
func (d *drawing) arrange() {
	for rows := 1; rows <= len(d.cards); rows++ {
		try := drawing{rows: cutRows(d.cards, rows), w: 2 * margin, h: topMatter + footer + margin}
		for _, row := range try.rows {
			try.w, try.h = max(try.w, rowWidth(row)+2*margin), try.h+rowHeight(row)+gutter
		}
		if rows == 1 || try.off() < d.off() {
			d.rows, d.w, d.h = try.rows, try.w, try.h
		}
	}
	y := topMatter
	for _, row := range d.rows {
		space := between
		if n := len(row); n > 1 {
			space = min(between+(d.w-2*margin-rowWidth(row))/float64(n-1), 3*between)
		}
		x := margin
		for _, c := range row {
			c.x, c.y = x, y
			x += c.w + space
		}
		y += rowHeight(row) + gutter
	}
}

func rowWidth(row []*card) float64 {
	w := -between
	for _, c := range row {
		w += c.w + between
	}
	return w
}

func rowHeight(row []*card) (h float64) {
	for _, c := range row {
		h = max(h, c.h)
	}
	return h
}

// cutRows cuts cards into rows, at most so many, the widest of which is as narrow as
// can be.
func cutRows(cards []*card, rows int) [][]*card {
	low, high := 0.0, rowWidth(cards)
	for _, c := range cards {
		low = max(low, c.w)
	}
	for high-low > 1 {
		if mid := (low + high) / 2; len(fill(cards, mid)) <= rows {
			high = mid
		} else {
			low = mid
		}
	}
	return fill(cards, high)
}

// fill fills rows of a width one after another.
func fill(cards []*card, width float64) (out [][]*card) {
	var row []*card
	for _, c := range cards {
		if len(row) > 0 && rowWidth(append(row[:len(row):len(row)], c)) > width {
			out, row = append(out, row), nil
		}
		row = append(row, c)
	}
	return append(out, row)
}

// reads lists the cards whose outputs a card's nodes read.
func (d *drawing) reads(i int) (out []int) {
	for _, k := range d.cards[i].nodes {
		for _, in := range d.n.Nodes[k].Inputs {
			if from := d.of[in]; from >= 0 && from != i && !slices.Contains(out, from) {
				out = append(out, from)
			}
		}
	}
	return out
}
