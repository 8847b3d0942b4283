package model

// Layer is a row of the layer table: what a node costs for one image.
type Layer struct {
	Name        string `json:"name"`            // the node's, as Block
	Block       string `json:"block,omitempty"` // Node.Block; "": of none
	Op          string `json:"op"`              // as Op.String gives it
	Kernel      [2]int `json:"kernel"`          // height and width; 0 where there is none
	Stride      [2]int `json:"stride"`          // likewise
	Output      [3]int `json:"output"`          // channels, height, width
	Parameters  int    `json:"parameters"`      // trained
	Multiplies  int64  `json:"multiplications"` // multiply-adds, of convolution and linear layers
	Activations int    `json:"activations"`     // numbers in the output
	Head        string `json:"head"`            // main or aux
}

// Cost sums the layers up.
type Cost struct {
	Parameters     int   `json:"parameters"`      // trained, every head
	MainParameters int   `json:"main_parameters"` // without the auxiliary heads
	Multiplies     int64 `json:"multiplications"` // main head, one image
	Activations    int64 `json:"activations"`     // numbers in the outputs of convolutions, main head, one image
}

// Layers gives the layer table, a row a node. Like Cost and KeptActivations it
// panics over a network that Shapes refuses.
func (n *Network) Layers() []Layer {
	shapes, err := n.Shapes()
	if err != nil {
		panic(err) // New has checked them
	}
	parameters := make([]int, len(n.Nodes))
	for _, p := range n.Params() {
		if p.Kind.Trained() {
			parameters[p.Node] += Elements(p.Shape)
		}
	}
	main := n.feeds(n.Logits)
	layers := make([]Layer, len(n.Nodes))
	for i, node := range n.Nodes {
		s := shapes[i]
		l := Layer{Name: node.Name, Block: node.Block, Op: node.Op.String(), Kernel: node.Kernel, Stride: node.Stride,
			Output: [3]int{s.C, s.H, s.W}, Parameters: parameters[i], Activations: s.Elements(), Head: "main"}
		if !main[i] {
			l.Head = "aux"
		}
		switch node.Op {
		case Conv:
			l.Multiplies = int64(s.Elements()) * int64(shapes[node.Inputs[0]].C*node.Kernel[0]*node.Kernel[1])
		case Linear:
			l.Multiplies = int64(s.C) * int64(shapes[node.Inputs[0]].C)
		}
		layers[i] = l
	}
	return layers
}

// feeds marks the nodes that a node's output depends on, itself included.
func (n *Network) feeds(node int) []bool {
	marked := make([]bool, len(n.Nodes))
	marked[node] = true
	for i := node; i > 0; i-- {
		if marked[i] {
			for _, in := range n.Nodes[i].Inputs {
				marked[in] = true
			}
		}
	}
	return marked
}

// Cost sums the layers.
func (n *Network) Cost() Cost {
	var c Cost
	for _, l := range n.Layers() {
		c.Parameters += l.Parameters
		if l.Head != "main" {
			continue
		}
		c.MainParameters += l.Parameters
		c.Multiplies += l.Multiplies
		if l.Op == Conv.String() {
			c.Activations += int64(l.Activations)
		}
	}
	return c
}

// KeptActivations counts the numbers that a training step keeps of one image
// for the backward pass: what convolutions, linear layers, poolings and local
// normalisation read, and what batch norm reads; ReLU and dropout work in
// place, concatenation and addition keep nothing. A value that two operations
// read counts once.
func (n *Network) KeptActivations() int64 {
	shapes, err := n.Shapes()
	if err != nil {
		panic(err) // New has checked them
	}
	kept := make([]bool, len(n.Nodes))
	for _, node := range n.Nodes {
		switch node.Op {
		case Conv, Linear, BatchNorm, MaxPool, AvgPool, LRN:
			kept[node.Inputs[0]] = true
		}
	}
	var total int64
	for i, k := range kept {
		if k {
			total += int64(shapes[i].Elements())
		}
	}
	return total
}
