package model

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// FuzzSpec: any text is an error, or a Spec that its own JSON gives back and whose
// network, if it can be built, is built in a moment and has its classes. What ParseGivenSpec takes, and
// lacks nothing, is the same Spec.
func FuzzSpec(f *testing.F) {
	good := Spec{Model: "resnet50", Width: 0.25, InputSize: 32, Resize: 36, Interpolation: "bilinear", Std: [3]float64{1, 1, 1}, Alpha: "white", Classes: []string{"a", "\u00e9\n"}}
	for _, change := range []func(*Spec){func(*Spec) {}, func(s *Spec) { s.Model = "inception_v3"; s.InputSize, s.Resize = 4096, 1<<14 }, func(s *Spec) { s.Model = "densenet121"; s.Width = 16 }, func(s *Spec) { s.Std[1] = 0 }, func(s *Spec) { s.Width = 1e-300 }} {
		s := good
		change(&s)
		f.Add(s.JSON())
	}
	f.Add(`{"input_size": 1e3, "MODEL": null, "classes": ["\ud800"]}`)
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSpec(text)
		if given, lacks, bad := ParseGivenSpec([]byte(text)); bad == nil && lacks == nil && given.Check() == nil {
			if diff := cmp.Diff(s, given); err != nil || diff != "" {
				t.Errorf("as a user's (-own +given): %v\n%s", err, diff)
			}
		}
		if err != nil {
			if !strings.HasPrefix(err.Error(), "spec: ") {
				t.Errorf("an error of nowhere: %v", err)
			}
			return
		}
		again, err := ParseSpec(s.JSON())
		if err != nil {
			t.Fatalf("%v, of its own %s", err, s.JSON())
		}
		if diff := cmp.Diff(s, again); diff != "" {
			t.Errorf("by its own JSON (-was +is):\n%s", diff)
		}
		began := time.Now()
		for _, aux := range []bool{false, true} {
			n, err := s.Network(aux)
			if err == nil && n.Input != s.InputSize {
				t.Errorf("a network of %d pixels, of %d", n.Input, s.InputSize)
			}
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("its networks are built in %v", took)
		}
	})
}
