package footprint

import (
	"fmt"
	"math"
	"math/bits"
	"slices"

	"github.com/synshard/synshard/model"
)

// kind is what memory is for.
type kind int

const (
	casts     kind = iota // weights in the network's precision
	gradients             // of weights
	input                 // images
	kept                  // for the backward pass
	passing               // all else
	kinds
)

// tensor is memory that several may hold. A view holds its base and has none itself.
type tensor struct {
	bytes int64
	kind  kind
	node  int // whose output it is, or lies beside
	holds int
	base  *tensor
}

// step is one microbatch, forward and back.
type step struct {
	net     *model.Network
	table   []model.Node // net's, as the engine rearranges them
	shapes  []model.Shape
	o       Options
	batch   int64
	element int64   // bytes of an activation
	weights []int64 // elements of each node's parameters that have gradients
	last    []int   // the last node that reads each
	reads   []int   // how many do

	merged map[int][]int   // convolutions that are computed as one
	joined map[int]int     // batch norms, and the concatenation in which their output is made
	wide   map[int]*tensor // outputs of concatenations, and gradients of merged convolutions by their first, in which parts are made

	outs  []*tensor   // of nodes, while they are wanted
	saved [][]*tensor // for each node's backward pass
	grads []*tensor   // of outputs
	nodes []Node

	now, most [kinds]int64
	peak      int64
}

func newStep(net *model.Network, o Options, batch int) (*step, error) {
	shapes, err := net.Shapes()
	if err != nil {
		return nil, fmt.Errorf("memory of a step: %w", err)
	}
	if batch < 1 {
		return nil, fmt.Errorf("memory of a step of %d images", batch)
	}
	n := len(net.Nodes)
	s := &step{net: net, shapes: shapes, o: o, batch: int64(batch), weights: make([]int64, n), table: tableOf(net),
		merged: map[int][]int{}, joined: map[int]int{}, wide: map[int]*tensor{}, outs: make([]*tensor, n), saved: make([][]*tensor, n), grads: make([]*tensor, n)}
	switch o.Precision {
	case "fp32", "tf32":
		s.element = 4
	case "bf16", "fp16":
		s.element = 2
	default:
		return nil, fmt.Errorf("memory of a step: precision %q: want fp32, tf32, bf16 or fp16", o.Precision)
	}
	for _, p := range net.Params() {
		if p.Kind.Trained() {
			s.weights[p.Node] += int64(model.Elements(p.Shape))
		}
	}
	s.link()
	if !o.Unfused {
		s.rearrange()
	}
	return s, nil
}

// Sizes of the CPU's allocator (shim/allocator.cpp): smaller pieces are not counted,
// the others are rounded up to an eighth of their power of two.
const (
	leastCounted = 1 << 16
	header       = 64
)

// round is what the allocator takes for so many bytes.
func (s *step) round(bytes int64) int64 {
	if s.o.GPU {
		return (bytes + 511) / 512 * 512
	}
	if bytes < leastCounted {
		return 0
	}
	n := bytes + header
	unit := max(int64(1)<<(bits.Len64(uint64(n))-4), 4096)
	return (n + unit - 1) / unit * unit
}

// elements is how many a node's output has, output its bytes before they are rounded.
func (s *step) elements(i int) int64 { return s.batch * int64(s.shapes[i].Elements()) }
func (s *step) output(i int) int64   { return s.elements(i) * s.element }

func (s *step) take(k kind, node int, bytes int64) *tensor {
	t := &tensor{bytes: s.round(bytes), kind: k, node: node, holds: 1}
	s.now[k] += t.bytes
	total := int64(0)
	for _, b := range s.now {
		total += b
	}
	if total > s.peak {
		s.peak, s.most = total, s.now
	}
	return t
}

func hold(t *tensor) *tensor {
	t.holds++
	return t
}

func (s *step) drop(t *tensor) {
	if t == nil {
		return
	}
	if t.holds--; t.holds > 0 {
		return
	}
	if t.base != nil {
		s.drop(t.base)
		return
	}
	s.now[t.kind] -= t.bytes
}

func (s *step) dropAll(list []*tensor) {
	for _, t := range list {
		s.drop(t)
	}
}

// widen takes the float32 copies, of so many elements each, that a convolution is
// computed from where it is computed in float32.
func (s *step) widen(i int, elements ...int64) (copies []*tensor) {
	if !s.o.Widened {
		return nil
	}
	for _, n := range elements {
		copies = append(copies, s.take(passing, i, 4*n))
	}
	return copies
}

