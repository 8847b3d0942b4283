package describe

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/modeltest"
)

// TestPrinciples holds the textbook figures.
func TestPrinciples(t *testing.T) {
	type figures struct {
		Plain, Ours int64
		Percent     int
	}
	var got []figures
	for _, p := range Principles() {
		got = append(got, figures{p.Plain, p.Ours, int(100*(1-float64(p.Ours)/float64(p.Plain)) + 0.5)})
	}
	if diff := cmp.Diff([]figures{{25, 18, 28}, {9, 6, 33}, {120_422_400, 12_443_648, 90}}, got); diff != "" {
		t.Error(diff)
	}
}

// TestSavings holds pairs worked out by hand from the paper's figures 5 to 7.
func TestSavings(t *testing.T) {
	all := map[string]Saving{}
	for _, s := range Savings(modeltest.Network(t, "inception_v3", model.Options{Aux: true, Dropout: -1})) {
		key := s.First + "|" + s.Second
		if _, twice := all[key]; twice {
			t.Errorf("%s stands there twice", key)
		}
		all[key] = s
	}
	for key, want := range map[string][3]int64{ // weights, plain weights, pixels of the output
		"Mixed_5b.branch5x5_1.conv|Mixed_5b.branch5x5_2.conv":       {192*48 + 48*64*25, 192 * 64 * 25, 35 * 35},
		"Mixed_5b.branch3x3dbl_2.conv|Mixed_5b.branch3x3dbl_3.conv": {64*96*9 + 96*96*9, 64 * 96 * 25, 35 * 35},
		"Mixed_6b.branch7x7_2.conv|Mixed_6b.branch7x7_3.conv":       {128*128*7 + 128*192*7, 128 * 192 * 49, 17 * 17},
		"Mixed_7c.branch3x3_2a.conv|Mixed_7c.branch3x3_2b.conv":     {2 * 384 * 384 * 3, 2 * 384 * 384 * 9, 8 * 8},
	} {
		s := all[key]
		got := []int64{s.Weights, s.PlainWeights, s.Multiplies, s.PlainMultiplies}
		if diff := cmp.Diff([]int64{want[0], want[1], want[0] * want[2], want[1] * want[2]}, got); diff != "" {
			t.Errorf("%s: weights, plain weights, multiplications, plain multiplications (-want +got)\n%s", key, diff)
		}
	}
	if _, overlaps := all["Mixed_6b.branch7x7dbl_3.conv|Mixed_6b.branch7x7dbl_4.conv"]; overlaps {
		t.Error("the middle of two pairs counts as a third")
	}
	if got := Savings(modeltest.Network(t, "alexnet", model.Options{Dropout: -1})); len(got) != 0 {
		t.Errorf("AlexNet has no factorised block, yet %+v", got)
	}
}

// TestReceptiveFields holds figures of Araujo, Norris and Sim's table (VGG-16
// 212, AlexNet 195 at the last pooling, clipped nowhere).
func TestReceptiveFields(t *testing.T) {
	for name, want := range map[string]struct {
		node  string
		field int
	}{"vgg16": {"features.30", 212}, "alexnet": {"features.10.pool", 195}} {
		n := modeltest.Network(t, name, model.Options{Dropout: -1})
		fields := ReceptiveFields(n)
		found := false
		for i, node := range n.Nodes {
			if node.Name == want.node {
				found = true
				if fields[i] != square(want.field) {
					t.Errorf("%s: %s sees %v pixels, want %d", name, want.node, fields[i], want.field)
				}
			}
		}
		if !found {
			t.Errorf("%s has no node %s", name, want.node)
		}
	}
}

// TestKeptActivations counts AlexNet's by hand: what its layers read.
func TestKeptActivations(t *testing.T) {
	want := int64(3*224*224 + 64*55*55 + 64*27*27 + 192*27*27 + 192*13*13 + 384*13*13 + 2*256*13*13 + 9216 + 4096 + 4096)
	if got := modeltest.Network(t, "alexnet", model.Options{Dropout: -1}).KeptActivations(); got != want {
		t.Errorf("%d numbers, want %d", got, want)
	}
}
