package pixel

import (
	"bytes"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/synshard/synshard/internal/raced"
)

// again makes crops of an image with entry points and without: the same pixels and
// the same errors, whether the points are found or used. It gives the points.
func again(t testing.TB, what string, plain, entering *Decoder, b []byte, tr Train, crops int) Points {
	t.Helper()
	var known Points
	want, got := make([]byte, tr.Size*tr.Size*3), make([]byte, tr.Size*tr.Size*3)
	for seed := range uint64(crops) {
		clear(want)
		clear(got)
		err := plain.Train(want, b, tr, testRNG(seed))
		errFrom := entering.TrainFrom(got, b, tr, testRNG(seed), &known)
		if fmt.Sprint(err) != fmt.Sprint(errFrom) {
			t.Fatalf("%s, crop %d: %v; from %d bytes of entry points: %v", what, seed, err, len(known), errFrom)
		}
		if !bytes.Equal(want, got) {
			mean, most := distance(t, got, want)
			t.Fatalf("%s, crop %d: from %d bytes of entry points pixels differ by %.3f, at most %d", what, seed, len(known), mean, most)
		}
	}
	return known
}

// TestEntryPoints holds crops that begin at entry points to those that begin at the
// image's first row, over every kind of JPEG, sizes at which crops are decoded at a half, a quarter and an
// eighth, and damage wherever it may be.
func TestEntryPoints(t *testing.T) {
	raced.Skip(t, "one goroutine and native code")
	plain, entering := NewDecoder(), NewDecoder()
	defer plain.Close()
	defer entering.Close()
	small := Train{Size: 16, AreaMin: 0.05, AreaMax: 1, AspectMin: 3.0 / 4, AspectMax: 4.0 / 3, Flip: true}
	for _, quality := range []int{1, 30, 75, 95, 100} {
		for _, size := range [][2]int{{131, 77}, {500, 375}, {9, 700}, {700, 9}, {160, 240}, {47, 31}} {
			b := noisy(t, size[0], size[1], quality, 40)
			for _, tr := range []Train{recipe, small} {
				what := fmt.Sprintf("%v at quality %d to %d pixels", size, quality, tr.Size)
				known := again(t, what, plain, entering, b, tr, 40)
				across, down := (size[0]+15)/16, (size[1]+15)/16 // MCUs
				if want := pointsHead + 8*((across+9)/10)*down; len(known) != want {
					t.Errorf("%s: %d bytes of entry points, want %d", what, len(known), want)
				}
			}
		}
	}
	names, err := filepath.Glob("testdata/kinds/*.jpg")
	if err != nil || len(names) < 10 {
		t.Fatalf("%d kinds: %v", len(names), err)
	}
	for _, name := range names {
		b := load(t, "kinds", filepath.Base(name))
		again(t, name, plain, entering, b, small, 20)
		exact := small
		exact.Exact = true
		again(t, name, plain, entering, b, exact, 20)
	}
	for _, name := range []string{"420.jpg", "444.jpg", "restart.jpg", "grey.jpg", "cmyk.jpg"} {
		b := load(t, "kinds", name)
		for at := bytes.Index(b, []byte{0xff, 0xda}); at < len(b); at += 3 {
			for _, v := range []byte{0, 0xff, 0xd3, b[at] ^ 0x10} {
				c := bytes.Clone(b)
				c[at] = v
				again(t, fmt.Sprintf("%s byte %d = %#x", name, at, v), plain, entering, c, small, 3)
			}
			again(t, fmt.Sprintf("%s up to byte %d", name, at), plain, entering, b[:at], small, 3)
		}
	}
}

// TestEntryPointsOfOthers: points of other bytes are found anew, were it one bit that is another.
func TestEntryPointsOfOthers(t *testing.T) {
	a, b := noisy(t, 131, 77, 90, 40), noisy(t, 131, 77, 90, 30)
	c := bytes.Clone(a)
	c[len(c)/2] ^= 4
	d, plain := NewDecoder(), NewDecoder()
	defer d.Close()
	defer plain.Close()
	pix := make([]byte, 299*299*3)
	var known Points
	for i, image := range [][]byte{a, b, c, a} {
		before := bytes.Clone(known)
		if err := d.TrainFrom(pix, image, recipe, testRNG(3), &known); err != nil {
			t.Fatal(err)
		}
		if bytes.Equal(before, known) {
			t.Errorf("image %d keeps the entry points of the one before", i)
		}
		want := make([]byte, len(pix))
		if err := plain.Train(want, image, recipe, testRNG(3)); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(want, pix) {
			t.Errorf("image %d: other pixels by entry points of the one before", i)
		}
	}
}

// TestEntryPointsThatAreWrong: points that say they are an image's, and are not, give other pixels or
// an error, and read and write nothing beside the image.
func TestEntryPointsThatAreWrong(t *testing.T) {
	d := NewDecoder()
	defer d.Close()
	small := Train{Size: 32, AreaMin: 0.05, AreaMax: 1, AspectMin: 3.0 / 4, AspectMax: 4.0 / 3}
	pix := make([]byte, 32*32*3)
	failed := 0
	for _, b := range [][]byte{noisy(t, 200, 120, 90, 40), load(t, "kinds", "grey.jpg"), load(t, "kinds", "cmyk.jpg"), load(t, "kinds", "restart.jpg")} {
		for seed := range uint64(300) {
			rng := testRNG(seed)
			var known Points
			if seed%2 == 0 { // as many as the image has
				if err := d.TrainFrom(pix, b, small, testRNG(seed), &known); err != nil {
					t.Fatal(err)
				}
			} else {
				known = append(known.head(b), make([]byte, 8*(seed/2))...)
			}
			for i := pointsHead; i < len(known); i++ {
				if seed%3 == 0 || rng.IntN(20) == 0 {
					known[i] = byte(rng.Uint32())
				}
			}
			if err := d.TrainFrom(pix, b, small, rng, &known); err != nil {
				failed++
				checkKind(t, "wrong points", err)
			}
		}
	}
	if failed == 0 {
		t.Error("no points led to an error, which are beyond the end of the data")
	}
}

// FuzzEntryPoints tries bytes as JPEGs.
func FuzzEntryPoints(f *testing.F) {
	for _, name := range []string{"420.jpg", "444.jpg", "411.jpg", "restart.jpg", "grey.jpg", "cmyk.jpg", "one_pixel.jpg"} {
		f.Add(load(f, "kinds", name))
	}
	small := Train{Size: 8, AreaMin: 0.05, AreaMax: 1, AspectMin: 3.0 / 4, AspectMax: 4.0 / 3}
	f.Fuzz(func(t *testing.T, b []byte) {
		if info, err := Probe(b); err != nil || info.Format != "JPEG" || info.Width*info.Height > 1<<18 {
			return
		}
		plain, entering := NewDecoder(), NewDecoder()
		defer plain.Close()
		defer entering.Close()
		again(t, "fuzzed", plain, entering, b, small, 3)
	})
}
