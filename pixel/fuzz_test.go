package pixel

import (
	"bytes"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func FuzzJPEG(f *testing.F) { fuzzFormat(f, "JPEG", "*.jpg") }
func FuzzPNG(f *testing.F)  { fuzzFormat(f, "PNG", "[a-qs-z]*[a-z0-9].png") }
func FuzzGIF(f *testing.F)  { fuzzFormat(f, "GIF", "*.gif") }
func FuzzBMP(f *testing.F)  { fuzzFormat(f, "BMP", "*.bmp") }
func FuzzTIFF(f *testing.F) { fuzzFormat(f, "TIFF", "*.tif") }
func FuzzWebP(f *testing.F) { fuzzFormat(f, "WEBP", "*.webp") }

// fuzzFormat tries bytes as images of one format: they are errors of the image, or
// pixels, as many as the header says; Check fails where Decode does; a decoder that has
// met other bytes gives the pixels that a fresh one gives; and the time is bounded.
func fuzzFormat(f *testing.F, format, pattern string) {
	names, err := filepath.Glob(filepath.Join("testdata/kinds", pattern))
	if err != nil {
		f.Fatal(err)
	}
	seeds := 0
	for _, name := range names {
		if b := load(f, "kinds", filepath.Base(name)); len(b) < 8<<10 && !bytes.HasSuffix([]byte(name), []byte(".rgb.png")) {
			f.Add(b)
			seeds++
		}
	}
	if seeds == 0 {
		f.Fatalf("no image of %s to begin with", format)
	}
	other := load(f, "kinds", "420.jpg")
	f.Fuzz(func(t *testing.T, b []byte) {
		info, err := Probe(b)
		checkKind(t, "probe", err)
		if err != nil || info.Format != format {
			return
		}
		used, fresh := NewDecoder(), NewDecoder()
		defer used.Close()
		defer fresh.Close()
		used.MaxPixels, fresh.MaxPixels = 1<<18, 1<<18
		began := time.Now()
		got, err := used.Decode(b)
		checkKind(t, "decode", err)
		if check := used.Check(b); (check == nil) != (err == nil) {
			t.Errorf("Check gives %v, Decode %v", check, err)
		}
		if _, err := used.Decode(other); err != nil {
			t.Errorf("another image after it: %v", err)
		}
		again, errAgain := used.Decode(b)
		want, errFresh := fresh.Decode(b)
		if (err == nil) != (errFresh == nil) || (err == nil) != (errAgain == nil) {
			t.Fatalf("first %v, again %v, by a fresh decoder %v", err, errAgain, errFresh)
		}
		if err == nil {
			if diff := cmp.Diff([]int{info.Width, info.Height, 3 * want.W * want.H}, []int{got.W, got.H, len(want.Pix)}); diff != "" {
				t.Errorf("width, height, bytes (-header +pixels):\n%s", diff)
			}
			if diff := cmp.Diff(want, again); diff != "" {
				t.Errorf("a decoder that met other bytes (-fresh +used):\n%.2000s", diff)
			}
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("%d bytes take %v", len(b), took)
		}
	})
}