// rounded takes what a convolution gives: made in float32 first, where it is computed
// in that.
func (s *step) rounded(k kind, i int, elements int64) *tensor {
	var exact *tensor
	if s.o.Widened {
		exact = s.take(passing, i, 4*elements)
	}
	t := s.take(k, i, s.element*elements)
	s.drop(exact)
	return t
}

// save keeps a tensor for a node's backward pass.
func (s *step) save(i int, t *tensor) {
	s.keep(t)
	s.saved[i] = append(s.saved[i], hold(t))
}

// keep counts a tensor, with what it is a part of, as kept for the backward pass.
func (s *step) keep(t *tensor) {
	for ; t != nil; t = t.base {
		if t.kind == passing {
			s.now[passing], s.now[kept], t.kind = s.now[passing]-t.bytes, s.now[kept]+t.bytes, kept
		}
	}
}

// saveNew keeps what an operation makes for its backward pass alone.
func (s *step) saveNew(i int, k kind, bytes int64) {
	s.saved[i] = append(s.saved[i], s.take(k, i, bytes))
}

func (s *step) release(i int) {
	s.dropAll(s.saved[i])
	s.saved[i] = nil
}

// fuses says whether batch norm and the ReLU behind it pass over memory as one, and
// merged convolutions and concatenations in place with it.
func (s *step) fuses() bool { return !s.o.Unfused && (s.o.Precision != "fp16" || s.o.GPU) }

// keepsLow says whether weights lie in the network's precision from step to step,
// and no step makes copies of them.
func (s *step) keepsLow() bool { return s.o.GPU && s.element == 2 && !s.o.Unfused }

// low is what those take.
func (s *step) low() (bytes int64) {
	if !s.keepsLow() {
		return 0
	}
	for _, p := range s.net.Params() {
		if op := s.net.Nodes[p.Node].Op; p.Kind.Trained() && (op == model.Conv || op == model.Linear) {
			bytes += s.round(2 * int64(model.Elements(p.Shape)))
		}
	}
	return bytes
}

// behindBatchNorm says whether a ReLU is computed by the batch norm before it.
func (s *step) behindBatchNorm(i int) bool {
	in := s.table[i].Inputs[0]
	return !s.o.Unfused && s.table[in].Op == model.BatchNorm && s.inside(in)
}

// withReLU says whether a batch norm gives the output of the ReLU behind it.
func (s *step) withReLU(i int) bool {
	return s.table[i].Op == model.BatchNorm && s.inside(i) && s.table[s.last[i]].Op == model.ReLU && !s.o.Unfused
}

// run takes the step.
func (s *step) run() {
	side := int64(s.net.Input)
	pixels := s.batch * 3 * side * side
	var scaled *tensor
	eight := s.o.GPU && s.fuses() // channels, normalised and in the network's precision by one kernel
	if eight {
		scaled = s.take(input, 0, s.element*pixels/3*8)
	} else {
		whole := s.take(input, 0, 4*pixels)
		scaled = s.take(input, 0, 4*pixels)
		s.drop(whole)
	}
	s.outs[0] = scaled
	if s.element == 2 && !eight {
		s.outs[0] = s.take(input, 0, 2*pixels)
	} else {
		hold(scaled)
	}
	if s.o.Recompute {
		s.segments(scaled)
		return
	}
	end := len(s.table)
	for i := 1; i < end; i++ {
		s.forward(i, true)
	}
	s.drop(scaled) // held by who called the forward pass
	s.nodes = s.nodesOf(s.saved)
	s.start()
	for i := end - 1; i > 0; i-- {
		s.backward(i)
	}
}

// start gives the heads their gradients.
func (s *step) start() {
	for _, h := range append([]model.Head{{Node: s.net.Logits}}, s.net.Aux...) {
		s.grads[h.Node] = s.take(passing, h.Node, s.output(h.Node))
	}
}

// forward computes a node from its inputs, and lets go of what it read last.
func (s *step) forward(i int, saving bool) {
	n := s.table[i]
	switch {
	case len(n.Inputs) == 0: // rearranged away
		return
	case s.merged[i] == nil:
		s.outs[i] = s.compute(i, n, s.outs[n.Inputs[0]])
	case s.merged[i][0] == i:
		s.forwardMerged(s.merged[i])
	}
	if !saving {
		s.release(i)
	}
	for _, in := range n.Inputs {
		if s.last[in] == i && s.outs[in] != nil {
			s.drop(s.outs[in])
			s.outs[in] = nil
		}
	}
	if s.last[i] == 0 { // nobody reads it
		s.drop(s.outs[i])
		s.outs[i] = nil
	}
}

