package model

// Inception-v3: Szegedy, Vanhoucke, Ioffe, Shlens, Wojna, "Rethinking the
// Inception Architecture for Computer Vision", 2015, arXiv:1512.00567; block
// names, order of branches, constants and the letters of the blocks' kinds are torchvision's.

const (
	inceptionEps     = 1e-3
	inceptionDropout = 0.5
	inceptionAux     = 0.4 // weight of the auxiliary loss in its authors' code
	kindAux          = "Aux"
)

// basicConv is convolution without bias, batch norm, ReLU: torchvision's
// BasicConv2d. k is height and width.
func (b *builder) basicConv(name string, in, out int, k [2]int, stride int, pad [2]int) int {
	c := b.add(Node{Name: name + ".conv", Op: Conv, Inputs: []int{in}, Out: b.channels(out), Kernel: k, Stride: square(stride), Pad: pad})
	n := b.norm(name+".bn", c, inceptionEps)
	return b.add(Node{Name: name + ".relu", Op: ReLU, Inputs: []int{n}})
}

func inceptionV3(o Options) *Network {
	b := newBuilder(299, o.Width)
	one := [2]int{}
	x := b.basicConv("Conv2d_1a_3x3", 0, 32, square(3), 2, one)
	x = b.basicConv("Conv2d_2a_3x3", x, 32, square(3), 1, one)
	x = b.basicConv("Conv2d_2b_3x3", x, 64, square(3), 1, square(1))
	x = b.maxPool("maxpool1", x, 3, 2, 0, false)
	x = b.basicConv("Conv2d_3b_1x1", x, 80, square(1), 1, one)
	x = b.basicConv("Conv2d_4a_3x3", x, 192, square(3), 1, one)
	x = b.maxPool("maxpool2", x, 3, 2, 0, false)
	for _, block := range []struct {
		name string
		pool int
	}{{"Mixed_5b", 32}, {"Mixed_5c", 64}, {"Mixed_5d", 64}} {
		x = b.inceptionA(block.name, x, block.pool)
	}
	x = b.inceptionB("Mixed_6a", x)
	for _, block := range []struct {
		name string
		c7   int
	}{{"Mixed_6b", 128}, {"Mixed_6c", 160}, {"Mixed_6d", 160}, {"Mixed_6e", 192}} {
		x = b.inceptionC(block.name, x, block.c7)
	}
	if o.Aux {
		b.n.Aux = []Head{{b.inceptionAux(x, o.Classes), inceptionAux}}
	}
	x = b.inceptionD("Mixed_7a", x)
	x = b.inceptionE("Mixed_7b", x)
	x = b.inceptionE("Mixed_7c", x)
	b.end()
	x = b.flatten(b.globalPool("avgpool", x, 1))
	b.n.Embedding = x
	b.n.Logits = b.linear("fc", b.dropout("dropout", x, b.chance(o.Dropout, inceptionDropout)), o.Classes)
	return b.n
}

// inceptionA: 1x1, 5x5 behind a bottleneck, two 3x3 in place of another 5x5, pool.
func (b *builder) inceptionA(name string, in, pool int) int {
	b.begin(name, "Inception A")
	a := b.basicConv(name+".branch1x1", in, 64, square(1), 1, square(0))
	c := b.basicConv(name+".branch5x5_1", in, 48, square(1), 1, square(0))
	c = b.basicConv(name+".branch5x5_2", c, 64, square(5), 1, square(2))
	d := b.basicConv(name+".branch3x3dbl_1", in, 64, square(1), 1, square(0))
	d = b.basicConv(name+".branch3x3dbl_2", d, 96, square(3), 1, square(1))
	d = b.basicConv(name+".branch3x3dbl_3", d, 96, square(3), 1, square(1))
	p := b.avgPool(name+".pool", in, 3, 1, 1)
	p = b.basicConv(name+".branch_pool", p, pool, square(1), 1, square(0))
	return b.concat(name+".concat", a, c, d, p)
}

// inceptionB halves the grid from 35 to 17.
func (b *builder) inceptionB(name string, in int) int {
	b.begin(name, "Reduction B")
	a := b.basicConv(name+".branch3x3", in, 384, square(3), 2, square(0))
	d := b.basicConv(name+".branch3x3dbl_1", in, 64, square(1), 1, square(0))
	d = b.basicConv(name+".branch3x3dbl_2", d, 96, square(3), 1, square(1))
	d = b.basicConv(name+".branch3x3dbl_3", d, 96, square(3), 2, square(0))
	p := b.maxPool(name+".pool", in, 3, 2, 0, false)
	return b.concat(name+".concat", a, d, p)
}

