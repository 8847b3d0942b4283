package torch

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/infer"
	"github.com/synshard/synshard/internal/native/nativetest"
	"github.com/synshard/synshard/internal/regular"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/modeltest"
	"github.com/synshard/synshard/model/weights"
	engine "github.com/synshard/synshard/train/torch"
	"github.com/synshard/synshard/train/traintest"
)

// narrow is the Spec of traintest's network.
func narrow(t *testing.T) model.Spec {
	t.Helper()
	spec, err := weights.PublishedSpec("inception_v3")
	if err != nil {
		t.Fatal(err)
	}
	spec.Width = traintest.NarrowOptions.Width
	for i := range traintest.Classes {
		spec.Classes = append(spec.Classes, string(rune('a'+i)))
	}
	return spec
}

// file writes tensors as a run leaves them.
func file(t *testing.T, tensors []model.Tensor, meta map[string]string) string {
	t.Helper()
	var b bytes.Buffer
	if err := weights.WriteSafetensors(&b, tensors, meta); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "model.safetensors")
	if err := os.WriteFile(path, b.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestONNXAndBack: of every network the ONNX model that is written gives the weights back, under the
// model's own sum, and one whose graph is another is foreign.
func TestONNXAndBack(t *testing.T) {
	for _, name := range model.Names() {
		n := modeltest.Network(t, name, model.Options{Classes: 4, Width: 0.125})
		w := &Weights{Path: name, tensors: modeltest.Fill(n), Spec: model.Spec{
			Model: name, Width: 0.125, InputSize: n.Input, Resize: n.Input, Interpolation: "bilinear", Std: [3]float64{1, 1, 1}, Classes: []string{"a", "b", "c", "d"},
		}}
		path := filepath.Join(t.TempDir(), "model.onnx")
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(w.WriteONNX(f), f.Close()); err != nil {
			t.Fatal(err)
		}
		sum, err := regular.SHA256(path)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ReadONNX(path)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(w.Spec, got.Spec); diff != "" || got.Sum != sum {
			t.Errorf("%s: sum %s, want %s; spec (-want +got):\n%s", name, got.Sum, sum, diff)
		}
	}
	for _, foreign := range []string{"nhwc_uint8.onnx"} {
		if _, err := ReadONNX(filepath.Join("../ort/testdata", foreign)); !errors.Is(err, ErrForeign) {
			t.Errorf("%s: %v", foreign, err)
		}
	}
}

// TestRead: a file's Spec is taken, with the width that older ones did not record; a file
// without one is refused.
func TestRead(t *testing.T) {
	spec := narrow(t)
	old := spec
	old.Width = 0
	for _, recorded := range []model.Spec{spec, old} {
		w, err := Read(file(t, modeltest.Fill(traintest.Narrow(t)), map[string]string{model.SpecKey: recorded.JSON()}))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(spec, w.Spec); diff != "" {
			t.Errorf("of width %v (-want +got):\n%s", recorded.Width, diff)
		}
		if !w.aux {
			t.Error("the auxiliary head is not seen")
		}
	}
	if _, err := Read(file(t, modeltest.Fill(traintest.Narrow(t)), nil)); err == nil || !strings.Contains(err.Error(), model.SpecKey) {
		t.Errorf("without a Spec: %v", err)
	}
}

// TestPredict: what is asked for comes in its shape and no more, an image's figures are
// its own whatever stands beside it, and probabilities are those of the logits.
func TestPredict(t *testing.T) {
	shim, err := engine.Open(nativetest.Torch(t))
	if err != nil {
		t.Fatal(err)
	}
	spec := narrow(t)
	path := file(t, modeltest.Fill(traintest.Narrow(t)), map[string]string{model.SpecKey: spec.JSON()})
	w, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	open := func(o Options) *infer.Network {
		o.Device, o.Precision, o.Threads = "cpu", "fp32", 2
		n, err := Open(shim, w, o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { n.Close() })
		return n
	}
	n := open(Options{Logits: true, Embedding: true})
	sum, err := regular.SHA256(path)
	if err != nil {
		t.Fatal(err)
	}
	type about struct {
		Backend, Sum       string
		Width, Batch, Runs int
		OwnClasses         bool
	}
	if diff := cmp.Diff(about{"torch folded whole cpu fp32", sum, 256, 8, 1, true}, about{n.Backend, n.Sum, n.Width, n.Batch, n.Runs, n.OwnClasses}); diff != "" {
		t.Errorf("network (-want +got):\n%s", diff)
	}
	images := modeltest.Images(3, 299)
	all, err := n.Predictor.Predict(t.Context(), images, 3)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int{3 * traintest.Classes, 3 * traintest.Classes, 3 * n.Width}, []int{len(all.Probabilities), len(all.Logits), len(all.Embedding)}); diff != "" {
		t.Fatalf("values (-want +got):\n%s", diff)
	}
	for i := range 3 {
		logits := all.Logits[i*traintest.Classes:][:traintest.Classes]
		total := 0.0
		for _, l := range logits {
			total += math.Exp(float64(l))
		}
		for c, l := range logits {
			if p, want := float64(all.Probabilities[i*traintest.Classes+c]), math.Exp(float64(l))/total; math.Abs(p-want) > 1e-6 {
				t.Errorf("image %d, class %d: probability %v, by its logit %v", i, c, p, want)
			}
		}
	}
	alone, err := open(Options{Batch: 1}).Predictor.Predict(t.Context(), images[2*299*299*3:], 1)
	if err != nil {
		t.Fatal(err)
	}
	if len(alone.Logits)+len(alone.Embedding) > 0 {
		t.Errorf("%d logits and %d values of an embedding that nobody asked for", len(alone.Logits), len(alone.Embedding))
	}
	for c, p := range alone.Probabilities {
		if want := all.Probabilities[2*traintest.Classes+c]; math.Abs(float64(p-want)) > 1e-5 {
			t.Errorf("class %d: %v alone, %v beside others", c, p, want)
		}
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := n.Predictor.Predict(cancelled, images, 3); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	w.tensors = w.tensors[1:]
	if _, err := Open(shim, w, Options{Device: "cpu", Precision: "fp32"}); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a parameter is missing: %v", err)
	}
}
