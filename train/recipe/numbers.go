package recipe

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
)

// keyOf is a field's name in YAML.
func keyOf(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	return name
}

// checkFinite names the first number of a recipe, or of a part of one, that is NaN or
// infinite. YAML has both, comparisons let them pass, and nothing can be fitted by them.
func checkFinite(prefix string, v reflect.Value) error {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if err := checkFinite(prefix+"."+keyOf(v.Type().Field(i)), v.Field(i)); err != nil {
				return err
			}
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if err := checkFinite(prefix, v.Index(i)); err != nil {
				return err
			}
		}
	case reflect.Float64:
		if x := v.Float(); math.IsNaN(x) || math.IsInf(x, 0) {
			return fmt.Errorf("%s is %v: want a finite number", strings.TrimPrefix(prefix, "."), x)
		}
	}
	return nil
}

// checkWhole names the first whole number of a recipe, or of the part of one that t is, for
// which a document has a fraction: its reader would cut that off.
func checkWhole(prefix string, doc map[string]any, t reflect.Type) error {
	for i := range t.NumField() {
		f := t.Field(i)
		value, ok := doc[keyOf(f)]
		if !ok {
			continue
		}
		key := prefix + keyOf(f)
		switch f.Type.Kind() {
		case reflect.Struct:
			if inner, ok := value.(map[string]any); ok {
				if err := checkWhole(key+".", inner, f.Type); err != nil {
					return err
				}
			}
		case reflect.Int, reflect.Uint64:
			x, err := strconv.ParseFloat(fmt.Sprint(value), 64)
			if err == nil && x != math.Trunc(x) || math.IsInf(x, 0) {
				return fmt.Errorf("%s is %v: want a whole number", key, value)
			}
		}
	}
	return nil
}

// Least and most of what single precision, in which the engine computes, tells from 0 and
// from infinity, with some room for sums and products.
const (
	leastSingle = 1e-30
	mostSingle  = 1e30
)
