package recipe

import (
	"slices"
	"strings"
	"testing"
)

func TestParseClassWeights(t *testing.T) {
	classes := []string{"n01440764", "my truck", "n02123045"}
	got, err := ParseClassWeights([]byte("\ufeff# tench, truck, tabby\nn02123045\t0.5\r\n\nmy truck, 2\nn01440764 1e1"), classes)
	if want := []float64{10, 2, 0.5}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
	got, err = ParseClassWeights([]byte("# tag 1\n#tag 2\ndog 3\n"), []string{"#tag", "dog"})
	if want := []float64{2, 3}; err != nil || !slices.Equal(got, want) {
		t.Errorf("a class called #tag: %v, %v; want %v", got, err, want)
	}
	for text, want := range map[string]string{
		"n01440764 1\nmy truck 1":  "class n02123045 has no weight",
		"n01440764 1\nn01440764 2": "line 2: n01440764 has a weight already",
		"n01440764":                "line 1: want a class and its weight",
		"n01440764 0":              `line 1: n01440764 has the weight "0"`,
		"n01440764 -1":             "above 0",
		"n01440764 NaN":            "above 0",
		"n01440764 +Inf":           "above 0",
		"n01440764 one":            "above 0",
		"n01440764 1e39":           "above 0", // infinite in single precision
		"n01440764 1e-46":          "above 0", // and 0
		"n09999999 1":              `line 1: "n09999999" is none of the 3 classes`,
		"n01440764 1\nmy truck 1\nn02123045 1\nn01440764 " + "1\n": "line 4",
		strings.Repeat("x", 100000) + " 1":                         "token too long",
	} {
		if _, err := ParseClassWeights([]byte(text), classes); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %q", text, err, want)
		}
	}
}

func FuzzParseClassWeights(f *testing.F) {
	f.Add("a 1\nb 2")
	f.Add("a,1\n# x\nb\t2e-3")
	f.Fuzz(func(t *testing.T, text string) {
		w, err := ParseClassWeights([]byte(text), []string{"a", "b"})
		if err == nil && !(len(w) == 2 && w[0] > 0 && w[1] > 0) {
			t.Errorf("%q gives %v", text, w)
		}
	})
}