// inceptionC factorises 7x7 into 1x7 and 7x1.
func (b *builder) inceptionC(name string, in, c7 int) int {
	b.begin(name, "Inception C")
	row, rowPad := [2]int{1, 7}, [2]int{0, 3}
	col, colPad := [2]int{7, 1}, [2]int{3, 0}
	a := b.basicConv(name+".branch1x1", in, 192, square(1), 1, square(0))
	c := b.basicConv(name+".branch7x7_1", in, c7, square(1), 1, square(0))
	c = b.basicConv(name+".branch7x7_2", c, c7, row, 1, rowPad)
	c = b.basicConv(name+".branch7x7_3", c, 192, col, 1, colPad)
	d := b.basicConv(name+".branch7x7dbl_1", in, c7, square(1), 1, square(0))
	d = b.basicConv(name+".branch7x7dbl_2", d, c7, col, 1, colPad)
	d = b.basicConv(name+".branch7x7dbl_3", d, c7, row, 1, rowPad)
	d = b.basicConv(name+".branch7x7dbl_4", d, c7, col, 1, colPad)
	d = b.basicConv(name+".branch7x7dbl_5", d, 192, row, 1, rowPad)
	p := b.avgPool(name+".pool", in, 3, 1, 1)
	p = b.basicConv(name+".branch_pool", p, 192, square(1), 1, square(0))
	return b.concat(name+".concat", a, c, d, p)
}

// inceptionAux is the auxiliary classifier on the 17x17 grid.
func (b *builder) inceptionAux(in, classes int) int {
	b.begin("AuxLogits", kindAux)
	x := b.avgPool("AuxLogits.pool", in, 5, 3, 0)
	x = b.basicConv("AuxLogits.conv0", x, 128, square(1), 1, square(0))
	x = b.basicConv("AuxLogits.conv1", x, 768, square(5), 1, square(0))
	return b.linear("AuxLogits.fc", b.flatten(b.globalPool("AuxLogits.avgpool", x, 1)), classes)
}

// inceptionD halves the grid from 17 to 8.
func (b *builder) inceptionD(name string, in int) int {
	b.begin(name, "Reduction D")
	a := b.basicConv(name+".branch3x3_1", in, 192, square(1), 1, square(0))
	a = b.basicConv(name+".branch3x3_2", a, 320, square(3), 2, square(0))
	c := b.basicConv(name+".branch7x7x3_1", in, 192, square(1), 1, square(0))
	c = b.basicConv(name+".branch7x7x3_2", c, 192, [2]int{1, 7}, 1, [2]int{0, 3})
	c = b.basicConv(name+".branch7x7x3_3", c, 192, [2]int{7, 1}, 1, [2]int{3, 0})
	c = b.basicConv(name+".branch7x7x3_4", c, 192, square(3), 2, square(0))
	p := b.maxPool(name+".pool", in, 3, 2, 0, false)
	return b.concat(name+".concat", a, c, p)
}

// inceptionE widens: 3x3 as 1x3 and 3x1 side by side.
func (b *builder) inceptionE(name string, in int) int {
	b.begin(name, "Inception E")
	row, rowPad := [2]int{1, 3}, [2]int{0, 1}
	col, colPad := [2]int{3, 1}, [2]int{1, 0}
	a := b.basicConv(name+".branch1x1", in, 320, square(1), 1, square(0))
	c := b.basicConv(name+".branch3x3_1", in, 384, square(1), 1, square(0))
	c1 := b.basicConv(name+".branch3x3_2a", c, 384, row, 1, rowPad)
	c2 := b.basicConv(name+".branch3x3_2b", c, 384, col, 1, colPad)
	c = b.concat(name+".branch3x3", c1, c2)
	d := b.basicConv(name+".branch3x3dbl_1", in, 448, square(1), 1, square(0))
	d = b.basicConv(name+".branch3x3dbl_2", d, 384, square(3), 1, square(1))
	d1 := b.basicConv(name+".branch3x3dbl_3a", d, 384, row, 1, rowPad)
	d2 := b.basicConv(name+".branch3x3dbl_3b", d, 384, col, 1, colPad)
	d = b.concat(name+".branch3x3dbl", d1, d2)
	p := b.avgPool(name+".pool", in, 3, 1, 1)
	p = b.basicConv(name+".branch_pool", p, 192, square(1), 1, square(0))
	return b.concat(name+".concat", a, c, d, p)
}