// compute makes a node's output from its first input, and keeps what its backward
// pass needs.
func (s *step) compute(i int, n model.Node, x *tensor) *tensor {
	fresh := func() *tensor { return s.take(passing, i, s.output(i)) }
	switch n.Op {
	case model.Conv, model.Linear:
		s.save(i, x)
		if s.element == 2 && !s.keepsLow() {
			s.saveNew(i, casts, 2*s.weights[i])
		}
		copies := s.widen(i, s.elements(n.Inputs[0]), s.weights[i])
		y := s.rounded(passing, i, s.elements(i))
		s.dropAll(copies)
		return y
	case model.BatchNorm, model.ReLU:
		return s.normalise(i, n, x)
	case model.MaxPool, model.AvgPool:
		return s.pool(i, n, x)
	case model.GlobalAvgPool:
		if n.Size[0] > 1 || n.Size[1] > 1 {
			s.save(i, x)
		}
	case model.LRN:
		s.save(i, x)
		copies := 3 // padded squares, the mean before and after its power, in float32
		if s.element == 2 {
			copies++
		}
		for range copies {
			s.saveNew(i, kept, 4*s.output(i)/s.element)
		}
	case model.Dropout:
		if n.P <= 0 {
			return hold(x)
		}
		s.saveNew(i, kept, s.output(i)) // the mask
	case model.Concat:
		if y := s.wide[i]; y != nil { // its parts were made there
			delete(s.wide, i)
			return y
		}
	case model.Flatten:
		if in := s.shapes[n.Inputs[0]]; in.H*in.W == 1 {
			return hold(x)
		}
	}
	return fresh()
}

// pool is compute for poolings: the engine's own keep a byte of each maximum, and
// nothing of an average.
func (s *step) pool(i int, n model.Node, x *tensor) *tensor {
	place := int64(1)
	if !s.fuses() {
		s.save(i, x)
		place = 8
	}
	y := s.made(i)
	if n.Op == model.MaxPool {
		s.saveNew(i, kept, place*s.output(i)/s.element)
	}
	return y
}

// made is a node's output, new, or as a part of the concatenation that alone reads it.
func (s *step) made(i int) *tensor {
	to, ok := s.joined[i]
	if !ok {
		return s.take(passing, i, s.output(i))
	}
	if s.wide[to] == nil {
		s.wide[to] = s.take(passing, to, s.output(to))
	}
	return view(s.wide[to])
}

// normalise is compute for batch norm and ReLU, which may be one.
func (s *step) normalise(i int, n model.Node, x *tensor) *tensor {
	switch {
	case n.Op == model.BatchNorm:
		s.save(i, x)
		y := s.made(i)
		if s.withReLU(i) && !s.fuses() {
			s.save(i, y)
		}
		return y
	case s.behindBatchNorm(i):
		return hold(x)
	case s.reads[n.Inputs[0]] > 1:
		y := s.take(passing, i, s.output(i))
		s.save(i, y)
		return y
	}
	s.save(i, x) // in place
	return hold(x)
}

// backward turns a node's output's gradient into its inputs', and its weights'.
func (s *step) backward(i int) {
	if group := s.merged[i]; group != nil {
		if group[0] == i {
			s.backwardMerged(group)
		}
		return
	}
	g := s.grads[i]
	s.grads[i] = nil
	if g == nil {
		s.release(i)
		return
	}
	n := s.table[i]
	in := n.Inputs[0]
	switch {
	case n.Op == model.Conv, n.Op == model.Linear:
		s.backwardWeights(i, g)
	case n.Op == model.Concat:
		for _, j := range n.Inputs {
			s.give(j, view(g))
		}
		s.drop(g)
	case n.Op == model.Add:
		for _, j := range n.Inputs {
			s.give(j, hold(g))
		}
		s.drop(g)
	case n.Op == model.Flatten, n.Op == model.Dropout && n.P <= 0, n.Op == model.ReLU && s.behindBatchNorm(i):
		s.give(in, g)
	default:
		if n.Op == model.BatchNorm && s.withReLU(i) && !s.fuses() {
			relu := s.take(passing, i, s.output(i))
			s.drop(g)
			g = relu
		}
		var x *tensor
		if group := s.merged[in]; group != nil { // whose readers are batch norms and pools
			x = view(s.wideGradient(group))
		} else {
			x = s.take(passing, in, s.output(in))
		}
		s.drop(g)
		s.release(i)
		s.give(in, x)
	}
}

