package model

// AlexNet: Krizhevsky, "One weird trick for parallelizing convolutional neural
// networks", 2014, arXiv:1404.5997, as torchvision has it (without the local
// response normalisation of the paper of 2012).

func alexNet(o Options) *Network {
	b := newBuilder(224, o.Width)
	x := 0
	for _, c := range []struct {
		name           string
		out, k, stride int
		pad            int
		pool           bool
	}{
		{"features.0", 64, 11, 4, 2, true}, {"features.3", 192, 5, 1, 2, true}, {"features.6", 384, 3, 1, 1, false},
		{"features.8", 256, 3, 1, 1, false}, {"features.10", 256, 3, 1, 1, true},
	} {
		x = b.biasedConv(c.name, x, c.out, c.k, c.stride, c.pad)
		if x = b.relu(x); c.pool {
			x = b.maxPool(c.name+".pool", x, 3, 2, 0, false)
		}
	}
	x = b.flatten(b.globalPool("avgpool", x, 6))
	p := b.chance(o.Dropout, 0.5)
	x = b.dropout("classifier.0", x, p)
	x = b.relu(b.linear("classifier.1", x, b.channels(4096)))
	x = b.dropout("classifier.3", x, p)
	x = b.relu(b.linear("classifier.4", x, b.channels(4096)))
	b.n.Embedding = x
	b.n.Logits = b.linear("classifier.6", x, o.Classes)
	return b.n
}

// VGG-16 (configuration D): Simonyan and Zisserman, "Very Deep Convolutional
// Networks for Large-Scale Image Recognition", 2014, arXiv:1409.1556; with
// batch norm after each convolution, as torchvision's vgg16_bn.

func vgg16(o Options) *Network   { return vgg(o, false) }
func vgg16BN(o Options) *Network { return vgg(o, true) }

func vgg(o Options, bn bool) *Network {
	b := newBuilder(224, o.Width)
	const pool = 0
	x, at := 0, 0
	name := func() string { return "features." + itoa(at) }
	for _, c := range []int{64, 64, pool, 128, 128, pool, 256, 256, 256, pool, 512, 512, 512, pool, 512, 512, 512, pool} {
		if c == pool {
			x = b.maxPool(name(), x, 2, 2, 0, false)
			at++
			continue
		}
		x = b.biasedConv(name(), x, c, 3, 1, 1)
		at++
		if bn {
			x = b.norm(name(), x, batchNormEps)
			at++
		}
		x = b.relu(x)
		at++
	}
	x = b.flatten(b.globalPool("avgpool", x, 7))
	p := b.chance(o.Dropout, 0.5)
	x = b.dropout("classifier.2", b.relu(b.linear("classifier.0", x, b.channels(4096))), p)
	x = b.relu(b.linear("classifier.3", x, b.channels(4096)))
	b.n.Embedding = x
	b.n.Logits = b.linear("classifier.6", b.dropout("classifier.5", x, p), o.Classes)
	return b.n
}
