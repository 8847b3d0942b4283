package yamldoc

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestDecode(t *testing.T) {
	for text, want := range map[string]map[string]any{
		"":                              nil,
		"# nothing\n":                   nil,
		"a: 1\nb: [2, {c: x}]\n":        {"a": uint64(1), "b": []any{uint64(2), map[string]any{"c": "x"}}},
		"%YAML 1.2\n---\na: 1\n...\n":   {"a": uint64(1)},
		"# first\n--- # here\na: ---\n": {"a": "---"},
		"a: &x [1]\nb: *x\n":            {"a": []any{uint64(1)}, "b": []any{uint64(1)}},
		"a: |\n  ---\n  b\n":            {"a": "---\nb\n"},
	} {
		var got map[string]any
		if err := Decode([]byte(text), &got, false); err != nil {
			t.Errorf("%q: %v", text, err)
		} else if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%q: %s", text, d)
		}
	}
	var one struct {
		A int `yaml:"a"`
	}
	if err := Decode([]byte("a: 1\nb: 2\n"), &one, true); err == nil || !strings.HasPrefix(err.Error(), `[2:1] unknown field "b"`) {
		t.Errorf("a key that is unknown: %v", err)
	}
}

// TestBounds reads what would take hours or all memory.
func TestBounds(t *testing.T) {
	laughs := "a0: &a0 [x, x, x]\n"
	for i := range 20 {
		laughs += fmt.Sprintf("a%d: &a%d [*a%d, *a%d, *a%d]\n", i+1, i+1, i, i, i)
	}
	var steps, keys strings.Builder
	for i := range 1400 {
		fmt.Fprintf(&steps, "%*sa:\n", i, "")
	}
	for i := range 100_000 {
		fmt.Fprintf(&keys, "a%d: 1\n", i)
	}
	for name, c := range map[string]struct{ text, want string }{
		"brackets":       {strings.Repeat("[", 100_000), "words and marks"},
		"closed":         {strings.Repeat("[", 9000) + strings.Repeat("]", 9000), "lists or maps in each other"},
		"braces":         {strings.Repeat("{a: ", 50_000), "more than the 20000"},
		"few braces":     {strings.Repeat("{a: ", 200), "lists or maps in each other"},
		"dashes":         {strings.Repeat("- ", 9000) + "a", "lists or maps in each other"},
		"questions":      {strings.Repeat("? ", 9000) + "a", "lists or maps in each other"},
		"anchors":        {strings.Repeat("&a ", 5000) + "a", "lists or maps in each other"},
		"tags":           {strings.Repeat("!!str ", 9000) + "a", "lists or maps in each other"},
		"aliases":        {laughs, "more than 10 aliases"},
		"keys":           {keys.String(), "words and marks"},
		"bytes":          {"a: " + strings.Repeat("x", 1<<20), "bytes of YAML"},
		"documents":      {"a: 1\n---\na: 2\n", "[2:1] a second document"},
		"two heads":      {"---\n---\na: 2\n", "[2:1] a second document"},
		"after the end":  {"a: 1\n...\nb: 2\n", "[3:1] a second document"},
		"an empty first": {"...\n---\nb: 2\n", "[2:1] a second document"},
		"steps":          {steps.String(), ""}, // deep, but by the square root of its size
	} {
		start := time.Now()
		var v any
		err := Decode([]byte(c.text), &v, false)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %.200v, want %q", name, err, c.want)
		}
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("%s takes %v", name, took)
		}
	}
}

// wanted has a field of each kind that a text may be read into.
type wanted struct {
	A string
	B int
	C float64
	D *bool
	E [3]float64
	F []string
	G map[string]any
	H struct{ I []int }
	J any
}

// FuzzDecode: a text is an error of one line, whatever it is read into, or read;
// strictly or not what is read is the same.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{"a: [1, {b: c}]\n---\n", "- - ? &a !!str *b\n...", "e: !0\n0", "a: x\nb: 1\nc: .nan\nd: yes\ne: [1, 2, 3]\nf: [x]\ng: {h: i}\nh: {i: [1]}\nj: null", "e: !!int [1]", "<<: *a"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var v any
		oneLine(t, Decode(text, &v, true))
		var m map[string]any
		oneLine(t, Decode(text, &m, false))
		var strict, loose wanted
		err := Decode(text, &strict, true)
		oneLine(t, err)
		if err != nil {
			return
		}
		if err := Decode(text, &loose, false); err != nil {
			t.Errorf("read strictly, and otherwise %v", err)
		}
		if diff := cmp.Diff(strict, loose, cmpopts.EquateNaNs()); diff != "" {
			t.Errorf("(-strictly +otherwise):\n%s", diff)
		}
	})
}

func oneLine(t *testing.T, err error) {
	t.Helper()
	if err != nil && strings.Contains(err.Error(), "\n") {
		t.Errorf("an error of several lines: %v", err)
	}
}
