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
func search() (native.Search, error) {
	dir, err := os.Getwd() // a test's package
	if err != nil {
		return native.Search{}, err
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
	return native.Search{Env: os.Getenv, Executable: filepath.Join(dir, "synshard"), Cache: cache}, nil
}

// Export puts into the environment, where it does not say so, what this checkout has: for a
// TestMain whose tests run programs that lie elsewhere, and for the processes those start.
func Export() error {
	s, err := search()
	if err != nil {
		return err
	}
	for variable, find := range map[string]func(string) (string, error){
		"SYNSHARD_TORCH_LIB": s.Torch, "SYNSHARD_ORT_LIB": s.ORT, "SYNSHARD_OPENVINO_LIB": s.OpenVINO, "SYNSHARD_WORDNET": s.WordNet,
	} {
		if path, err := find(""); err == nil {
			if err := os.Setenv(variable, path); err != nil {
				return err
			}
		}
	}
	return nil
}

// look is search for a test.
func look(t testing.TB) native.Search {
	t.Helper()
	s, err := search()
	if err != nil {
		t.Fatal(err)
	}
	return s
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
	path, err := look(t).Torch("")
	return Need(t, path, err)
}

// ORT is the path of ONNX Runtime's library.
func ORT(t testing.TB) string {
	t.Helper()
	path, err := look(t).ORT("")
	return Need(t, path, err)
}

// OpenVINO is the path of OpenVINO's C library.
func OpenVINO(t testing.TB) string {
	t.Helper()
	path, err := look(t).OpenVINO("")
	return Need(t, path, err)
}

// WordNetDir is a directory with the files of WordNet 3.0.
func WordNetDir(t testing.TB) string {
	t.Helper()
	dir, err := look(t).WordNet("")
	return Need(t, dir, err)
}

// WordNet is WordNet 3.0.
func WordNet(t testing.TB) *wordnet.Graph {
	t.Helper()
	g, err := wordnet.Open(WordNetDir(t))
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
