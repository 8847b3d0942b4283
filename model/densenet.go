package model

// DenseNet-121: Huang, Liu, van der Maaten and Weinberger, "Densely Connected
// Convolutional Networks", 2016, arXiv:1608.06993.

const (
	denseGrowth = 32
	denseNeck   = 4 // of the growth, between 1x1 and 3x3
)

func denseNet121(o Options) *Network {
	b := newBuilder(224, o.Width)
	x := b.relu(b.norm("features.norm0", b.plainConv("features.conv0", 0, 2*denseGrowth, 7, 2, 3), batchNormEps))
	x = b.maxPool("features.pool0", x, 3, 2, 1, false)
	channels := 2 * denseGrowth
	blocks := []int{6, 12, 24, 16}
	for i, layers := range blocks {
		b.begin("denseblock"+itoa(i+1), "Dense block")
		features := []int{x}
		for j := range layers {
			name := "features.denseblock" + itoa(i+1) + ".denselayer" + itoa(j+1)
			y := x
			if len(features) > 1 {
				y = b.concat(name+".concat", features...)
			}
			y = b.relu(b.norm(name+".norm1", y, batchNormEps))
			y = b.relu(b.norm(name+".norm2", b.plainConv(name+".conv1", y, denseNeck*denseGrowth, 1, 1, 0), batchNormEps))
			features = append(features, b.plainConv(name+".conv2", y, denseGrowth, 3, 1, 1))
		}
		x = b.concat(b.block+".concat", features...)
		channels += layers * denseGrowth
		if i+1 == len(blocks) {
			break
		}
		name := "features.transition" + itoa(i+1)
		b.begin("transition"+itoa(i+1), "Transition")
		channels /= 2
		x = b.plainConv(name+".conv", b.relu(b.norm(name+".norm", x, batchNormEps)), channels, 1, 1, 0)
		x = b.avgPool(name+".pool", x, 2, 2, 0)
	}
	b.end()
	x = b.flatten(b.globalPool("avgpool", b.relu(b.norm("features.norm5", x, batchNormEps)), 1))
	b.n.Embedding = x
	if o.Dropout > 0 {
		x = b.dropout("dropout", x, o.Dropout)
	}
	b.n.Logits = b.linear("classifier", x, o.Classes)
	return b.n
}
