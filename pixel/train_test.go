package pixel

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"github.com/synshard/synshard/internal/golden"
	"github.com/synshard/synshard/internal/raced"
)

func testRNG(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 99)) }

var recipe = Train{Size: 299, AreaMin: 0.05, AreaMax: 1, AspectMin: 3.0 / 4, AspectMax: 4.0 / 3, Flip: true}

// noisy is an image as ImageNet's are: 500 x 375, about 110 kB.
func noisy(t testing.TB, w, h, quality int, strength float64) []byte {
	t.Helper()
	rng := testRNG(5)
	pix := make([]byte, 0, w*h*3)
	for y := range h {
		for x := range w {
			base := 128 + 60*math.Sin(float64(x)/17)*math.Cos(float64(y)/23) + 30*math.Sin(float64(x*y)/900)
			n := strength * rng.NormFloat64()
			for c := range 3 {
				v := base + 20*math.Sin(float64(x+40*c)/31) + n + 3*rng.NormFloat64()
				pix = append(pix, byte(min(max(v, 0), 255)))
			}
		}
	}
	b, err := EncodeJPEG(w, h, pix, quality)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// cropWithin draws a crop, which must lie within the image.
func cropWithin(t *testing.T, w, h int, tr Train, rng *rand.Rand) crop {
	t.Helper()
	c := randomCrop(w, h, tr, rng)
	if c.W < 1 || c.H < 1 || c.X < 0 || c.Y < 0 || c.X+c.W > w || c.Y+c.H > h {
		t.Fatalf("%+v outside %dx%d", c, w, h)
	}
	return c
}

func nearly(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance) {
		t.Errorf("%s %.5f, want %.5f", what, got, want)
	}
}

// TestRegion: what Region tells is what Train makes of an image, by what its pixels are: red
// that grows to the right, green that grows downwards.
func TestRegion(t *testing.T) {
	const w, h, size = 120, 80, 32
	im := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			im.SetNRGBA(x, y, color.NRGBA{byte(2 * x), byte(3 * y), 0, 255})
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, im); err != nil {
		t.Fatal(err)
	}
	d := NewDecoder()
	defer d.Close()
	mirrors := 0
	for _, crop := range []string{"torchvision", "tensorflow"} {
		tr := Train{Size: size, AreaMin: 0.2, AreaMax: 0.9, AspectMin: 0.75, AspectMax: 1.4, Flip: true, Crop: crop}
		for seed := range uint64(20) {
			dst := make([]byte, size*size*3)
			if err := d.Train(dst, b.Bytes(), tr, testRNG(seed)); err != nil {
				t.Fatal(err)
			}
			part, mirrored := tr.Region(w, h, testRNG(seed))
			left, right, red, green := 0.0, 0.0, 0.0, 0.0
			for i := 0; i < len(dst); i += 3 {
				red, green = red+float64(dst[i])/(size*size), green+float64(dst[i+1])/(size*size)
				if i/3%size < size/2 {
					left += float64(dst[i])
				} else {
					right += float64(dst[i])
				}
			}
			nearly(t, "red", red, float64(part.Min.X+part.Max.X-1), 0.6)
			nearly(t, "green", green, 1.5*float64(part.Min.Y+part.Max.Y-1), 0.6)
			if mirrored != (left > right) {
				t.Errorf("seed %d: mirrored %v", seed, mirrored)
			}
			if mirrored {
				mirrors++
			}
		}
	}
	if mirrors < 8 || mirrors > 32 {
		t.Errorf("%d of 40 are mirrored", mirrors)
	}
}

