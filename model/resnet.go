package model

// ResNet-50: He, Zhang, Ren and Sun, "Deep Residual Learning for Image
// Recognition", 2015, arXiv:1512.03385, with the stride in the 3x3 convolution
// of a block, as torchvision has it.

func resNet50(o Options) *Network {
	b := newBuilder(224, o.Width)
	x := b.relu(b.norm("bn1", b.plainConv("conv1", 0, 64, 7, 2, 3), batchNormEps))
	x = b.maxPool("maxpool", x, 3, 2, 1, false)
	for i, s := range []struct{ blocks, width int }{{3, 64}, {4, 128}, {6, 256}, {3, 512}} {
		for j := range s.blocks {
			stride := 1
			if i > 0 && j == 0 {
				stride = 2
			}
			x = b.bottleneck("layer"+itoa(i+1)+"."+itoa(j), x, s.width, stride, j == 0)
		}
	}
	b.end()
	x = b.flatten(b.globalPool("avgpool", x, 1))
	b.n.Embedding = x
	if o.Dropout > 0 {
		x = b.dropout("dropout", x, o.Dropout)
	}
	b.n.Logits = b.linear("fc", x, o.Classes)
	return b.n
}

// bottleneck is 1x1, 3x3, 1x1 to four times the width, added to the input or
// to its projection.
func (b *builder) bottleneck(name string, in, width, stride int, project bool) int {
	b.begin(name, "Bottleneck")
	x := b.relu(b.norm(name+".bn1", b.plainConv(name+".conv1", in, width, 1, 1, 0), batchNormEps))
	x = b.relu(b.norm(name+".bn2", b.plainConv(name+".conv2", x, width, 3, stride, 1), batchNormEps))
	x = b.norm(name+".bn3", b.plainConv(name+".conv3", x, 4*width, 1, 1, 0), batchNormEps)
	if project {
		in = b.norm(name+".downsample.1", b.plainConv(name+".downsample.0", in, 4*width, 1, stride, 0), batchNormEps)
	}
	return b.relu(b.add(Node{Name: name + ".add", Op: Add, Inputs: []int{x, in}}))
}
