package pixel

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"io"
	"unsafe"
)

// slack is how much memory behind an image's pixels may be read, never used.
const slack = 64

// other decodes an image that is not a JPEG, whole, by Go's library. The
// canvas is what the header says; of an animation it is the first frame.
func (d *Decoder) other(b []byte, info Info) (piece, error) {
	m, _, err := image.Decode(bytes.NewReader(b))
	if err != nil {
		return piece{}, fmt.Errorf("%w: %s: %w", decodeKind(err), info.Format, err)
	}
	w, h := info.Width, info.Height
	if n := w * h * 3; cap(d.whole) < n+slack {
		d.whole = make([]byte, n, n+slack)
	}
	d.whole = d.whole[:w*h*3]
	under := byte(0)
	if d.White {
		under = 255
	}
	full := m.Bounds() == image.Rect(0, 0, w, h)
	if n, ok := m.(*image.NRGBA); ok && full {
		for y := range h {
			over(d.whole[y*w*3:(y+1)*w*3], n.Pix[y*n.Stride:y*n.Stride+w*4], under)
		}
	} else {
		canvas := image.NewRGBA(image.Rect(0, 0, w, h))
		draw.Draw(canvas, canvas.Rect, image.NewUniform(color.Gray{Y: under}), image.Point{}, draw.Src)
		draw.Draw(canvas, m.Bounds(), m, m.Bounds().Min, draw.Over)
		for i, j := 0, 0; i < len(d.whole); i, j = i+3, j+4 {
			copy(d.whole[i:i+3], canvas.Pix[j:j+3])
		}
	}
	return piece{rect{0, 0, w, h}, w * 3, unsafe.Pointer(&d.whole[0])}, nil
}

// over lays one row of pixels with alpha over a grey.
func over(rgb, rgba []byte, under byte) {
	for i, j := 0, 0; i < len(rgb); i, j = i+3, j+4 {
		alpha := uint(rgba[j+3])
		for c := range 3 {
			rgb[i+c] = byte((uint(rgba[j+c])*alpha + uint(under)*(255-alpha) + 127) / 255)
		}
	}
}

func decodeKind(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, png.FormatError("not enough pixel data")) {
		return ErrTruncated
	}
	return ErrMalformed
}
