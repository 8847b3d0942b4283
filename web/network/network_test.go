package network

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/describe"
	"github.com/synshard/synshard/model/modeltest"
)

// TestPage holds what the page says to the figures, and the page to stand alone.
func TestPage(t *testing.T) {
	n := modeltest.Network(t, "inception_v3", model.Options{Aux: true, Dropout: -1})
	var b bytes.Buffer
	if err := Write(&b, n); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"28\u00a0% fewer", "33\u00a0% fewer", "90\u00a0% fewer", "<b>120,422,400</b>", "<b>12,443,648</b>", "2,408,448 + 10,035,200",
		"two 3×3 for 5×5", "1×3 beside 3×1 for 3×3", "Inception A", "27,161,264 parameters", "Mixed_7c.branch3x3_2a.conv"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	text := strings.ReplaceAll(b.String(), `xmlns="http://www.w3.org/2000/svg"`, "")
	for _, bad := range []string{"<script", "http:", "https:", "NaN", "Inf", "ZgotmplZ"} {
		if strings.Contains(text, bad) {
			t.Errorf("the page holds %q", bad)
		}
	}
}

// TestKinds adds the pairs up to the same sums.
func TestKinds(t *testing.T) {
	pairs := describe.Savings(modeltest.Network(t, "googlenet", model.Options{Dropout: -1}))
	type sums struct{ Pairs, Weights, Plain, Multiplies, PlainM int64 }
	var want, got sums
	for _, p := range pairs {
		want = sums{want.Pairs + 1, want.Weights + p.Weights, want.Plain + p.PlainWeights, want.Multiplies + p.Multiplies, want.PlainM + p.PlainMultiplies}
	}
	for _, k := range kinds(pairs) {
		got = sums{got.Pairs + int64(k.Pairs), got.Weights + k.Weights, got.Plain + k.Plain, got.Multiplies + k.Multiplies, got.PlainM + k.PlainM}
	}
	if d := cmp.Diff(want, got); d != "" || want.Pairs == 0 {
		t.Errorf("sums (-want +got):\n%s", d)
	}
}

func TestNothingFactorised(t *testing.T) {
	var b bytes.Buffer
	if err := Write(&b, modeltest.Network(t, "alexnet", model.Options{Dropout: -1})); err != nil || !strings.Contains(b.String(), "alexnet has no pair") {
		t.Errorf("%v", err)
	}
}
