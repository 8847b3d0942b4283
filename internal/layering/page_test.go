package layering

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestArchitectureNamesEveryPackage: each package has its row in docs/ARCHITECTURE.md, and
// the row's last cell names what the package may import, by path or by the last of it.
func TestArchitectureNamesEveryPackage(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(moduleRoot(t), "docs", "ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	cells := map[string][]string{} // of a package: the words of its row's last cell
	for _, m := range regexp.MustCompile("(?m)^\\| (`.*?) \\| .* \\| (.*) \\|$").FindAllStringSubmatch(string(page), -1) {
		words := regexp.MustCompile(`[\w/]+`).FindAllString(m[2], -1)
		var first string
		for _, name := range regexp.MustCompile("`(.*?)`").FindAllStringSubmatch(m[1], -1) {
			dir := name[1]
			if first == "" {
				first = dir
			} else if allowed[dir] == nil {
				dir = path.Join(path.Dir(first), dir) // the row is of several beside each other
			}
			cells[dir] = words
		}
	}
	for dir, imports := range allowed {
		words, ok := cells[dir]
		if dir == "internal/layering" || slices.Contains(imports, "*") {
			continue
		}
		if !ok {
			t.Errorf("docs/ARCHITECTURE.md has no row for %s", dir)
		}
		for _, imported := range imports {
			named := func(word string) bool { return word == imported || strings.HasSuffix(imported, "/"+word) }
			if !slices.ContainsFunc(words, named) {
				t.Errorf("docs/ARCHITECTURE.md does not say that %s imports %s", dir, imported)
			}
		}
	}
	for dir := range cells {
		if allowed[dir] == nil {
			t.Errorf("docs/ARCHITECTURE.md has a row for %s, which is no package", dir)
		}
	}
}
