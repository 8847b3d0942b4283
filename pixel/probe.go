// Package pixel is one image: from its bytes, whatever its name says, to
// uint8 RGB of the size a network wants. JPEG is decoded by libjpeg-turbo,
// statically linked.
package pixel

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image/gif"
	"image/png"
	"unicode/utf8"
)

// What an image can fail with: OfImage is true of each.
var (
	ErrUnknownFormat = errors.New("not an image of a known format")
	ErrUnsupported   = errors.New("image of a kind that is not decoded") // the error names the kind
	ErrMalformed     = errors.New("malformed image")
	ErrTruncated     = errors.New("truncated image")           // its bytes end early
	ErrTooLarge      = errors.New("image has too many pixels") // more than maxPixels
)

// OfImage says whether an error is about the image, not about the machine: all
// that Probe and the decoders say of bytes they refuse.
func OfImage(err error) bool {
	for _, kind := range []error{ErrUnknownFormat, ErrUnsupported, ErrMalformed, ErrTruncated, ErrTooLarge} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// maxPixels bounds width times height of what is decoded: a header of a few
// bytes can ask for any amount of memory.
const maxPixels = 1 << 27

// Info is what an image's header says. Format and Mode are named as Pillow
// names them; YCCK is told from CMYK.
type Info struct {
	Format        string // JPEG, PNG, GIF, BMP, TIFF, WEBP
	Mode          string // L, RGB, CMYK, YCCK, RGBA, LA, P, I;16, RGB;16, RGBA;16, 1
	Width, Height int    // pixels of the decoded image
}

// Probe reads the header, whatever follows it. Its errors are OfImage.
func Probe(b []byte) (Info, error) {
	info, err := probe(b)
	if err != nil {
		return info, err
	}
	if info.Width < 1 || info.Height < 1 {
		return info, fmt.Errorf("%w: %s of %d x %d pixels", ErrMalformed, info.Format, info.Width, info.Height)
	}
	if int64(info.Width)*int64(info.Height) > maxPixels {
		return info, fmt.Errorf("%w: %s of %d x %d", ErrTooLarge, info.Format, info.Width, info.Height)
	}
	return info, nil
}

func probe(b []byte) (Info, error) {
	switch {
	case bytes.HasPrefix(b, []byte{0xff, 0xd8, 0xff}):
		return probeJPEG(b)
	case bytes.HasPrefix(b, []byte("\x89PNG\r\n\x1a\n")):
		return probePNG(b)
	case bytes.HasPrefix(b, []byte("GIF87a")), bytes.HasPrefix(b, []byte("GIF89a")):
		return probeGIF(b)
	case len(b) >= 12 && string(b[:4]) == "RIFF" && string(b[8:12]) == "WEBP":
		return probeWebP(b)
	case bytes.HasPrefix(b, []byte("BM")):
		return probeBMP(b)
	case bytes.HasPrefix(b, []byte("II*\x00")), bytes.HasPrefix(b, []byte("MM\x00*")):
		return probeTIFF(b)
	}
	if name := knownAs(b); name != "" {
		return Info{}, fmt.Errorf("%w: %s", ErrUnsupported, name)
	}
	if name := noImage(b); name != "" {
		return Info{}, fmt.Errorf("%w: %s", ErrUnknownFormat, name)
	}
	return Info{}, ErrUnknownFormat
}

// knownAs names what bytes are that are found where images should be, by how
// they begin; "" where that says nothing.
func knownAs(b []byte) string {
	if len(b) >= 12 && string(b[4:8]) == "ftyp" {
		switch string(b[8:12]) {
		case "avif", "avis":
			return "AVIF"
		case "heic", "heix", "heim", "heis", "hevc", "mif1", "msf1":
			return "HEIF"
		}
		return "a film (ISO base media)"
	}
	for _, known := range known {
		if bytes.HasPrefix(b, []byte(known.begins)) {
			return known.name
		}
	}
	if len(b) > 2 && b[0] == 'P' && b[1] >= '1' && b[1] <= '7' && (b[2] == '\n' || b[2] == ' ' || b[2] == '\r' || b[2] == '\t') {
		return "PPM or another of Netpbm's"
	}
	text := textOf(b)
	switch {
	case bytes.HasPrefix(text, []byte("<!doctype html")), bytes.HasPrefix(text, []byte("<html")):
		return "a web page (HTML)"
	case bytes.HasPrefix(text, []byte("<svg")), bytes.HasPrefix(text, []byte("<?xml")) && bytes.Contains(text, []byte("<svg")):
		return "SVG"
	}
	return ""
}

// noImage names what stands where an image should be and is none; "" where that
// is not known.
func noImage(b []byte) string {
	text := textOf(b)
	switch {
	case len(b) == 0:
		return "an empty file"
	case len(bytes.Trim(b, "\x00")) == 0:
		return "zero bytes alone"
	case bytes.HasPrefix(b, []byte("\x1f\x8b")):
		return "compressed by gzip"
	case bytes.HasPrefix(b, []byte("PK\x03\x04")):
		return "a zip"
	case bytes.HasPrefix(b, []byte("\x93NUMPY")):
		return "an array of NumPy's"
	case bytes.HasPrefix(text, []byte("<?xml")):
		return "XML, as servers answer with instead of a file"
	case bytes.HasPrefix(text, []byte("version https://git-lfs")):
		return "a pointer of Git LFS to a file that was not fetched"
	case !bytes.ContainsFunc(text, func(r rune) bool {
		return r < ' ' && r != '\n' && r != '\r' && r != '\t' || r == utf8.RuneError
	}):
		return "text"
	}
	return ""
}

// textOf is how bytes begin if they are text, in small letters.
func textOf(b []byte) []byte {
	return bytes.ToLower(bytes.TrimSpace(bytes.TrimPrefix(b[:min(len(b), 512)], []byte("\ufeff"))))
}

// known are images, and what is met among them, by how they begin.
var known = []struct{ begins, name string }{
	{"II+\x00", "BigTIFF"}, {"MM\x00+", "BigTIFF"}, {"II\xbc", "JPEG XR"},
	{"\xff\x0a", "JPEG XL"}, {"\x00\x00\x00\x0cJXL ", "JPEG XL"},
	{"\x00\x00\x00\x0cjP  ", "JPEG 2000"}, {"\xff\x4f\xff\x51", "JPEG 2000"},
	{"8BPS", "Photoshop's PSD"}, {"\x00\x00\x01\x00", "ICO"}, {"\x00\x00\x02\x00", "TGA or CUR"}, {"icns", "ICNS"},
	{"%PDF", "PDF"}, {"%!PS", "PostScript"}, {"\xc5\xd0\xd3\xc6", "PostScript"},
	{"\x76\x2f\x31\x01", "OpenEXR"}, {"#?RADIANCE", "Radiance HDR"}, {"DDS ", "DDS"}, {"qoif", "QOI"}, {"\x01\xda", "SGI"},
	{"\x0a\x05\x01", "PCX"}, {"FLIF", "FLIF"}, {"BPG\xfb", "BPG"}, {"\xd7\xcd\xc6\x9a", "WMF"}, {"DanM", "MSP"}, {"LinS", "MSP"},
	{"\x1a\x45\xdf\xa3", "a film (Matroska)"}, {"\x8aMNG", "MNG"}, {"\x8bJNG", "JNG"},
}

func probeGIF(b []byte) (Info, error) {
	c, err := gif.DecodeConfig(bytes.NewReader(b))
	info := Info{Format: "GIF", Mode: "P", Width: c.Width, Height: c.Height}
	if err != nil {
		return info, fmt.Errorf("%w: GIF: %w", decodeKind(err), err)
	}
	return info, nil
}

// probeJPEG walks the markers to the frame header. The colour space is told as
// libjpeg tells it: by Adobe's marker where there is one.
func probeJPEG(b []byte) (Info, error) {
	info := Info{Format: "JPEG"}
	adobe := -1
	for at := 2; ; {
		for at < len(b) && b[at] != 0xff { // between segments there may be rubbish
			at++
		}
		for at < len(b) && b[at] == 0xff {
			at++
		}
		if at+3 > len(b) {
			return info, fmt.Errorf("%w: JPEG without a frame header", ErrTruncated)
		}
		marker := b[at]
		at++
		if marker == 0 || marker == 1 || marker >= 0xd0 && marker <= 0xd8 {
			continue
		}
		if marker == 0xd9 || marker == 0xda {
			return info, fmt.Errorf("%w: JPEG without a frame header", ErrMalformed)
		}
		size := int(binary.BigEndian.Uint16(b[at:]))
		if size < 2 {
			return info, fmt.Errorf("%w: JPEG segment of %d bytes", ErrMalformed, size)
		}
		if at+size > len(b) {
			return info, fmt.Errorf("%w: JPEG segment goes past the end", ErrTruncated)
		}
		seg := b[at+2 : at+size]
		switch {
		case marker == 0xee && len(seg) >= 12 && string(seg[:5]) == "Adobe":
			adobe = int(seg[11])
		case unreadJPEG(marker, seg) != "":
			return info, fmt.Errorf("%w: %s", ErrUnsupported, unreadJPEG(marker, seg))
		case marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc:
			if len(seg) < 6 {
				return info, fmt.Errorf("%w: JPEG frame header of %d bytes", ErrMalformed, len(seg))
			}
			info.Height, info.Width = int(binary.BigEndian.Uint16(seg[1:])), int(binary.BigEndian.Uint16(seg[3:]))
			switch n := seg[5]; {
			case n == 1:
				info.Mode = "L"
			case n == 3:
				info.Mode = "RGB"
			case n == 4 && adobe == 2:
				info.Mode = "YCCK"
			case n == 4:
				info.Mode = "CMYK"
			default:
				return info, fmt.Errorf("%w: JPEG of %d components", ErrMalformed, n)
			}
			return info, nil
		}
		at += size
	}
}

// unreadJPEG names the kinds of JPEG that libjpeg does not decode to 8 bits, by
// the frame header.
func unreadJPEG(marker byte, frame []byte) string {
	switch marker {
	case 0xf7:
		return "JPEG-LS"
	case 0xc3, 0xcb:
		return "lossless JPEG"
	case 0xc5, 0xc6, 0xc7, 0xcd, 0xce, 0xcf:
		return "hierarchical JPEG"
	case 0xc0, 0xc1, 0xc2, 0xc9, 0xca:
		if len(frame) > 0 && frame[0] != 8 {
			return fmt.Sprintf("JPEG of %d bits a sample", frame[0])
		}
	}
	return ""
}

func probePNG(b []byte) (Info, error) {
	info := Info{Format: "PNG"}
	if len(b) < 26 {
		return info, fmt.Errorf("%w: PNG without a header", ErrTruncated)
	}
	if _, err := png.DecodeConfig(bytes.NewReader(b)); err != nil {
		return info, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	info.Width, info.Height = int(binary.BigEndian.Uint32(b[16:])), int(binary.BigEndian.Uint32(b[20:]))
	depth, kind := b[24], b[25]
	info.Mode = map[byte]string{0: "L", 2: "RGB", 3: "P", 4: "LA", 6: "RGBA"}[kind]
	switch {
	case depth == 16 && kind == 0:
		info.Mode = "I;16"
	case depth == 16:
		info.Mode += ";16"
	case depth == 1 && kind == 0:
		info.Mode = "1"
	}
	return info, nil
}
