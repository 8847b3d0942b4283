package pixel

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/png"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/synshard/synshard/internal/golden"
	"github.com/synshard/synshard/internal/raced"
)

func asPNG(t testing.TB, w, h int, rgb []byte) []byte {
	t.Helper()
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	for i, j := 0, 0; i < len(rgb); i, j = i+3, j+4 {
		copy(m.Pix[j:], rgb[i:i+3])
		m.Pix[j+3] = 255
	}
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestProbe(t *testing.T) {
	for name, want := range map[string]Info{
		"420.jpg":         {"JPEG", "RGB", 75, 53},
		"progressive.jpg": {"JPEG", "RGB", 75, 53},
		"broken_exif.jpg": {"JPEG", "RGB", 75, 53},
		"grey.jpg":        {"JPEG", "L", 40, 61},
		"cmyk.jpg":        {"JPEG", "CMYK", 45, 37},
		"ycck.jpg":        {"JPEG", "YCCK", 45, 37},
		"rgb.png":         {"PNG", "RGB", 75, 53},
		"rgba.png":        {"PNG", "RGBA", 33, 29},
		"palette.png":     {"PNG", "P", 31, 27},
		"grey16.png":      {"PNG", "I;16", 23, 19},
		"bilevel.png":     {"PNG", "1", 23, 19},
		"palette.gif":     {"GIF", "P", 21, 17},
		"rgb.bmp":         {"BMP", "RGB", 20, 15},
	} {
		if got, err := Probe(load(t, "kinds", name)); err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, want)
		}
	}
}

func TestBroken(t *testing.T) {
	jpeg, png := load(t, "kinds", "420.jpg"), load(t, "kinds", "rgb.png")
	frame := bytes.Index(jpeg, []byte{0xff, 0xc0})
	huge := bytes.Clone(jpeg)
	copy(huge[frame+5:], []byte{0xff, 0xdc, 0xff, 0xdc})
	none := bytes.Clone(jpeg)
	copy(none[frame+5:], []byte{0, 0, 0, 0})
	for _, c := range []struct {
		name string
		b    []byte
		want error
	}{
		{"empty", nil, ErrUnknownFormat},
		{"text", []byte("hello, world, this is no image at all"), ErrUnknownFormat},
		{"jpeg header only", jpeg[:frame], ErrTruncated},
		{"jpeg half", jpeg[:len(jpeg)*3/4], ErrTruncated},
		{"jpeg of 65500 x 65500", huge, ErrTooLarge},
		{"jpeg of no pixels", none, ErrMalformed},
		{"png half", png[:len(png)/2], ErrTruncated},
		{"png signature", png[:8], ErrTruncated},
	} {
		d := NewDecoder()
		if _, err := d.Decode(c.b); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		// The decoder is as good as new.
		if _, err := d.Decode(jpeg); err != nil {
			t.Errorf("after %s: %v", c.name, err)
		}
		d.Close()
		d.Close()
	}
}

func TestTruncatedAsFarAsItGoes(t *testing.T) {
	b := load(t, "resize", "200x150.jpg")
	d, e := NewDecoder(), NewDecoder()
	defer d.Close()
	defer e.Close()
	d.AcceptTruncated = true
	got, err := d.Decode(b[:len(b)*2/3])
	if err != nil {
		t.Fatal(err)
	}
	want, err := e.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	top := 200 * 64 * 3
	if mean, most := distance(t, got.Pix[:top], want.Pix[:top]); most > 0 {
		t.Errorf("the upper rows differ by %.3f, at most %d", mean, most)
	}
}

