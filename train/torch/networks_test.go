package torch

import (
	"math"
	"slices"
	"testing"

	"github.com/synshard/synshard/internal/golden"
	"github.com/synshard/synshard/loader"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/modeltest"
	"github.com/synshard/synshard/train/traintest"
)

// TestNetworks holds Inception's neighbours to torchvision's: training logits
// of every head, loss and gradients.
func TestNetworks(t *testing.T) {
	var networks map[string]struct {
		Logits    [][][]float64              `json:"logits"`
		Loss      float64                    `json:"loss"`
		Gradients map[string]gradientFigures `json:"gradients"`
	}
	golden.Read(t, "testdata/golden_networks.json", &networks)
	for _, name := range model.Names() {
		if name == "inception_v3" { // has its own tests
			continue
		}
		t.Run(name, func(t *testing.T) {
			want, ok := networks[name]
			if !ok {
				t.Fatal("no golden data")
			}
			n := modeltest.Network(t, name, traintest.NarrowOptions)
			for i := range n.Nodes {
				n.Nodes[i].P = 0 // no dropout, in the auxiliary heads either
			}
			e := engineOf(t, n, traintest.Config("sgd"))
			b := &loader.Batch{Images: modeltest.Images(4, n.Input), Labels: []int64{0, 2, 4, 6}, Size: n.Input, N: 4}
			out, err := e.forward(normalised(b.Images, n.Input), 4, forwardOptions{Training: true, Aux: len(n.Aux) > 0})
			if err != nil {
				t.Fatal(err)
			}
			if len(out) != len(want.Logits) {
				t.Fatalf("%d heads, want %d", len(out), len(want.Logits))
			}
			for i := range out {
				near(t, "logits", out[i], want.Logits[i], 1e-4)
			}
			m, err := e.accumulate(b)
			if err != nil {
				t.Fatal(err)
			}
			if !(math.Abs(m.Loss-want.Loss) <= 1e-4) {
				t.Errorf("loss %v, want %v", m.Loss, want.Loss)
			}
			// Relative to the whole gradient's norm: of a small one most may be
			// noise (a bias before batch norm has none at all), and float32
			// decides on which side of a ReLU's kink an activation lies.
			total := 0.0
			for _, w := range want.Gradients {
				total += w.Norm * w.Norm
			}
			total = math.Sqrt(total)
			worst, where := 0.0, ""
			for name, w := range want.Gradients {
				got, err := e.gradient(name)
				if err != nil {
					t.Fatal(err)
				}
				square := 0.0
				for _, v := range got {
					square += float64(v) * float64(v)
				}
				diffs := []float64{math.Abs(math.Sqrt(square) - w.Norm)}
				for i, at := range w.At {
					diffs = append(diffs, math.Abs(float64(got[at])-w.Values[i]))
				}
				if d := slices.Max(diffs) / total; d > worst {
					worst, where = d, name
				}
			}
			t.Logf("gradients differ by up to %.2g of the whole gradient's norm (%s)", worst, where)
			if !(worst <= 1e-3) {
				t.Errorf("gradients differ by %g of the whole gradient's norm, at %s", worst, where)
			}
		})
	}
}
