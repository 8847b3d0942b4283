package recent

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestGet asks for values and notes which of them are made, and out of what.
func TestGet(t *testing.T) {
	k := New[string](2)
	type made struct{ Was, Now string }
	var all []made
	get := func(number int, want string, fails bool) {
		t.Helper()
		got, err := k.Get(number, func(v *string) error {
			all = append(all, made{*v, want})
			*v = want
			if fails {
				return errors.New("no")
			}
			return nil
		})
		if fails != (err != nil) || err == nil && *got != want {
			t.Errorf("%d: %v, %v", number, got, err)
		}
	}
	get(0, "a", false)
	get(1, "b", false)
	get(0, "a", false)
	get(2, "c", false) // in b's place, which was asked for before a
	get(0, "a", false)
	get(3, "d", true) // in c's, which is lost
	get(0, "a", false)
	get(2, "c", false)
	want := []made{{"", "a"}, {"", "b"}, {"b", "c"}, {"c", "d"}, {"d", "c"}}
	if diff := cmp.Diff(want, all); diff != "" {
		t.Errorf("made (-want +got):\n%s", diff)
	}
}

// TestShared: the values put last are kept, and the first of a key.
func TestShared(t *testing.T) {
	s := NewShared[string, int](2)
	for i, key := range []string{"a", "b", "a", "c"} {
		s.Put(key, i)
	}
	got := map[string]int{}
	for _, key := range []string{"a", "b", "c"} {
		if v, ok := s.Get(key); ok {
			got[key] = v
		}
	}
	if diff := cmp.Diff(map[string]int{"b": 1, "c": 3}, got); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
}
