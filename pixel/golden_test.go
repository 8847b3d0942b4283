package pixel

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
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
			if got.W != want.W || got.H != want.H {
				t.Fatalf("%d x %d, want %d x %d", got.W, got.H, want.W, want.H)
			}
			mean, most := distance(t, got.Pix, want.Pix)
			t.Logf("mean %.3f, most %d", mean, most)
			// Two versions of libjpeg-turbo differ by a level here and there,
			// and what lies over something is rounded once more.
			tolerance := 0.05
			if strings.HasPrefix(name, "alpha_") {
				tolerance = 0.6
			}
			if mean > tolerance || most > 2 {
				t.Errorf("mean difference %.3f, largest %d", mean, most)
			}
		})
	}
}

func TestDecodeOverWhite(t *testing.T) {
	d := NewDecoder()
	defer d.Close()
	d.White = true
	names, err := filepath.Glob("testdata/kinds/*.white.png")
	if err != nil || len(names) < 7 {
		t.Fatal(names, err)
	}
	for _, file := range names {
		name := strings.TrimSuffix(filepath.Base(file), ".white.png")
		got, err := d.Decode(load(t, "kinds", name))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if mean, most := distance(t, got.Pix, lossless(t, "kinds", filepath.Base(file)).Pix); mean > 0.6 || most > 1 {
			t.Errorf("%s: mean difference %.3f, largest %d", name, mean, most)
		}
	}
}

func TestEvalLikePillow(t *testing.T) {
	var golden struct {
		Cases []struct {
			Source, Interpolation, Want string
			Resize, Size                int
			Square                      bool
		}
	}
	if err := json.Unmarshal(load(t, "resize", "cases.json"), &golden); err != nil {
		t.Fatal(err)
	}
	if len(golden.Cases) < 40 {
		t.Fatalf("%d cases", len(golden.Cases))
	}
	eachKernel(t, func(t *testing.T) {
		d := NewDecoder()
		defer d.Close()
		var sum float64
		for _, c := range golden.Cases {
			dst := make([]byte, c.Size*c.Size*3)
			err := d.Eval(dst, load(t, "resize", c.Source), Eval{Size: c.Size, Resize: c.Resize, Interpolation: c.Interpolation, Square: c.Square})
			if err != nil {
				t.Fatalf("%+v: %v", c, err)
			}
			mean, most := distance(t, dst, lossless(t, "resize", c.Want).Pix)
			sum += mean
			if mean > 0.5 || most > 3 {
				t.Errorf("%+v: mean difference %.3f, largest %d", c, mean, most)
			}
		}
		t.Logf("mean difference %.4f over %d cases", sum/float64(len(golden.Cases)), len(golden.Cases))
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
				for seed := range uint64(4) {
					tr := Train{Size: size, AreaMin: 0.05, AreaMax: 1, AspectMin: 0.75, AspectMax: 4.0 / 3, Flip: true,
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
