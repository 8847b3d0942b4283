package pixel

import (
	"encoding/binary"
	"fmt"
)

// BMP, in all the kinds that Pillow reads: headers of 12 to 124 bytes, 1 to 32
// bits a pixel, run-length coded or not, from the bottom or from the top.

// Values of a BMP's compression.
const (
	bmpPlain = iota
	bmpRLE8
	bmpRLE4
	bmpMasks
)

// bmpHead is what stands in front of a BMP's pixels.
type bmpHead struct {
	w, h        int
	fromTop     bool
	bits        int
	compression int
	masks       [4]uint32 // red, green, blue, alpha; of 16 and 32 bits a pixel
	colours     []byte    // of 1, 4 and 8 bits a pixel: blue, green, red, with a fourth byte where step is 4
	step        int
	pixels      []byte
}

// parseBMP reads the headers and the colours.
func parseBMP(b []byte) (bmpHead, error) {
	var h bmpHead
	le := binary.LittleEndian
	if len(b) < 26 {
		return h, fmt.Errorf("%w: BMP of %d bytes", ErrTruncated, len(b))
	}
	at, size := int64(le.Uint32(b[10:])), int64(le.Uint32(b[14:]))
	if size < 12 || size > 1<<16 {
		return h, fmt.Errorf("%w: BMP header of %d bytes", ErrMalformed, size)
	}
	end := 14 + size // of the header
	if int64(len(b)) < end || at > int64(len(b)) {
		return h, fmt.Errorf("%w: BMP of %d bytes", ErrTruncated, len(b))
	}
	used := uint32(0)
	switch size {
	case 12:
		h.w, h.h, h.bits, h.step = int(le.Uint16(b[18:])), int(le.Uint16(b[20:])), int(le.Uint16(b[24:])), 3
	case 40, 52, 56, 64, 108, 124:
		h.w, h.h, h.bits, h.step = int(int32(le.Uint32(b[18:]))), int(int32(le.Uint32(b[22:]))), int(le.Uint16(b[28:])), 4
		h.compression, used = int(le.Uint32(b[30:])), le.Uint32(b[46:])
		if h.h < 0 {
			h.h, h.fromTop = -h.h, true
		}
	default:
		return h, fmt.Errorf("%w: BMP with a header of %d bytes", ErrUnsupported, size)
	}
	if err := h.kind(); err != nil {
		return h, err
	}
	if h.compression == bmpMasks {
		// The masks are part of the long headers, and follow the short one.
		n := 3
		if size >= 56 {
			n = 4
		}
		if int64(len(b)) < 54+4*int64(n) {
			return h, fmt.Errorf("%w: BMP without its masks", ErrTruncated)
		}
		for i := range n {
			h.masks[i] = le.Uint32(b[54+4*i:])
		}
		if size == 40 {
			end += 12
		}
	}
	if h.bits <= 8 {
		n := int64(1) << h.bits
		if used > 0 {
			n = min(n, int64(used))
		}
		if int64(len(b)) < end+n*int64(h.step) {
			return h, fmt.Errorf("%w: BMP without its colours", ErrTruncated)
		}
		h.colours = b[end : end+n*int64(h.step)]
	}
	h.pixels = b[at:]
	return h, nil
}

// kind says whether the pixels are of a kind that is decoded, and fills in the
// masks that go without saying.
func (h *bmpHead) kind() error {
	switch {
	case h.bits == 1, h.bits == 24:
		if h.compression == bmpPlain {
			return nil
		}
	case h.bits == 4 || h.bits == 8:
		if h.compression == bmpPlain || h.compression == bmpRLE8 && h.bits == 8 || h.compression == bmpRLE4 && h.bits == 4 {
			return nil
		}
	case h.bits == 16:
		h.masks = [4]uint32{0x7c00, 0x3e0, 0x1f}
		if h.compression == bmpPlain || h.compression == bmpMasks {
			return nil
		}
	case h.bits == 32:
		h.masks = [4]uint32{0xff0000, 0xff00, 0xff}
		if h.compression == bmpPlain || h.compression == bmpMasks {
			return nil
		}
	}
	return fmt.Errorf("%w: BMP of %d bits a pixel with compression %d", ErrUnsupported, h.bits, h.compression)
}

func probeBMP(b []byte) (Info, error) {
	h, err := parseBMP(b)
	info := Info{Format: "BMP", Mode: "RGB", Width: h.w, Height: h.h}
	switch {
	case h.bits <= 8:
		info.Mode = "P"
	case h.masks[3] != 0:
		info.Mode = "RGBA"
	}
	return info, err
}

// bmp decodes into rgb [h, w, 3].
func bmp(b []byte, rgb []byte, alpha Alpha) error {
	h, err := parseBMP(b)
	if err != nil {
		return err
	}
	row := func(y int) []byte { // y counts from where the file begins
		if !h.fromTop {
			y = h.h - 1 - y
		}
		return rgb[y*h.w*3 : (y+1)*h.w*3]
	}
	switch {
	case h.compression == bmpRLE8 || h.compression == bmpRLE4:
		return h.runs(row)
	case h.bits <= 8:
		return h.each(row, func(in, out []byte) {
			mask, per := 1<<h.bits-1, 8/h.bits
			for x := range h.w {
				h.colour(int(in[x/per])>>(8-h.bits*(x%per+1))&mask, out[3*x:])
			}
		})
	case h.bits == 24:
		return h.each(row, func(in, out []byte) {
			for i := 0; i < len(out); i += 3 {
				out[i], out[i+1], out[i+2] = in[i+2], in[i+1], in[i]
			}
		})
	}
	return h.masked(row, alpha)
}

