package look

import "github.com/synshard/synshard/pixel"

// ThumbnailSize is the side of a thumbnail in pixels: the shorter side of the image is
// brought to it, and the middle is cut out. ViewSize is the most that the longer side of a
// view has.
const (
	ThumbnailSize = 144
	ViewSize      = 1024
)

const quality = 80 // of the JPEGs

// Thumbnail makes a JPEG of the middle of an image.
func Thumbnail(d *pixel.Decoder, image []byte) ([]byte, error) {
	rgb := make([]byte, ThumbnailSize*ThumbnailSize*3)
	if err := d.Eval(rgb, image, pixel.Eval{Size: ThumbnailSize, Resize: ThumbnailSize}); err != nil {
		return nil, err
	}
	return pixel.EncodeJPEG(ThumbnailSize, ThumbnailSize, rgb, quality)
}

// View makes a JPEG of a whole image: where it is larger than ViewSize it is brought below
// that by a whole factor, each pixel the mean of those it stands for.
func View(d *pixel.Decoder, image []byte) ([]byte, error) {
	defer d.Release()
	im, err := d.Decode(image)
	if err != nil {
		return nil, err
	}
	f := (max(im.W, im.H) + ViewSize - 1) / ViewSize
	w, h := (im.W+f-1)/f, (im.H+f-1)/f
	rgb := make([]byte, 0, w*h*3)
	for y := range h {
		for x := range w {
			r, g, b := mean(im, x*f, y*f, f)
			rgb = append(rgb, r, g, b)
		}
	}
	return pixel.EncodeJPEG(w, h, rgb, quality)
}

// mean is the mean colour of a square, as far as it lies in the image.
func mean(im *pixel.RGB, left, top, side int) (r, g, b byte) {
	var sum [3]int
	n := 0
	for y := top; y < min(top+side, im.H); y++ {
		for x := left; x < min(left+side, im.W); x++ {
			p := im.Pix[3*(y*im.W+x):]
			sum[0], sum[1], sum[2] = sum[0]+int(p[0]), sum[1]+int(p[1]), sum[2]+int(p[2])
			n++
		}
	}
	return byte(sum[0] / n), byte(sum[1] / n), byte(sum[2] / n)
}
