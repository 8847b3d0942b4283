package classifier

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/model"
)

// own is a Spec as a model's file has it.
func own() *model.Spec {
	return &model.Spec{Model: "inception_v3", InputSize: 299, Resize: 342, Interpolation: "bilinear",
		Mean: [3]float64{0.5, 0.5, 0.5}, Std: [3]float64{0.5, 0.5, 0.5}, Classes: []string{"n1", "n2"}}
}

// TestResolve: what is given wins over what the file says, and that over what its shape
// says.
func TestResolve(t *testing.T) {
	half, one := [3]float64{0.5, 0.5, 0.5}, [3]float64{1, 1, 1}
	other := *own()
	other.Model, other.Classes = "other", []string{"n3", "n4"}
	with := func(change func(*model.Spec)) model.Spec {
		s := *own()
		change(&s)
		return s
	}
	for what, c := range map[string]struct {
		contract Contract
		given    Given
		want     model.Spec
	}{
		"the file's":        {Contract{Type: "uint8", Spec: own(), Classes: 2}, Given{}, *own()},
		"given whole":       {Contract{Type: "uint8", Spec: own(), Classes: 2}, Given{Spec: &other}, other},
		"single values":     {Contract{Type: "float", Spec: own()}, Given{Size: 224, Resize: 256, Interpolation: "bicubic", Mean: &one}, with(func(s *model.Spec) { s.InputSize, s.Resize, s.Interpolation, s.Mean = 224, 256, "bicubic", one })},
		"classes":           {Contract{Type: "uint8", Spec: own(), Classes: 2}, Given{Classes: []string{"a", "b"}}, with(func(s *model.Spec) { s.Classes = []string{"a", "b"} })},
		"over a given Spec": {Contract{Type: "uint8", Classes: 2}, Given{Spec: &other, Resize: 400}, model.Spec{Model: "other", InputSize: 299, Resize: 400, Interpolation: "bilinear", Mean: half, Std: half, Classes: other.Classes}},
		"by its shape": {Contract{Type: "float", Size: 224, Classes: 2}, Given{Mean: &half, Std: &one, Classes: []string{"a", "b"}},
			model.Spec{Model: "m", InputSize: 224, Resize: 224, Interpolation: "bilinear", Mean: half, Std: one, Classes: []string{"a", "b"}}},
	} {
		got, err := c.contract.Resolve("dir/m.onnx", c.given)
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
}

// TestResolveRefuses: what nobody says is no guess, and what flags mend is a SpecError.
func TestResolveRefuses(t *testing.T) {
	half := [3]float64{0.5, 0.5, 0.5}
	bare := *own()
	bare.Classes = nil
	for _, c := range []struct {
		contract Contract
		given    Given
		spec     bool // a SpecError
		want     string
	}{
		{Contract{Type: "uint8", Spec: own()}, Given{Mean: &half}, true, "--mean and --std would change nothing"},
		{Contract{Type: "float", Size: 224}, Given{Mean: &half, Classes: []string{"a"}}, true, "say how colours are normalised"},
		{Contract{Type: "float"}, Given{Mean: &half, Std: &half, Classes: []string{"a"}}, true, "--input-size"},
		{Contract{Type: "uint8", Spec: &bare}, Given{}, true, "no order is guessed"},
		{Contract{Type: "uint8", Spec: own()}, Given{Resize: 200}, true, "resize"},
		{Contract{Type: "uint8", Spec: own(), Classes: 3}, Given{}, false, "3"},
	} {
		_, err := c.contract.Resolve("m.onnx", c.given)
		var ours *SpecError
		if err == nil || errors.As(err, &ours) != c.spec || !strings.Contains(err.Error(), "m.onnx: ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v; want %q, a SpecError: %v", c.given, err, c.want, c.spec)
		}
	}
}

// TestNotes: what was said is noted by its name, and nothing else.
func TestNotes(t *testing.T) {
	if diff := cmp.Diff(map[string]string{}, (&Given{}).Notes(Choice{})); diff != "" {
		t.Errorf("of nothing (-want +got):\n%s", diff)
	}
	g := Given{Size: 224, Resize: 256, Interpolation: "bicubic", Mean: &[3]float64{0.5, 0.25, 0}, Std: &[3]float64{1, 1, 1}}
	want := map[string]string{"input-size": "224", "resize": "256", "interpolation": "bicubic", "mean": "[0.5 0.25 0]", "std": "[1 1 1]",
		"layout": "nhwc", "input": "x", "output": "y", "embedding-output": "e", "scores": "logits"}
	if diff := cmp.Diff(want, g.Notes(Choice{Input: "x", Layout: NHWC, Output: "y", Embedding: "e", Scores: "logits"})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
