package pixel

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"image/gif"
)

// decodeGIF gives the first frame of a GIF on its canvas. Beside the frame there
// is what Pillow has there: its transparent colour, where it has one, else its
// first.
func decodeGIF(b []byte) (image.Image, error) {
	m, err := gif.Decode(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	frame, ok := m.(*image.Paletted)
	if !ok {
		return m, nil
	}
	// The library forgets the colour that is transparent, which is a colour like
	// the others to those who do not see transparency.
	beside := 0
	colours, see := gifColours(b)
	for i := range frame.Palette {
		if 3*i+3 > len(colours) {
			break
		}
		c := color.NRGBA{colours[3*i], colours[3*i+1], colours[3*i+2], 255}
		if i == see {
			c.A = 0
		}
		frame.Palette[i] = c
	}
	if see >= 0 && see < len(frame.Palette) {
		beside = see
	}
	full := image.Rect(0, 0, int(binary.LittleEndian.Uint16(b[6:])), int(binary.LittleEndian.Uint16(b[8:])))
	if frame.Rect == full {
		return frame, nil
	}
	canvas := image.NewPaletted(full, frame.Palette)
	for i := range canvas.Pix {
		canvas.Pix[i] = byte(beside)
	}
	for y := frame.Rect.Min.Y; y < frame.Rect.Max.Y; y++ {
		copy(canvas.Pix[canvas.PixOffset(frame.Rect.Min.X, y):], frame.Pix[frame.PixOffset(frame.Rect.Min.X, y):][:frame.Rect.Dx()])
	}
	return canvas, nil
}

// gifColours gives the colours of a sound GIF's first frame, three bytes each,
// and which of them is transparent, or -1.
func gifColours(b []byte) (colours []byte, transparent int) {
	transparent = -1
	table := func(at int, flags byte) ([]byte, int) {
		if flags&0x80 == 0 {
			return nil, at
		}
		end := min(at+3<<(flags&7+1), len(b))
		return b[at:end], end
	}
	colours, at := table(13, b[10])
	for at+10 < len(b) {
		switch b[at] {
		case '!': // an extension: its kind, and pieces with their lengths
			if b[at+1] == 0xf9 && b[at+2] >= 4 {
				transparent = -1
				if b[at+3]&1 != 0 {
					transparent = int(b[at+6])
				}
			}
			for at += 2; at < len(b) && b[at] != 0; at += 1 + int(b[at]) {
			}
			at++
		case ',': // a frame
			if own, _ := table(at+10, b[at+9]); own != nil {
				colours = own
			}
			return colours, transparent
		default:
			return colours, transparent
		}
	}
	return colours, transparent
}
