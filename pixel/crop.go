package pixel

/*
#include "jpeg.h"

static int px_resize_to(px_scratch *s, const void *src, px_resize r, uint8_t *dst) { return px_resample(s, src, &r, dst); }
*/
import "C"

import (
	"bytes"
	"fmt"
	"image"
	"math"
	"math/rand/v2"
	"slices"
	"time"
	"unsafe"
)

// Arithmetic names how pixels are resized, for what is made of them to say: another
// name, other bytes.
const Arithmetic = "pillow-13"

// Eval is how an image is made ready for evaluation: resized so that its
// shorter side is Resize pixels (or both sides, with Square), antialiased as
// Pillow does it, then the centre Size x Size cut out.
type Eval struct {
	Size, Resize  int    // pixels; Resize is at least Size
	Interpolation string // bilinear (also "") or bicubic
	Square        bool
}

// Train is a random resized crop with what may follow it. A part of the area
// between AreaMin and AreaMax with an aspect ratio between AspectMin and
// AspectMax is cut out and made Size x Size: as torchvision's RandomResizedCrop
// draws it, or with Crop "tensorflow" as sample_distorted_bounding_box.
// Brightness, Contrast and Saturation b scale by a factor from 1-b to 1+b; Hue
// turns by up to so much of the circle either way. 0 leaves each as it is.
type Train struct {
	Size                                  int     // pixels, height and width
	AreaMin, AreaMax                      float64 // shares of the image's area
	AspectMin, AspectMax                  float64 // width by height
	Flip                                  bool    // mirror one image in two
	Brightness, Contrast, Saturation, Hue float64
	Interpolation                         string // bilinear (also "") or bicubic, antialiased
	Crop                                  string // torchvision (also "") or tensorflow

	// Exact makes of a crop every bit of what torchvision over Pillow makes of the same box.
	// Without it weights have 14 bits behind the point instead of 22, which makes one value
	// in fifty another by a level, and JPEGs are decoded at a half, a quarter or an eighth
	// where that is enough: both are faster.
	Exact bool

	Policy          string // "", or one of Policies
	PolicyOps       int    // of randaugment, operations
	PolicyMagnitude int    // of randaugment, from 0 to 30

	// Erase is the probability with which a rectangle of a 50th to a third of the image is
	// made EraseWith, last of all; 0: none.
	Erase     float64
	EraseWith [3]byte // red, green, blue
}

func interpolation(name string) (C.int, error) {
	switch name {
	case "bilinear", "":
		return 0, nil
	case "bicubic":
		return 1, nil
	}
	return 0, fmt.Errorf("interpolation %q: want bilinear or bicubic", name)
}

// support is the filter's half width in source pixels at a scale.
func support(cubic C.int, scale float64) float64 {
	return float64(1+cubic) * max(scale, 1)
}

// Eval writes the image that e asks for into dst, uint8 [Size, Size, 3]: with
// DropAlpha that of torchvision over Pillow in every bit.
func (d *Decoder) Eval(dst []byte, b []byte, e Eval) error {
	cubic, err := interpolation(e.Interpolation)
	if err != nil {
		return err
	}
	if e.Size < 1 || len(dst) < e.Size*e.Size*3 || e.Resize < e.Size {
		return fmt.Errorf("resize to %d, crop %d, into %d bytes", e.Resize, e.Size, len(dst))
	}
	info, err := d.probe(b)
	if err != nil {
		return err
	}
	if err := d.checkEnd(b, info); err != nil {
		return err
	}
	w, h := resized(info.Width, info.Height, e)
	// torchvision rounds half to even, as Python does.
	left, top := int(math.RoundToEven(float64(w-e.Size)/2)), int(math.RoundToEven(float64(h-e.Size)/2))
	sx, sy := float64(info.Width)/float64(w), float64(info.Height)/float64(h)
	x0, x1 := window(left, e.Size, info.Width, sx, support(cubic, sx))
	y0, y1 := window(top, e.Size, info.Height, sy, support(cubic, sy))
	defer d.Release()
	p, err := d.region(b, info, rect{x0, y0, x1 - x0, y1 - y0}, 1)
	if err != nil {
		return err
	}
	return d.resample(dst, p, C.px_resize{
		end_x: C.int(info.Width), end_y: C.int(info.Height), scale_x: C.double(sx), scale_y: C.double(sy),
		out_x: C.int(left), out_y: C.int(top), out_w: C.int(e.Size), out_h: C.int(e.Size), cubic: cubic,
		down_first: cbool(downFirst(info.Width, info.Height, w, h)),
	})
}

// checkEnd is an error where a JPEG ends before its last row, which a crop may lie above. One with the marker of its end
// behind its last scan is whole as far as this goes; of what has none, all data are decoded to see whether some are missing.
func (d *Decoder) checkEnd(b []byte, info Info) error {
	if info.Format != "JPEG" || d.AcceptTruncated {
		return nil
	}
	end, scan := []byte{0xff, 0xd9}, []byte{0xff, 0xda} // no scan's data have these
	if at := bytes.LastIndex(b, end); at >= 0 && !bytes.Contains(b[at:], scan) {
		return nil
	}
	return d.Check(b)
}

