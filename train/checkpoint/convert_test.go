package checkpoint

import (
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/modeltest"
	"github.com/synshard/synshard/model/weights"
)

// thinSpec is of thinNet.
func thinSpec(t *testing.T) model.Spec {
	t.Helper()
	spec, err := weights.PublishedSpec("inception_v3")
	if err != nil {
		t.Fatal(err)
	}
	spec.Classes, spec.Width = []string{"n1", "n2", "n3"}, 0.03
	return spec
}

func TestFormOf(t *testing.T) {
	got := map[string]string{}
	for _, path := range []string{"a.pth", "b/c.ONNX", "x.safetensors", "x.bin", "onnx", ""} {
		got[path] = FormOf(path)
	}
	want := map[string]string{"a.pth": "pth", "b/c.ONNX": "onnx", "x.safetensors": "safetensors", "x.bin": "", "onnx": "", "": ""}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestConvert takes averages out of a checkpoint's tensors, writes them in every form and
// reads them back.
func TestConvert(t *testing.T) {
	spec, net := thinSpec(t), thinNet(t, 3, true)
	raw, averaged := net.Init(1), net.Init(2)
	state := slices.Clone(raw)
	for _, x := range averaged {
		x.Name = EMAPrefix + x.Name
		state = append(state, x)
	}
	state = append(state, model.NewTensor(OptimizerPrefix+"scalars", []int{3}, []float32{1, 0, 1}))
	fitted, err := Recorded(&weights.File{Tensors: state, Metadata: map[string]string{model.SpecKey: spec.JSON()}})
	if err != nil {
		t.Fatal(err)
	}
	want := modeltest.Sums(averaged)
	if diff := cmp.Diff(want, modeltest.Sums(fitted.Tensors)); diff != "" {
		t.Fatalf("of a checkpoint (-want +got):\n%s", diff)
	}
	dir := t.TempDir()
	for _, form := range Forms {
		path := filepath.Join(dir, "x."+form)
		if err := fitted.Write(path, form); err != nil {
			t.Fatal(err)
		}
		file, err := ReadAny(path, weights.Options{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := Recorded(file)
		if form == "pth" { // which has no place for a Spec
			if !errors.Is(err, ErrNoSpec) {
				t.Errorf("%s: %v", form, err)
			}
			got, err = Fit(spec, file.Tensors)
		}
		if err != nil {
			t.Fatalf("%s: %v", form, err)
		}
		if diff := cmp.Diff(spec, got.Spec); diff != "" {
			t.Errorf("%s: Spec (-want +got):\n%s", form, diff)
		}
		if diff := cmp.Diff(want, modeltest.Sums(got.Tensors)); diff != "" && form != "onnx" { // which has batch norm folded, and no auxiliary head
			t.Errorf("%s (-want +got):\n%s", form, diff)
		}
	}
	if err := fitted.Write(filepath.Join(dir, "x.bin"), "bin"); err == nil {
		t.Error("a form of nobody's is written")
	}
	if _, err := ReadAny(filepath.Join(dir, "x.onnx"), weights.Options{EMA: true}); err == nil {
		t.Error("averages are taken out of an ONNX file")
	}
}