// each calls f with every row of the file, which is filled up to four bytes.
func (h *bmpHead) each(row func(int) []byte, f func(in, out []byte)) error {
	stride := (h.w*h.bits + 31) / 32 * 4
	used := (h.w*h.bits + 7) / 8
	for y := range h.h {
		if y*stride+used > len(h.pixels) {
			return fmt.Errorf("%w: BMP ends in row %d of %d", ErrTruncated, y, h.h)
		}
		f(h.pixels[y*stride:y*stride+used], row(y))
	}
	return nil
}

// colour looks a colour up; those that are not there are black.
func (h *bmpHead) colour(i int, out []byte) {
	if at := i * h.step; at+2 < len(h.colours) {
		out[0], out[1], out[2] = h.colours[at+2], h.colours[at+1], h.colours[at]
		return
	}
	out[0], out[1], out[2] = 0, 0, 0
}

// channel is a mask's place and width.
type channel struct{ shift, most uint32 }

func channelOf(mask uint32) channel {
	var c channel
	if mask == 0 {
		return c
	}
	for mask&1 == 0 {
		mask >>= 1
		c.shift++
	}
	c.most = mask
	return c
}

// value widens to 8 bits, rounding down as Pillow does.
func (c channel) value(v uint32) byte {
	if c.most == 0 {
		return 0
	}
	return byte(uint64(v>>c.shift&c.most) * 255 / uint64(c.most))
}

// masked decodes 16 and 32 bits a pixel.
func (h *bmpHead) masked(row func(int) []byte, alpha Alpha) error {
	var c [4]channel
	for i, m := range h.masks {
		c[i] = channelOf(m)
		if m != 0 && c[i].most&(c[i].most+1) != 0 {
			return fmt.Errorf("%w: BMP with the mask %#x", ErrUnsupported, m)
		}
	}
	step := h.bits / 8
	return h.each(row, func(in, out []byte) {
		var rgba [4]byte
		for x := range h.w {
			v := uint32(binary.LittleEndian.Uint16(in[x*step:]))
			if step == 4 {
				v = binary.LittleEndian.Uint32(in[x*4:])
			}
			for i := range 3 {
				rgba[i] = c[i].value(v)
			}
			if c[3].most == 0 {
				copy(out[3*x:3*x+3], rgba[:3])
				continue
			}
			rgba[3] = c[3].value(v)
			alpha.lay(out[3*x:3*x+3], rgba[:])
		}
	})
}

// runs decodes run-length coded pixels. What no run names is colour 0.
func (h *bmpHead) runs(row func(int) []byte) error {
	p := bmpPen{h: h, row: row}
	p.blank()
	in := h.pixels
	for len(in) >= 2 {
		n, v := int(in[0]), in[1]
		in = in[2:]
		switch {
		case n > 0: // of one colour, or of two in turn
			for i := range n {
				if h.compression == bmpRLE4 {
					p.put(v >> (4 - 4*(i%2)) & 15)
				} else {
					p.put(v)
				}
			}
		case v == 0: // end of the line
			p.x, p.y = 0, p.y+1
		case v == 1: // end of the image
			return nil
		case v == 2: // a step to the right and on
			if len(in) < 2 {
				return p.truncated()
			}
			p.x, p.y = p.x+int(in[0]), p.y+int(in[1])
			in = in[2:]
		default: // so many pixels as they are, filled up to two bytes
			n = int(v)
			bytes := n
			if h.compression == bmpRLE4 {
				bytes = (n + 1) / 2
			}
			if len(in) < bytes {
				return p.truncated()
			}
			for i := range n {
				p.put(h.packed(in, i))
			}
			in = in[min((bytes+1)/2*2, len(in)):]
		}
	}
	if p.y >= h.h { // the mark of the end is often forgotten
		return nil
	}
	return p.truncated()
}

// packed is the i-th of pixels that are not run-length coded.
func (h *bmpHead) packed(b []byte, i int) byte {
	if h.compression == bmpRLE8 {
		return b[i]
	}
	return b[i/2] >> (4 - 4*(i%2)) & 15
}

// bmpPen is where the next pixel goes.
type bmpPen struct {
	h    *bmpHead
	row  func(int) []byte
	x, y int
}

// blank gives all pixels colour 0.
func (p *bmpPen) blank() {
	for y := range p.h.h {
		out := p.row(y)
		for x := 0; x < len(out); x += 3 {
			p.h.colour(0, out[x:])
		}
	}
}

// put gives the next pixel of the row a colour; one beside the image is lost.
func (p *bmpPen) put(v byte) {
	if p.x < p.h.w && p.y < p.h.h {
		p.h.colour(int(v), p.row(p.y)[3*p.x:])
	}
	p.x++
}

func (p *bmpPen) truncated() error {
	return fmt.Errorf("%w: BMP ends in row %d of %d", ErrTruncated, p.y, p.h.h)
}