// TestCropStatistics compares the crops' parameters with the formulas that
// define them: area uniform in its range and the logarithm of the aspect ratio
// uniform in its, where the crop fits; every place equally likely.
func TestCropStatistics(t *testing.T) {
	const w, h, n = 4000, 4000, 40000
	tr := Train{AreaMin: 0.05, AreaMax: 0.5, AspectMin: 0.75, AspectMax: 4.0 / 3} // always fits
	rng := testRNG(1)
	var area, area2, aspect, aspect2, place float64
	for range n {
		c := cropWithin(t, w, h, tr, rng)
		a, r := float64(c.W*c.H)/(w*h), math.Log(float64(c.W)/float64(c.H))
		area, area2 = area+a, area2+a*a
		aspect, aspect2 = aspect+r, aspect2+r*r
		place += float64(c.X) / float64(w-c.W)
	}
	mean, variance := 0.275, 0.45*0.45/12
	nearly(t, "mean area", area/n, mean, 4*math.Sqrt(variance/n))
	nearly(t, "variance of area", area2/n-math.Pow(area/n, 2), variance, 0.03*variance)
	span := math.Log(4.0/3) - math.Log(0.75)
	nearly(t, "mean log aspect", aspect/n, 0, 4*span/math.Sqrt(12*n))
	nearly(t, "variance of log aspect", aspect2/n-math.Pow(aspect/n, 2), span*span/12, 0.03*span*span/12)
	nearly(t, "mean place", place/n, 0.5, 4/math.Sqrt(12*n))
}

// TestCropsLikeTorchvision compares the distributions of crops with those that
// torchvision draws (testdata/crops.json), quantile by quantile: of crops drawn
// here the share below a quantile must be that quantile's, up to chance.
func TestCropsLikeTorchvision(t *testing.T) {
	var g struct {
		Cases []struct {
			W, H                     int
			Top, Left, Height, Width []float64
		}
	}
	golden.Read(t, "testdata/crops.json", &g)
	if len(g.Cases) == 0 {
		t.Fatal("no cases")
	}
	const n = 100000
	for _, c := range g.Cases {
		rng := testRNG(9)
		var drawn [4][]float64 // as in want
		for range n {
			crop := randomCrop(c.W, c.H, Train{AreaMin: 0.08, AreaMax: 1, AspectMin: 0.75, AspectMax: 4.0 / 3}, rng)
			for i, v := range []int{crop.Y, crop.X, crop.H, crop.W} {
				drawn[i] = append(drawn[i], float64(v))
			}
		}
		for i, want := range [][]float64{c.Top, c.Left, c.Height, c.Width} {
			slices.Sort(drawn[i])
			for j, q := range want {
				below, _ := slices.BinarySearch(drawn[i], q)
				upTo, _ := slices.BinarySearch(drawn[i], q+0.5)
				// Values are whole: the quantile's own share lies on both sides.
				if p := 0.05 * float64(j+1); p < float64(below)/n-0.008 || p > float64(upTo)/n+0.008 {
					t.Errorf("%d x %d, %s: %.1f %% to %.1f %% of crops are at most %v, in torchvision's %.0f %%", c.W, c.H,
						[]string{"top", "left", "height", "width"}[i], 100*float64(below)/n, 100*float64(upTo)/n, q, 100*p)
				}
			}
		}
	}
}

// TestDistortedBoxStatistics does so for TensorFlow's box: the aspect ratio is
// uniform in its range, and the height among those whose area is in its.
func TestDistortedBoxStatistics(t *testing.T) {
	const w, h, n = 4000, 4000, 40000
	tr := Train{AreaMin: 0.05, AreaMax: 0.5, AspectMin: 0.75, AspectMax: 4.0 / 3, Crop: "tensorflow"} // always fits
	rng := testRNG(1)
	var aspect, aspect2, height, height2, place float64
	for range n {
		c := cropWithin(t, w, h, tr, rng)
		r := float64(c.W) / float64(c.H)
		low, high := math.Sqrt(0.05*w*h/r), math.Sqrt(0.5*w*h/r)
		u := (float64(c.H) - low) / (high - low)
		aspect, aspect2 = aspect+r, aspect2+r*r
		height, height2 = height+u, height2+u*u
		place += float64(c.X) / float64(w-c.W)
	}
	const span = 4.0/3 - 0.75
	nearly(t, "mean aspect", aspect/n, 0.75+span/2, 4*span/math.Sqrt(12*n))
	nearly(t, "variance of aspect", aspect2/n-math.Pow(aspect/n, 2), span*span/12, 0.03*span*span/12)
	nearly(t, "mean place in the heights", height/n, 0.5, 4/math.Sqrt(12*n)+0.001)
	nearly(t, "variance of it", height2/n-math.Pow(height/n, 2), 1.0/12, 0.03/12)
	nearly(t, "mean place", place/n, 0.5, 4/math.Sqrt(12*n)+0.001)
	for _, size := range [][2]int{{1, 1}, {30, 1000}, {1000, 30}, {7, 5}} { // where little or nothing fits
		for range 200 {
			cropWithin(t, size[0], size[1], tr, rng)
		}
	}
}

