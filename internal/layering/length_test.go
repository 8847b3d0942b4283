package layering

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// Most lines of a function, which is to fit a screen, and of one in cmd/synshard, where a
// verb is flags, one call and a print.
const (
	mostLines        = 60
	mostLinesOfVerbs = 50
)

// TestFunctionsFitAScreen: tests may be longer, as their tables are.
func TestFunctionsFitAScreen(t *testing.T) {
	root := moduleRoot(t)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := d.Name(); d.IsDir() && path != root && (name == "testdata" || name == "lib" || strings.HasPrefix(name, ".")) {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.HasSuffix(path, ".pb.go") {
			return nil
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		most := mostLines
		if strings.HasPrefix(filepath.ToSlash(rel), "cmd/synshard/") {
			most = mostLinesOfVerbs
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, 0)
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if n := set.Position(f.End()).Line - set.Position(f.Pos()).Line + 1; n > most {
				t.Errorf("%s: %s has %d lines, more than %d", rel, f.Name.Name, n, most)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
