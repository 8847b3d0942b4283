package pixel

/*
#cgo CFLAGS: -O3
#cgo LDFLAGS: -l:libjpeg.a -lm
#include <stdlib.h>
#include "jpeg.h"

static int px_decode(px_jpeg *p, const uint8_t *data, size_t n, int x, int y, int w, int h, int denominator, int truncated, px_part *out, char *message) {
	px_part part = {x, y, w, h, denominator, truncated, 0};
	int code = px_jpeg_decode(p, data, n, &part, message);
	*out = part;
	return code;
}
*/
import "C"

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/draw"
	"io"
	"runtime"
	"unsafe"
)

// RGB is a decoded picture, rows from the top, three bytes a pixel.
type RGB struct {
	Pix  []byte
	W, H int
}

// Decoder turns bytes into pixels. It keeps its memory from picture to picture
// and is for one goroutine at a time; Close frees it.
type Decoder struct {
	// AcceptTruncated decodes a picture that ends early as far as it goes; the
	// rest is grey. Otherwise it is ErrTruncated.
	AcceptTruncated bool
	// White lays transparent pixels over white instead of black.
	White bool

	jpeg    *C.px_jpeg
	scratch C.px_scratch
	message *C.char
	whole   []byte
}

// NewDecoder makes a decoder.
func NewDecoder() *Decoder {
	d := &Decoder{jpeg: C.px_jpeg_new(), message: (*C.char)(C.calloc(1, 512))}
	if d.jpeg == nil || d.message == nil {
		panic("pixel: no memory for a decoder")
	}
	runtime.SetFinalizer(d, (*Decoder).Close)
	return d
}

// Close frees the decoder's memory. It may be called more than once.
func (d *Decoder) Close() {
	if d.jpeg == nil {
		return
	}
	C.px_jpeg_free(d.jpeg)
	C.px_scratch_free(&d.scratch)
	C.free(unsafe.Pointer(d.message))
	d.jpeg = nil
	runtime.SetFinalizer(d, nil)
}

// Decode gives the whole picture; its memory is good until the next call.
func (d *Decoder) Decode(b []byte) (*RGB, error) {
	info, err := Probe(b)
	if err != nil {
		return nil, err
	}
	p, err := d.part(b, info, rect{0, 0, info.Width, info.Height}, 1)
	if err != nil {
		return nil, err
	}
	return &RGB{unsafe.Slice((*byte)(p.pix), p.w*p.h*3), p.w, p.h}, nil
}

// rect is a part of a picture in pixels.
type rect struct{ x, y, w, h int }

// piece is a decoded part: it lies at (x, y) of the picture decoded at 1/q.
type piece struct {
	rect
	q   int
	pix unsafe.Pointer
}

// part decodes the part r of a picture, at 1/q of its size where it is a JPEG.
func (d *Decoder) part(b []byte, info Info, r rect, q int) (piece, error) {
	if info.Format != "JPEG" {
		return d.other(b, info)
	}
	var out C.px_part
	code := C.px_decode(d.jpeg, (*C.uint8_t)(&b[0]), C.size_t(len(b)), C.int(r.x), C.int(r.y), C.int(r.w), C.int(r.h), C.int(q), cbool(d.AcceptTruncated), &out, d.message)
	if code != C.PX_OK {
		return piece{}, d.fail(code, "JPEG")
	}
	return piece{rect{int(out.x), int(out.y), int(out.w), int(out.h)}, q, unsafe.Pointer(out.rgb)}, nil
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

// other decodes a picture that is not a JPEG, whole, by Go's library.
func (d *Decoder) other(b []byte, info Info) (piece, error) {
	m, _, err := image.Decode(bytes.NewReader(b))
	if err != nil {
		kind := ErrMalformed
		if errors.Is(err, io.ErrUnexpectedEOF) {
			kind = ErrTruncated
		}
		return piece{}, fmt.Errorf("%w: %s: %w", kind, info.Format, err)
	}
	box := m.Bounds()
	w, h := box.Dx(), box.Dy()
	canvas := image.NewRGBA(image.Rect(0, 0, w, h))
	under := image.Black
	if d.White {
		under = image.White
	}
	draw.Draw(canvas, canvas.Rect, under, image.Point{}, draw.Src)
	draw.Draw(canvas, canvas.Rect, m, box.Min, draw.Over)
	if cap(d.whole) < w*h*3 {
		d.whole = make([]byte, w*h*3)
	}
	d.whole = d.whole[:w*h*3]
	for i, j := 0, 0; i < len(d.whole); i, j = i+3, j+4 {
		copy(d.whole[i:i+3], canvas.Pix[j:j+3])
	}
	return piece{rect{0, 0, w, h}, 1, unsafe.Pointer(&d.whole[0])}, nil
}

// EncodeJPEG packs w x h RGB pixels.
func EncodeJPEG(w, h int, rgb []byte, quality int) ([]byte, error) {
	if w < 1 || h < 1 || w > 65500 || h > 65500 || len(rgb) != w*h*3 || quality < 1 || quality > 100 {
		return nil, fmt.Errorf("encode JPEG: %d x %d pixels in %d bytes at quality %d", w, h, len(rgb), quality)
	}
	message := (*C.char)(C.calloc(1, 512))
	defer C.free(unsafe.Pointer(message))
	var out *C.uint8_t
	var n C.ulong
	if code := C.px_jpeg_encode((*C.uint8_t)(&rgb[0]), C.int(w), C.int(h), C.int(quality), &out, &n, message); code != C.PX_OK {
		return nil, fmt.Errorf("encode JPEG: %s", C.GoString(message))
	}
	defer C.free(unsafe.Pointer(out))
	return C.GoBytes(unsafe.Pointer(out), C.int(n)), nil
}
