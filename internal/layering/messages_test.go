package layering

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// In docs/TROUBLESHOOTING.md a table's row begins with a message in backquotes.
var message = regexp.MustCompile("(?m)^\\| `([^`]+)`")

// TestMessages: the program still says every message that
// docs/TROUBLESHOOTING.md explains, apart from what varies in it.
func TestMessages(t *testing.T) {
	root := moduleRoot(t)
	code := sources(t, root)
	for _, row := range matches(t, root, "TROUBLESHOOTING.md", message, 15) {
		for piece := range strings.SplitSeq(row[1], "...") {
			piece = strings.Trim(piece, " :()")
			// "kind: what kind" is put together from two strings.
			for part := range strings.SplitSeq(piece, ": ") {
				if part = strings.TrimSpace(part); part != "" && !strings.Contains(code, part) {
					t.Errorf("docs/TROUBLESHOOTING.md explains %q; nothing in the code says %q", row[1], part)
				}
			}
		}
	}
}

// matches finds a form in a page of docs/, where it must stand so many times at least.
func matches(t *testing.T, root, page string, form *regexp.Regexp, least int) [][]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docs", page))
	if err != nil {
		t.Fatal(err)
	}
	found := form.FindAllStringSubmatch(string(text), -1)
	if len(found) < least {
		t.Fatalf("docs/%s has only %d of %s", page, len(found), form)
	}
	return found
}

// sources is all Go code but tests.
func sources(t *testing.T, root string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		b, err := os.ReadFile(path)
		all.Write(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}
