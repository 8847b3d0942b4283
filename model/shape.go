package model

import "fmt"

// Shape is an activation's, for one image: C channels, height H, width W. Flat
// activations have H = W = 1.
type Shape struct{ C, H, W int }

// String is the shape as C, or as CxHxW.
func (s Shape) String() string {
	if s.H == 1 && s.W == 1 {
		return fmt.Sprint(s.C)
	}
	return fmt.Sprintf("%dx%dx%d", s.C, s.H, s.W)
}

// Elements counts the numbers in it.
func (s Shape) Elements() int { return s.C * s.H * s.W }

// Shapes gives every node's output shape. A node that its inputs do not fit is the
// error.
func (n *Network) Shapes() ([]Shape, error) {
	shapes := make([]Shape, len(n.Nodes))
	for i, node := range n.Nodes {
		if i == 0 {
			if node.Op != Input {
				return nil, fmt.Errorf("model %s: node 0 is %s, not input", n.Name, node.Op)
			}
			shapes[0] = Shape{3, n.Input, n.Input}
			continue
		}
		s, err := node.shape(shapes[:i])
		if err != nil {
			return nil, fmt.Errorf("model %s: node %d (%s %s): %w", n.Name, i, node.Op, node.Name, err)
		}
		shapes[i] = s
	}
	return shapes, nil
}

func (node *Node) shape(earlier []Shape) (Shape, error) {
	if len(node.Inputs) == 0 {
		return Shape{}, fmt.Errorf("it has no inputs")
	}
	for _, in := range node.Inputs {
		if in < 0 || in >= len(earlier) {
			return Shape{}, fmt.Errorf("it reads node %d, which is not earlier", in)
		}
	}
	in := earlier[node.Inputs[0]]
	switch node.Op {
	case Conv:
		return node.slide(Shape{node.Out, in.H, in.W}, false)
	case MaxPool, AvgPool:
		return node.slide(in, node.CeilMode)
	case GlobalAvgPool:
		return Shape{in.C, max(node.Size[0], 1), max(node.Size[1], 1)}, nil
	case Concat:
		for _, j := range node.Inputs[1:] {
			if earlier[j].H != in.H || earlier[j].W != in.W {
				return Shape{}, fmt.Errorf("inputs of %v and %v cannot be joined", in, earlier[j])
			}
			in.C += earlier[j].C
		}
		return in, nil
	case Add:
		if len(node.Inputs) != 2 || earlier[node.Inputs[1]] != in {
			return Shape{}, fmt.Errorf("want two inputs of one shape")
		}
		return in, nil
	case Linear:
		if in.H != 1 || in.W != 1 {
			return Shape{}, fmt.Errorf("input %v is not flat", in)
		}
		return Shape{node.Out, 1, 1}, nil
	case Flatten:
		return Shape{in.Elements(), 1, 1}, nil
	case BatchNorm, ReLU, Dropout, LRN:
		return in, nil
	}
	return Shape{}, fmt.Errorf("unknown operation")
}

// slide is the shape after a window has gone over it.
func (node *Node) slide(s Shape, ceil bool) (Shape, error) {
	size := func(in, d int) int {
		k, stride, pad := node.Kernel[d], node.Stride[d], node.Pad[d]
		if k < 1 || stride < 1 || pad < 0 {
			return 0
		}
		span := in + 2*pad - k
		if span < 0 {
			return 0
		}
		out := span/stride + 1
		if ceil && span%stride != 0 && out*stride < in+pad {
			out++ // a window may hang over the end, but must begin inside
		}
		return out
	}
	h, w := size(s.H, 0), size(s.W, 1)
	if h < 1 || w < 1 {
		return Shape{}, fmt.Errorf("a %dx%d window, stride %d, does not fit %v", node.Kernel[0], node.Kernel[1], node.Stride[0], s)
	}
	return Shape{s.C, h, w}, nil
}
