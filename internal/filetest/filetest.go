// Package filetest does to files and outputs what happens to them, for tests: it sums up
// what lies in a directory, flips bits, runs out of room, compresses.
package filetest

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"slices"
	"testing"
)

// Sums gives the SHA-256, in hex, of every file below a directory, by its path with
// slashes, but for files whose base name is among but.
func Sums(t testing.TB, dir string, but ...string) map[string]string {
	t.Helper()
	sums := map[string]string{}
	tree := os.DirFS(dir)
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || slices.Contains(but, d.Name()) {
			return err
		}
		b, err := fs.ReadFile(tree, name)
		sums[name] = fmt.Sprintf("%x", sha256.Sum256(b))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sums
}

// Flips are copies of a file's bytes, each with a bit of one byte flipped: of the one at
// from, and of each every-th after it. The bit goes by the place: bit at%8 of byte at.
func Flips(whole []byte, from, every int) iter.Seq2[int, []byte] {
	return func(yield func(at int, damaged []byte) bool) {
		for at := from; at < len(whole); at += every {
			b := slices.Clone(whole)
			b[at] ^= 1 << (at % 8)
			if !yield(at, b) {
				return
			}
		}
	}
}

// ErrFull is what a Full that has no room left says.
var ErrFull = errors.New("no space left")

// Full is an output that takes Left bytes more, and then is ErrFull.
type Full struct{ Left int }

// Write implements io.Writer.
func (f *Full) Write(b []byte) (int, error) {
	if f.Left -= len(b); f.Left < 0 {
		return 0, ErrFull
	}
	return len(b), nil
}

// Gzip compresses.
func Gzip(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		panic(err) // a buffer takes everything
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return out.Bytes()
}
