package footprint

import (
	"slices"

	"github.com/synshard/synshard/model"
)

// rearrange does to the table what the engine does where it fuses
// (shim/rearrange.cpp): 1x1 convolutions come before average pools, concatenations of
// concatenations are one, 1x1 convolutions of one input are merged, and what is
// only read by a concatenation is made there.
func (s *step) rearrange() {
	for i, conv := range s.table {
		pool := conv.Inputs
		if i == 0 || !onePixel(conv) || s.table[pool[0]].Op != model.AvgPool {
			continue
		}
		before := pool[0]
		if s.table[before].Stride != [2]int{1, 1} || !s.inside(before) || s.shapes[i].C >= s.shapes[before].C {
			continue
		}
		a, b := s.table[before], s.table[i]
		a.Inputs, b.Inputs = b.Inputs, a.Inputs
		s.table[before], s.table[i] = b, a
		s.weights[before], s.weights[i] = s.weights[i], s.weights[before]
		s.shapes[before] = s.shapes[i]
	}
	s.link()
	for i, n := range s.table {
		if n.Op != model.Concat {
			continue
		}
		var flat, gone []int
		for _, in := range n.Inputs {
			if s.table[in].Op == model.Concat && s.inside(in) {
				flat, gone = append(flat, s.table[in].Inputs...), append(gone, in)
			} else {
				flat = append(flat, in)
			}
		}
		for _, in := range gone {
			s.table[in].Inputs = nil
		}
		s.table[i].Inputs = flat
	}
	s.link()
	if s.fuses() {
		s.merge()
		s.join()
	}
}

func onePixel(n model.Node) bool {
	return n.Op == model.Conv && n.Kernel == [2]int{1, 1} && n.Stride == [2]int{1, 1} && n.Pad == [2]int{} && !n.Bias
}

// merge finds the 1x1 convolutions that are computed as one, with the first of them.
func (s *step) merge() {
	reader := make([]int, len(s.table))
	for i, n := range s.table {
		for _, in := range n.Inputs {
			reader[in] = i
		}
	}
	main := make([]bool, len(s.table))
	main[s.net.Logits] = true
	for i := s.net.Logits; i > 0; i-- {
		for _, in := range s.table[i].Inputs {
			main[in] = main[in] || main[i]
		}
	}
	together := map[int][]int{}
	for i, n := range s.table {
		if main[i] && onePixel(n) && n.Inputs[0] != 0 && s.inside(i) && (s.withReLU(reader[i]) || s.table[reader[i]].Op == model.AvgPool) {
			together[n.Inputs[0]] = append(together[n.Inputs[0]], i)
		}
	}
	for _, group := range together {
		if len(group) > 1 {
			for _, i := range group {
				s.merged[i] = group
			}
		}
	}
}

// join finds the batch norms and pools whose output is made in a concatenation's.
func (s *step) join() {
	for i, n := range s.table {
		if n.Op != model.Concat {
			continue
		}
		for _, in := range n.Inputs {
			part := in
			if s.table[in].Op == model.ReLU && s.behindBatchNorm(in) {
				part = s.table[in].Inputs[0]
			}
			op := s.table[part].Op
			if s.inside(in) && (s.withReLU(part) || op == model.MaxPool || op == model.AvgPool) {
				s.joined[part] = i
			}
		}
	}
}

// view is a part of a wider tensor.
func view(of *tensor) *tensor { return &tensor{kind: of.kind, node: of.node, holds: 1, base: hold(of)} }

// forwardMerged computes convolutions that are one: their outputs are parts of one
// tensor, their weights a copy in one.
func (s *step) forwardMerged(group []int) {
	first := group[0]
	s.save(first, s.outs[s.table[first].Inputs[0]])
	weights, elements := int64(0), int64(0)
	for _, i := range group {
		weights, elements = weights+s.weights[i], elements+s.elements(i)
	}
	switch {
	case s.keepsLow():
	case s.element == 2:
		whole := s.take(casts, first, 4*weights)
		s.saveNew(first, casts, 2*weights)
		s.drop(whole)
	default:
		s.saved[first] = append(s.saved[first], s.take(casts, first, 4*weights))
	}
	copies := s.widen(first, s.elements(s.table[first].Inputs[0]), weights)
	wide := s.rounded(passing, first, elements)
	s.dropAll(copies)
	for _, i := range group {
		s.outs[i] = view(wide)
	}
	s.drop(wide)
}

// backwardMerged is the backward pass of convolutions that are one, when all of
// their outputs' gradients are there.
func (s *step) backwardMerged(group []int) {
	first := group[0]
	in := s.table[first].Inputs[0]
	wide := s.wideGradient(group)
	weights, elements := int64(0), int64(0)
	for _, i := range group {
		weights, elements = weights+s.weights[i], elements+s.elements(i)
	}
	copies := s.widen(first, elements, s.elements(in), weights)
	var x *tensor
	if in != 0 {
		x = s.rounded(passing, in, s.elements(in))
	}
	w := s.rounded(s.weightKind(), first, weights)
	s.dropAll(copies)
	if s.element == 2 {
		exact := s.take(s.gradientKind(), first, 4*weights)
		s.drop(w)
		w = exact
	}
	for _, i := range group {
		s.drop(s.grads[i])
		s.grads[i] = nil
	}
	s.drop(wide)
	delete(s.wide, first)
	s.release(first)
	if s.o.Accumulate {
		s.drop(w)
	}
	s.give(in, x)
}

// wideGradient is the tensor in which the gradients of merged convolutions' outputs
// are made.
func (s *step) wideGradient(group []int) *tensor {
	first := group[0]
	if s.wide[first] == nil {
		bytes := int64(0)
		for _, i := range group {
			bytes += s.output(i)
		}
		s.wide[first] = s.take(passing, first, bytes)
	}
	return s.wide[first]
}

// inside says whether one node reads another's output, and nobody else sees it.
func (s *step) inside(i int) bool {
	return s.reads[i] == 1 && s.last[i] < len(s.table) && i != s.net.Embedding
}

// link finds out who reads what.
func (s *step) link() {
	s.last, s.reads = make([]int, len(s.table)), make([]int, len(s.table))
	for i, n := range s.table {
		for _, in := range n.Inputs {
			s.last[in], s.reads[in] = i, s.reads[in]+1
		}
	}
	for _, h := range append([]model.Head{{Node: s.net.Logits}}, s.net.Aux...) {
		s.last[h.Node] = len(s.table)
	}
}

// tableOf is a network's nodes, to be changed.
func tableOf(net *model.Network) []model.Node {
	table := slices.Clone(net.Nodes)
	for i := range table {
		table[i].Inputs = slices.Clone(table[i].Inputs)
	}
	return table
}
