package train

import (
	"math"
	"strings"
	"testing"

	"github.com/synshard/synshard/internal/golden"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/modeltest"
	"github.com/synshard/synshard/train/recipe"
)

// TestLayerDecay holds rates to timm's own (scripts/golden/train_timm.py).
func TestLayerDecay(t *testing.T) {
	var want struct {
		Decay  float64                       `json:"decay"`
		Scales map[string]map[string]float64 `json:"scales"`
	}
	golden.Read(t, "testdata/golden_layer_decay.json", &want)
	for name, scales := range want.Scales {
		n := modeltest.Network(t, name, model.Options{Aux: false})
		r := recipe.Recipe{Rate: recipe.Rate{LayerDecay: want.Decay}}
		rates, err := ratesOf(n, r, 0)
		if err != nil {
			t.Fatal(err)
		}
		compared := 0
		for _, p := range n.Params() {
			w, ok := scales[p.Name]
			switch {
			case !p.Kind.Trained():
				if rates[p.Name] != 1 {
					t.Errorf("%s: %s follows by %v", name, p.Name, rates[p.Name])
				}
			case !ok || math.Abs(rates[p.Name]-w) > 1e-12*w:
				t.Errorf("%s: %s has %v, timm %v", name, p.Name, rates[p.Name], w)
			default:
				compared++
			}
		}
		if compared < 100 {
			t.Errorf("%s: %d tensors compared", name, compared)
		}
	}
	// The auxiliary head learns as the main one does.
	rates, err := ratesOf(modeltest.Network(t, "inception_v3", model.Options{Aux: true}), recipe.Recipe{Rate: recipe.Rate{LayerDecay: 0.5}}, 0)
	if err != nil || rates["AuxLogits.fc.weight"] != 1 || rates["fc.weight"] != 1 || rates["Mixed_7c.branch1x1.conv.weight"] != 0.5 {
		t.Errorf("heads: %v %v", rates["AuxLogits.fc.weight"], err)
	}
}

func TestFreeze(t *testing.T) {
	n := modeltest.Network(t, "inception_v3", model.Options{Aux: true, Width: 0.03})
	for freeze, c := range map[string]struct {
		frozen, trained []string
	}{
		"backbone": {
			[]string{"Conv2d_1a_3x3.conv.weight", "Mixed_7c.branch_pool.bn.bias", "Mixed_7c.branch_pool.bn.running_var"},
			[]string{"fc.weight", "fc.bias", "AuxLogits.conv0.conv.weight", "AuxLogits.conv0.bn.running_mean", "AuxLogits.fc.weight"},
		},
		"Mixed_6e": {
			[]string{"Conv2d_1a_3x3.conv.weight", "Mixed_6e.branch_pool.bn.running_mean"},
			[]string{"Mixed_7a.branch3x3_1.conv.weight", "Mixed_7a.branch3x3_1.bn.running_mean", "AuxLogits.conv0.conv.weight", "fc.bias"},
		},
		"Conv2d_2a_3x3": {
			[]string{"Conv2d_1a_3x3.conv.weight", "Conv2d_2a_3x3.bn.running_var"},
			[]string{"Conv2d_2b_3x3.conv.weight"},
		},
		`^Mixed_6e\.`: {
			[]string{"Mixed_6e.branch1x1.conv.weight", "Mixed_6e.branch1x1.bn.running_mean"},
			[]string{"Conv2d_1a_3x3.conv.weight", "Mixed_6d.branch1x1.conv.weight", "fc.weight"},
		},
		`\.bn\.(weight|bias)$`: {
			[]string{"Conv2d_1a_3x3.bn.weight", "Conv2d_1a_3x3.bn.running_mean", "AuxLogits.conv0.bn.running_var"},
			[]string{"Conv2d_1a_3x3.conv.weight", "fc.bias"},
		},
	} {
		rates, err := ratesOf(n, recipe.Recipe{Network: recipe.Network{Freeze: freeze}}, 0)
		if err != nil {
			t.Errorf("%s: %v", freeze, err)
			continue
		}
		for _, name := range c.frozen {
			if r, ok := rates[name]; !ok || r != 0 {
				t.Errorf("%s: %s has %v", freeze, name, r)
			}
		}
		for _, name := range c.trained {
			if rates[name] != 1 {
				t.Errorf("%s: %s has %v", freeze, name, rates[name])
			}
		}
	}
	for freeze, want := range map[string]string{
		"":                   "",
		"Mixed_9z":           "is no module of inception_v3",
		"(":                  "missing closing",
		".":                  "leaves nothing to train",
		`\.bn\.weight$`:      "name both or neither",
		"fc|AuxLogits|[0-9]": "leaves nothing to train",
	} {
		_, err := ratesOf(n, recipe.Recipe{Network: recipe.Network{Freeze: freeze}}, 0)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", freeze, err, want)
		}
	}
	thawed := recipe.Recipe{Network: recipe.Network{Freeze: "backbone", UnfreezeAt: 2}}
	for epoch, want := range []int{0, 0, 1, 1} {
		rates, err := ratesOf(n, thawed, epoch)
		r, ok := rates["Mixed_5b.branch1x1.conv.weight"]
		if err != nil || ok && r != float64(want) || !ok && want == 0 {
			t.Errorf("epoch %d: rate %v", epoch, r)
		}
	}
}
