package recipe

import (
	"reflect"
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
		"eval: {size: 64.9}":                     "my.yaml: eval.size is 64.9: want a whole number",
		"epochs: 2.5e0":                          "my.yaml: epochs is 2.5: want a whole number",
		"seed: .inf":                             "my.yaml: [1:7] cannot unmarshal +Inf",
		"augment: {aspect_max: .inf}":            "augment.aspect_max is +Inf",
		"augment: {aspect_max: 1.0e+9}":          "augment.aspect_max is 1e+09: want 0.001 to 1000",
		"clip: {norm: 1.0e-46}":                  "clip.norm is 1e-46", // 0 in single precision
		"clip: {value: 1.0e+39}":                 "clip.value is 1e+39",
		"rate: {base: 1.0e+39}":                  "rate.base is 1e+39",
		"rate: {warmup_epochs: .inf}":            "rate.warmup_epochs is +Inf",
		"rate: {schedule: step, factor: 0.1, milestones: [.nan, 1]}": "rate.milestones is NaN",
		"rate: {schedule: step, factor: 0.1, milestones: [-1, 1]}":   "above 0 in ascending order",
		"optimizer: {kind: rmsprop, rho: 0.9, eps: 1.0e-46}":         "optimizer.eps is 1e-46",
		"epochs: 1\n---\nepochs: 2\n":                                "my.yaml: [2:1] a second document begins",
		strings.Repeat("[", 10_000):                                  "my.yaml: [1:101] more than 100 lists or maps in each other",
	} {
		if _, err := Resolve("modern", Layer{"my.yaml", []byte(text)}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v, want %q", text, err, want)
		}
	}
}

// TestNoNumber gives each number of a recipe what YAML calls one and is none, whether the
// recipe reads it or not.
func TestNoNumber(t *testing.T) {
	var keys []string
	var walk func(prefix string, v reflect.Type)
	walk = func(prefix string, v reflect.Type) {
		for i := range v.NumField() {
			key := prefix + keyOf(v.Field(i))
			switch f := v.Field(i).Type; f.Kind() {
			case reflect.Struct:
				walk(key+".", f)
			case reflect.Float64:
				keys = append(keys, key)
			}
		}
	}
	walk("", reflect.TypeFor[Recipe]())
	if len(keys) < 30 {
		t.Fatalf("only %v", keys)
	}
	for _, key := range keys {
		for _, value := range []string{".nan", ".inf", "-.inf"} {
			l, err := SetLayer("--set", key+"="+value)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Resolve("modern", l); err == nil || !strings.Contains(err.Error(), key) {
				t.Errorf("%s=%s: %v", key, value, err)
			}
		}
	}
}
