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
	page, err := os.ReadFile(filepath.Join(root, "docs", "TROUBLESHOOTING.md"))
	if err != nil {
		t.Fatal(err)
	}
	code := sources(t, root)
	rows := message.FindAllStringSubmatch(string(page), -1)
	if len(rows) < 15 {
		t.Fatalf("only %d messages in docs/TROUBLESHOOTING.md", len(rows))
	}
	for _, row := range rows {
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