// downFirst says in which order Pillow resizes w x h pixels to tw x th: columns before
// rows where that takes away more than twice as many rows as columns. Up to version 12 it
// never does.
func downFirst(w, h, tw, th int) bool { return h > th && h-th > 2*(w-tw) }

// resized is the size after the resize: torchvision cuts the longer side down
// to a whole pixel.
func resized(w, h int, e Eval) (int, int) {
	switch {
	case e.Square:
		return e.Resize, e.Resize
	case w <= h:
		return e.Resize, max(e.Resize*h/w, e.Resize)
	}
	return max(e.Resize*w/h, e.Resize), e.Resize
}

// window is the span of source pixels that n output pixels from out0 on read.
func window(out0, n, full int, scale, support float64) (int, int) {
	from := int(math.Floor((float64(out0)+0.5)*scale-support)) - 1
	to := int(math.Ceil((float64(out0+n)-0.5)*scale+support)) + 1
	return max(from, 0), min(to, full)
}

func (d *Decoder) resample(dst []byte, p piece, r C.px_resize) error {
	began := time.Now()
	defer func() { d.spent.Resize += time.Since(began) }()
	r.stride = C.size_t(p.stride)
	r.w, r.h, r.offset_x, r.offset_y = C.int(p.w), C.int(p.h), C.int(p.x), C.int(p.y)
	if code := C.px_resize_to(&d.scratch, p.pix, r, (*C.uint8_t)(unsafe.Pointer(&dst[0]))); code != C.PX_OK {
		return fmt.Errorf("resize %d x %d pixels: code %d", p.w, p.h, int(code))
	}
	return nil
}

// Thumbnail writes the whole image, squeezed to size x size pixels, into dst, uint8 [size, size,
// 3]: for who looks at what is in an image and not at its edges. A JPEG is decoded at a half, a
// quarter or an eighth where three quarters of size are left.
func (d *Decoder) Thumbnail(dst, b []byte, size int) error {
	if size < 1 || len(dst) < size*size*3 {
		return fmt.Errorf("thumbnail of %d pixels into %d bytes", size, len(dst))
	}
	info, err := d.probe(b)
	if err != nil {
		return err
	}
	q := 1
	for info.Format == "JPEG" && q < 8 && min(info.Width, info.Height)/(2*q) >= size*3/4 {
		q *= 2
	}
	defer d.Release()
	return d.squeeze(dst, b, info, crop{0, 0, info.Width, info.Height}, q, Train{Size: size}, C.px_resize{})
}

// Train writes an image as t asks for into dst, uint8 [Size, Size, 3].
// Everything random comes from rng: one in the same state gives the same crop
// of an image of the same size, and the same colours.
func (d *Decoder) Train(dst []byte, b []byte, t Train, rng *rand.Rand) error {
	cubic, err := interpolation(t.Interpolation)
	if err != nil {
		return err
	}
	if t.Crop != "" && t.Crop != "torchvision" && t.Crop != "tensorflow" {
		return fmt.Errorf("crop %q: want torchvision or tensorflow", t.Crop)
	}
	if t.Size < 1 || len(dst) < t.Size*t.Size*3 {
		return fmt.Errorf("crop %d into %d bytes", t.Size, len(dst))
	}
	if err := t.checkPolicy(); err != nil {
		return err
	}
	info, err := d.probe(b)
	if err != nil {
		return err
	}
	part, mirrored := t.Region(info.Width, info.Height, rng)
	defer d.Release()
	r := crop{part.Min.X, part.Min.Y, part.Dx(), part.Dy()}
	if err := d.cut(dst, b, info, r, t, cubic, mirrored); err != nil {
		return err
	}
	began := time.Now()
	defer func() { d.spent.Resize += time.Since(began) }()
	pix := dst[:t.Size*t.Size*3]
	t.distort(pix, rng)
	if t.Policy != "" {
		d.spare = slices.Grow(d.spare[:0], len(pix))[:len(pix)]
		t.distortByPolicy(pix, d.spare, rng)
	}
	t.erase(pix, rng)
	return nil
}

// cut writes a part of an image, resized as t says, into dst.
func (d *Decoder) cut(dst, b []byte, info Info, r crop, t Train, cubic C.int, mirror bool) error {
	// The largest reduction in the decoder that leaves at least the size wanted.
	q := 1
	for !t.Exact && info.Format == "JPEG" && q < 8 && r.W/(2*q) >= t.Size && r.H/(2*q) >= t.Size {
		q *= 2
	}
	return d.squeeze(dst, b, info, r, q, t, C.px_resize{cubic: cubic, flip: cbool(mirror), coarse: cbool(!t.Exact)})
}

