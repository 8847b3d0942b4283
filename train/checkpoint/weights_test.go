package checkpoint

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/modeltest"
)

func thinNet(t *testing.T, classes int, aux bool) *model.Network {
	t.Helper()
	return modeltest.Network(t, "inception_v3", model.Options{Classes: classes, Aux: aux, Width: 0.03})
}

func TestAdaptHeadOfAnotherWidth(t *testing.T) {
	given := thinNet(t, 10, true).Init(1)
	given = append(given, model.Tensor{Name: "Conv2d_1a_3x3.bn.num_batches_tracked", DType: "I64", Data: make([]byte, 8)})
	net := thinNet(t, 3, true)
	a, err := Adapt(net, given, false)
	if err != nil {
		t.Fatal(err)
	}
	heads := []string{"AuxLogits.fc.bias", "AuxLogits.fc.weight", "fc.bias", "fc.weight"}
	if diff := cmp.Diff(heads, slices.Sorted(slices.Values(a.Fresh))); diff != "" {
		t.Errorf("fresh (-want +got):\n%s", diff)
	}
	if len(a.Unused) > 0 {
		t.Errorf("unused %v", a.Unused)
	}
	if got, want := len(a.Tensors), len(net.Params())-4; got != want {
		t.Errorf("%d tensors, want %d", got, want)
	}
}

// The commonest mistake there is: as many classes, but others.
func TestAdaptHeadOfOtherClasses(t *testing.T) {
	net := thinNet(t, 3, true)
	a, err := Adapt(net, net.Init(1), true)
	if err != nil || len(a.Fresh) != 4 {
		t.Errorf("fresh %v, %v", a.Fresh, err)
	}
	if a, err = Adapt(net, net.Init(1), false); err != nil || len(a.Fresh) != 0 {
		t.Errorf("the same classes: fresh %v, %v", a.Fresh, err)
	}
}

func TestAdaptWithoutAuxiliary(t *testing.T) {
	a, err := Adapt(thinNet(t, 3, false), thinNet(t, 3, true).Init(1), false)
	if err != nil {
		t.Fatal(err)
	}
	if len(a.Fresh) > 0 {
		t.Errorf("into a network without: fresh %v", a.Fresh)
	}
	var aux []string
	for _, p := range thinNet(t, 3, true).Params() {
		if strings.HasPrefix(p.Name, "AuxLogits.") {
			aux = append(aux, p.Name)
		}
	}
	if diff := cmp.Diff(slices.Sorted(slices.Values(aux)), slices.Sorted(slices.Values(a.Unused))); diff != "" {
		t.Errorf("into a network without: unused (-want +got):\n%s", diff)
	}
	a, err = Adapt(thinNet(t, 3, true), thinNet(t, 3, false).Init(1), false)
	if err != nil || len(a.Fresh) == 0 {
		t.Fatalf("into a network with: %v", err)
	}
	for _, name := range a.Fresh {
		if !strings.HasPrefix(name, "AuxLogits.") {
			t.Errorf("%s starts anew", name)
		}
	}
}

func TestAdaptRefusesAnotherNetwork(t *testing.T) {
	net := thinNet(t, 3, true)
	given := net.Init(1)
	for i := range given {
		if given[i].Name == "Mixed_5b.branch1x1.conv.weight" {
			missing := slices.Delete(slices.Clone(given), i, i+1)
			if _, err := Adapt(net, missing, false); err == nil || !strings.Contains(err.Error(), given[i].Name) {
				t.Errorf("missing: %v", err)
			}
			given[i].Shape = append([]int{1}, given[i].Shape...)
			if _, err := Adapt(net, given, false); err == nil || !strings.Contains(err.Error(), given[i].Name) {
				t.Errorf("another shape: %v", err)
			}
			return
		}
	}
	t.Fatal("no such weight")
}
