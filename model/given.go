package model

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// What a mean and a standard deviation of pixels in [0,1] can be. A mean of such pixels lies
// among them, and one of networks that want values of 128/255 or 256/255 at their ends hardly beside them;
// a deviation is 1/255 where the network takes 0 to 255, 1 where it takes [0,1], and 256/255 where
// it takes 256 values of equal steps below 1. Those of pixels in 0 to 255 lie far outside: an image of
// deviation 5 there is of one colour to the eye.
const (
	minMean, maxMean = -1, 2
	maxStd           = 5
)

// CheckColours refuses a mean and a standard deviation that are not of pixels in [0,1], and says what
// they would be if they are of pixels in 0 to 255; nil is one that is not said.
func CheckColours(mean, std *[3]float64) error {
	fits := func(v *[3]float64, least, most float64) bool {
		return v == nil || !slices.ContainsFunc(v[:], func(x float64) bool { return !(x >= least && x <= most) })
	}
	if fits(mean, minMean, maxMean) && fits(std, 0, maxStd) {
		return nil
	}
	given, divided := colourTexts(mean, std)
	return fmt.Errorf("%s: pixels are in [0,1], and so a mean is %d to %d and a deviation at most %d; of pixels in 0 to 255 both are divided by 255, which gives %s",
		given, minMean, maxMean, maxStd, divided)
}

// colourTexts are a mean and a deviation as they are given, and as they are where those of 0 to 255 among
// them are divided: a triple is of them if a number of it is 1 or more.
func colourTexts(mean, std *[3]float64) (given, divided string) {
	var texts, quotients []string
	for i, v := range []*[3]float64{mean, std} {
		if v == nil {
			continue
		}
		name, by := []string{"mean", "std"}[i], 1.0
		if max(v[0], v[1], v[2]) >= 1 {
			by = 255
		}
		texts = append(texts, fmt.Sprintf("%s %v,%v,%v", name, v[0], v[1], v[2]))
		quotients = append(quotients, fmt.Sprintf("%s %.4g,%.4g,%.4g", name, v[0]/by, v[1]/by, v[2]/by))
	}
	return strings.Join(texts, " "), strings.Join(quotients, " ")
}

// needed are the keys of a Spec without which no image is made ready and no prediction has a
// name. The others are off where they are missing.
var needed = []string{"input_size", "resize", "interpolation", "mean", "std", "classes"}

// ParseGivenSpec reads a Spec that a user wrote, and gives the names of needed keys that it lacks; what they
// say the caller has to know. A key that is none of a Spec's or stands twice, values of another
// form, colours that are not of pixels in [0,1] and a class that stands twice are errors. Check is left to be
// done, of the Spec with what it lacks. For a Spec that a file of this program carries there is ParseSpec.
func ParseGivenSpec(text []byte) (s Spec, lacks []string, err error) {
	keys, err := members(text)
	if err != nil {
		return s, nil, err
	}
	known := specKeys()
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if !slices.Contains(known, key) {
			return s, nil, fmt.Errorf("key %q is none of a Spec: it has %s", key, strings.Join(known, ", "))
		}
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return s, nil, err
	}
	mean, err := triple(keys["mean"], "mean", &s.Mean)
	if err != nil {
		return s, nil, err
	}
	std, err := triple(keys["std"], "std", &s.Std)
	if err != nil {
		return s, nil, err
	}
	for _, key := range needed {
		if _, ok := keys[key]; !ok {
			lacks = append(lacks, key)
		}
	}
	return s, lacks, cmp.Or(CheckColours(mean, std), checkDifferent(s.Classes))
}

// triple gives v if there is a value of three numbers, which json reads no matter how many there are, and nil if
// there is none.
func triple(value json.RawMessage, key string, v *[3]float64) (*[3]float64, error) {
	if value == nil {
		return nil, nil
	}
	var numbers []*float64
	if err := json.Unmarshal(value, &numbers); err != nil || len(numbers) != 3 || slices.Contains(numbers, nil) {
		return nil, fmt.Errorf("%s: %d numbers, want three: red, green, blue", key, len(numbers))
	}
	return v, nil
}

// members are an object's, by key, without those that are null.
func members(text []byte) (map[string]json.RawMessage, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("want a JSON object")
	}
	found, null := map[string]json.RawMessage{}, []string{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		key := t.(string) // of an object, or the decoder had refused it
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, err
		}
		if _, twice := found[key]; twice {
			return nil, fmt.Errorf("key %q stands twice", key)
		}
		if found[key] = value; string(value) == "null" {
			null = append(null, key)
		}
	}
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("more than one JSON object")
	}
	for _, key := range null {
		delete(found, key)
	}
	return found, nil
}

// specKeys are the keys of a Spec's JSON, in its order.
func specKeys() (keys []string) {
	for t, i := reflect.TypeFor[Spec](), 0; i < t.NumField(); i++ {
		key, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		keys = append(keys, key)
	}
	return keys
}

// checkDifferent refuses a class without a name, and a name of two classes.
func checkDifferent(classes []string) error {
	at := make(map[string]int, len(classes))
	for i, name := range classes {
		if name == "" {
			return fmt.Errorf("classes: class %d has no name", i)
		}
		if first, ok := at[name]; ok {
			return fmt.Errorf("classes: %q is class %d and class %d", name, first, i)
		}
		at[name] = i
	}
	return nil
}
