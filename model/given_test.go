package model

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestCheckColours: colours of pixels in 0 to 255 are refused with what they are in [0,1], and no
// way of making images ready that networks are known for is.
func TestCheckColours(t *testing.T) {
	all := func(v float64) [3]float64 { return [3]float64{v, v, v} }
	for name, c := range map[string]struct{ mean, std [3]float64 }{
		"torchvision":       {[3]float64{0.485, 0.456, 0.406}, [3]float64{0.229, 0.224, 0.225}},
		"-1 to 1":           {all(0.5), all(0.5)},
		"nothing":           {all(0), all(1)},
		"0 to 255":          {all(0), all(1.0 / 255)},
		"Caffe":             {[3]float64{103.939 / 255, 116.779 / 255, 123.68 / 255}, all(1.0 / 255)},
		"Caffe's MobileNet": {[3]float64{103.94 / 255, 116.78 / 255, 123.68 / 255}, all(1 / (0.017 * 255))},
		"of 256 levels":     {all(128.0 / 255), all(256.0 / 255)},
		"TensorFlow Lite":   {all(127.0 / 255), all(128.0 / 255)},
		"1 to 2":            {all(-1), all(1)},
	} {
		if err := CheckColours(&c.mean, &c.std); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	pointer := func(a, b, c float64) *[3]float64 { return &[3]float64{a, b, c} }
	for _, c := range []struct {
		mean, std *[3]float64
		want      string
	}{
		{pointer(124, 116, 104), pointer(58, 57, 57), "mean 0.4863,0.4549,0.4078 std 0.2275,0.2235,0.2235"},
		{pointer(103.939, 116.779, 123.68), pointer(1, 1, 1), "mean 0.4076,0.458,0.485 std 0.003922,0.003922,0.003922"},
		{pointer(0, 0, 0), pointer(255, 255, 255), "mean 0,0,0 std 1,1,1"},
		{pointer(0.485, 0.456, 0.406), pointer(58, 57, 57), "mean 0.485,0.456,0.406 std 0.2275,0.2235,0.2235"},
		{pointer(0.5, 0.5, 128), nil, "gives mean 0.001961,0.001961,0.502"},
		{nil, pointer(58, 57, 57), "gives std 0.2275"},
	} {
		if err := CheckColours(c.mean, c.std); err == nil || !strings.Contains(err.Error(), "[0,1]") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v %v: %v; want %q", c.mean, c.std, err, c.want)
		}
	}
}

// TestParseGivenSpec: what a user wrote is taken as it stands, and nothing is read that does not stand there.
func TestParseGivenSpec(t *testing.T) {
	want := spec(3)
	got, lacks, err := ParseGivenSpec([]byte(want.JSON()))
	if diff := cmp.Diff(want, got); err != nil || lacks != nil || diff != "" {
		t.Errorf("%v, lacks %q (-want +got):\n%s", err, lacks, diff)
	}
	_, lacks, err = ParseGivenSpec([]byte(`{"mean": null, "std": [1, 1, 1], "input_size": 224}`))
	if diff := cmp.Diff([]string{"resize", "interpolation", "mean", "classes"}, lacks); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for text, want := range map[string]string{
		`{"means": [0.5, 0.5, 0.5]}`:        `key "means" is none of a Spec: it has model, width, input_size, resize,`,
		`{"Mean": [0.5, 0.5, 0.5]}`:         `"Mean"`,
		`{"mean": [124, 116, 104]}`:         "divided by 255",
		`{"mean": [0.5, 0.5]}`:              "mean: 2 numbers, want three",
		`{"mean": [0.5, null, 0.5]}`:        "want three",
		`{"std": [1, 1, 1, 1]}`:             "std: 4 numbers, want three",
		`{"resize": 256, "resize": 224}`:    `"resize" stands twice`,
		`{"resize": null, "resize": 224}`:   `"resize" stands twice`,
		`{"classes": ["x", "y", "x"]}`:      `"x" is class 0 and class 2`,
		`{"classes": ["x", ""]}`:            "class 1 has no name",
		`{"resize": "256"}`:                 "resize",
		`{"resize": 256} {"input_size": 2}`: "more than one",
		`{"resize": 256`:                    "EOF",
		`["resize"]`:                        "want a JSON object",
		``:                                  "want a JSON object",
	} {
		if _, _, err := ParseGivenSpec([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", text, err, want)
		}
	}
}
