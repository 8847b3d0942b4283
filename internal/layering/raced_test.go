package layering

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestWatchedTestsAreWatched: a test that is left out under the race detector because another is
// watched names one of its package that is neither left out there nor in short runs, which
// are what the detector sees.
func TestWatchedTestsAreWatched(t *testing.T) {
	named := regexp.MustCompile(`\bTest\w+`)
	tests, reasons := map[string]*ast.FuncDecl{}, 0 // by directory and name
	type reason struct{ at, dir, why string }
	var all []reason
	eachTestSource(t, func(file string, set *token.FileSet, f *ast.File) {
		dir := path.Dir(file)
		for _, decl := range f.Decls {
			if d, ok := decl.(*ast.FuncDecl); ok && d.Recv == nil {
				tests[dir+" "+d.Name.Name] = d
			}
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok && calls(call, "raced", "Skip") && len(call.Args) == 2 {
				if text, ok := call.Args[1].(*ast.BasicLit); ok {
					all = append(all, reason{set.Position(call.Pos()).String(), dir, text.Value})
				} else {
					t.Errorf("%s: the reason is no text", set.Position(call.Pos()))
				}
			}
			return true
		})
	})
	for _, r := range all {
		for _, name := range named.FindAllString(r.why, -1) {
			reasons++
			switch d := tests[r.dir+" "+name]; {
			case d == nil:
				t.Errorf("%s: %s is not in the package", r.at, name)
			case leftOut(d):
				t.Errorf("%s: %s is left out itself", r.at, name)
			}
		}
	}
	if reasons < 10 {
		t.Errorf("%d tests are named", reasons)
	}
}

// leftOut says whether a test is skipped under the race detector or in short runs, by a
// statement of its own and not of a part.
func leftOut(d *ast.FuncDecl) bool {
	for _, s := range d.Body.List {
		switch s := s.(type) {
		case *ast.ExprStmt:
			if call, ok := s.X.(*ast.CallExpr); ok && calls(call, "raced", "Skip") {
				return true
			}
		case *ast.IfStmt:
			if within(s.Cond, "testing", "Short") && within(s.Body, "t", "Skip", "Skipf", "SkipNow") {
				return true
			}
		}
	}
	return false
}

// within says whether a piece of code calls one of a package's or a value's functions.
func within(n ast.Node, of string, names ...string) (found bool) {
	ast.Inspect(n, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		found = found || ok && calls(call, of, names...)
		return !found
	})
	return found
}

func calls(call *ast.CallExpr, of string, names ...string) bool {
	s, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	x, ok := s.X.(*ast.Ident)
	for _, name := range names {
		if ok && x.Name == of && s.Sel.Name == name {
			return true
		}
	}
	return false
}

// eachTestSource gives each test file, by its path below the module.
func eachTestSource(t *testing.T, f func(path string, set *token.FileSet, file *ast.File)) {
	t.Helper()
	root := moduleRoot(t)
	for _, dir := range packageDirs(t, root) {
		list, err := filepath.Glob(filepath.Join(root, dir, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range list {
			set := token.NewFileSet()
			file, err := parser.ParseFile(set, at, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			f(strings.TrimPrefix(filepath.ToSlash(at), filepath.ToSlash(root)+"/"), set, file)
		}
	}
}
