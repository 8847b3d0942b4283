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

	"github.com/synshard/synshard/internal/native/nativetest"
)

// Names that would forge rows of a table or command a terminal do not reach
// either; JSON has its own escapes.
func TestNamesAreEscaped(t *testing.T) {
	nativetest.WordNetDir(t)
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

// TestWordsAreEscaped wants the same of WordNet's words and glosses, of classes
// that others' predictions name, and of completions.
func TestWordsAreEscaped(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		check(t, os.MkdirAll(filepath.Dir(path), 0o777))
		check(t, os.WriteFile(path, []byte(text), 0o666))
		return path
	}
	const forged = "le\x1b[2Jft\u202e"
	write("wn/data.noun", "00000001 03 n 01 top 0 001 ~ 00000002 n 0000 | the top\x1b[2J\n"+
		"00000002 03 n 02 "+forged+" 0 left 0 001 @ 00000001 n 0000 | left\x1b]0;title\a\n")
	classes := write("classes.txt", "n00000001\nn00000002\na\x1b[2Jb\n")
	scores := write("p\x1b[2J.csv", "path,label,pred_label_1,pred_prob_1,error\n1.jpg,0,1,0.5,\n2.jpg,1,2,0.5,\n3.jpg,2,0,0.5,\n")
	words := []string{"--wordnet", filepath.Join(dir, "wn")}
	for _, args := range [][]string{
		append([]string{"synset", "show", "n00000001", "n00000002"}, words...),
		append([]string{"synset", "find", "left"}, words...),
		append([]string{"synset", "tree", "n00000001"}, words...),
		append([]string{"synset", "path", "n00000002"}, words...),
		append([]string{"synset", "path", "n00000001", "n00000002"}, words...),
		append([]string{"synset", "lca", "n00000001", "n00000002"}, words...),
		append([]string{"eval", scores, "--classes", classes}, words...),
		{"eval", "--compare", scores, scores, "--classes", classes},
		append(append([]string{"__complete", "synset", "show"}, words...), "le"),
	} {
		code, stdout, stderr := verb(args...)
		if code != 0 || stdout == "" {
			t.Errorf("%q: exit %d, %q, %s", args, code, stdout, stderr)
		}
		for _, text := range []string{stdout, stderr} {
			if strings.ContainsFunc(text, func(r rune) bool {
				return r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r))
			}) {
				t.Errorf("%q: control characters in %q", args, text)
			}
		}
	}
}
