package model

import "strconv"

// builder adds nodes to a network. Its methods take the node they read and
// give the node they made.
type builder struct {
	n     *Network
	width float64
	block string // that nodes are added to, "" for none
	kind  string // its kind
}

func newBuilder(input int, width float64) *builder {
	return &builder{n: &Network{Input: input, Nodes: []Node{{Name: "image", Op: Input}}}, width: width}
}

func (b *builder) add(n Node) int {
	n.Block, n.Kind = b.block, b.kind
	b.n.Nodes = append(b.n.Nodes, n)
	return len(b.n.Nodes) - 1
}

// begin has the nodes that follow be of a block; of none by end.
func (b *builder) begin(block, kind string) { b.block, b.kind = block, kind }

func (b *builder) end() { b.begin("", "") }

// channels is a channel count at this width.
func (b *builder) channels(c int) int { return max(int(float64(c)*b.width+0.5), 1) }

func square(k int) [2]int { return [2]int{k, k} }

func (b *builder) maxPool(name string, in, k, stride, pad int, ceil bool) int {
	return b.add(Node{Name: name, Op: MaxPool, Inputs: []int{in}, Kernel: square(k), Stride: square(stride), Pad: square(pad), CeilMode: ceil})
}

func (b *builder) avgPool(name string, in, k, stride, pad int) int {
	return b.add(Node{Name: name, Op: AvgPool, Inputs: []int{in}, Kernel: square(k), Stride: square(stride), Pad: square(pad), CountIncludePad: true})
}

func (b *builder) concat(name string, in ...int) int {
	return b.add(Node{Name: name, Op: Concat, Inputs: in})
}

func (b *builder) flatten(in int) int {
	return b.add(Node{Name: b.n.Nodes[in].Name + ".flatten", Op: Flatten, Inputs: []int{in}})
}

// linear makes a fully connected layer; out is not scaled by the width.
func (b *builder) linear(name string, in, out int) int {
	return b.add(Node{Name: name, Op: Linear, Inputs: []int{in}, Out: out, Bias: true})
}

// batchNormEps is PyTorch's default, which every network but Inception keeps.
const batchNormEps = 1e-5

func itoa(i int) string { return strconv.Itoa(i) }

// plainConv is a square convolution without bias, biasedConv one with.
func (b *builder) plainConv(name string, in, out, k, stride, pad int) int {
	return b.add(Node{Name: name, Op: Conv, Inputs: []int{in}, Out: b.channels(out), Kernel: square(k), Stride: square(stride), Pad: square(pad)})
}

func (b *builder) biasedConv(name string, in, out, k, stride, pad int) int {
	c := b.plainConv(name, in, out, k, stride, pad)
	b.n.Nodes[c].Bias = true
	return c
}

func (b *builder) norm(name string, in int, eps float64) int {
	return b.add(Node{Name: name, Op: BatchNorm, Inputs: []int{in}, Eps: eps})
}

func (b *builder) relu(in int) int {
	return b.add(Node{Name: b.n.Nodes[in].Name + ".relu", Op: ReLU, Inputs: []int{in}})
}

// globalPool averages to a grid of size x size.
func (b *builder) globalPool(name string, in, size int) int {
	return b.add(Node{Name: name, Op: GlobalAvgPool, Inputs: []int{in}, Size: square(size)})
}

func (b *builder) dropout(name string, in int, p float64) int {
	return b.add(Node{Name: name, Op: Dropout, Inputs: []int{in}, P: p})
}

// chance is the probability asked for, or the network's own below 0.
func (b *builder) chance(asked, own float64) float64 {
	if asked < 0 {
		return own
	}
	return asked
}
