package wordnet

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// findReal finds WordNet 3.0: what the environment names, what this checkout was set up
// with, or what the system has.
func findReal() (string, error) {
	dirs := append([]string{filepath.Join("..", "lib", "wordnet")}, installedDirs...)
	if dir := os.Getenv("SYNSHARD_WORDNET"); dir != "" {
		dirs = []string{dir}
	}
	for _, dir := range dirs {
		if _, err := os.Stat(filepath.Join(dir, "data.noun")); err == nil {
			return dir, nil
		}
	}
	return "", fmt.Errorf("no data.noun in %v: run make setup, or set SYNSHARD_WORDNET", dirs)
}

// realDir is where it is. These tests hold the parser against the real thing, so
// without it they fail rather than pass unseen.
func realDir(t testing.TB) string {
	t.Helper()
	dir, err := findReal()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

var openReal = sync.OnceValues(func() (*Graph, error) {
	dir, err := findReal()
	if err != nil {
		return nil, err
	}
	return Open(dir)
})

// real opens WordNet once for all tests.
func real(t testing.TB) *Graph {
	t.Helper()
	g, err := openReal()
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func BenchmarkParse(b *testing.B) {
	text, err := os.ReadFile(filepath.Join(realDir(b), "data.noun"))
	if err != nil {
		b.Fatal(err)
	}
	s := string(text)
	b.SetBytes(int64(len(s)))
	for b.Loop() {
		if _, err := parse(s, "data.noun"); err != nil {
			b.Fatal(err)
		}
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

// installedDirs are the places where packages of WordNet 3.0 put data.noun:
// Debian's wordnet-base, Fedora's wordnet, and Princeton's own.
var installedDirs = []string{
	"/usr/share/wordnet",
	"/usr/share/wordnet-3.0/dict",
	"/usr/share/wordnet/dict",
	"/usr/local/WordNet-3.0/dict",
}
