package pixel

/*
#cgo LDFLAGS: -l:libwebpdemux.a -l:libwebp.a -lm
#include "resample.h"
#include "webp.h"
*/
import "C"

import (
	"fmt"
	"unsafe"
)

func webpError(code C.int) error {
	switch code {
	case C.PX_TRUNCATED:
		return fmt.Errorf("%w: WEBP: the data end early", ErrTruncated)
	case C.PX_MEMORY:
		return fmt.Errorf("decode WEBP: no memory")
	}
	return fmt.Errorf("%w: WEBP", ErrMalformed)
}

func webpHead(b []byte) (C.px_webp_info, error) {
	var c C.px_webp_info
	if code := C.px_webp_probe((*C.uint8_t)(&b[0]), C.size_t(len(b)), &c); code != C.PX_OK {
		return c, webpError(code)
	}
	return c, nil
}

func probeWebP(b []byte) (Info, error) {
	c, err := webpHead(b)
	info := Info{Format: "WEBP", Mode: "RGB", Width: int(c.width), Height: int(c.height)}
	if c.alpha != 0 {
		info.Mode = "RGBA"
	}
	return info, err
}

// webp decodes into rgb [h, w, 3]; of an animation the first frame.
// Spare is memory that is kept from image to image.
func webp(b, rgb []byte, spare *[]byte, alpha Alpha) error {
	c, err := webpHead(b)
	if err != nil {
		return err
	}
	deep := c.alpha != 0 || c.animated != 0
	out := rgb
	if deep {
		if n := len(rgb) / 3 * 4; cap(*spare) < n {
			*spare = make([]byte, n)
		}
		out = (*spare)[:len(rgb)/3*4]
	}
	if code := C.px_webp_decode((*C.uint8_t)(&b[0]), C.size_t(len(b)), &c, (*C.uint8_t)(unsafe.Pointer(&out[0])), C.size_t(len(out))); code != C.PX_OK {
		return webpError(code)
	}
	if deep {
		alpha.lay(rgb, out)
	}
	return nil
}