// TestCutShort holds images that end early to Pillow, where the crop lies above what is missing. Without the marker of the
// end alone nothing is missing: Pillow refuses most such images, and this package reads those of one scan.
func TestCutShort(t *testing.T) {
	var answers map[string]struct {
		Cuts []struct {
			Bytes int
			Opens bool
		}
		Followed bool
	}
	golden.Read(t, "testdata/cuts/pillow.json", &answers)
	d := NewDecoder()
	defer d.Close()
	dst := make([]byte, 32*32*3)
	eval := func(b []byte) error { return d.Eval(dst, b, Eval{Size: 32, Resize: 36}) }
	for name, a := range answers {
		b := load(t, "cuts", name+".jpg")
		for _, c := range a.Cuts {
			cut := b[:len(b)-c.Bytes]
			err := eval(cut)
			if onlyMarker := c.Bytes == 1 || c.Bytes == 2; onlyMarker && name != "progressive" {
				if err != nil {
					t.Errorf("%s without the marker of its end: %v", name, err)
				}
				continue
			}
			if (err == nil) != c.Opens || err != nil && !errors.Is(err, ErrTruncated) {
				t.Errorf("%s without %d bytes: %v; Pillow opens it: %v", name, c.Bytes, err, c.Opens)
			}
			d.AcceptTruncated = true
			if err := eval(cut); err != nil {
				t.Errorf("%s without %d bytes, as far as it goes: %v", name, c.Bytes, err)
			}
			d.AcceptTruncated = false
		}
		if err := eval(append(bytes.Clone(b), strings.Repeat("more", 1000)...)); (err == nil) != a.Followed {
			t.Errorf("%s and more: %v; Pillow opens it: %v", name, err, a.Followed)
		}
	}
}

func TestPixelLimit(t *testing.T) {
	d := NewDecoder()
	defer d.Close()
	d.MaxPixels = 75*53 - 1
	if _, err := d.Decode(load(t, "kinds", "420.jpg")); !errors.Is(err, ErrTooLarge) {
		t.Error(err)
	}
	d.MaxPixels++
	if _, err := d.Decode(load(t, "kinds", "420.jpg")); err != nil {
		t.Error(err)
	}
}

// TestManyScans: a progressive image of a few hundred kilobytes with
// thousands of empty scans of a large frame ends soon, with an error.
func TestManyScans(t *testing.T) {
	b := load(t, "kinds", "progressive.jpg")
	frame := bytes.Index(b, []byte{0xff, 0xc2})
	// The first AC scan, again and again, with no data.
	scan := bytes.Index(b, []byte{0xff, 0xda})
	head := bytes.Clone(b[:scan])
	copy(head[frame+5:], []byte{0x20, 0, 0x20, 0})
	dc := b[scan : scan+14]
	hostile := append(head, bytes.Repeat(dc, 5000)...)
	d := NewDecoder()
	defer d.Close()
	began := time.Now()
	if _, err := d.Decode(hostile); !errors.Is(err, ErrMalformed) {
		t.Errorf("%v", err)
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("took %v", took)
	}
}

// TestFlippedBytes: whatever a byte is changed to, decoding ends with pixels or
// an error that says what kind it is.
func TestFlippedBytes(t *testing.T) {
	d := NewDecoder()
	defer d.Close()
	d.MaxPixels = 1 << 20
	dst := make([]byte, 24*24*3)
	tr := recipe
	tr.Size = 24
	for _, name := range []string{"420.jpg", "progressive.jpg", "cmyk.jpg", "rgba.png", "palette.gif"} {
		b := load(t, "kinds", name)
		step := max(len(b)/400, 1)
		for at := 0; at < len(b); at += step {
			for _, v := range []byte{0, 0xff, b[at] ^ 1, b[at] ^ 0x80} {
				c := bytes.Clone(b)
				c[at] = v
				checkKind(t, fmt.Sprintf("%s byte %d = %d", name, at, v), d.Train(dst, c, tr, testRNG(uint64(at))))
			}
		}
	}
}

