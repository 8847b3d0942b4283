package ui_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/internal/ui"
)

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		"":                       "",
		"n01440764, tench.JPEG":  "n01440764, tench.JPEG",
		"тигр 虎 é":               "тигр 虎 é",
		`back\slash`:             `back\slash`,
		"a\nb\tc\rd":             `a\nb\tc\rd`,
		"\x1b[2Jgone":            `\x1b[2Jgone`,
		"\u009b31m":              `\x9b31m`,
		"\x00\x7f":               `\x00\x7f`,
		"bad \xff\xc3(":          `bad \xff\xc3(`,
		"\u202egpj.exe\u2028x":   `\u202egpj.exe\u2028x`,
		"\ufffd is a character":  "\ufffd is a character",
		"\xed\xa0\x80 surrogate": `\xed\xa0\x80 surrogate`,
	} {
		if got := ui.Text(in); got != want {
			t.Errorf("Text(%q) = %s, want %s", in, got, want)
		}
	}
}

// A name can neither add a row nor a column to a table.
func TestTable(t *testing.T) {
	var b bytes.Buffer
	w := ui.NewTable(&b, "synset", "images")
	w.Row("n1\nn2\t7", 3)
	w.Row("n3", 12)
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	want := "synset     images\n" + `n1\nn2\t7  3` + "\n" + "n3         12\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}

func TestTalk(t *testing.T) {
	var b bytes.Buffer
	c := &ui.Console{Stderr: &b}
	c.Logf("read %s", "a\x1b\nb")
	c.Warnf("look")
	c.Error("ls: no", 1, "failed")
	c.JSON = true // talk stays talk, an error is an object
	c.Logf("again")
	c.Error("ls: a\nb", 2, "usage")
	want := "synshard: read a\\x1b\\nb\nsynshard: warning: look\nsynshard: ls: no\n" +
		"synshard: again\n" + `{"type":"error","message":"ls: a\nb","exit_code":2,"kind":"usage"}` + "\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}

// With --progress json every line of stderr is an object that says what it is.
func TestProgressJSON(t *testing.T) {
	var b bytes.Buffer
	c := &ui.Console{Stderr: &b, Progress: "json"}
	c.Logf("read %s", "a\nb")
	c.Warnf("look")
	c.Lines("  model  x\n  batch  2\n")
	bar := c.ByteBar(100, "verifying")
	bar.Add64(60)
	bar.Describe("half")
	bar.Finish()
	bar.Finish()
	c.Error("ls: no", 4, "corrupt")
	var kinds []string
	for line := range strings.Lines(b.String()) {
		var v map[string]any
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		kinds = append(kinds, fmt.Sprint(v["type"]))
		if v["type"] == "progress" {
			if diff := cmp.Diff([]any{60.0, 100.0, "bytes", "half", true}, []any{v["done"], v["total"], v["unit"], v["note"], v["end"]}); diff != "" {
				t.Error(diff)
			}
		}
	}
	if diff := cmp.Diff([]string{"message", "warning", "message", "message", "progress", "error"}, kinds); diff != "" {
		t.Error(diff)
	}
	if last := b.String(); !strings.HasSuffix(last, `{"type":"error","message":"ls: no","exit_code":4,"kind":"corrupt"}`+"\n") {
		t.Errorf("the error is %q", last)
	}
}

// A bar of bytes counts no images, and a terminal without escapes gets none.
func TestBar(t *testing.T) {
	var b bytes.Buffer
	c := &ui.Console{Stderr: &b, Progress: "bar", Dumb: true}
	bar := c.ByteBar(1<<20, "verifying")
	bar.Add64(1 << 19)
	c.Logf("a line between")
	bar.Set(1 << 20)
	bar.Finish()
	bar.Add64(1)
	if text := b.String(); strings.Contains(text, "img") || strings.Contains(text, "\x1b") || !strings.Contains(text, "\nsynshard: a line between\n") {
		t.Errorf("%q", text)
	}
	b.Reset()
	bar = c.Bar(10, "drawing", "images")
	bar.Add64(10)
	bar.Finish()
	if text := b.String(); !strings.Contains(text, "img/s") {
		t.Errorf("%q", text)
	}
}

func TestResult(t *testing.T) {
	var b bytes.Buffer
	c := &ui.Console{Stdout: &b}
	text := func(w io.Writer) { fmt.Fprintln(w, "text") }
	if err := c.Result([]string{"<a>"}, text); err != nil {
		t.Fatal(err)
	}
	c.JSON = true
	if err := c.Result([]string{"<a>"}, text); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("text\n[\n  \"<a>\"\n]\n", b.String()); diff != "" {
		t.Error(diff)
	}
	c.Stdout = full{}
	if err := c.Result(1, text); err == nil {
		t.Error("a full disk was not told of")
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, io.ErrShortWrite }