// squeeze is cut of an image that is decoded at 1/q of its size, with how it is resized.
func (d *Decoder) squeeze(dst, b []byte, info Info, r crop, q int, t Train, how C.px_resize) error {
	p, err := d.region(b, info, rect{r.X, r.Y, r.W, r.H}, q)
	if err != nil {
		return err
	}
	// The crop need not begin or end at a whole decoded pixel.
	scale := 1 / float64(q)
	how.x, how.end_x, how.scale_x = C.double(float64(r.X)*scale), C.int((r.X+r.W+q-1)/q), C.double(float64(r.W)*scale/float64(t.Size))
	how.y, how.end_y, how.scale_y = C.double(float64(r.Y)*scale), C.int((r.Y+r.H+q-1)/q), C.double(float64(r.H)*scale/float64(t.Size))
	how.out_w, how.out_h = C.int(t.Size), C.int(t.Size)
	how.down_first = cbool(t.Exact && downFirst(r.W, r.H, t.Size, t.Size))
	return d.resample(dst, p, how)
}

// Region draws the part of an image of so many pixels that Train cuts out, and whether it
// mirrors it: the first that Train draws from rng.
func (t Train) Region(width, height int, rng *rand.Rand) (part image.Rectangle, mirrored bool) {
	r := randomCrop(width, height, t, rng)
	return image.Rect(r.X, r.Y, r.X+r.W, r.Y+r.H), t.Flip && rng.Uint64()&1 == 1
}

// crop is a part of an image, in pixels.
type crop struct{ X, Y, W, H int }

// randomCrop draws the part of a w x h image that Train cuts out.
func randomCrop(w, h int, t Train, rng *rand.Rand) crop {
	if t.Crop == "tensorflow" {
		return distortedBox(w, h, t, rng)
	}
	return randomResizedCrop(w, h, t, rng)
}

// randomResizedCrop is ten tries at an area and a log-uniform aspect ratio, then
// the largest centred part within the aspect range, as
// torchvision.transforms.RandomResizedCrop.
func randomResizedCrop(w, h int, t Train, rng *rand.Rand) crop {
	area := float64(w) * float64(h)
	lo, hi := math.Log(t.AspectMin), math.Log(t.AspectMax)
	for range 10 {
		target := area * (t.AreaMin + (t.AreaMax-t.AreaMin)*rng.Float64())
		aspect := math.Exp(lo + (hi-lo)*rng.Float64())
		cw := int(math.RoundToEven(math.Sqrt(target * aspect)))
		ch := int(math.RoundToEven(math.Sqrt(target / aspect)))
		if cw > 0 && cw <= w && ch > 0 && ch <= h {
			y, x := rng.IntN(h-ch+1), rng.IntN(w-cw+1)
			return crop{x, y, cw, ch}
		}
	}
	cw, ch := w, h
	switch ratio := float64(w) / float64(h); {
	case ratio < t.AspectMin:
		ch = min(max(int(math.RoundToEven(float64(w)/t.AspectMin)), 1), h)
	case ratio > t.AspectMax:
		cw = min(max(int(math.RoundToEven(float64(h)*t.AspectMax)), 1), w)
	}
	return crop{(w - cw) / 2, (h - ch) / 2, cw, ch}
}

// distortedBox is a hundred tries at a uniform aspect ratio and then a height,
// uniform among those whose area is in the range, then the whole image: as
// TensorFlow's sample_distorted_bounding_box draws it in an image that is its
// own box. Its min_object_covered is then a least area: AreaMin.
func distortedBox(w, h int, t Train, rng *rand.Rand) crop {
	least, most := t.AreaMin*float64(w)*float64(h), t.AreaMax*float64(w)*float64(h)
	for range 100 {
		aspect := t.AspectMin + (t.AspectMax-t.AspectMin)*rng.Float64()
		width := func(height int) int { return int(math.RoundToEven(float64(height) * aspect)) }
		low, high := int(math.RoundToEven(math.Sqrt(least/aspect))), int(math.RoundToEven(math.Sqrt(most/aspect)))
		for high > 0 && width(high) > w {
			high = min(high-1, int((float64(w)+0.5)/aspect))
		}
		high = min(high, h)
		ch := min(low, high)
		ch += rng.IntN(high - ch + 1)
		// Rounding may have put the area just outside its range.
		if float64(width(ch)*ch) < least {
			ch++
		}
		if float64(width(ch)*ch) > most {
			ch--
		}
		cw := width(ch)
		if area := float64(cw * ch); area < least || area > most || cw > w || ch > h || cw < 1 || ch < 1 {
			continue
		}
		c := crop{W: cw, H: ch}
		if ch < h {
			c.Y = rng.IntN(h - ch)
		}
		if cw < w {
			c.X = rng.IntN(w - cw)
		}
		return c
	}
	return crop{0, 0, w, h}
}
