package pixel

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"slices"

	"golang.org/x/image/tiff"
)

// Tags of a TIFF's directory, and values of its compression and photometric interpretation.
const (
	tiffBits        = 258
	tiffCompression = 259
	tiffPhotometric = 262
	tiffFillOrder   = 266
	tiffOrientation = 274
	tiffSamples     = 277
	tiffPlanes      = 284
	tiffPredictor   = 317
	tiffExtra       = 338

	tiffGroup3     = 3
	tiffGroup4     = 4
	tiffLZW        = 5
	tiffDeflate    = 8
	tiffDeflateOld = 32946

	tiffRGB     = 2
	tiffPalette = 3
)

// tiffNames are compressions that are not decoded.
var tiffNames = map[uint16]string{
	2: "CCITT run lengths", 6: "old JPEG", 7: "JPEG", 34661: "JBIG", 34712: "JPEG 2000", 34887: "LERC",
	34925: "LZMA", 50000: "Zstandard", 50001: "WebP", 50002: "JPEG XL",
}

// tiffTags are the tags of a TIFF's first directory, in place.
type tiffTags struct {
	order binary.ByteOrder
	b     []byte
	at, n int64 // of the first entry; entries
}

func tagsOf(b []byte) tiffTags {
	t := tiffTags{order: binary.LittleEndian, b: b}
	if b[0] == 'M' {
		t.order = binary.BigEndian
	}
	t.at = int64(t.order.Uint32(b[4:])) + 2
	if t.at <= int64(len(b)) {
		t.n = int64(t.order.Uint16(b[t.at-2:]))
	}
	return t
}

// find gives a tag's entry, nil where it is not there.
func (t tiffTags) find(tag uint16) []byte {
	for e := t.at; e+12 <= int64(len(t.b)) && e < t.at+12*t.n; e += 12 {
		if t.order.Uint16(t.b[e:]) == tag {
			return t.b[e : e+12]
		}
	}
	return nil
}

// first is the first value of a tag of 16 bits, and how many there are.
func (t tiffTags) first(tag uint16) (value uint16, n int) {
	if e := t.find(tag); e != nil {
		return t.order.Uint16(e[8:]), int(t.order.Uint32(e[4:]))
	}
	return 0, 0
}

func (t tiffTags) value(tag uint16) uint16 {
	v, _ := t.first(tag)
	return v
}

// unread names what the library takes for something else, or for damage; "" is
// none of that.
func (t tiffTags) unread() string {
	compression, photometric := t.value(tiffCompression), t.value(tiffPhotometric)
	samples := max(int(t.value(tiffSamples)), 1)
	_, bits := t.first(tiffBits)
	fax := compression == tiffGroup3 || compression == tiffGroup4
	switch {
	case tiffNames[compression] != "":
		return "TIFF compressed by " + tiffNames[compression]
	case t.value(tiffPlanes) == 2 && samples > 1:
		return "TIFF with its colours in planes"
	case t.value(tiffFillOrder) == 2 && !fax:
		return "TIFF with its bits in reverse order"
	case bits > 0 && bits != samples:
		return fmt.Sprintf("TIFF of %d samples a pixel and the bits of %d", samples, bits)
	case photometric == tiffRGB && samples > 3 && t.find(tiffExtra) == nil:
		return "TIFF of four colours that are not named"
	case photometric == tiffRGB && samples > 3 && (samples > 4 || t.value(tiffExtra) != 1 && t.value(tiffExtra) != 2):
		return "TIFF with more than colours and alpha"
	case photometric == 0 && t.b[0] == 'M' && t.grey16():
		return "TIFF of 16-bit greys from white to black, high byte first"
	}
	return ""
}

// grey16 says whether the pixels are greys of 16 bits.
func (t tiffTags) grey16() bool {
	depth, n := t.first(tiffBits)
	return n == 1 && depth == 16 && t.value(tiffPhotometric) <= 1
}