// backwardWeights is backward for convolutions and linear layers.
func (s *step) backwardWeights(i int, g *tensor) {
	if g.base != nil && !s.o.Widened { // a slice is made whole first
		whole := s.take(passing, i, s.output(i))
		s.drop(g)
		g = whole
	}
	in := s.table[i].Inputs[0]
	copies := s.widen(i, s.elements(i), s.elements(in), s.weights[i])
	var x *tensor
	if in != 0 {
		x = s.rounded(passing, in, s.elements(in))
	}
	s.weightGradient(i, g, copies)
	s.give(in, x)
}

// weightGradient makes the gradient of a node's weights, in float32, and lets go
// of what only that needed.
func (s *step) weightGradient(i int, g *tensor, copies []*tensor) {
	w := s.rounded(s.weightKind(), i, s.weights[i])
	s.dropAll(copies)
	s.drop(g)
	s.release(i)
	if s.element == 2 {
		wide := s.take(s.gradientKind(), i, 4*s.weights[i])
		s.drop(w)
		w = wide
	}
	if s.o.Accumulate { // added to what is there
		s.drop(w)
	}
}

// gradientKind is what a gradient of weights is for: to be kept, or to be added to
// what is there.
func (s *step) gradientKind() kind {
	if s.o.Accumulate {
		return passing
	}
	return gradients
}

// weightKind is gradientKind of the gradient as it is computed.
func (s *step) weightKind() kind {
	if s.element == 2 {
		return passing
	}
	return s.gradientKind()
}

// give adds a gradient to what a node has: in place where nobody else holds that.
func (s *step) give(i int, t *tensor) {
	if t == nil || i == 0 {
		s.drop(t)
		return
	}
	old := s.grads[i]
	switch {
	case old == nil:
		s.grads[i] = t
	case old.holds == 1 && old.base == nil:
		s.drop(t)
	default:
		s.grads[i] = s.take(passing, i, s.output(i))
		s.drop(old)
		s.drop(t)
	}
}

// segments takes the step with activations computed again: of each segment its
// inputs alone are kept (shim/recompute.cpp).
func (s *step) segments(scaled *tensor) {
	end := len(s.table)
	starts := append(s.cuts(), end)
	inputs := make([][]*tensor, len(starts)-1) // of each segment, as they were kept
	reads := make([][]int, len(starts)-1)
	for k := range inputs {
		from, to := starts[k], starts[k+1]
		for i := from; i < to; i++ {
			for _, in := range s.table[i].Inputs {
				if in < from && !slices.Contains(reads[k], in) {
					reads[k] = append(reads[k], in)
				}
			}
		}
		for _, r := range reads[k] {
			s.keep(s.outs[r])
			inputs[k] = append(inputs[k], hold(s.outs[r]))
		}
		for i := from; i < to; i++ {
			s.forward(i, false)
		}
	}
	s.drop(scaled)
	s.nodes = s.nodesOf(inputs)
	s.start()
	for k := len(inputs) - 1; k >= 0; k-- {
		from, to := starts[k], starts[k+1]
		for j, r := range reads[k] {
			s.outs[r] = hold(inputs[k][j])
		}
		var given []*tensor
		clear(s.outs[from:to])
		for i := from; i < to; i++ {
			s.forward(i, true)
		}
		for i := from; i < to; i++ {
			if s.grads[i] != nil {
				given = append(given, hold(s.grads[i]))
			}
		}
		for i := to - 1; i >= from; i-- {
			s.backward(i)
		}
		for _, t := range append(given, inputs[k]...) {
			s.drop(t)
		}
		for i := range s.outs { // outputs of the segment, and what it read
			s.drop(s.outs[i])
			s.outs[i] = nil
		}
	}
}

// cuts gives the first node of each segment, as the engine's Network::cuts does.
func (s *step) cuts() []int {
	last := len(s.table) - 1
	length := max(4, int(math.Sqrt(float64(last))/2))
	alive := make([]int, last+2)
	for n := 1; n <= last; n++ {
		for i := n + 1; i <= min(s.last[n], last); i++ {
			alive[i]++
		}
	}
	at := []int{1}
	for i := 2; i <= last; i++ {
		if i-at[len(at)-1] >= length && alive[i] <= 1 {
			at = append(at, i)
		}
	}
	return at
}
