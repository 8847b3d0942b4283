package describe

import (
	"slices"

	"github.com/synshard/synshard/model"
)

// card is a block, or a run of nodes that are in none, as boxes from top to bottom:
// branches stand side by side, what joins them is a bar below them.
type card struct {
	block, kind string
	nodes       []int
	boxes       []*box
	in, out     model.Shape
	parameters  int
	multiplies  int64
	aux         bool
	note        string // of what is not drawn

	columns    int
	rows       int
	x, y, w, h float64
}

// box is an operation that does something; batch norm, ReLU and flattening stand in the
// box of what they follow.
type box struct {
	node     int
	followed []string
	inputs   []*box // those in the card
	outside  bool   // it reads what comes into the card
	readers  []*box
	row      int
	x        float64 // column of the middle
	from, to float64 // of a bar: columns of its ends
	bypass   float64 // column in which what comes in runs down to a bar; -1: none
}

// What a card is made of, in SVG's units.
const (
	boxW, boxH    = 98.0, 32.0
	columnW, rowH = 104.0, 46.0
	cardTop       = 76.0 // its heading
	cardPad       = 10.0
	cardLeast     = 154.0 // width
	denseColumns  = 8     // of a dense block, whose layers fill rows
)

// kindDense is the one kind of block whose lines are too many to be drawn.
const kindDense = "Dense block"

// stands says whether an operation stands in the box of what it follows.
func stands(op model.Op) bool {
	return op == model.BatchNorm || op == model.ReLU || op == model.Flatten
}

// bar says whether a box joins several.
func (b *box) bar(n *model.Network) bool {
	op := n.Nodes[b.node].Op
	return op == model.Concat || op == model.Add
}

func newCard(n *model.Network, shapes []model.Shape, layers []model.Layer, nodes []int) *card {
	first := n.Nodes[nodes[0]]
	c := &card{block: first.Block, kind: first.Kind, nodes: nodes, in: shapes[first.Inputs[0]], out: shapes[nodes[len(nodes)-1]], aux: layers[nodes[0]].Head == "aux"}
	of := map[int]*box{}
	for _, i := range nodes {
		node := n.Nodes[i]
		c.parameters += layers[i].Parameters
		c.multiplies += layers[i].Multiplies
		if in := of[node.Inputs[0]]; in != nil && stands(node.Op) && !in.shared(n, of, i) {
			of[i] = in
			in.followed = append(in.followed, node.Op.String())
			continue
		}
		b := &box{node: i, bypass: -1}
		of[i] = b
		for _, in := range node.Inputs {
			if from := of[in]; from != nil {
				b.inputs, from.readers = append(b.inputs, from), append(from.readers, b)
				b.row = max(b.row, from.row+1)
			} else {
				b.outside = true
			}
		}
		c.boxes = append(c.boxes, b)
	}
	if c.kind == kindDense {
		c.placeDense(n)
	} else {
		c.place(n)
	}
	return c
}

// shared says whether a box is read by others than node i already: what follows it for
// one reader alone does not stand in it.
func (b *box) shared(n *model.Network, of map[int]*box, i int) bool {
	if n.Nodes[i].Op == model.Flatten {
		return false
	}
	for k := b.node + 1; k < len(n.Nodes); k++ {
		if k != i && slices.ContainsFunc(n.Nodes[k].Inputs, func(in int) bool { return in == n.Nodes[i].Inputs[0] }) {
			return true
		}
	}
	return false
}

// place gives each branch a column in the nodes' order. What branches off goes beside
// what it came from, which then stands in the middle.
func (c *card) place(n *model.Network) {
	for _, b := range c.boxes {
		c.rows = max(c.rows, b.row+1)
		switch {
		case b.bar(n):
			if b.outside {
				b.bypass = c.column()
			}
		case len(b.inputs) == 0 || b.inputs[0].bar(n):
			if len(b.inputs) == 0 {
				b.x = c.column()
			}
		case b.inputs[0].readers[0] == b:
			b.x = b.inputs[0].x
		default:
			b.x = c.column()
		}
	}
	for _, b := range slices.Backward(c.boxes) {
		var sum, count float64
		for _, r := range b.readers {
			if !r.bar(n) {
				sum, count = sum+r.x, count+1
			}
		}
		if count > 0 && !b.bar(n) {
			b.x = sum / count
		}
	}
	for _, b := range c.boxes {
		switch {
		case b.bar(n):
			b.stretch()
		case len(b.inputs) > 0 && b.inputs[0].bar(n):
			b.x = (b.inputs[0].from + b.inputs[0].to) / 2
		}
	}
}

// stretch has a bar reach over all that it joins.
func (b *box) stretch() {
	b.from, b.to = 1e9, -1
	reach := func(x float64) { b.from, b.to = min(b.from, x), max(b.to, x) }
	for _, in := range b.inputs {
		if in.to > in.from { // a bar itself
			reach(in.from)
			reach(in.to)
		} else {
			reach(in.x)
		}
	}
	if b.bypass >= 0 {
		reach(b.bypass)
	}
	b.x = (b.from + b.to) / 2
}

// column opens a column.
func (c *card) column() float64 {
	c.columns++
	return float64(c.columns - 1)
}

// placeDense gives a dense block's layers, 1x1 above 3x3, place after place. Lines are
// left out: each layer reads all before it.
func (c *card) placeDense(n *model.Network) {
	c.boxes = slices.DeleteFunc(c.boxes, func(b *box) bool { return n.Nodes[b.node].Op != model.Conv })
	for k, b := range c.boxes {
		layer := k / 2
		b.inputs, b.outside = nil, false
		b.x, b.row = float64(layer%denseColumns), 2*(layer/denseColumns)+k%2
		c.columns, c.rows = max(c.columns, int(b.x)+1), max(c.rows, b.row+1)
		if k%2 == 1 {
			b.inputs = []*box{c.boxes[k-1]}
		}
	}
	c.note = "each layer reads all before it, joined"
}

// size gives a card the room that its boxes and its heading need.
func (c *card) size() {
	c.w = max(float64(c.columns)*columnW+2*cardPad, cardLeast, textWidth(c.block, 11)+2*cardPad)
	c.h = cardTop + float64(c.rows)*rowH
	if c.note != "" {
		c.h += 16
	}
}
