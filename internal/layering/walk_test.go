package layering

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A place in docs/WALK.md is written `file:Name`, with one name or several
// joined by commas; a Go method by its own name.
var place = regexp.MustCompile("`([a-z0-9_/]+\\.(?:go|c|h|cpp|cu)):([A-Za-z0-9_, ]+)`")

// TestWalk: every file and name that docs/WALK.md leads past exists.
func TestWalk(t *testing.T) {
	root := moduleRoot(t)
	for _, p := range matches(t, root, "WALK.md", place, 20) {
		code, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(p[1])))
		if err != nil {
			t.Errorf("docs/WALK.md leads to %s: %v", p[1], err)
			continue
		}
		for name := range strings.SplitSeq(p[2], ",") {
			if name = strings.TrimSpace(name); !defines(string(code), name, filepath.Ext(p[1])) {
				t.Errorf("docs/WALK.md leads to %s in %s, which does not define it", name, p[1])
			}
		}
	}
}

// defines looks for a definition as gofmt and clang-format lay it out.
func defines(code, name, ext string) bool {
	pattern := `(?m)^(func (\([^)]*\) )?|type |var |const |\t)` + name + `\b`
	if ext != ".go" {
		pattern = `(?m)\b` + name + `\b.*[({;]`
	}
	return regexp.MustCompile(pattern).MatchString(code)
}
