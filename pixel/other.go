package pixel

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"slices"
	"strings"
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
	var err error
	switch info.Format {
	case "WEBP":
		err = webp(b, d.whole, &d.deep, d.Alpha)
	case "BMP":
		err = bmp(b, d.whole, d.Alpha)
	default:
		err = d.library(b, info)
	}
	if err != nil {
		return piece{}, err
	}
	return piece{rect{0, 0, w, h}, w * 3, unsafe.Pointer(&d.whole[0])}, nil
}

// library decodes PNG, GIF and TIFF by Go's libraries.
func (d *Decoder) library(b []byte, info Info) error {
	var m image.Image
	var err error
	switch info.Format {
	case "PNG":
		m, err = png.Decode(bytes.NewReader(withEnd(b)))
	case "GIF":
		m, err = decodeGIF(b)
	default:
		m, err = decodeTIFF(b)
	}
	switch {
	case err != nil && info.Format == "TIFF":
		return err
	case err != nil:
		return fmt.Errorf("%w: %s: %w", decodeKind(err), info.Format, err)
	}
	if deep, ok := m.(*image.NRGBA64); ok && info.Mode == "I;16" { // greys of which one is transparent
		m = shallow(deep)
	}
	w, h := info.Width, info.Height
	if m.Bounds() != image.Rect(0, 0, w, h) {
		return fmt.Errorf("%w: %s: %v and not %d x %d", ErrMalformed, info.Format, m.Bounds(), w, h)
	}
	if cap(d.deep) < w*4 {
		d.deep = make([]byte, w*4)
	}
	row := d.deep[:w*4]
	for y := range h {
		stored(m, y, row)
		d.Alpha.lay(d.whole[y*w*3:(y+1)*w*3], row)
	}
	return nil
}

// stored gives a row of an image in four bytes a pixel, with colours as Pillow
// has them: the upper bytes of colours of 16 bits, but greys of 16 bits up to 255
// and all above as 255; premultiplied ones divided.
func stored(m image.Image, y int, out []byte) {
	switch m := m.(type) {
	case *image.NRGBA:
		copy(out, m.Pix[y*m.Stride:])
	case *image.NRGBA64:
		upper(out, m.Pix[y*m.Stride:])
	case *image.RGBA:
		copy(out, m.Pix[y*m.Stride:])
		divide(out)
	case *image.RGBA64:
		upper(out, m.Pix[y*m.Stride:])
		divide(out)
	case *image.Gray:
		for x, v := range m.Pix[y*m.Stride:][:len(out)/4] {
			copy(out[4*x:], []byte{v, v, v, 255})
		}
	case *image.Gray16:
		for x := range len(out) / 4 {
			grey16(out[4*x:], m.Pix[y*m.Stride+2*x:], 255)
		}
	case *image.Paletted:
		var colours [256][4]byte
		for i, c := range m.Palette[:min(len(m.Palette), 256)] {
			n := color.NRGBAModel.Convert(c).(color.NRGBA)
			colours[i] = [4]byte{n.R, n.G, n.B, n.A}
		}
		for x, v := range m.Pix[y*m.Stride:][:len(out)/4] {
			copy(out[4*x:], colours[v][:])
		}
	default:
		panic(fmt.Sprintf("pixel: Go's libraries gave a %T", m))
	}
}

// grey16 makes a pixel of a grey of 16 bits, high byte first.
func grey16(out, grey []byte, alpha byte) {
	v := grey[1]
	if grey[0] > 0 {
		v = 255
	}
	out[0], out[1], out[2], out[3] = v, v, v, alpha
}

// shallow is grey16 of an image with alpha.
func shallow(deep *image.NRGBA64) *image.NRGBA {
	out := image.NewNRGBA(deep.Rect)
	for i := 0; i < len(out.Pix); i += 4 {
		grey16(out.Pix[i:], deep.Pix[2*i:], deep.Pix[2*i+6])
	}
	return out
}

// upper takes the upper bytes of 16 bits.
func upper(out, deep []byte) {
	for i := range out {
		out[i] = deep[2*i]
	}
}

// divide takes alpha out of colours that it was multiplied into, as Pillow does.
func divide(rgba []byte) {
	for i := 0; i < len(rgba); i += 4 {
		switch a := int(rgba[i+3]); a {
		case 255:
		case 0:
			clear(rgba[i : i+3])
		default:
			for c := i; c < i+3; c++ {
				rgba[c] = byte(min(int(rgba[c])*255/a, 255))
			}
		}
	}
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

// lay makes a row of colours of one with alpha.
func (a Alpha) lay(rgb, rgba []byte) {
	if a == DropAlpha {
		for i, j := 0, 0; i < len(rgb); i, j = i+3, j+4 {
			rgb[i], rgb[i+1], rgb[i+2] = rgba[j], rgba[j+1], rgba[j+2]
		}
		return
	}
	under := uint(0)
	if a == OverWhite {
		under = 255
	}
	for i, j := 0, 0; i < len(rgb); i, j = i+3, j+4 {
		alpha := uint(rgba[j+3])
		for c := range 3 {
			rgb[i+c] = byte((uint(rgba[j+c])*alpha + under*(255-alpha) + 127) / 255)
		}
	}
}

func decodeKind(err error) error {
	// Go's libraries do not wrap what they read from.
	if err == io.EOF || strings.HasSuffix(err.Error(), io.ErrUnexpectedEOF.Error()) || errors.Is(err, png.FormatError("not enough pixel data")) {
		return ErrTruncated
	}
	return ErrMalformed
}
