package pixel

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/internal/golden"
	"github.com/synshard/synshard/internal/raced"
)

func load(t testing.TB, parts ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(append([]string{"testdata"}, parts...)...))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// lossless reads a PNG by Go's library alone.
func lossless(t testing.TB, parts ...string) *RGB {
	t.Helper()
	m, err := png.Decode(bytes.NewReader(load(t, parts...)))
	if err != nil {
		t.Fatal(err)
	}
	p := &RGB{W: m.Bounds().Dx(), H: m.Bounds().Dy()}
	for y := range p.H {
		for x := range p.W {
			r, g, b, _ := m.At(x, y).RGBA()
			p.Pix = append(p.Pix, byte(r>>8), byte(g>>8), byte(b>>8))
		}
	}
	return p
}

// distance is the mean and the largest absolute difference.
func distance(t testing.TB, a, b []byte) (mean float64, most int) {
	t.Helper()
	if len(a) != len(b) || len(a) == 0 {
		t.Fatalf("%d bytes beside %d", len(a), len(b))
	}
	sum := 0
	for i := range a {
		d := int(a[i]) - int(b[i])
		if d < 0 {
			d = -d
		}
		sum += d
		most = max(most, d)
	}
	return float64(sum) / float64(len(a)), most
}

// eachKernel runs a test with every set of kernels that this processor has.
func eachKernel(t *testing.T, f func(t *testing.T)) {
	best := bestKernels()
	t.Cleanup(func() { useKernels(best) })
	for _, name := range kernelSets() {
		useKernels(name)
		t.Run(name, f)
	}
	useKernels(best)
}

func TestDecodeLikePillow(t *testing.T) {
	d := NewDecoder()
	defer d.Close()
	names, err := filepath.Glob("testdata/kinds/*.rgb.png")
	if err != nil || len(names) < 20 {
		t.Fatal(names, err)
	}
	for _, file := range names {
		name := strings.TrimSuffix(filepath.Base(file), ".rgb.png")
		t.Run(name, func(t *testing.T) {
			got, err := d.Decode(load(t, "kinds", name))
			if err != nil {
				t.Fatal(err)
			}
			want := lossless(t, "kinds", name+".rgb.png")
			if diff := cmp.Diff([2]int{want.W, want.H}, [2]int{got.W, got.H}); diff != "" {
				t.Fatalf("width, height (-want +got):\n%s", diff)
			}
			mean, most := distance(t, got.Pix, want.Pix)
			t.Logf("mean %.3f, most %d", mean, most)
			tolerance, largest := 0.0, 0
			switch {
			case strings.HasSuffix(name, ".jpg"): // two versions of libjpeg-turbo differ by a level here and there
				tolerance, largest = 0.05, 2
			}
			if mean > tolerance || most > largest {
				t.Errorf("mean difference %.3f, largest %d", mean, most)
			}
		})
	}
}

