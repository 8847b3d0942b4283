package pixel

/*
#cgo CFLAGS: -O3 -std=c17
#cgo LDFLAGS: -l:libjpeg.a -lm
#include <stdlib.h>
#include "jpeg.h"

*/
import "C"

import (
	"fmt"
	"runtime"
	"time"
	"unsafe"
)

// RGB is a decoded image.
type RGB struct {
	Pix  []byte // uint8 [H, W, 3], rows from the top
	W, H int    // pixels
}

// messageRoom is what C may write of a reason, with the NUL at its end.
const messageRoom = 512

// Alpha says what becomes of transparency.
type Alpha uint8

const (
	// DropAlpha takes colours as they are stored, whatever shows through them, as
	// Pillow's convert("RGB") and so torchvision's loaders do.
	DropAlpha Alpha = iota
	OverBlack       // colours over a black ground, by their opacity
	OverWhite       // and over a white one
)

// Decoder turns bytes into pixels. It keeps its memory from image to image
// and is for one goroutine at a time; Close frees it. What its methods say of
// an image that cannot be decoded is OfImage.
type Decoder struct {
	// AcceptTruncated decodes a JPEG that ends early as far as it goes; the rest
	// is grey. Without it, and in every other format, that is ErrTruncated.
	AcceptTruncated bool
	// Alpha says what becomes of transparency.
	Alpha Alpha
	// MaxPixels bounds width times height of what is decoded, beyond which an
	// image is ErrTooLarge; 0 means the package's maxPixels, which is also the
	// most it can be.
	MaxPixels int64
	// Beside is how many bytes a pixel the caller takes beside an image's pixels
	// while it has them; they count in the bound that SetMemory gives.
	Beside int64

	// LibjpegOnly decodes by libjpeg-turbo alone, without this package's own
	// Huffman decoder: to compare with.
	LibjpegOnly bool

	jpeg    *C.px_jpeg
	points  *Points // of the image at hand, while TrainFrom runs
	spent   Spent
	scratch C.px_scratch
	message *C.char
	spare   []byte // room for a crop
	out     C.px_region
	whole   []byte // of an image that is not a JPEG, and slack
	deep    []byte // of one with alpha
	held    int64  // bytes of the process's bound
	garbage bool   // the library leaves some behind
}

// NewDecoder makes a decoder. It panics where there is no memory for one.
func NewDecoder() *Decoder {
	d := &Decoder{jpeg: C.px_jpeg_new(), message: (*C.char)(C.calloc(1, messageRoom))}
	if d.jpeg == nil || d.message == nil {
		panic("pixel: no memory for a decoder")
	}
	runtime.SetFinalizer(d, (*Decoder).Close)
	return d
}

// Close frees the decoder's memory, that of the last Decode's pixels included.
// It may be called more than once; nothing else may be called after it.
func (d *Decoder) Close() {
	if d.jpeg == nil {
		return
	}
	d.Release()
	C.px_jpeg_free(d.jpeg)
	C.px_scratch_free(&d.scratch)
	C.free(unsafe.Pointer(d.message))
	d.jpeg = nil
	runtime.SetFinalizer(d, nil)
}

// Decode gives the whole image; its memory is good until the next call.
func (d *Decoder) Decode(b []byte) (*RGB, error) {
	info, err := d.probe(b)
	if err != nil {
		return nil, err
	}
	p, err := d.region(b, info, rect{0, 0, info.Width, info.Height}, 1)
	if err != nil {
		d.Release()
		return nil, err
	}
	// Of a whole image the rows follow one another.
	return &RGB{unsafe.Slice((*byte)(p.pix), p.w*p.h*3), p.w, p.h}, nil
}

// Check decodes all of an image's data without making its pixels: of a JPEG
// every coefficient, and pixels of an eighth of its size. It fails where Decode
// does.
func (d *Decoder) Check(b []byte) error {
	defer d.Release()
	info, err := d.probe(b)
	if err == nil {
		_, err = d.region(b, info, rect{0, 0, info.Width, info.Height}, 8)
	}
	return err
}