// TestCheckFailsWhereDecodeDoes holds the two to each other on every kind of
// image, cut short and with bytes changed.
func TestCheckFailsWhereDecodeDoes(t *testing.T) {
	raced.Skip(t, "one goroutine does it all")
	d := NewDecoder()
	defer d.Close()
	d.MaxPixels = 1 << 20
	good, bad := 0, 0
	for _, name := range []string{"420.jpg", "411.jpg", "progressive.jpg", "restart.jpg", "cmyk.jpg", "grey.jpg", "rgba.png", "palette.gif", "rgb.bmp", "565.bmp", "rle8.bmp", "rle4.bmp", "1.bmp", "lossy.webp", "lossless.webp", "animated.webp", "bilevel_group4.tif", "rgb_lzw.tif", "placed_frame.gif", "no_end.png"} {
		b := load(t, "kinds", name)
		var cases [][]byte
		for i := range 100 {
			cases = append(cases, b[:len(b)*(100-i)/100])
		}
		for at := 0; at < len(b); at += max(len(b)/150, 1) {
			for _, v := range []byte{0, 0xff, b[at] ^ 0x80} {
				c := bytes.Clone(b)
				c[at] = v
				cases = append(cases, c)
			}
		}
		for i, c := range cases {
			_, want := d.Decode(c)
			got := d.Check(c)
			if (got == nil) != (want == nil) {
				t.Errorf("%s, case %d: Check gives %v, Decode %v", name, i, got, want)
			}
			if want == nil {
				good++
			} else {
				bad++
			}
		}
	}
	if good < 500 || bad < 500 {
		t.Errorf("%d good images and %d bad ones: this compares little", good, bad)
	}
}

// TestTablesStayWithTheirImage: a JPEG without its quantization tables is malformed,
// whatever was decoded before it.
func TestTablesStayWithTheirImage(t *testing.T) {
	whole := load(t, "kinds", "420.jpg")
	bare := slices.Clone(whole[:2])
	for at := 2; at < len(whole); {
		n := 2 + int(binary.BigEndian.Uint16(whole[at+2:]))
		if whole[at+1] == 0xda { // what follows is the scan
			bare = append(bare, whole[at:]...)
			break
		}
		if whole[at+1] != 0xdb {
			bare = append(bare, whole[at:at+n]...)
		}
		at += n
	}
	d := NewDecoder()
	defer d.Close()
	for _, name := range []string{"first", "after another"} {
		if _, err := d.Decode(bare); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := d.Decode(whole); err != nil {
			t.Error(err)
		}
	}
}

func checkKind(t testing.TB, what string, err error) {
	t.Helper()
	if err != nil && !OfImage(err) {
		t.Errorf("%s: an error of no kind: %v", what, err)
	}
}

func FuzzTrain(f *testing.F) {
	for _, name := range []string{"420.jpg", "progressive.jpg", "restart.jpg", "cmyk.jpg", "ycck.jpg", "grey.jpg", "411.jpg", "rgba.png", "palette.png", "grey16.png", "palette.gif", "rgb.bmp", "565.bmp", "rle8.bmp", "rle4.bmp", "1.bmp", "lossy.webp", "lossless.webp", "animated.webp", "bilevel_group4.tif", "rgb_lzw.tif", "placed_frame.gif", "no_end.png"} {
		f.Add(load(f, "kinds", name), uint64(1))
	}
	f.Fuzz(func(t *testing.T, b []byte, seed uint64) {
		d := NewDecoder()
		defer d.Close()
		d.MaxPixels, d.AcceptTruncated = 1<<20, seed&1 == 1
		var dst [17 * 17 * 3]byte
		tr := recipe
		tr.Size = 17
		checkKind(t, "train", d.Train(dst[:], b, tr, testRNG(seed)))
		checkKind(t, "eval", d.Eval(dst[:], b, Eval{Size: 17, Resize: 20, Interpolation: "bicubic"}))
	})
}

func TestEncode(t *testing.T) {
	p := lossless(t, "resize", "100x75.png")
	b, err := EncodeJPEG(p.W, p.H, p.Pix, 97)
	if err != nil {
		t.Fatal(err)
	}
	d := NewDecoder()
	defer d.Close()
	got, err := d.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	if mean, _ := distance(t, got.Pix, p.Pix); mean > 12 { // chroma is halved, and the image is all noise and edges
		t.Errorf("mean difference %.2f", mean)
	}
	for _, bad := range [][3]int{{0, 1, 90}, {75, 100, 0}, {99, 75, 90}} {
		if _, err := EncodeJPEG(bad[0], bad[1], p.Pix, bad[2]); err == nil {
			t.Errorf("%v: no error", bad)
		}
	}
}
