package pixel

import "math"

// operation is one of the distortions that policies choose from, of an image of n x n pixels,
// uint8 [n, n, 3]. What comes of it is what torchvision makes of a PIL image, in every bit.
// from is a copy of the image, dst the image.
type operation func(dst, from []byte, n int, magnitude float64)

// The operations by torchvision's names (torchvision.transforms.autoaugment._apply_op).
var operations = map[string]operation{
	"Identity": func([]byte, []byte, int, float64) {},
	// F.affine has tangents of angles in degrees: the magnitude but for rounding.
	"ShearX": func(dst, from []byte, n int, m float64) {
		affine(dst, from, n, [6]float64{1, shear(m), 0, 0, 1, 0})
	},
	"ShearY": func(dst, from []byte, n int, m float64) {
		affine(dst, from, n, [6]float64{1, 0, 0, shear(m), 1, 0})
	},
	"TranslateX": func(dst, from []byte, n int, m float64) { translate(dst, from, n, int(m), 0) },
	"TranslateY": func(dst, from []byte, n int, m float64) { translate(dst, from, n, 0, int(m)) },
	"Rotate":     rotate,
	"Brightness": func(dst, from []byte, _ int, m float64) { blend(dst, from, 1+m, func(int) int { return 0 }) },
	"Color": func(dst, from []byte, _ int, m float64) {
		blend(dst, from, 1+m, func(i int) int { return grey(from[i-i%3:]) })
	},
	"Contrast":  contrast,
	"Sharpness": sharpness,
	"Posterize": func(dst, _ []byte, _ int, m float64) {
		mapped(dst, func(v int) int { return v &^ (1<<(8-int(m)) - 1) })
	},
	"Solarize":     solarize,
	"AutoContrast": func(dst, from []byte, _ int, _ float64) { perChannel(dst, from, autoContrast) },
	"Equalize":     func(dst, from []byte, _ int, _ float64) { perChannel(dst, from, equalize) },
}

func shear(m float64) float64 {
	degrees := math.Atan(m) * (180 / math.Pi)
	return math.Tan(degrees * (math.Pi / 180))
}

// affine gives each pixel that of the source at (a x + b y + c, d x + e y + f), by Pillow's
// arithmetic for the nearest pixel: 16 bits of fraction, running sums, black outside.
func affine(dst, from []byte, n int, m [6]float64) {
	fix := func(v float64) int { return int(math.Floor(v*65536 + 0.5)) }
	dx, dy := fix(m[0]), fix(m[3])
	for y := range n {
		// Sums of what was rounded once, as Pillow's are.
		x0 := fix(m[2]+m[0]*0.5+m[1]*0.5) + y*fix(m[1])
		y0 := fix(m[5]+m[3]*0.5+m[4]*0.5) + y*fix(m[4])
		row := dst[y*n*3 : (y+1)*n*3]
		for x := range n {
			sx, sy := (x0+x*dx)>>16, (y0+x*dy)>>16
			to := row[3*x : 3*x+3]
			if uint(sx) >= uint(n) || uint(sy) >= uint(n) {
				to[0], to[1], to[2] = 0, 0, 0
				continue
			}
			copy(to, from[(sy*n+sx)*3:][:3])
		}
	}
}

// translate moves an image to the right and down, black coming in.
func translate(dst, from []byte, n, right, down int) {
	clear(dst)
	for y := max(down, 0); y < min(n, n+down); y++ {
		to := dst[y*n*3 : (y+1)*n*3]
		line := from[(y-down)*n*3 : (y-down+1)*n*3]
		if right >= 0 {
			copy(to[min(3*right, len(to)):], line)
		} else {
			copy(to, line[min(-3*right, len(line)):])
		}
	}
}

