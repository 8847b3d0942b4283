package literal

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// FuzzParse: a text is an *Error of a line that it has, or values; what is JSON too is
// read as encoding/json reads it.
func FuzzParse(f *testing.F) {
	for _, s := range []string{`{"0": ["n01440764", "tench"], "1": null}`, "{0: 'a',\n1: \"b\\x41\\u00e9\\ud83d\\ude00\"}  # more\n(1, 2,)", `[1.5e3, -0, 9223372036854775808, true]`, strings.Repeat("[", 70), `{"a": 1, "a": 2}`, "\"\xff\"", `"\/\b\u0000"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		values, err := Parse(text)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Line < 1 || e.Line > 1+strings.Count(text, "\n") {
				t.Errorf("%v of %d lines", err, 1+strings.Count(text, "\n"))
			}
			return
		}
		if !json.Valid([]byte(text)) || !utf8.ValidString(text) {
			return // Python's, or several values, or bytes that encoding/json replaces
		}
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		var theirs any
		if err := d.Decode(&theirs); err != nil || len(values) != 1 {
			t.Fatalf("%d values; encoding/json: %v", len(values), err)
		}
		if diff := cmp.Diff(theirs, plain(values[0])); diff != "" {
			t.Errorf("(-encoding/json +here):\n%s", diff)
		}
	})
}

// plain is a value as encoding/json gives it.
func plain(v Value) any {
	switch v.Kind {
	case Text:
		return v.Text
	case List:
		out := []any{}
		for _, i := range v.Items {
			out = append(out, plain(i))
		}
		return out
	case Object:
		out := map[string]any{}
		for i, k := range v.Keys {
			out[k.Text] = plain(v.Items[i])
		}
		return out
	case Other:
		switch v.Text {
		case "null":
			return nil
		case "true", "false":
			return v.Text == "true"
		}
		return json.Number(v.Text)
	}
	if n, err := strconv.ParseInt(v.Text, 10, 64); err != nil || n != v.Number {
		return "another number than " + v.Text
	}
	return json.Number(v.Text)
}
