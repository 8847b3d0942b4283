package pixel

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"

	"golang.org/x/image/tiff"
)

// Tags of a TIFF's directory, and values of its compression.
const (
	tiffCompression = 259
	tiffPhotometric = 262

	tiffGroup3 = 3
	tiffGroup4 = 4
)

// tiffNames are compressions that are not decoded.
var tiffNames = map[uint16]string{
	2: "CCITT run lengths", 6: "old JPEG", 7: "JPEG", 34661: "JBIG", 34712: "JPEG 2000", 34887: "LERC",
	34925: "LZMA", 50000: "Zstandard", 50001: "WebP", 50002: "JPEG XL",
}

// tiffTag gives the first value of a tag of 16 bits in the first directory; 0
// where it is not there.
func tiffTag(b []byte, tag uint16) uint16 {
	var order binary.ByteOrder = binary.LittleEndian
	if b[0] == 'M' {
		order = binary.BigEndian
	}
	at := int64(order.Uint32(b[4:]))
	if at+2 > int64(len(b)) {
		return 0
	}
	n := int64(order.Uint16(b[at:]))
	for e := at + 2; e+12 <= int64(len(b)) && e < at+2+12*n; e += 12 {
		if order.Uint16(b[e:]) == tag {
			return order.Uint16(b[e+8:])
		}
	}
	return 0
}

func probeTIFF(b []byte) (Info, error) {
	info := Info{Format: "TIFF", Mode: "RGB"}
	if len(b) < 8 {
		return info, fmt.Errorf("%w: TIFF of %d bytes", ErrTruncated, len(b))
	}
	if name := tiffNames[tiffTag(b, tiffCompression)]; name != "" {
		return info, fmt.Errorf("%w: TIFF compressed by %s", ErrUnsupported, name)
	}
	c, err := tiff.DecodeConfig(bytes.NewReader(b))
	info.Width, info.Height = c.Width, c.Height
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
	m, err := tiff.Decode(bytes.NewReader(b))
	if err != nil {
		return nil, tiffError(err)
	}
	// The library gives facsimiles in which 0 is black the wrong way round.
	if c := tiffTag(b, tiffCompression); (c == tiffGroup3 || c == tiffGroup4) && tiffTag(b, tiffPhotometric) == 1 {
		if g, ok := m.(*image.Gray); ok {
			for i := range g.Pix {
				g.Pix[i] = ^g.Pix[i]
			}
		}
	}
	return m, nil
}
