package entry

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestJunk(t *testing.T) {
	for name, want := range map[string]bool{
		"n01440764/a.JPEG": false, "a/Thumbs.db": true, "THUMBS.DB": true, "desktop.ini": true, "a/.DS_Store": true, "n1/._a.jpg": true,
		"__MACOSX/n1/a.jpg": true, "@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg": true, ".git/a.jpg": true, ".ipynb_checkpoints/a.jpg": true,
		"a.tar/._b.jpg": true, "./a.jpg": false, "../a.jpg": false, "a..jpg": false, "thumbs.db.jpg": false, "": false,
	} {
		if got := Junk(name); got != want {
			t.Errorf("Junk(%q) = %v, want %v", name, got, want)
		}
	}
}

func TestImageName(t *testing.T) {
	for name, want := range map[string]bool{
		"a.jpg": true, "a.JPEG": true, "d/a.JPE": true, "a.jfif": true, "a.png": true, "a.webp": true, "a.gif": true, "a.bmp": true, "a.tif": true, "a.TIFF": true,
		"a.avif": true, "a.heic": true, "a.jxl": true, "a.jp2": true, "0.input.jpg": true,
		"a.jif": true, "a.ppm": true, "a.PGM": true, "a.tga": true, "a.CR2": true, "a.dng": true, "a.raw": false, "a.hdr": false,
		"a": false, "jpg": false, "a.txt": false, "a.jpg/b": false, "a.jpg.txt": false, "": false,
	} {
		if got := ImageName(name); got != want {
			t.Errorf("ImageName(%q) = %v, want %v", name, got, want)
		}
	}
	for name, want := range map[string]string{"a.avif": "avif", "a.HEIC": "heic", "a.ppm": "ppm", "a.NEF": "nef", "a.jif": "", "a.dib": "", "a.jpg": "", "a.txt": ""} {
		if got := UnsupportedImage(name); got != want {
			t.Errorf("UnsupportedImage(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestParseLabel(t *testing.T) {
	number := func(n int64) Label { return Label{Kind: NumberLabel, Number: n} }
	name := func(s string) Label { return Label{Kind: NameLabel, Name: s} }
	for text, want := range map[string]Label{
		"": {}, " \r\n": {}, "0": number(0), " 12\n": number(12), "-1": number(-1), "3.0": number(3), "3.00": number(3),
		"007": name("007"), "+1": name("+1"), "1.7": name("1.7"), "1.": name("1."), "n01440764": name("n01440764"), "-0": name("-0"),
		"great white shark, white shark": name("great white shark, white shark"), "99999999999999999999": name("99999999999999999999"),
	} {
		if diff := cmp.Diff(want, ParseLabel(text)); diff != "" {
			t.Errorf("ParseLabel(%q) (-want +got):\n%s", text, diff)
		}
	}
}

func TestCleanName(t *testing.T) {
	for name, want := range map[string]string{"a/b.jpg": "a/b.jpg", "./a//b.jpg": "a/b.jpg", "/a/b": "a/b", "a/./b": "a/b", "caf\xe9/b": "caf\xe9/b"} {
		if got, ok := CleanName(name); !ok || got != want {
			t.Errorf("CleanName(%q) = %q, %v, want %q", name, got, ok, want)
		}
	}
	for _, name := range []string{"..", "a/../b", "../a", "", "/", "./."} {
		if _, ok := CleanName(name); ok {
			t.Errorf("CleanName(%q) is ok", name)
		}
	}
}

// TestLeftOutImages holds which names and bytes are those of images that are left out.
func TestLeftOutImages(t *testing.T) {
	for name, want := range map[string]string{
		"a/b.jpg": "image", "foo.JPG_large": "nearly", "foo.jpeg.1": "nearly", "a/foo.png~": "nearly", "foo.jpg.part": "nearly", "foo.jpg.xml": "", "foo.jpg.txt": "", "jpg.1": "", "foo.jpgs": "", "x.webp?v=2": "nearly",
		".x.jpg": "hidden", ".photos/x.jpg": "hidden", "a/.b/c/x.jpeg.1": "nearly hidden", "._x.jpg": "", ".ipynb_checkpoints/x.jpg": "", ".Trash-1000/x.jpg": "", ".photos/x.txt": "", ".photos/__MACOSX/x.jpg": "", ".photos/._x.jpg": "",
	} {
		var got []string
		if ImageName(name) && !Junk(name) {
			got = append(got, "image")
		}
		if NearlyImage(name) {
			got = append(got, "nearly")
		}
		if hiddenImage(name) {
			got = append(got, "hidden")
		}
		if diff := cmp.Diff(want, strings.Join(got, " ")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	for head, want := range map[string]bool{
		"\xff\xd8\xff\xe0\x00\x10JFIF": true, "\x89PNG\r\n\x1a\n\x00\x00": true, "GIF89a": true, "RIFF\x10\x00\x00\x00WEBPVP8 ": true, "RIFF\x10\x00\x00\x00WAVEfmt ": false,
		"BM\x36\x00\x00\x00\x00\x00\x00\x00\x36\x00\x00\x00": true, "BMW is a car.....": false, "\x00\x00\x00\x1cftypavif": false, "\x00\x00\x00\x1cftypavif\x00\x00": true, "MM\x00*": true, "8BPS\x00\x01": true, "DDS |\x00\x00\x00": true, "": false, "text": false,
	} {
		if got := ImageBytes([]byte(head)); got != want {
			t.Errorf("%q: %v, want %v", head, got, want)
		}
	}
}
