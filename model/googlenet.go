package model

// GoogLeNet: Szegedy et al., "Going Deeper with Convolutions", 2014,
// arXiv:1409.4842, with batch norm, as torchvision has it: there the 5x5
// branch is a 3x3 convolution.

const googleNetAux = 0.3 // weight of each auxiliary loss, in the paper

func googLeNet(o Options) *Network {
	b := newBuilder(224, o.Width)
	x := b.basicConv("conv1", 0, 64, square(7), 2, square(3))
	x = b.maxPool("maxpool1", x, 3, 2, 0, true)
	x = b.basicConv("conv2", x, 64, square(1), 1, square(0))
	x = b.basicConv("conv3", x, 192, square(3), 1, square(1))
	x = b.maxPool("maxpool2", x, 3, 2, 0, true)
	aux := func(name string) {
		if o.Aux {
			b.n.Aux = append(b.n.Aux, Head{b.googleNetAux(name, x, o.Classes), googleNetAux})
		}
	}
	for _, m := range []struct {
		name               string
		one, red3, three   int
		red5, five, pooled int
	}{
		{"inception3a", 64, 96, 128, 16, 32, 32}, {"inception3b", 128, 128, 192, 32, 96, 64},
		{"inception4a", 192, 96, 208, 16, 48, 64}, {"inception4b", 160, 112, 224, 24, 64, 64}, {"inception4c", 128, 128, 256, 24, 64, 64},
		{"inception4d", 112, 144, 288, 32, 64, 64}, {"inception4e", 256, 160, 320, 32, 128, 128},
		{"inception5a", 256, 160, 320, 32, 128, 128}, {"inception5b", 384, 192, 384, 48, 128, 128},
	} {
		b.begin(m.name, "Inception")
		one := b.basicConv(m.name+".branch1", x, m.one, square(1), 1, square(0))
		three := b.basicConv(m.name+".branch2.0", x, m.red3, square(1), 1, square(0))
		three = b.basicConv(m.name+".branch2.1", three, m.three, square(3), 1, square(1))
		five := b.basicConv(m.name+".branch3.0", x, m.red5, square(1), 1, square(0))
		five = b.basicConv(m.name+".branch3.1", five, m.five, square(3), 1, square(1))
		pooled := b.maxPool(m.name+".branch4.0", x, 3, 1, 1, true)
		pooled = b.basicConv(m.name+".branch4.1", pooled, m.pooled, square(1), 1, square(0))
		x = b.concat(m.name+".concat", one, three, five, pooled)
		switch m.name {
		case "inception3b":
			x = b.maxPool("maxpool3", x, 3, 2, 0, true)
		case "inception4a":
			aux("aux1")
		case "inception4d":
			aux("aux2")
		case "inception4e":
			x = b.maxPool("maxpool4", x, 2, 2, 0, true)
		}
	}
	b.end()
	x = b.flatten(b.globalPool("avgpool", x, 1))
	b.n.Embedding = x
	b.n.Logits = b.linear("fc", b.dropout("dropout", x, b.chance(o.Dropout, 0.2)), o.Classes)
	return b.n
}

func (b *builder) googleNetAux(name string, in, classes int) int {
	defer b.begin(b.block, b.kind)
	b.begin(name, kindAux)
	x := b.basicConv(name+".conv", b.globalPool(name+".pool", in, 4), 128, square(1), 1, square(0))
	x = b.relu(b.linear(name+".fc1", b.flatten(x), b.channels(1024)))
	return b.linear(name+".fc2", b.dropout(name+".dropout", x, 0.7), classes)
}
