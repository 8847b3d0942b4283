package utf8name

import (
	"strings"
	"testing"
	"testing/quick"

	"github.com/google/go-cmp/cmp"
)

func TestFileName(t *testing.T) {
	for raw, want := range map[string]string{
		"":             "_",
		".":            "%2E",
		"..":           "%2E%2E",
		".hidden":      "%2Ehidden",
		"-rf":          "%2Drf",
		"end. ":        "end.%20",
		"end.":         "end%2E",
		"a/b":          "a%2Fb",
		`a<>:"\|?*b`:   "a%3C%3E%3A%22%5C%7C%3F%2Ab",
		"a\x00\x1b\nb": "a%00%1B%0Ab",
		"c1\u0085":     "c1%C2%85",
		"CON":          "%43ON",
		"nul.tar.gz":   "%6Eul.tar.gz",
		"Com1 .x":      "%43om1 .x",
		"lpt²":         "%6Cpt²",
		"common":       "common",
		"Thumbs.db":    "%54humbs.db",
		"lost+found":   "%6Cost+found",
		"thumbs.db.x":  "thumbs.db.x",
		"COM10":        "COM10",
		"100% é 日本":    "100% é 日本",
		"caf\xe9":      "caf\xe9",
	} {
		if diff := cmp.Diff(want, FileName(raw)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", raw, diff)
		}
	}
	a, b := FileName(strings.Repeat("é", 200)+"1.jpg"), FileName(strings.Repeat("é", 200)+"2.jpg")
	if a == b || len(a) > Longest || !strings.HasSuffix(a, ".jpg") {
		t.Errorf("of long names: %q, %q", a, b)
	}
}

// TestFileNameIsFit wants every name fit, and one that is to stay.
func TestFileNameIsFit(t *testing.T) {
	words := []string{".", " ", "-", "con", "NUL", "\x00", "\n", ":", "/", "%", "é", "\xe9", "a", strings.Repeat("x", 130)}
	fit := func(list []uint8) bool {
		var raw string
		for _, k := range list {
			raw += words[int(k)%len(words)]
		}
		name := FileName(raw)
		return name != "" && len(name) <= Longest && FileName(name) == name
	}
	if err := quick.Check(fit, &quick.Config{MaxCount: 5000}); err != nil {
		t.Error(err)
	}
}