// TestCropFallback: an image in which no crop fits gives the largest centred
// part within the aspect range.
func TestCropFallback(t *testing.T) {
	tr := Train{AreaMin: 0.99, AreaMax: 1, AspectMin: 0.75, AspectMax: 4.0 / 3}
	if got, want := randomCrop(1000, 30, tr, testRNG(1)), (crop{480, 0, 40, 30}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got, want := randomCrop(30, 1000, tr, testRNG(1)), (crop{0, 480, 30, 40}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got, want := randomCrop(1, 1, tr, testRNG(1)), (crop{0, 0, 1, 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// TestPartialDecode: cutting in the decoder gives what cutting the whole
// image gives, but for chroma at the seams.
func TestPartialDecode(t *testing.T) {
	for _, name := range []string{"420.jpg", "422.jpg", "444.jpg", "progressive.jpg", "restart.jpg", "cmyk.jpg", "grey.jpg", "411.jpg", "440.jpg"} {
		d, whole := NewDecoder(), NewDecoder()
		defer d.Close()
		defer whole.Close()
		b := load(t, "kinds", name)
		p, err := whole.Decode(b)
		if err != nil {
			t.Fatal(name, err)
		}
		info, err := Probe(b)
		if err != nil {
			t.Fatal(err)
		}
		rng := testRNG(3)
		for range 200 {
			w, h := 1+rng.IntN(info.Width), 1+rng.IntN(info.Height)
			r := rect{rng.IntN(info.Width - w + 1), rng.IntN(info.Height - h + 1), w, h}
			got, err := d.region(b, info, r, 1)
			if err != nil {
				t.Fatal(name, r, err)
			}
			if got.rect != r {
				t.Fatalf("%s: asked for %v, got %v", name, r, got.rect)
			}
			var want []byte
			for y := r.y; y < r.y+r.h; y++ {
				want = append(want, p.Pix[(y*p.W+r.x)*3:(y*p.W+r.x+r.w)*3]...)
			}
			var have []byte
			for y := range got.h {
				have = append(have, got.row(y)...)
			}
			if mean, most := distance(t, have, want); most > 0 {
				t.Fatalf("%s %v: mean difference %.3f, largest %d", name, r, mean, most)
			}
		}
	}
}

// TestTrainLikeWholeCrop: Train gives what cutting and resizing the whole
// image would, also where the decoder reduces.
func TestTrainLikeWholeCrop(t *testing.T) {
	raced.Skip(t, "one goroutine does it all")
	b := noisy(t, 500, 375, 85, 2)
	d, e := NewDecoder(), NewDecoder()
	defer d.Close()
	defer e.Close()
	for _, c := range []struct {
		size int
		mean float64
	}{{299, 0.02}, {150, 1}, {32, 3}} {
		tr := recipe
		tr.Size, tr.Flip, tr.AreaMin = c.size, false, 0.4
		got, want := make([]byte, c.size*c.size*3), make([]byte, c.size*c.size*3)
		for seed := range uint64(10) {
			if err := d.Train(got, b, tr, testRNG(seed)); err != nil {
				t.Fatal(err)
			}
			whole, err := e.Decode(b)
			if err != nil {
				t.Fatal(err)
			}
			r := randomCrop(500, 375, tr, testRNG(seed))
			var cut []byte
			for y := r.Y; y < r.Y+r.H; y++ {
				cut = append(cut, whole.Pix[(y*500+r.X)*3:(y*500+r.X+r.W)*3]...)
			}
			if err := e.Eval(want, asPNG(t, r.W, r.H, cut), Eval{Size: c.size, Resize: c.size, Square: true}); err != nil {
				t.Fatal(err)
			}
			if mean, most := distance(t, got, want); mean > c.mean {
				t.Errorf("size %d, crop %+v: mean difference %.3f, largest %d", c.size, r, mean, most)
			}
		}
	}
}

// TestCoarse: a crop whose weights have fewer bits differs from the exact one by a level, in few values.
func TestCoarse(t *testing.T) {
	b := noisy(t, 500, 375, 85, 2)
	d := NewDecoder()
	defer d.Close()
	differ := false
	for _, size := range []int{299, 224, 150} {
		tr := recipe
		tr.Size = size
		got, want := make([]byte, size*size*3), make([]byte, size*size*3)
		for seed := range uint64(20) {
			if r := randomCrop(500, 375, tr, testRNG(seed)); min(r.W, r.H) >= 2*size || downFirst(r.W, r.H, size, size) {
				continue // decoded smaller, or in the other order
			}
			for exact, dst := range map[bool][]byte{true: want, false: got} {
				tr.Exact = exact
				if err := d.Train(dst, b, tr, testRNG(seed)); err != nil {
					t.Fatal(err)
				}
			}
			mean, most := distance(t, got, want)
			if most > 1 || mean > 0.04 {
				t.Errorf("size %d, crop %d: mean difference %.4f, largest %d", size, seed, mean, most)
			}
			differ = differ || most > 0
		}
	}
	if !differ {
		t.Error("every crop is exact")
	}
}

func TestFlipMirrors(t *testing.T) {
	b := noisy(t, 120, 90, 90, 5)
	d := NewDecoder()
	defer d.Close()
	flips := 0
	for seed := range uint64(64) {
		plain, mirrored := make([]byte, 31*31*3), make([]byte, 31*31*3)
		tr := recipe
		tr.Size, tr.Flip = 31, false
		if err := d.Train(plain, b, tr, testRNG(seed)); err != nil {
			t.Fatal(err)
		}
		tr.Flip = true
		if err := d.Train(mirrored, b, tr, testRNG(seed)); err != nil {
			t.Fatal(err)
		}
		same, turned := true, true
		for y := range 31 {
			for x := range 31 {
				for c := range 3 {
					v := mirrored[(y*31+x)*3+c]
					same = same && v == plain[(y*31+x)*3+c]
					turned = turned && v == plain[(y*31+30-x)*3+c]
				}
			}
		}
		if same == turned {
			t.Fatalf("seed %d: same %v, mirrored %v", seed, same, turned)
		}
		if turned {
			flips++
		}
	}
	if flips < 16 || flips > 48 {
		t.Errorf("%d of 64 flipped", flips)
	}
}

func TestTrainAllocatesNothing(t *testing.T) {
	b := noisy(t, 500, 375, 85, 20)
	d := NewDecoder()
	defer d.Close()
	dst := make([]byte, 299*299*3)
	rng := testRNG(1)
	tr := recipe
	tr.Brightness, tr.Contrast, tr.Saturation, tr.Hue = 0.125, 0.5, 0.5, 0.2
	for range 20 {
		if err := d.Train(dst, b, tr, rng); err != nil {
			t.Fatal(err)
		}
	}
	runtime.GC()
	if n := testing.AllocsPerRun(50, func() {
		if err := d.Train(dst, b, tr, rng); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations an image", n)
	}
}

func BenchmarkPixel(b *testing.B) {
	src := noisy(b, 500, 375, 91, 16)
	dst := make([]byte, 299*299*3)
	d := NewDecoder()
	defer d.Close()
	colour := recipe
	colour.Brightness, colour.Contrast, colour.Saturation, colour.Hue = 0.125, 0.5, 0.5, 0.2
	rng := testRNG(1)
	run := func(name string, f func() error) {
		b.Run("path="+name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(src)))
			for b.Loop() {
				if err := f(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "images/s")
		})
	}
	plain := NewDecoder()
	defer plain.Close()
	plain.LibjpegOnly = true
	run("decode-libjpeg", func() error { _, err := plain.Decode(src); return err })
	run("decode", func() error { _, err := d.Decode(src); return err })
	run("train", func() error { return d.Train(dst, src, recipe, rng) })
	run("train+colour", func() error { return d.Train(dst, src, colour, rng) })
	run("eval", func() error { return d.Eval(dst, src, Eval{Size: 299, Resize: 342}) })
	run("eval-bicubic", func() error { return d.Eval(dst, src, Eval{Size: 299, Resize: 342, Interpolation: "bicubic"}) })
}
