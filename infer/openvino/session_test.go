package openvino_test

import (
	"bytes"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/synshard/synshard/infer"
	"github.com/synshard/synshard/infer/classifier"
	"github.com/synshard/synshard/infer/openvino"
	"github.com/synshard/synshard/infer/ort"
	"github.com/synshard/synshard/internal/golden"
	"github.com/synshard/synshard/internal/native/nativetest"
	"github.com/synshard/synshard/internal/raced"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/modeltest"
	"github.com/synshard/synshard/model/onnx"
	"github.com/synshard/synshard/pixel"
)

const classes = 8

// export writes a narrow network as ONNX, with weights by a rule.
func export(t *testing.T, name string) (path string, spec model.Spec) {
	t.Helper()
	n := modeltest.Network(t, name, model.Options{Classes: classes, Aux: true, Width: 0.125})
	half := [3]float64{0.5, 0.5, 0.5}
	spec = model.Spec{Model: name, InputSize: n.Input, Resize: n.Input, Interpolation: "bilinear", Mean: half, Std: half}
	for i := range classes {
		spec.Classes = append(spec.Classes, "class"+string(rune('a'+i)))
	}
	var b bytes.Buffer
	if err := onnx.Write(&b, n, modeltest.Fill(n), spec); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "model.onnx")
	if err := os.WriteFile(path, b.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	return path, spec
}

// open opens a model with OpenVINO.
func open(t *testing.T, lib, path string, spec model.Spec, choice classifier.Choice, batch int) *infer.Network {
	t.Helper()
	c, err := classifier.Describe(path, choice)
	if err != nil {
		t.Fatal(err)
	}
	n, err := openvino.Open(openvino.Options{Library: lib, Model: path, Contract: c, Spec: spec, Threads: 2, Batch: batch, Logits: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

func predict(t *testing.T, p infer.Predictor, images []byte, n int) infer.Outputs {
	t.Helper()
	out, err := p.Predict(t.Context(), images, n)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// near wants numbers within a share of the greatest of those that are wanted.
func near(t *testing.T, what string, got, want []float32, share float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d numbers, want %d", what, len(got), len(want))
		return
	}
	worst, scale := 0.0, 0.0
	for i := range want {
		worst = max(worst, math.Abs(float64(got[i]-want[i])))
		scale = max(scale, math.Abs(float64(want[i])))
	}
	if !(worst <= share*scale) {
		t.Errorf("%s: greatest difference %g of numbers up to %g", what, worst, scale)
	}
	t.Logf("%s: greatest difference %.2g of numbers up to %.3g", what, worst, scale)
}

// TestEqualsORT holds networks that synshard exports to ONNX Runtime, on the same images and
// whatever else runs; the same again is the same in every bit.
func TestEqualsORT(t *testing.T) {
	raced.Skip(t, "the networks run in native code")
	lib, ortLib := nativetest.OpenVINO(t), nativetest.ORT(t)
	for _, name := range []string{"inception_v3", "resnet50", "densenet121"} {
		t.Run(name, func(t *testing.T) {
			path, spec := export(t, name)
			images := modeltest.Images(4, spec.InputSize)
			theirs, err := ort.Open(ort.Options{Library: ortLib, Model: path, Threads: 2, Logits: true})
			if err != nil {
				t.Fatal(err)
			}
			defer theirs.Close()
			want := predict(t, theirs, images, 4)
			n := open(t, lib, path, model.Spec{}, classifier.Choice{}, 4)
			var wg sync.WaitGroup
			outs := make([]infer.Outputs, 5)
			for i := range outs {
				wg.Go(func() { outs[i], _ = n.Predict(t.Context(), images, 4) })
			}
			wg.Wait()
			near(t, "probabilities", outs[0].Probabilities, want.Probabilities, 1e-5)
			near(t, "logits", outs[0].Logits, want.Logits, 1e-4)
			near(t, "embedding", outs[0].Embedding, want.Embedding, 1e-4)
			for _, out := range outs[1:] {
				if !slices.Equal(out.Probabilities, outs[0].Probabilities) {
					t.Error("the same images again have other probabilities")
				}
			}
			// A run of another size is made ready for where it is asked for.
			near(t, "two images", predict(t, n, images, 2).Probabilities, want.Probabilities[:2*classes], 1e-5)
		})
	}
}

// decoded are images made ready as a Spec says.
func decoded(t *testing.T, dir string, names []string, s model.Spec) (images []byte) {
	t.Helper()
	d := pixel.NewDecoder()
	defer d.Close()
	for _, name := range names {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		one := make([]byte, s.InputSize*s.InputSize*3)
		if err := d.Eval(one, b, pixel.Eval{Size: s.InputSize, Resize: s.Resize, Interpolation: s.Interpolation}); err != nil {
			t.Fatal(err)
		}
		images = append(images, one...)
	}
	return images
}

// TestForeign holds models of every layout and kind that synshard did not export to what PIL,
// NumPy and Python's ONNX Runtime make of them.
func TestForeign(t *testing.T) {
	lib := nativetest.OpenVINO(t)
	var g struct {
		Images []string
		Spec   model.Spec
		Models map[string]struct {
			Probabilities, Logits, Embedding [][]float64
		}
	}
	const dir = "../ort/testdata"
	golden.Read(t, dir+"/foreign.json", &g)
	images := decoded(t, dir, g.Images, g.Spec)
	for name, want := range g.Models {
		t.Run(name, func(t *testing.T) {
			choice := classifier.Choice{}
			if want.Embedding != nil {
				choice = classifier.Choice{Output: "scores", Embedding: "features"}
			}
			n := open(t, lib, filepath.Join(dir, name+".onnx"), g.Spec, choice, len(g.Images))
			out := predict(t, n, images, n.Batch)
			for what, c := range map[string]struct {
				got  []float32
				want [][]float64
			}{"probabilities": {out.Probabilities, want.Probabilities}, "logits": {out.Logits, want.Logits}, "embedding": {out.Embedding, want.Embedding}} {
				var flat []float32
				for _, row := range c.want[:min(n.Batch, len(c.want))] {
					for _, v := range row {
						flat = append(flat, float32(v))
					}
				}
				if flat != nil {
					near(t, what, c.got[:min(len(flat), len(c.got))], flat, 1e-4)
				}
			}
		})
	}
}

func TestNoLibrary(t *testing.T) {
	path, _ := export(t, "resnet50")
	c, err := classifier.Describe(path, classifier.Choice{})
	if err != nil {
		t.Fatal(err)
	}
	for _, lib := range []string{filepath.Join(t.TempDir(), "none.so"), path} {
		if _, err := openvino.Open(openvino.Options{Library: lib, Model: path, Contract: c}); !errors.Is(err, openvino.ErrUnfit) {
			t.Errorf("%s: %v, want ErrUnfit", lib, err)
		}
	}
}