// rotate turns counterclockwise by degrees, about the centre, as Pillow's Image.rotate: by
// right angles without any arithmetic, and with cosines rounded at the fifteenth digit.
func rotate(dst, from []byte, n int, degrees float64) {
	degrees = math.Mod(degrees, 360)
	if degrees < 0 {
		degrees += 360
	}
	switch degrees {
	case 0:
		return
	case 90, 270:
		for y := range n {
			for x := range n {
				sx, sy := n-1-y, x
				if degrees == 270 {
					sx, sy = y, n-1-x
				}
				copy(dst[(y*n+x)*3:][:3], from[(sy*n+sx)*3:][:3])
			}
		}
		return
	}
	round := func(v float64) float64 { return math.RoundToEven(v*1e15) / 1e15 }
	angle := -degrees * (math.Pi / 180)
	c, s, half := round(math.Cos(angle)), round(math.Sin(angle)), float64(n)/2
	affine(dst, from, n, [6]float64{c, s, c*-half + s*-half + half, -s, c, -s*-half + c*-half + half})
}

// blend goes from another image towards this one by a factor, and beyond it above 1: Pillow's
// Image.blend, in float32, cut off and not rounded.
func blend(dst, from []byte, factor float64, other func(i int) int) {
	f := float32(factor)
	if f == 1 {
		return
	}
	for i := range dst {
		o := other(i)
		d := f * float32(int(from[i])-o)
		v := float32(o) + d
		dst[i] = byte(min(max(v, 0), 255))
	}
}

// grey is the luma of a pixel, as Pillow's mode L has it.
func grey(p []byte) int {
	return (int(p[0])*19595 + int(p[1])*38470 + int(p[2])*7471 + 0x8000) >> 16
}

func contrast(dst, from []byte, n int, m float64) {
	sum := 0
	for i := 0; i < len(from); i += 3 {
		sum += grey(from[i:])
	}
	mean := int(float64(sum)/float64(n*n) + 0.5)
	blend(dst, from, 1+m, func(int) int { return mean })
}

// sharpness blends with the image smoothed by (1 1 1; 1 5 1; 1 1 1) / 13, whose border is the
// image's own.
func sharpness(dst, from []byte, n int, m float64) {
	line := 3 * n
	blend(dst, from, 1+m, func(i int) int {
		if y, x := i/line, i%line/3; y == 0 || x == 0 || y == n-1 || x == n-1 {
			return int(from[i])
		}
		sum := 4 * int(from[i])
		for _, row := range [3]int{i - line, i, i + line} {
			sum += int(from[row-3]) + int(from[row]) + int(from[row+3])
		}
		return (2*sum + 13) / 26
	})
}

// mapped gives each value another.
func mapped(dst []byte, to func(v int) int) {
	var table [256]byte
	for v := range table {
		table[v] = byte(to(v))
	}
	for i, v := range dst {
		dst[i] = table[v]
	}
}

func solarize(dst, _ []byte, _ int, threshold float64) {
	mapped(dst, func(v int) int {
		if float64(v) < threshold {
			return v
		}
		return 255 - v
	})
}

// perChannel gives the values of each channel others, by how often each comes.
func perChannel(dst, from []byte, table func(counts *[256]int) (to [256]byte)) {
	for c := range 3 {
		var counts [256]int
		for i := c; i < len(from); i += 3 {
			counts[from[i]]++
		}
		to := table(&counts)
		for i := c; i < len(dst); i += 3 {
			dst[i] = to[from[i]]
		}
	}
}

// autoContrast stretches what there is to 0 to 255, as ImageOps.autocontrast.
func autoContrast(counts *[256]int) (to [256]byte) {
	low, high := 0, 255
	for low < 255 && counts[low] == 0 {
		low++
	}
	for high > 0 && counts[high] == 0 {
		high--
	}
	scale := 255 / float64(high-low)
	offset := float64(-low) * scale
	for v := range to {
		to[v] = byte(v)
		if high > low {
			stretched := float64(v) * scale
			to[v] = byte(min(max(int(stretched+offset), 0), 255))
		}
	}
	return to
}

// equalize makes all values about as frequent, as ImageOps.equalize.
func equalize(counts *[256]int) (to [256]byte) {
	sum, kinds, last := 0, 0, 0
	for _, n := range counts {
		if n > 0 {
			sum, kinds, last = sum+n, kinds+1, n
		}
	}
	step := (sum - last) / 255
	for v := range to {
		to[v] = byte(v)
	}
	if kinds <= 1 || step == 0 {
		return to
	}
	n := step / 2
	for v := range to {
		to[v] = byte(min(n/step, 255))
		n += counts[v]
	}
	return to
}
