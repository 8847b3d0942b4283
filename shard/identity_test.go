package shard

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestParseIdentity takes apart what Identity puts together, and nothing else.
func TestParseIdentity(t *testing.T) {
	s := &Split{Name: "val", Info: SplitInfo{IndexSHA256: "abc"}}
	for want, sel := range map[string]Selection{
		"":                     {},
		`["n1" "dog"] ["x"] 3`: {Synsets: []string{"n1", "dog"}, Exclude: []string{"x"}, LimitPerSynset: 3},
		`[] [] 2`:              {LimitPerSynset: 2},
	} {
		split, sum, selection, ok := ParseIdentity(s.Identity(sel))
		if diff := cmp.Diff([]any{"val", "abc", want, true}, []any{split, sum, selection, ok}); diff != "" {
			t.Errorf("%q (-want +got):\n%s", s.Identity(sel), diff)
		}
	}
	for _, text := range []string{"", "folder abc", "dataset val abc", "datasets val abc [] [] 0"} {
		if _, _, _, ok := ParseIdentity(text); ok {
			t.Errorf("%q is taken for an identity", text)
		}
	}
}
