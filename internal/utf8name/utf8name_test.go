package utf8name

import (
	"testing"
	"testing/quick"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestEscape(t *testing.T) {
	for raw, want := range map[string]string{
		"":                  "",
		"n01440764_1.JPEG":  "n01440764_1.JPEG",
		"mañana 日本 %2F.jpg": "mañana 日本 %2F.jpg",
		"caf\xe9.jpg":       `caf\xe9.jpg`,
		"\x82\xa0/\xff":     `\x82\xa0/\xff`,
		"\xed\xa0\x80":      `\xed\xa0\x80`, // a surrogate is no UTF-8
		`C:\data\x41\1.jpg`: `C:\data\x41\1.jpg`,
		`C:\x5C\xE9`:        `C:\x5C\xE9`, // upper case is no escape
		`a\xe9`:             `a\x5cxe9`,
		`a\x5cb`:            `a\x5cx5cb`,
		"\\\xe9":            `\\xe9`,
		`\x`:                `\x`,
		"\x00\n\x1b[31m":    "\x00\n\x1b[31m",
		"\ufffd":            "\ufffd",
	} {
		got := Escape(raw)
		if got != want || !utf8.ValidString(got) {
			t.Errorf("Escape(%q) = %q, want %q", raw, got, want)
		}
		if back := Unescape(got); back != raw {
			t.Errorf("Unescape(%q) = %q, want %q", got, back, raw)
		}
	}
}

func TestEnsure(t *testing.T) {
	for name, want := range map[string]string{"a": "a", `a\xe9`: `a\xe9`, "a\xe9": `a\xe9`} {
		if diff := cmp.Diff([]string{want, want}, []string{Ensure(name), Ensure(Ensure(name))}); diff != "" {
			t.Errorf("Ensure(%q), once and twice (-want +got):\n%s", name, diff)
		}
	}
}

// holds is what must hold of all names.
func holds(raw string) bool {
	name := Escape(raw)
	unchanged := name == raw
	return utf8.ValidString(name) && Unescape(name) == raw && unchanged == (utf8.ValidString(raw) && escapeAt(raw) < 0)
}

// TestReversible tries random bytes, and random words of what escapes are made
// of.
func TestReversible(t *testing.T) {
	words := []string{`\`, "x", "5c", "5", "c", "e9", "\xe9", "\xc3", "\xa9", "é", "/", `\x5c`, `\xe9`}
	ofWords := func(list []uint8) bool {
		var s string
		for _, k := range list {
			s += words[int(k)%len(words)]
		}
		return holds(s)
	}
	for _, f := range []any{func(b []byte) bool { return holds(string(b)) }, ofWords} {
		if err := quick.Check(f, &quick.Config{MaxCount: 20000}); err != nil {
			t.Error(err)
		}
	}
}

func FuzzEscape(f *testing.F) {
	f.Add(`a\xe9` + "\xe9")
	f.Add("\\x5c\\\xff")
	f.Fuzz(func(t *testing.T, raw string) {
		if !holds(raw) {
			t.Errorf("%q becomes %q and %q", raw, Escape(raw), Unescape(Escape(raw)))
		}
	})
}
