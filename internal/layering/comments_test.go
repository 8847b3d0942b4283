package layering

import (
	"go/ast"
	"go/token"
	"regexp"
	"slices"
	"testing"
)

// TestExportedNamesHaveComments: every exported name of a library has a comment: of its
// own, or one above the lines before it or of its type, which names it.
func TestExportedNamesHaveComments(t *testing.T) {
	eachSource(t, func(path string, set *token.FileSet, file *ast.File) {
		if file.Name.Name == "main" {
			return
		}
		for _, decl := range file.Decls {
			for _, name := range bare(set, decl) {
				t.Errorf("%s:%d: %s has no comment", path, set.Position(name.Pos()).Line, name.Name)
			}
		}
	})
}

// bare lists the exported names of a declaration that no comment speaks of.
func bare(set *token.FileSet, decl ast.Decl) (out []*ast.Ident) {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		if d.Doc == nil && d.Name.IsExported() && !isStandard(d) && !isOfHidden(d) {
			out = append(out, d.Name)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.ValueSpec:
				if d.Doc == nil && s.Doc == nil && s.Comment == nil {
					out = append(out, exported(s.Names)...)
				}
			case *ast.TypeSpec:
				if d.Doc == nil && s.Doc == nil && s.Comment == nil {
					out = append(out, exported([]*ast.Ident{s.Name})...)
				}
				if s.Name.IsExported() {
					out = append(out, bareFields(set, s.Type, d.Doc, s.Doc)...)
				}
			}
		}
	}
	return out
}

// isStandard says of a method that its name says all, as its contract is the library's.
func isStandard(d *ast.FuncDecl) bool {
	return d.Recv != nil && slices.Contains([]string{"Error", "Unwrap", "String"}, d.Name.Name)
}

// isOfHidden says whether a method is of a type that is not exported.
func isOfHidden(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return false
	}
	of := d.Recv.List[0].Type
	for {
		switch x := of.(type) {
		case *ast.StarExpr:
			of = x.X
		case *ast.IndexExpr:
			of = x.X
		case *ast.Ident:
			return !x.IsExported()
		default:
			return false
		}
	}
}

// bareFields lists the fields of a struct, or the methods of an interface, that no comment
// speaks of: neither one beside them or directly above them, nor, by their name, that of
// their type or one above the lines before them.
func bareFields(set *token.FileSet, of ast.Expr, docs ...*ast.CommentGroup) (out []*ast.Ident) {
	var fields *ast.FieldList
	switch t := of.(type) {
	case *ast.StructType:
		fields = t.Fields
	case *ast.InterfaceType:
		fields = t.Methods
	default:
		return nil
	}
	var above *ast.CommentGroup
	covered := -1 // the last line that it is above of
	for _, f := range fields.List {
		first, last := set.Position(f.Pos()).Line, set.Position(f.End()).Line
		switch {
		case f.Doc != nil:
			above, covered = f.Doc, last
		case first == covered+1:
			covered = last
		default:
			above = nil
		}
		if f.Doc != nil || f.Comment != nil {
			continue
		}
		for _, name := range exported(f.Names) {
			speaksOf := func(c *ast.CommentGroup) bool {
				return regexp.MustCompile(`\b` + name.Name + `\b`).MatchString(c.Text())
			}
			if !slices.ContainsFunc(append(docs, above), speaksOf) {
				out = append(out, name)
			}
		}
	}
	return out
}

func exported(names []*ast.Ident) (out []*ast.Ident) {
	for _, name := range names {
		if name.IsExported() {
			out = append(out, name)
		}
	}
	return out
}
