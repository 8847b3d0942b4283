// Package nativetest gives tests what set-up brings: native libraries and
// WordNet. Without it a test is skipped, saying what it needs; where
// SYNSHARD_TEST_NATIVE is set, all of it must be there, and the test fails.
package nativetest

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/synshard/synshard/internal/native"
	"github.com/synshard/synshard/wordnet"
)

// search looks where the program does that make builds in this checkout.
func search(t testing.TB) native.Search {
	t.Helper()
	dir, err := os.Getwd() // a test's package
	if err != nil {
		t.Fatal(err)
	}
	for root := dir; ; root = filepath.Dir(root) {
		if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
			dir = filepath.Join(root, "bin")
			break
		}
		if root == filepath.Dir(root) {
			break
		}
	}
	cache, _ := os.UserCacheDir()
	return native.Search{Env: os.Getenv, Executable: filepath.Join(dir, "synshard"), Cache: cache}
}

// Need gives what a search found, or skips or fails the test.
func Need(t testing.TB, path string, err error) string {
	t.Helper()
	if err != nil {
		if os.Getenv("SYNSHARD_TEST_NATIVE") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	return path
}

// Torch is the path of the training engine's library.
func Torch(t testing.TB) string {
	t.Helper()
	path, err := search(t).Torch("")
	return Need(t, path, err)
}

// ORT is the path of ONNX Runtime's library.
func ORT(t testing.TB) string {
	t.Helper()
	path, err := search(t).ORT("")
	return Need(t, path, err)
}

// OpenVINO is the path of OpenVINO's C library.
func OpenVINO(t testing.TB) string {
	t.Helper()
	path, err := search(t).OpenVINO("")
	return Need(t, path, err)
}

// WordNet is WordNet 3.0.
func WordNet(t testing.TB) *wordnet.Graph {
	t.Helper()
	dir, err := search(t).WordNet("")
	g, err := wordnet.Open(Need(t, dir, err))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// Device is where engines are tested: the CPU, or what SYNSHARD_TEST_DEVICE
// says.
func Device() string {
	if d := os.Getenv("SYNSHARD_TEST_DEVICE"); d != "" {
		return d
	}
	return "cpu"
}
