package literal

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func text(s string) Value            { return Value{Kind: Text, Text: s} }
func list(v ...Value) Value          { return Value{Kind: List, Items: v} }
func number(n int64, s string) Value { return Value{Kind: Number, Number: n, Text: s} }

func TestParse(t *testing.T) {
	for s, want := range map[string][]Value{
		`["a", "b"]`:                 {list(text("a"), text("b"))},
		`('a', 'it\'s',)`:            {list(text("a"), text("it's"))},
		"\"a\"\n7\n":                 {text("a"), number(7, "7")},
		`{0: 'x', "k": -1}`:          {{Kind: Object, Keys: []Value{number(0, "0"), text("k")}, Items: []Value{text("x"), number(-1, "-1")}}},
		"[1.5, None, true]":          {list(Value{Text: "1.5"}, Value{Text: "None"}, Value{Text: "true"})},
		`"\u00e9\ud83d\ude00\x41\t"`: {text("é😀A\t")},
		"# a comment\n[]":            {list()},
		"":                           nil,
	} {
		got, err := Parse(s)
		if err != nil {
			t.Errorf("%s: %v", s, err)
			continue
		}
		if d := cmp.Diff(want, got, cmpopts.IgnoreFields(Value{}, "Line"), cmpopts.EquateEmpty()); d != "" {
			t.Errorf("%s (-want +got):\n%s", s, d)
		}
	}
}

func TestDamaged(t *testing.T) {
	for s, line := range map[string]int{
		"[\"a\",\n": 2, "[1\n2]": 2, "{1 2}": 1, `{"a": 1, "a": 2}`: 1, `"\q"`: 1, "'a\nb'": 1, `"\u12`: 1, "nope": 1, "]": 1, "{[]: 1}": 1, strings.Repeat("[", 100): 1, `"\ud83d"`: 0,
	} {
		v, err := Parse(s)
		var bad *Error
		if line == 0 { // half a character is JSON's replacement for it
			if err != nil {
				t.Errorf("%s: %v", s, err)
			}
		} else if !errors.As(err, &bad) || bad.Line != line {
			t.Errorf("%s: %v, %v; want an *Error at line %d", s, v, err, line)
		}
	}
}