func probeTIFF(b []byte) (Info, error) {
	info := Info{Format: "TIFF", Mode: "RGB"}
	if len(b) < 8 {
		return info, fmt.Errorf("%w: TIFF of %d bytes", ErrTruncated, len(b))
	}
	t := tagsOf(b)
	if name := t.unread(); name != "" {
		return info, fmt.Errorf("%w: %s", ErrUnsupported, name)
	}
	c, err := tiff.DecodeConfig(bytes.NewReader(b))
	info.Width, info.Height = c.Width, c.Height
	if t.value(tiffOrientation) >= 5 && t.value(tiffOrientation) <= 8 {
		info.Width, info.Height = c.Height, c.Width
	}
	depth := t.value(tiffBits)
	switch {
	case t.grey16():
		info.Mode = "I;16"
	case t.value(tiffPhotometric) <= 1 && depth <= 1:
		info.Mode = "1"
	case t.value(tiffPhotometric) <= 1:
		info.Mode = "L"
	case t.value(tiffPhotometric) == tiffPalette:
		info.Mode = "P"
	case t.find(tiffExtra) != nil:
		info.Mode = "RGBA"
	}
	return info, tiffError(err)
}

func tiffError(err error) error {
	var unsupported tiff.UnsupportedError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &unsupported):
		return fmt.Errorf("%w: TIFF with its %s", ErrUnsupported, string(unsupported))
	}
	return fmt.Errorf("%w: TIFF: %w", decodeKind(err), err)
}

func decodeTIFF(b []byte) (image.Image, error) {
	t := tagsOf(b)
	compression := t.value(tiffCompression)
	if e := t.find(tiffPredictor); e != nil && t.order.Uint16(e[8:]) != 1 {
		switch compression {
		case tiffLZW, tiffDeflate, tiffDeflateOld:
		default: // where others heed no predictor the library does
			t = tagsOf(slices.Clone(b))
			t.order.PutUint16(t.find(tiffPredictor)[8:], 1)
		}
	}
	m, err := tiff.Decode(bytes.NewReader(t.b))
	if err != nil {
		return nil, tiffError(err)
	}
	switch m := m.(type) {
	case *image.Gray:
		// The library gives facsimiles in which 0 is black the wrong way round.
		if (compression == tiffGroup3 || compression == tiffGroup4) && t.value(tiffPhotometric) == 1 {
			invert(m.Pix)
		}
	case *image.Gray16:
		// Pillow takes such greys as they are.
		if t.value(tiffPhotometric) == 0 {
			invert(m.Pix)
		}
	}
	if o := t.value(tiffOrientation); o > 1 && o <= 8 {
		return turned(m, o), nil
	}
	return m, nil
}

func invert(pix []byte) {
	for i := range pix {
		pix[i] = ^pix[i]
	}
}

// turned puts an image upright, as Pillow does with TIFF alone. Its pixels are
// stored ones, so that transparency stays what it is.
func turned(m image.Image, orientation uint16) image.Image {
	w, h := m.Bounds().Dx(), m.Bounds().Dy()
	size := image.Rect(0, 0, w, h)
	if orientation >= 5 {
		size = image.Rect(0, 0, h, w)
	}
	out := image.NewNRGBA(size)
	row := make([]byte, 4*w)
	for y := range h {
		stored(m, y, row)
		for x := range w {
			// Where the pixel comes to lie: the first row and column of the file are
			// the sides of the image that the tag says.
			right, down := x, y
			switch orientation {
			case 2:
				right = w - 1 - x
			case 3:
				right, down = w-1-x, h-1-y
			case 4:
				down = h - 1 - y
			case 5:
				right, down = y, x
			case 6:
				right, down = h-1-y, x
			case 7:
				right, down = h-1-y, w-1-x
			case 8:
				right, down = y, w-1-x
			}
			copy(out.Pix[out.PixOffset(right, down):], row[4*x:4*x+4])
		}
	}
	return out
}
