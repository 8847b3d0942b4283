package recipe

import (
	"strings"
	"testing"
)

// TestBounds gives a recipe numbers and texts that memory could not follow.
func TestBounds(t *testing.T) {
	for text, want := range map[string]string{
		"eval: {size: 1000000, resize: 1000000}": "eval.size is 1e+06: want 1 to 4096",
		"eval: {resize: 1000000}":                "eval.resize is 1e+06: want at least eval.size, at most 16384",
		"batch: 1000000000":                      "batch is 1e+09: want 1 to 1048576",
		"epochs: 1000000000":                     "epochs is 1e+09: want 1 to 1000000",
		"network: {width: 1000}":                 "network.width is 1000: want 0.001 to 16",
		"network: {width: .nan}":                 "network.width is NaN",
		"epochs: 1\n---\nepochs: 2\n":            "my.yaml: [2:1] a second document begins",
		strings.Repeat("[", 10_000):              "my.yaml: [1:101] more than 100 lists or maps in each other",
	} {
		if _, err := Resolve("modern", Layer{"my.yaml", []byte(text)}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v, want %q", text, err, want)
		}
	}
}
