package pixel

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/gif"
	"image/png"
	"io"
	"slices"
	"unsafe"
)

// slack is how much memory behind an image's pixels may be read, never used.
const slack = 64

// other decodes an image that is not a JPEG, whole. Of an animation it is the
// first frame, on the canvas that the header says.
func (d *Decoder) other(b []byte, info Info) (piece, error) {
	w, h := info.Width, info.Height
	if n := w * h * 3; cap(d.whole) < n+slack {
		d.whole = make([]byte, n, n+slack)
	}
	d.whole = d.whole[:w*h*3]
	under := byte(0)
	if d.White {
		under = 255
	}
	var err error
	switch info.Format {
	case "WEBP":
		err = webp(b, d.whole, &d.deep, under)
	case "BMP":
		err = bmp(b, d.whole, under)
	default:
		err = d.library(b, info, under)
	}
	if err != nil {
		return piece{}, err
	}
	return piece{rect{0, 0, w, h}, w * 3, unsafe.Pointer(&d.whole[0])}, nil
}

// library decodes PNG, GIF and TIFF by Go's libraries.
func (d *Decoder) library(b []byte, info Info, under byte) error {
	var m image.Image
	var err error
	switch info.Format {
	case "PNG":
		m, err = png.Decode(bytes.NewReader(withEnd(b)))
	case "GIF":
		m, err = gif.Decode(bytes.NewReader(b))
	default:
		m, err = decodeTIFF(b)
	}
	switch {
	case err != nil && info.Format == "TIFF":
		return err
	case err != nil:
		return fmt.Errorf("%w: %s: %w", decodeKind(err), info.Format, err)
	}
	w, h := info.Width, info.Height
	full := image.Rect(0, 0, w, h)
	if n, ok := m.(*image.NRGBA); ok && m.Bounds() == full {
		for y := range h {
			over(d.whole[y*w*3:(y+1)*w*3], n.Pix[y*n.Stride:y*n.Stride+w*4], under)
		}
		return nil
	}
	canvas := image.NewRGBA(full)
	draw.Draw(canvas, full, image.NewUniform(beside(m, under)), image.Point{}, draw.Src)
	draw.Draw(canvas, m.Bounds(), image.NewUniform(color.Gray{Y: under}), image.Point{}, draw.Src)
	draw.Draw(canvas, m.Bounds(), m, m.Bounds().Min, draw.Over)
	for i, j := 0, 0; i < len(d.whole); i, j = i+3, j+4 {
		copy(d.whole[i:i+3], canvas.Pix[j:j+3])
	}
	return nil
}

// beside is what lies where a GIF's first frame does not: nothing, where the
// frame has a transparent colour, else its first colour, as in Pillow.
func beside(m image.Image, under byte) color.Color {
	p, ok := m.(*image.Paletted)
	if !ok || len(p.Palette) == 0 || slices.ContainsFunc(p.Palette, transparent) {
		return color.Gray{Y: under}
	}
	return p.Palette[0]
}

func transparent(c color.Color) bool {
	_, _, _, a := c.RGBA()
	return a == 0
}

// withEnd gives a PNG that ends between two chunks the last one, IEND, which
// says nothing but that it is the end.
func withEnd(b []byte) []byte {
	const frame = 12 // length, kind and checksum of a chunk
	at := int64(8)
	for at+frame <= int64(len(b)) {
		if string(b[at+4:at+8]) == "IEND" {
			return b
		}
		at += frame + int64(binary.BigEndian.Uint32(b[at:]))
	}
	if at != int64(len(b)) {
		return b
	}
	return append(slices.Clip(b), "\x00\x00\x00\x00IEND\xae\x42\x60\x82"...)
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
