package ort

import (
	"errors"
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/synshard/synshard/infer/classifier"
	"github.com/synshard/synshard/internal/golden"
	"github.com/synshard/synshard/internal/native/nativetest"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/pixel"
)

// figures is what scripts/golden/infer_foreign.py wrote: what PIL, NumPy and
// Python's ONNX Runtime make of the models and images beside it.
type figures struct {
	Images []string
	Spec   model.Spec
	Models map[string]struct {
		Scores                           string
		Probabilities, Logits, Embedding [][]float64
	}
}

func readGolden(t testing.TB) (figures, []byte) {
	t.Helper()
	var g figures
	golden.Read(t, "testdata/foreign.json", &g)
	d := pixel.NewDecoder()
	defer d.Close()
	s := g.Spec.InputSize
	images := make([]byte, len(g.Images)*s*s*3)
	for i, name := range g.Images {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Eval(images[i*s*s*3:(i+1)*s*s*3], b, pixel.Eval{Size: s, Resize: g.Spec.Resize, Interpolation: g.Spec.Interpolation}); err != nil {
			t.Fatal(err)
		}
	}
	return g, images
}

// compare wants rows to be near; how far images differ from each other is the
// measure.
func compare(t *testing.T, what string, got []float32, want [][]float64) {
	t.Helper()
	if len(want) == 0 {
		return
	}
	width := len(want[0])
	if len(got) < len(want)*width {
		t.Fatalf("%s: %d numbers for %d rows of %d", what, len(got), len(want), width)
	}
	worst, spread := 0.0, 0.0
	for i, row := range want {
		for j, v := range row {
			worst = max(worst, math.Abs(float64(got[i*width+j])-v))
			spread = max(spread, math.Abs(v-want[0][j]))
		}
	}
	if worst > 0.01*spread || spread < 0.05 || what == "probabilities" && worst > 1e-3 {
		t.Errorf("%s: greatest difference %g where images differ by %g", what, worst, spread)
	}
}

// TestForeign holds models of every layout and kind that synshard did not
// export to Python's pipeline.
func TestForeign(t *testing.T) {
	lib := nativetest.ORT(t)
	g, images := readGolden(t)
	for name, want := range g.Models {
		t.Run(name, func(t *testing.T) {
			o := Options{Library: lib, Model: filepath.Join("testdata", name+".onnx"), Threads: 1, Spec: g.Spec, Logits: true}
			if name == "with_spec" {
				o.Spec = model.Spec{}
			}
			if want.Embedding != nil {
				o.Choice = classifier.Choice{Output: "scores", Embedding: "features"}
			}
			s, err := Open(o)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if s.c.Scores != want.Scores {
				t.Errorf("scores are taken for %s", s.c.Scores)
			}
			s.o.Most = map[bool]int{true: 4}[name == "nchw_logits"] // in a run of four and one of two
			n := len(g.Images)
			if s.c.Batch > 0 {
				n = s.c.Batch
			}
			out, err := s.Predict(t.Context(), images, n)
			if err != nil {
				t.Fatal(err)
			}
			first := func(rows [][]float64) [][]float64 { return rows[:min(n, len(rows))] }
			compare(t, "probabilities", out.Probabilities, first(want.Probabilities))
			compare(t, "logits", out.Logits, first(want.Logits))
			compare(t, "embedding", out.Embedding, first(want.Embedding))
			compare(t, "softmax of logits", classifier.Softmax(out.Logits, len(g.Spec.Classes)), first(want.Probabilities))
		})
	}
}

func TestForeignRefused(t *testing.T) {
	lib := nativetest.ORT(t)
	g, _ := readGolden(t)
	short, long, wide := g.Spec, g.Spec, g.Spec
	short.Classes, long.Classes = short.Classes[:4], append([]string{"background"}, long.Classes...)
	wide.InputSize, wide.Resize = 64, 64
	for _, c := range []struct {
		name, model, want string
		o                 Options
		is                error
	}{
		{"a class short", "nchw_softmax", "background class", Options{Spec: short}, nil},
		{"a class too many", "nchw_softmax", "6 names and the model 5 classes", Options{Spec: long}, nil},
		{"another size", "nchw_softmax", "images of 32 pixels", Options{Spec: wide}, nil},
		{"no spec", "nchw_softmax", "no synshard.spec in its metadata", Options{}, nil},
		{"two outputs", "nchw_logits", "--output", Options{Spec: g.Spec}, nil},
		{"no such output", "nchw_softmax", "no output nothing", Options{Spec: g.Spec, Choice: classifier.Choice{Output: "nothing"}}, nil},
		{"no such input", "nchw_softmax", "no input nothing", Options{Spec: g.Spec, Choice: classifier.Choice{Input: "nothing"}}, nil},
		{"the wrong layout", "nchw_softmax", "square images of three colours", Options{Spec: g.Spec, Choice: classifier.Choice{Layout: classifier.NHWC}}, nil},
		{"opset", "opset99", "the model is of opset 99, ONNX Runtime", Options{Spec: g.Spec}, ErrTooNew},
		{"IR version", "ir99", "IR version is newer", Options{Spec: g.Spec}, ErrTooNew},
		{"option", "nchw_softmax", "it has arena_extend_strategy", Options{Spec: g.Spec, Provider: "cuda", ProviderOptions: map[string]string{"gpu_memory": "1"}}, ErrOption},
		{"option of the CPU", "nchw_softmax", "cpu has none", Options{Spec: g.Spec, ProviderOptions: map[string]string{"use_tf32": "1"}}, ErrOption},
	} {
		c.o.Library, c.o.Model = lib, filepath.Join("testdata", c.model+".onnx")
		s, err := Open(c.o)
		if err == nil {
			s.Close()
			t.Errorf("%s: opened", c.name)
			continue
		}
		if !strings.Contains(err.Error(), c.want) || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestGPUOptions looks at what GPUs are asked for, which needs none.
func TestGPUOptions(t *testing.T) {
	g, _ := readGolden(t)
	c, err := classifier.Describe("testdata/nhwc_uint8.onnx", classifier.Choice{})
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Spec: g.Spec, Provider: "tensorrt", Device: 1, Batch: 16, Cache: "cache"}
	d := o.defaults(c)
	for k, want := range map[string]string{"device_id": "1", "trt_fp16_enable": "1", "trt_engine_cache_enable": "1", "trt_engine_cache_path": "cache",
		"trt_timing_cache_enable": "1", "trt_profile_opt_shapes": "pixels:16x32x32x3", "trt_profile_min_shapes": "pixels:16x32x32x3", "trt_profile_max_shapes": "pixels:16x32x32x3"} {
		if d[k] != want {
			t.Errorf("%s is %q, want %q", k, d[k], want)
		}
	}
	for _, provider := range []string{"cuda", "tensorrt"} {
		o.Provider = provider
		if err := CheckProvider(provider, o.defaults(c)); err != nil {
			t.Error(err)
		}
	}
}

// TestKeepingSignals expects a signal's handler back after code that replaced
// it, as the CUDA provider does.
func TestKeepingSignals(t *testing.T) {
	before := make(chan os.Signal, 1)
	signal.Notify(before, syscall.SIGTERM) // Go has a handler from here on
	defer signal.Stop(before)
	changed, err := keepingSignals(func() error { stealTerm(); return nil })
	if err != nil || changed != 1 {
		t.Fatalf("%d signals put back, %v", changed, err)
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-before // the default action would have ended the test by now
}