// TestUnsupported: valid files of kinds that are not decoded are called what
// they are, at the first look where the header says so.
func TestUnsupported(t *testing.T) {
	d := NewDecoder()
	defer d.Close()
	for name, want := range map[string]string{
		"big.tif":   "image of a kind that is not decoded: BigTIFF",
		"cmyk.tif":  "image of a kind that is not decoded: TIFF with its color model",
		"float.tif": "image of a kind that is not decoded: TIFF with its sample format",
		"jpeg.tif":  "image of a kind that is not decoded: TIFF compressed by JPEG",

		"reverse.tif": "image of a kind that is not decoded: TIFF with its bits in reverse order",
		"planes.tif":  "image of a kind that is not decoded: TIFF with its colours in planes",
		"unnamed.tif": "image of a kind that is not decoded: TIFF of four colours that are not named",
		"more.tif":    "image of a kind that is not decoded: TIFF with more than colours and alpha",

		"grey16_big_endian_white.tif": "image of a kind that is not decoded: TIFF of 16-bit greys from white to black, high byte first",

		"lossless.jpg":     "image of a kind that is not decoded: lossless JPEG",
		"hierarchical.jpg": "image of a kind that is not decoded: hierarchical JPEG",
		"ls.jpg":           "image of a kind that is not decoded: JPEG-LS",
		"12_bits.jpg":      "image of a kind that is not decoded: JPEG of 12 bits a sample",
	} {
		_, err := d.Decode(load(t, "unsupported", name))
		if !errors.Is(err, ErrUnsupported) || err.Error() != want {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
	}
	for begin, want := range map[string]string{
		"\x00\x00\x00\x20ftypavif\x00\x00\x00\x00": "AVIF",
		"\x00\x00\x00\x20ftypheic\x00\x00\x00\x00": "HEIF",
		"\xff\x0a\xff\x00":                         "JPEG XL",
		" \n<!DOCTYPE html><html>":                 "a web page (HTML)",
		"%PDF-1.7":                                 "PDF",
		"P6\n3 4\n255\n":                           "PPM or another of Netpbm's",
		"\x76\x2f\x31\x01":                         "OpenEXR",
		"\ufeff<svg xmlns='x'/>":                   "SVG",
	} {
		if _, err := d.Decode([]byte(begin)); !errors.Is(err, ErrUnsupported) || !strings.HasSuffix(err.Error(), ": "+want) {
			t.Errorf("%q: %v, want %s", begin, err, want)
		}
	}
	for text, want := range map[string]string{
		"no image at all": "text", "": "an empty file", "\x00\x00\x00": "zero bytes alone",
		"<?xml version='1.0'?><Error>":                 "XML, as servers answer with instead of a file",
		"version https://git-lfs.github.com/spec/v1\n": "a pointer of Git LFS to a file that was not fetched",
	} {
		if _, err := d.Decode([]byte(text)); !errors.Is(err, ErrUnknownFormat) || !strings.HasSuffix(err.Error(), ": "+want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

// TestDataThatStop: a JPEG whose data stop in the middle is truncated whatever
// stands there, in the check and in decoding alike.
func TestDataThatStop(t *testing.T) {
	d := NewDecoder()
	defer d.Close()
	for _, name := range []string{"420.jpg", "progressive.jpg", "grey.jpg"} {
		b := load(t, "kinds", name)
		scan := bytes.Index(b, []byte{0xff, 0xda})
		at := scan + 14 + (len(b)-scan)/4
		for what, marker := range map[string][]byte{"reserved": {0xff, 0x8e}, "end": {0xff, 0xd9}, "comment": {0xff, 0xfe, 0, 4, 0, 0}, "file's end": nil} {
			cut := slices.Clone(b[:at])
			if marker != nil {
				cut = append(append(cut, marker...), b[at+len(marker):]...)
			}
			for verb, err := range map[string]error{"check": d.Check(cut), "decode": second(d.Decode(cut))} {
				if !errors.Is(err, ErrTruncated) {
					t.Errorf("%s, data that stop at %s: %s gives %v", name, what, verb, err)
				}
			}
		}
	}
}

func second[T any](_ T, err error) error { return err }

// TestDecodeOver: where a Spec says so, transparent pixels lie over a grey. What
// does is rounded once more.
func TestDecodeOver(t *testing.T) {
	d := NewDecoder()
	defer d.Close()
	for end, alpha := range map[string]Alpha{".white.png": OverWhite, ".black.png": OverBlack} {
		d.Alpha = alpha
		names, err := filepath.Glob("testdata/kinds/*" + end)
		if err != nil || len(names) < 6 {
			t.Fatal(names, err)
		}
		for _, file := range names {
			name := strings.TrimSuffix(filepath.Base(file), end)
			got, err := d.Decode(load(t, "kinds", name))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if mean, most := distance(t, got.Pix, lossless(t, "kinds", filepath.Base(file)).Pix); mean > 0.6 || most > 1 {
				t.Errorf("%s: mean difference %.3f, largest %d", name+end, mean, most)
			}
		}
	}
}

// TestEvalLikePillow holds the evaluation path to every bit of Pillow's and
// torchvision's.
func TestEvalLikePillow(t *testing.T) {
	var truth struct {
		Cases []struct {
			Source, Interpolation, Want string
			Resize, Size                int
			Square                      bool
		}
	}
	golden.Read(t, "testdata/resize/cases.json", &truth)
	if len(truth.Cases) < 40 {
		t.Fatalf("%d cases", len(truth.Cases))
	}
	eachKernel(t, func(t *testing.T) {
		d := NewDecoder()
		defer d.Close()
		for _, c := range truth.Cases {
			dst := make([]byte, c.Size*c.Size*3)
			err := d.Eval(dst, load(t, "resize", c.Source), Eval{Size: c.Size, Resize: c.Resize, Interpolation: c.Interpolation, Square: c.Square})
			if err != nil {
				t.Fatalf("%+v: %v", c, err)
			}
			mean, most := distance(t, dst, lossless(t, "resize", c.Want).Pix)
			if most > 0 {
				t.Errorf("%+v: mean difference %.3f, largest %d", c, mean, most)
			}
		}
	})
}

// formula is the image that scripts/golden/pixel_resize.py knows by its size, as a BMP.
func formula(w, h int) []byte {
	stride := (w*3 + 3) / 4 * 4
	b := make([]byte, 54+stride*h)
	copy(b, "BM")
	for at, v := range map[int]int{2: len(b), 10: 54, 14: 40, 18: w, 22: h, 26: 1 | 24<<16} {
		binary.LittleEndian.PutUint32(b[at:], uint32(v))
	}
	for y := range h {
		row := b[54+(h-1-y)*stride:]
		for x := range w {
			for c := range 3 {
				row[3*x+2-c] = byte((x*x*7 + y*y*13 + x*y*5 + c*71 + (x^y)*3) % 251)
			}
		}
	}
	return b
}

// TestResizeSums is TestEvalLikePillow over sizes from one pixel to 8,000, both
// directions of scale, and boxes as training cuts them out, by sums of the pixels.
func TestResizeSums(t *testing.T) {
	var truth struct {
		Cases []struct {
			Kind, Interpolation, Sum string
			W, H, Resize, Size       int
			Square                   bool
			Box                      [4]int
		}
	}
	golden.Read(t, "testdata/resize/sums.json", &truth)
	if len(truth.Cases) < 600 {
		t.Fatalf("%d cases", len(truth.Cases))
	}
	images := map[[2]int][]byte{}
	for _, c := range truth.Cases {
		if size := [2]int{c.W, c.H}; images[size] == nil {
			images[size] = formula(c.W, c.H)
		}
	}
	eachKernel(t, func(t *testing.T) {
		d := NewDecoder()
		defer d.Close()
		for i, c := range truth.Cases {
			if i%8 > 0 && (raced.Enabled || testing.Short()) {
				continue
			}
			src, dst := images[[2]int{c.W, c.H}], make([]byte, c.Size*c.Size*3)
			err := error(nil)
			if c.Kind == "eval" {
				err = d.Eval(dst, src, Eval{Size: c.Size, Resize: c.Resize, Interpolation: c.Interpolation, Square: c.Square})
			} else {
				cubic, _ := interpolation(c.Interpolation)
				part := crop{c.Box[0], c.Box[1], c.Box[2], c.Box[3]}
				err = d.cut(dst, src, Info{Format: "BMP", Width: c.W, Height: c.H}, part, Train{Size: c.Size, Exact: true}, cubic, false)
				d.Release()
			}
			if sum := fmt.Sprintf("%x", sha256.Sum256(dst))[:32]; err != nil || sum != c.Sum {
				t.Errorf("%+v: %s, %v", c, sum, err)
			}
		}
	})
}

// TestKernelsAgree holds every set of kernels to the plain one's bytes, in
// sizes around the widths of their registers.
func TestKernelsAgree(t *testing.T) {
	want := map[string][]byte{}
	eachKernel(t, func(t *testing.T) {
		d := NewDecoder()
		defer d.Close()
		for _, file := range []string{"100x75.png", "20x26.png", "200x150.jpg"} {
			src := load(t, "resize", file)
			for _, size := range []int{1, 2, 3, 7, 10, 11, 21, 22, 43, 64, 85, 101, 171} {
				for seed := range uint64(8) {
					tr := Train{Exact: seed >= 4, Size: size, AreaMin: 0.05, AreaMax: 1, AspectMin: 0.75, AspectMax: 4.0 / 3, Flip: true,
						Brightness: 0.125, Contrast: 0.5, Saturation: 0.5, Hue: 0.2, Interpolation: []string{"bilinear", "bicubic"}[seed%2]}
					const guard = 64
					dst := bytes.Repeat([]byte{0xa5}, size*size*3+guard)
					if err := d.Train(dst[:size*size*3:size*size*3], src, tr, testRNG(seed)); err != nil {
						t.Fatal(file, size, seed, err)
					}
					if !bytes.Equal(dst[size*size*3:], bytes.Repeat([]byte{0xa5}, guard)) {
						t.Fatalf("%s, size %d: wrote beyond the slot", file, size)
					}
					key := fmt.Sprint(file, size, seed)
					if want[key] == nil {
						want[key] = dst
					} else if mean, most := distance(t, dst, want[key]); most > 0 {
						t.Fatalf("%s: differs from the plain kernels by %.3f, at most %d", key, mean, most)
					}
				}
			}
		}
	})
}
