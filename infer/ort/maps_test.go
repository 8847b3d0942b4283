package ort

import (
	"context"
	"errors"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/infer/classifier"
	"github.com/synshard/synshard/internal/native/nativetest"
)

// mapsEqualLogits holds maps to the training engine's logits: the mean of a class's grid is
// its logit less a number of the class's own, the bias. Networks that do not end so are
// refused.
func mapsEqualLogits(t *testing.T, lib, path string, images []byte, logits []float32) {
	t.Helper()
	m, err := OpenMaps(Options{Library: lib, Model: path, Threads: 2})
	if err != nil {
		if !strings.Contains(err.Error(), "where it finds a class cannot be said") || !slices.ContainsFunc([]string{"alexnet", "vgg16"}, func(n string) bool { return strings.Contains(t.Name(), n) }) {
			t.Error(err)
		}
		return
	}
	defer m.Close()
	image := len(images) / (len(logits) / classes)
	all := []int{0, 1, 2, 3, 4, 5, 6, 7}
	var bias [classes]float64
	worst, spread := 0.0, 0.0
	for i := 0; i*image < len(images); i++ {
		grids, columns, err := m.Of(t.Context(), images[i*image:][:image], all)
		if err != nil {
			t.Fatal(err)
		}
		for k, g := range grids {
			if len(g)%columns != 0 || len(g) < 4 {
				t.Fatalf("a grid of %d places in %d columns", len(g), columns)
			}
			mean, logit := 0.0, float64(logits[i*classes+k])
			for _, v := range g {
				mean += float64(v) / float64(len(g))
			}
			if i == 0 {
				bias[k] = logit - mean
			}
			worst = max(worst, math.Abs(mean+bias[k]-logit))
			spread = max(spread, math.Abs(logit-float64(logits[k])))
		}
	}
	t.Logf("maps: greatest difference of a logit %.2g; images differ by up to %.2g", worst, spread)
	if worst > 1e-3*max(spread, 0.01) {
		t.Errorf("maps: logits differ by %g where images differ by %g", worst, spread)
	}
}

// TestMapsPlace: in models of every layout what changes in a corner of the image changes
// the grid in that corner, and most there.
func TestMapsPlace(t *testing.T) {
	lib := nativetest.ORT(t)
	g, images := readGolden(t)
	side := g.Spec.InputSize
	image := images[:side*side*3]
	for _, name := range []string{"nchw_logits", "nchw_softmax", "nchw_uint8", "fixed_batch", "nhwc_float", "nhwc_uint8"} {
		m, err := OpenMaps(Options{Library: lib, Model: filepath.Join("testdata", name+".onnx"), Spec: g.Spec, Choice: classifier.Choice{Output: map[bool]string{true: "scores"}[name == "nchw_logits"]}})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		defer m.Close()
		of := func(image []byte) ([]float32, int) {
			grids, columns, err := m.Of(t.Context(), image, []int{3})
			if err != nil {
				t.Fatal(err)
			}
			return grids[0], columns
		}
		before, columns := of(image)
		for _, corner := range []struct{ Right, Down bool }{{false, false}, {true, false}, {false, true}, {true, true}} {
			after, _ := of(inCorner(image, side, corner.Right, corner.Down))
			most := 0
			for i := range after {
				if math.Abs(float64(after[i]-before[i])) > math.Abs(float64(after[most]-before[most])) {
					most = i
				}
			}
			got := corner
			got.Right, got.Down = most%columns > columns/2, most/columns > len(before)/columns/2
			if diff := cmp.Diff(corner, got); diff != "" || after[most] == before[most] {
				t.Errorf("%s: changes most at row %d, column %d of %d:\n%s", name, most/columns, most%columns, columns, diff)
			}
		}
		ended, end := context.WithCancel(t.Context())
		end()
		if _, _, err := m.Of(ended, image, []int{0}); !errors.Is(err, context.Canceled) {
			t.Errorf("ended: %v", err)
		}
	}
}

// inCorner is an image with other colours in a corner.
func inCorner(image []byte, side int, right, down bool) []byte {
	out := slices.Clone(image)
	for y := range side {
		for x := range side {
			if (x >= 3*side/4) == right && (y >= 3*side/4) == down && (right || x < side/4) && (down || y < side/4) {
				for c := range 3 {
					out[3*(y*side+x)+c] ^= 0xff
				}
			}
		}
	}
	return out
}
