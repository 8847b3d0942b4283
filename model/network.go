// Package model holds networks as data: lists of nodes with the parameter names
// of torchvision. One table drives the training engine, the ONNX writer, shape
// inference, cost tables and the tests.
package model

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Op is what a node computes.
type Op int

// The operations. Images are [C, H, W]; after Flatten, and after Linear,
// activations are [C].
const (
	Input         Op = iota
	Conv             // 2-D convolution; Kernel, Stride, Pad, Out, Bias
	BatchNorm        // over channels; Eps
	ReLU             //
	MaxPool          // Kernel, Stride, Pad, CeilMode
	AvgPool          // Kernel, Stride, Pad, CeilMode, CountIncludePad
	GlobalAvgPool    // adaptive average pool to Size (1x1 when zero)
	Concat           // along channels
	Add              // of two
	Linear           // Out, Bias
	Dropout          // P, the probability of dropping
	LRN              // x / (K + Alpha * mean of x² over Size[0] channels)^Beta: Krizhevsky et al., 2012, section 3.3, with the mean for the sum
	Flatten          //
)

var opNames = [...]string{"input", "conv", "batchnorm", "relu", "maxpool", "avgpool", "globalavgpool", "concat", "add", "linear", "dropout", "lrn", "flatten"}

// String is the operation's name in tables and JSON.
func (o Op) String() string {
	if o < 0 || int(o) >= len(opNames) {
		return fmt.Sprintf("op(%d)", int(o))
	}
	return opNames[o]
}

// Node is one operation on the outputs of earlier nodes.
type Node struct {
	Name   string // torchvision's module path, or what the function computes where it has no module
	Block  string // the block it belongs to, such as Mixed_5b
	Kind   string // the block's, such as Inception A
	Op     Op     // what it computes
	Inputs []int  // indices of earlier nodes

	// Which of these an operation reads is said at the values of Op.
	Out                 int     // channels
	Kernel, Stride, Pad [2]int  // height and width, in pixels of the input; Pad at each side
	Size                [2]int  // height and width of the output
	Bias                bool    // a convolution or linear layer adds one
	Eps                 float64 // added to the variance
	P                   float64 // probability of dropping
	Alpha, Beta, K      float64 // see LRN
	CeilMode            bool    // a last window may hang over the end
	CountIncludePad     bool    // padding counts in the average
}

// Head is an auxiliary classifier.
type Head struct {
	Node   int     // of its logits
	Weight float64 // of its loss in the sum
}

// Network is a node table. Node 0 is the input; every node reads only earlier
// ones.
type Network struct {
	Name      string // as New takes it
	Input     int    // height and width of the images, pixels
	Classes   int    // outputs of each head
	Nodes     []Node // in the order in which they are computed
	Logits    int    // node of the main head's logits
	Aux       []Head // auxiliary heads, which only training has
	Embedding int    // node whose flat output is the image's embedding
}

// Options vary a network.
type Options struct {
	Classes int     // 0 means 1000
	Aux     bool    // with the auxiliary heads, where the network has any
	Dropout float64 // below 0: the network's own
	Width   float64 // multiplier of every channel count; 0 means 1
}

// ParamKind is the part a parameter plays in its node.
type ParamKind int

// The kinds of parameter.
const (
	Weight      ParamKind = iota // of Conv [out, in, kh, kw] or Linear [out, in]
	Bias                         // [out]
	BNWeight                     // [channels], as the rest
	BNBias                       //
	RunningMean                  //
	RunningVar                   //
)

// Trained says whether the optimiser changes it; running statistics follow the
// batches instead.
func (k ParamKind) Trained() bool { return k < RunningMean }

// Param is a tensor of a network.
type Param struct {
	Name  string    // as in torchvision's state dict
	Shape []int     // as its Kind says
	Kind  ParamKind // what it is to the node
	Node  int       // that it is of
}

// Elements counts a shape's elements.
func Elements(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

var networks = map[string]func(Options) *Network{
	"alexnet":      alexNet,
	"densenet121":  denseNet121,
	"googlenet":    googLeNet,
	"inception_v3": inceptionV3,
	"resnet50":     resNet50,
	"vgg16":        vgg16,
	"vgg16_bn":     vgg16BN,
}

// Names lists the networks that New knows, ascending.
func Names() []string { return slices.Sorted(maps.Keys(networks)) }

// New builds a network, with the input size it was published with. A name that is
// not known, or options that no network can have, are an error.
func New(name string, o Options) (*Network, error) {
	build, ok := networks[name]
	if !ok {
		return nil, fmt.Errorf("model %q: there are %s", name, strings.Join(Names(), ", "))
	}
	if o.Classes == 0 {
		o.Classes = 1000
	}
	if o.Width == 0 {
		o.Width = 1
	}
	if o.Classes < 1 || o.Width < 0 || o.Dropout >= 1 {
		return nil, fmt.Errorf("model %s: %d classes, width %v, dropout %v", name, o.Classes, o.Width, o.Dropout)
	}
	n := build(o)
	n.Name, n.Classes = name, o.Classes
	if _, err := n.Shapes(); err != nil {
		return nil, err
	}
	return n, nil
}

// Params lists the parameters and running statistics, by node. It panics over a
// network that Shapes refuses.
func (n *Network) Params() []Param {
	shapes, err := n.Shapes()
	if err != nil {
		panic(err) // New has checked them
	}
	var out []Param
	add := func(i int, suffix string, kind ParamKind, shape ...int) {
		out = append(out, Param{n.Nodes[i].Name + "." + suffix, shape, kind, i})
	}
	for i, node := range n.Nodes {
		switch node.Op {
		case Conv:
			add(i, "weight", Weight, node.Out, shapes[node.Inputs[0]].C, node.Kernel[0], node.Kernel[1])
			if node.Bias {
				add(i, "bias", Bias, node.Out)
			}
		case Linear:
			add(i, "weight", Weight, node.Out, shapes[node.Inputs[0]].C)
			if node.Bias {
				add(i, "bias", Bias, node.Out)
			}
		case BatchNorm:
			c := shapes[i].C
			add(i, "weight", BNWeight, c)
			add(i, "bias", BNBias, c)
			add(i, "running_mean", RunningMean, c)
			add(i, "running_var", RunningVar, c)
		}
	}
	return out
}

// Parameters counts the numbers in the trained parameters.
func (n *Network) Parameters() int {
	total := 0
	for _, p := range n.Params() {
		if p.Kind.Trained() {
			total += Elements(p.Shape)
		}
	}
	return total
}

// WithoutAux gives the network without its auxiliary heads, as it is exported.
func (n *Network) WithoutAux() *Network {
	keep := make([]bool, len(n.Nodes))
	keep[n.Logits] = true
	for i := len(n.Nodes) - 1; i > 0; i-- {
		if keep[i] {
			for _, in := range n.Nodes[i].Inputs {
				keep[in] = true
			}
		}
	}
	out := &Network{Name: n.Name, Input: n.Input, Classes: n.Classes}
	place := make([]int, len(n.Nodes))
	for i, node := range n.Nodes {
		if !keep[i] && i > 0 {
			continue
		}
		place[i] = len(out.Nodes)
		node.Inputs = slices.Clone(node.Inputs)
		for j, in := range node.Inputs {
			node.Inputs[j] = place[in]
		}
		out.Nodes = append(out.Nodes, node)
	}
	out.Logits, out.Embedding = place[n.Logits], place[n.Embedding]
	return out
}
