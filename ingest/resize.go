package ingest

import (
	"crypto/sha256"
	"image"
	"math"
	"slices"

	"golang.org/x/image/draw"

	"github.com/synshard/synshard/pixel"
	"github.com/synshard/synshard/shard"
)

// resizing is the bytes a pixel that resize takes at most: the image in four
// bytes, and rows of half of its width or less, as four numbers of 64 bits.
const resizing = 4 + 32

// resize makes an image smaller whose shorter side is longer than n pixels:
// Catmull-Rom, widened to the ratio, and a JPEG again, its boxes with it. Other images
// keep their bytes.
func resize(im *shard.Image, rgb *pixel.RGB, n, quality int) error {
	if min(rgb.W, rgb.H) <= n {
		return nil
	}
	w, h := n, n
	if rgb.W < rgb.H {
		h = max(n, (rgb.H*n+rgb.W/2)/rgb.W)
	} else {
		w = max(n, (rgb.W*n+rgb.H/2)/rgb.H)
	}
	src := image.NewRGBA(image.Rect(0, 0, rgb.W, rgb.H))
	for i := range rgb.W * rgb.H {
		copy(src.Pix[4*i:], rgb.Pix[3*i:3*i+3])
		src.Pix[4*i+3] = 255
	}
	dst := image.NewRGBA(image.Rect(0, 0, w, h))
	draw.CatmullRom.Scale(dst, dst.Rect, src, src.Rect, draw.Src, nil)
	pix := make([]byte, 3*w*h)
	for i := range w * h {
		copy(pix[3*i:3*i+3], dst.Pix[4*i:])
	}
	b, err := pixel.EncodeJPEG(w, h, pix, quality)
	if err != nil {
		return err
	}
	im.Bytes, im.SHA256 = b, sha256.Sum256(b)
	im.Format, im.Mode, im.Width, im.Height = "JPEG", "RGB", int32(w), int32(h)
	im.Objects = resizedBoxes(im.Objects, float64(w)/float64(rgb.W), float64(h)/float64(rgb.H))
	return nil
}

// resizedBoxes gives boxes in an image that is x times as wide and y times as high, to the
// nearest pixel.
func resizedBoxes(boxes []shard.Object, x, y float64) []shard.Object {
	out := slices.Clone(boxes) // what was given may be of other images, too
	times := func(v *int32, by float64) { *v = int32(math.Round(float64(*v) * by)) }
	for i := range out {
		o := &out[i]
		times(&o.XMin, x)
		times(&o.XMax, x)
		times(&o.YMin, y)
		times(&o.YMax, y)
	}
	return out
}
