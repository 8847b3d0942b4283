package wordnet

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// realDir finds WordNet 3.0. These tests hold the parser against the real
// thing, so without it they fail rather than pass unseen.
func realDir(t testing.TB) string {
	t.Helper()
	dirs := DefaultDirs
	if dir := os.Getenv("SYNSHARD_WORDNET"); dir != "" {
		dirs = []string{dir}
	}
	for _, dir := range dirs {
		if _, err := os.Stat(filepath.Join(dir, "data.noun")); err == nil {
			return dir
		}
	}
	t.Fatalf("no data.noun in %v: install the package wordnet-base, or set SYNSHARD_WORDNET", dirs)
	return ""
}

var openReal = sync.OnceValues(func() (*Graph, error) {
	for _, dir := range append([]string{os.Getenv("SYNSHARD_WORDNET")}, DefaultDirs...) {
		if _, err := os.Stat(filepath.Join(dir, "data.noun")); dir != "" && err == nil {
			return Open(dir)
		}
	}
	return nil, os.ErrNotExist
})

// real opens WordNet once for all tests.
func real(t testing.TB) *Graph {
	t.Helper()
	realDir(t)
	g, err := openReal()
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// BenchmarkParse parses text that is there, and text that is read.
func BenchmarkParse(b *testing.B) {
	text, err := os.ReadFile(filepath.Join(realDir(b), "data.noun"))
	if err != nil {
		b.Fatal(err)
	}
	s := string(text)
	for name, once := range map[string]func() (*Graph, error){
		"text":   func() (*Graph, error) { return parse(s, "data.noun") },
		"reader": func() (*Graph, error) { return Parse(strings.NewReader(s)) },
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(s)))
			for b.Loop() {
				if _, err := once(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	dir := realDir(b)
	for b.Loop() {
		if _, err := Open(dir); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkWuPalmer(b *testing.B) {
	g := real(b)
	for b.Loop() {
		g.WuPalmer(2084071, 2391049)
	}
}

func BenchmarkDescendants(b *testing.B) {
	g := real(b)
	for b.Loop() {
		g.Descendants(15388) // animal
	}
}
