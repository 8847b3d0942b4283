package model

// builder adds nodes to a network. Its methods take the node they read and
// give the node they made.
type builder struct {
	n     *Network
	width float64
	block string
}

func newBuilder(input int, width float64) *builder {
	return &builder{n: &Network{Input: input, Nodes: []Node{{Name: "image", Op: Input}}}, width: width}
}

func (b *builder) add(n Node) int {
	n.Block = b.block
	b.n.Nodes = append(b.n.Nodes, n)
	return len(b.n.Nodes) - 1
}

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
