package form

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestParse holds what entries say of where they stand. The forms themselves are
// in package classlist's tests.
func TestParse(t *testing.T) {
	for text, want := range map[string]*Form{
		"# x\n\nn01440764 tench, Tinca_tinca\n": {Unit: "line", Notes: []string{"1 lines that begin with # are taken for comments, such as line 1"}, Entries: []Entry{{Line: 3, Name: "n01440764", Words: []string{"tench", "Tinca tinca"}}}},
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

// TestComments: a line that begins with # is a comment where no class can stand in it, and else a class.
func TestComments(t *testing.T) {
	for text, want := range map[string][]string{
		"#tag\ncat\n":              {"#tag", "cat"},
		"cat\n#tag\n":              {"cat", "#tag"},
		"# mine\n#\n\ncat\n#tag\n": {"cat", "#tag"},
		"\"# x\"\ncat\n":           {"# x", "cat"},
		"name,words\n#tag,a tag\n# here\ncat,a cat":              {"#tag", "cat"},
		"label\tname\n0\t#tag\n#1\tdog\n1\tcat\n":                nil,
		"#index,name\n0,cat\n1,dog\n":                            {"cat", "dog"},
		"0: cat\n#1: dog\n1: cow\n":                              {"cat", "cow"},
		"n01440764 tench\n#n01443537\n# last\nn01484850 shark\n": {"n01440764", "n01484850"},
		"names:\n  - cat\n  # pets\n  - dog\n":                   {"cat", "dog"},
		"cat\n# wild ones\nlion\n# end\n":                        {"cat", "lion"},
		"name\n# a comment\ncat\n":                               {"cat"},
		"index,name\n#comment\n0,tench\n":                        {"tench"},
		"#ImageNet classes\ntench\nlion\n":                       nil,
	} {
		got, err := Parse([]byte(text))
		if (err == nil) != (want != nil) {
			t.Errorf("%q: %v", text, err)
		}
		var names []string
		for i := 0; err == nil && i < len(got.Entries); i++ {
			names = append(names, got.Entries[i].Name)
		}
		if d := cmp.Diff(want, names); d != "" {
			t.Errorf("%q (-want +got):\n%s", text, d)
		}
		if hash := strings.Contains(strings.ReplaceAll(text, "\"#", ""), "#"); err == nil && hash != (len(got.Notes) > 0 && strings.Contains(got.Notes[0], "begin with #")) {
			t.Errorf("%q: notes %q", text, got.Notes)
		}
	}
}