// probe reads the header and refuses an image larger than the decoder's bound.
func (d *Decoder) probe(b []byte) (Info, error) {
	info, err := Probe(b)
	if err == nil && d.MaxPixels > 0 && int64(info.Width)*int64(info.Height) > d.MaxPixels {
		err = fmt.Errorf("%w: %s of %d x %d, at most %d pixels are decoded", ErrTooLarge, info.Format, info.Width, info.Height, d.MaxPixels)
	}
	return info, err
}

// rect is a part of an image in pixels.
type rect struct{ x, y, w, h int }

// piece is a decoded region: it lies at (x, y) of the image as it was decoded.
type piece struct {
	rect
	stride int // bytes from row to row
	pix    unsafe.Pointer
}

// row is one row of the piece's pixels.
func (p piece) row(y int) []byte {
	return unsafe.Slice((*byte)(unsafe.Add(p.pix, y*p.stride)), p.w*3)
}

// Spent is where a decoder's time has gone: Decode, from bytes to pixels, and Resize, all
// that comes after, with colours.
type Spent struct{ Decode, Resize time.Duration }

// Spent sums up the time since the decoder was made.
func (d *Decoder) Spent() Spent { return d.spent }

// region decodes the region r of an image, at 1/q of its size where it is a JPEG.
func (d *Decoder) region(b []byte, info Info, r rect, q int) (piece, error) {
	if err := d.reserve(b, info); err != nil {
		return piece{}, err
	}
	began := time.Now()
	defer func() { d.spent.Decode += time.Since(began) }()
	if info.Format != "JPEG" {
		return d.other(b, info)
	}
	points := d.usePoints(b)
	d.out = C.px_region{x: C.int(r.x), y: C.int(r.y), w: C.int(r.w), h: C.int(r.h), denominator: C.int(q),
		accept_truncated: cbool(d.AcceptTruncated), plain: cbool(d.LibjpegOnly), points: points}
	code := C.px_jpeg_decode(d.jpeg, (*C.uint8_t)(&b[0]), C.size_t(len(b)), &d.out, d.message, messageRoom)
	out := d.out
	if code != C.PX_OK {
		return piece{}, d.fail(code, "JPEG")
	}
	if points == C.px_points_find {
		d.keepPoints(b)
	}
	return piece{rect{int(out.x), int(out.y), int(out.w), int(out.h)}, int(out.stride), unsafe.Pointer(out.rgb)}, nil
}

func cbool(b bool) C.int {
	if b {
		return 1
	}
	return 0
}

func (d *Decoder) fail(code C.int, what string) error {
	text := C.GoString(d.message)
	switch code {
	case C.PX_TRUNCATED:
		return fmt.Errorf("%w: %s: %s", ErrTruncated, what, text)
	case C.PX_MEMORY:
		return fmt.Errorf("decode %s: %s", what, text)
	}
	return fmt.Errorf("%w: %s: %s", ErrMalformed, what, text)
}

// EncodeJPEG packs w x h pixels, uint8 [h, w, 3], as a JPEG of libjpeg's quality
// 1 to 100, with chroma at half the resolution.
func EncodeJPEG(w, h int, rgb []byte, quality int) ([]byte, error) {
	if w < 1 || h < 1 || w > 65500 || h > 65500 || len(rgb) != w*h*3 || quality < 1 || quality > 100 {
		return nil, fmt.Errorf("encode JPEG: %d x %d pixels in %d bytes at quality %d", w, h, len(rgb), quality)
	}
	message := (*C.char)(C.calloc(1, messageRoom))
	defer C.free(unsafe.Pointer(message))
	var out *C.uint8_t
	var n C.ulong
	if code := C.px_jpeg_encode((*C.uint8_t)(&rgb[0]), C.int(w), C.int(h), C.int(quality), &out, &n, message, messageRoom); code != C.PX_OK {
		return nil, fmt.Errorf("encode JPEG: %s", C.GoString(message))
	}
	defer C.free(unsafe.Pointer(out))
	return C.GoBytes(unsafe.Pointer(out), C.int(n)), nil
}
