package recipe

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzResolve: any layer over any recipe is an error that names it, or a recipe that
// makes sense, that its own text gives back, and that its rows show.
func FuzzResolve(f *testing.F) {
	for _, text := range []string{"epochs: 3\nrate: {base: 0.1, kind: cosine}\n", "model: resnet50\nnetwork: {width: 0.25}\n", "mean: [0.1, 0.2, 0.3]\nstd: [1, 1, 1]\n",
		"optimizer: {kind: adamw, beta1: 0.9, beta2: 0.999, eps: 1e-8}\n", "a: &x 1\nepochs: *x\n", "batch: .inf\nseed: -1\n", "<<: {epochs: 1}\n", "epochs: 1_000\nname: !!str 5\n", "rate: null\nema:\n"} {
		f.Add([]byte(text), uint8(0))
		f.Add([]byte(text), uint8(3))
	}
	names := Names()
	f.Fuzz(func(t *testing.T, text []byte, which uint8) {
		r, err := Resolve(names[int(which)%len(names)], Layer{"the layer", text})
		if err != nil {
			if !strings.Contains(err.Error(), "recipe") && !strings.Contains(err.Error(), "the layer") {
				t.Errorf("an error of nowhere: %v", err)
			}
			return
		}
		readsBack(t, r)
		if r, err := Parse(text); err == nil {
			readsBack(t, r)
		}
	})
}

// readsBack holds a recipe to its text.
func readsBack(t *testing.T, r Recipe) {
	t.Helper()
	if err := r.Check(); err != nil {
		t.Errorf("resolved, and %v", err)
	}
	text, err := r.YAML()
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse(text)
	if err != nil {
		t.Fatalf("%v, of its own\n%s", err, text)
	}
	if diff := cmp.Diff(r, again); diff != "" {
		t.Errorf("by its own text (-was +is):\n%s\n%s", diff, text)
	}
	if rows, err := r.Table(); err != nil || len(rows) < 20 {
		t.Errorf("%d rows, %v", len(rows), err)
	}
}

// FuzzSetLayer: what is set by KEY=VALUE is an error, or sets that key.
func FuzzSetLayer(f *testing.F) {
	for _, s := range []string{"epochs=3", "rate.base=0.1", "a.b.c=d", "epochs = 3\nbatch: 4", "=", "rate.=1", "epochs=[1", "name=: x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		l, err := SetLayer("--set", s)
		if err != nil {
			return
		}
		if r, err := Resolve(Names()[0], l); err == nil {
			readsBack(t, r)
		}
	})
}
