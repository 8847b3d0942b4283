package layering

import (
	"go/ast"
	"go/token"
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
	eachSource(t, func(path string, set *token.FileSet, file *ast.File) {
		most := mostLines
		if strings.HasPrefix(path, "cmd/synshard/") {
			most = mostLinesOfVerbs
		}
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if n := set.Position(f.End()).Line - set.Position(f.Pos()).Line + 1; n > most {
				t.Errorf("%s: %s has %d lines, more than %d", path, f.Name.Name, n, most)
			}
		}
	})
}
