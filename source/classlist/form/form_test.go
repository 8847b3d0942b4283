package form

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestParse holds what entries say of where they stand. The forms themselves are
// in package classlist's tests.
func TestParse(t *testing.T) {
	for text, want := range map[string]*Form{
		"# x\n\nn01440764 tench, Tinca_tinca\n": {Unit: "line", Entries: []Entry{{Line: 3, Name: "n01440764", Words: []string{"tench", "Tinca tinca"}}}},
		"1: b\n0: a":                            {Unit: "line", Entries: []Entry{{Line: 1, Numbered: true, Number: 1, Name: "b"}, {Line: 2, Numbered: true, Name: "a"}}},
		`{"b": 1, "a": 0}`:                      {Unit: "class", Entries: []Entry{{Line: 1, Numbered: true, Number: 1, Name: "b"}, {Line: 2, Numbered: true, Name: "a"}}},
		"label\tname\n0\t\"a":                   {Unit: "line", Notes: []string{"its first line is a heading: label\tname"}, Entries: []Entry{{Line: 2, Numbered: true, Name: `"a`}}},
	} {
		got, err := Parse([]byte(text))
		if err != nil {
			t.Errorf("%q: %v", text, err)
		} else if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%q (-want +got):\n%s", text, d)
		}
	}
}
