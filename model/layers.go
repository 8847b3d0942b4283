package model

import "strings"

// Backbone is the part of a network below its heads, as Upto names it.
const Backbone = "backbone"

// Upto gives, by place in Params, what is computed up to the end of a module and no later:
// all before it and itself, without any head. A module is a path in the names of Params
// (Mixed_6e, layer3, layer3.2); Backbone is all but the heads. ok is false for a path of no
// parameter.
func (n *Network) Upto(module string) (in []bool, ok bool) {
	params, heads := n.Params(), n.heads()
	last := -1
	for i, p := range params {
		if module == Backbone && !heads[p.Node] || strings.HasPrefix(p.Name, module+".") {
			last = i
		}
	}
	in = make([]bool, len(params))
	for i, p := range params {
		in[i] = i <= last && !heads[p.Node]
	}
	return in, last >= 0
}

// heads says of each node whether it is of a head: the main one, which is the node of the
// logits, or an auxiliary one, which is all that only its logits need.
func (n *Network) heads() []bool {
	main := n.below(n.Logits)
	head := make([]bool, len(n.Nodes))
	for i := range n.Nodes {
		head[i] = i == n.Logits || !main[i]
	}
	return head
}

// below says of each node whether one is computed from it.
func (n *Network) below(of int) []bool {
	in := make([]bool, len(n.Nodes))
	in[of] = true
	for i := of; i > 0; i-- {
		if in[i] {
			for _, from := range n.Nodes[i].Inputs {
				in[from] = true
			}
		}
	}
	return in
}

// Depths gives each of Params its layer, from 0, at the images, to count-1, which is the
// heads'. A layer is a block; what is of no block is cut where images get smaller by
// pooling. Inception-v3 and ResNet-50 have the layers that timm's group_matcher finds, but
// for Inception's auxiliary head, which is a head here.
func (n *Network) Depths() (of []int, count int) {
	heads := n.heads()
	byNode := make([]int, len(n.Nodes))
	block, layer, used, begins := "", 0, false, false
	for i, node := range n.Nodes {
		pools := node.Block == "" && (node.Op == MaxPool || node.Op == AvgPool || node.Op == GlobalAvgPool)
		switch {
		case heads[i]:
			continue
		case node.Block != block, pools:
			block, begins = node.Block, true
		}
		if node.Op == Conv || node.Op == Linear || node.Op == BatchNorm {
			if begins && used {
				layer++
			}
			used, begins = true, false
		}
		byNode[i] = layer
	}
	for _, p := range n.Params() {
		l := byNode[p.Node]
		if heads[p.Node] {
			l = layer + 1
		}
		of = append(of, l)
	}
	return of, layer + 2
}
