package pixel

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/internal/raced"
)

// TestHuffmanLikeLibjpeg holds the Huffman decoder to libjpeg-turbo's, on whole
// images and damaged ones: the same pixels, or both an error. Where a marker
// turns up amid the data, libjpeg-turbo decodes the blocks around it twice and
// leaves in them what the first time put there; so much may differ.
func TestHuffmanLikeLibjpeg(t *testing.T) {
	raced.Skip(t, "one goroutine and native code")
	own, plain := NewDecoder(), NewDecoder()
	defer own.Close()
	defer plain.Close()
	plain.LibjpegOnly = true
	for _, d := range []*Decoder{own, plain} {
		d.AcceptTruncated, d.MaxPixels = true, 1<<20
	}
	compared, damaged := 0, 0
	compare := func(what string, b []byte, may int) {
		t.Helper()
		got, err1 := own.Decode(b)
		want, err2 := plain.Decode(b)
		if (err1 == nil) != (err2 == nil) {
			t.Fatalf("%s: %v; libjpeg-turbo alone: %v", what, err1, err2)
		}
		if err1 != nil {
			return
		}
		compared++
		if diff := cmp.Diff([2]int{want.W, want.H}, [2]int{got.W, got.H}); diff != "" {
			t.Fatalf("%s: width, height (-want +got):\n%s", what, diff)
		}
		differ := 0
		for i := 0; i < len(got.Pix); i += 3 {
			if [3]byte(got.Pix[i:]) != [3]byte(want.Pix[i:]) {
				differ++
			}
		}
		if differ > may {
			mean, most := distance(t, got.Pix, want.Pix)
			t.Fatalf("%s: %d pixels differ, by %.3f, at most %d", what, differ, mean, most)
		}
	}
	for _, quality := range []int{1, 30, 75, 95, 100} {
		compare(fmt.Sprint("quality ", quality), noisy(t, 131, 77, quality, 40), 0)
	}
	for _, name := range []string{"420.jpg", "444.jpg", "411.jpg", "restart.jpg", "cmyk.jpg", "grey.jpg", "one_pixel.jpg", "trailing.jpg"} {
		b := load(t, "kinds", name)
		compare(name, b, 0)
		scan := bytes.Index(b, []byte{0xff, 0xda})
		for at := scan; at < len(b); at++ {
			for _, v := range []byte{0, 0xff, 0xd0, 0xd3, b[at] ^ 0x10} {
				c := bytes.Clone(b)
				c[at] = v
				may := 0
				if v == 0xff || c[at-1] == 0xff {
					may = 34 * 18 // the largest MCU, and what upsampling takes from it
				}
				compare(fmt.Sprintf("%s byte %d = %#x", name, at, v), c, may)
				damaged++
			}
			if at%5 == 0 {
				compare(fmt.Sprintf("%s up to byte %d", name, at), b[:at], 34*18)
			}
		}
	}
	if compared < damaged/2 {
		t.Errorf("only %d of %d could be compared", compared, damaged)
	}
}
