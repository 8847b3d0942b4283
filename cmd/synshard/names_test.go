package main

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// Names that would forge rows of a table or command a terminal do not reach
// either; JSON has its own escapes.
func TestNamesAreEscaped(t *testing.T) {
	if !(&app{}).hasWordNet() {
		t.Skip("needs WordNet")
	}
	dir := t.TempDir()
	for i, class := range []string{"a\n\x1b[2Jforged\t7\t7", "plain", "right\u202eleft"} {
		var b bytes.Buffer
		m := image.NewGray(image.Rect(0, 0, 8, 8))
		m.SetGray(1, i/2, color.Gray{200})
		check(t, png.Encode(&b, m))
		check(t, os.MkdirAll(filepath.Join(dir, "src", class), 0o777))
		check(t, os.WriteFile(filepath.Join(dir, "src", class, "x\r\x1b]0;title\a.png"), b.Bytes(), 0o666))
	}
	set := filepath.Join(dir, "set")
	runVerb(t, 0, "ingest", "--folder", filepath.Join(dir, "src"), "--out", set)
	for _, c := range []struct {
		lines int
		args  []string
	}{
		{7, []string{"ls", set}}, // two tables with headings
		{4, []string{"classes", set}},
		{4, []string{"classes", set, "--to", "tf1001"}},
		{3, []string{"classes", set, "--to", "kaggle"}},
		{2, []string{"verify", set, "--duplicates"}},
		{0, []string{"ls", set, "--split", "val\x1b[2J"}},
		{0, []string{"ls", filepath.Join(set, "no\x1b[2Jsuch\n")}},
		{1, []string{"ls", set, "--json"}},
	} {
		code, stdout, stderr := verb(c.args...)
		if code > 1 {
			t.Errorf("%q: exit %d", c.args, code)
		}
		for _, text := range []string{stdout, stderr} {
			if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool {
				return r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) && c.args[len(c.args)-1] != "--json")
			}) {
				t.Errorf("%q: control characters in %q", c.args, text)
			}
		}
		if got := strings.Count(stdout, "\n"); got != c.lines && c.args[len(c.args)-1] != "--json" {
			t.Errorf("%q: %d lines, want %d:\n%s", c.args, got, c.lines, stdout)
		}
	}
}
