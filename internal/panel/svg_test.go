package panel

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTextWidths: every text of an SVG has the width by which it was placed.
func TestTextWidths(t *testing.T) {
	p := New("a title with <b> & \"quotes\"", "nats")
	p.Line("a line", []Point{{1, 2}, {3, 4}}, Blue, 1, true)
	path := filepath.Join(t.TempDir(), "p.svg")
	if err := Write(path, 100, []*Panel{p}); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	texts := strings.Split(string(b), "<text ")[1:]
	for _, text := range texts {
		if !strings.HasPrefix(text, `textLength="`) {
			t.Errorf("as wide as its font is: %.60q", text)
		}
	}
	if len(texts) < 10 {
		t.Errorf("%d texts", len(texts))
	}
}
