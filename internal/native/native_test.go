package native_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/synshard/synshard/internal/native"
)

// put makes a file of no content and gives its path.
func put(t *testing.T, parts ...string) string {
	t.Helper()
	path := filepath.Join(parts...)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

func nothing(string) string { return "" }

func TestOrder(t *testing.T) {
	root := t.TempDir()
	exe := put(t, root, "home", "bin", "synshard")
	cache := filepath.Join(root, "cache")
	flag, env := put(t, root, "flag.so"), put(t, root, "env.so")
	s := native.Search{Env: nothing, Executable: exe, Cache: cache}
	want := func(s native.Search, given, path string) {
		t.Helper()
		if got, err := s.ORT(given); err != nil || got != path {
			t.Errorf("found %s, %v; want %s", got, err, path)
		}
	}
	if _, err := s.ORT(""); !errors.Is(err, native.ErrMissing) || !errors.Is(err, native.ErrNowhere) || !strings.HasSuffix(err.Error(), native.MendORT) {
		t.Errorf("nothing there: %v", err)
	}
	// From the least preferred place to the most.
	for _, path := range []string{"cache/synshard/lib/libonnxruntime.so", "home/lib/libonnxruntime.so.1.27.0",
		"home/lib/synshard/libonnxruntime.so", "home/bin/lib/libonnxruntime.so"} {
		want(s, "", put(t, root, path))
	}
	s.Env = func(key string) string {
		if key == "ONNXRUNTIME_SHARED_LIBRARY_PATH" {
			return env
		}
		return ""
	}
	want(s, "", env)
	want(s, flag, flag)
	want(s, filepath.Join(root, "home", "lib"), filepath.Join(root, "home", "lib", "libonnxruntime.so.1.27.0"))
	if _, err := s.ORT(filepath.Join(root, "absent.so")); !errors.Is(err, native.ErrMissing) || errors.Is(err, native.ErrNowhere) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a flag that names nothing: %v", err)
	}
	if _, err := s.ORT("/dev/null"); !errors.Is(err, native.ErrMissing) || !strings.Contains(err.Error(), "/dev/null is not a regular file") {
		t.Errorf("a flag that names a device: %v", err)
	}
}

// A directory someone else filled runs no code by being the working directory,
// or lying above it, whatever it looks like.
func TestWorkingDirectoryIsNotSearched(t *testing.T) {
	planted := t.TempDir()
	below := filepath.Join(planted, "some", "where")
	for _, dir := range []string{planted, below} {
		put(t, dir, "lib", "libonnxruntime.so")
		put(t, dir, "lib", native.ShimName)
		put(t, dir, "lib", "wordnet", "data.noun")
		put(t, dir, "libonnxruntime.so")
		put(t, dir, "lib", "libopenvino_c.so")
		put(t, dir, "data.noun")
	}
	if err := os.WriteFile(filepath.Join(planted, "go.mod"), []byte("module github.com/synshard/synshard\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	t.Chdir(below)
	for _, s := range []native.Search{
		{Env: nothing, Executable: put(t, t.TempDir(), "bin", "synshard"), Cache: t.TempDir()},
		{Env: nothing},
		{Env: nothing, Executable: "synshard", Cache: "."}, // a relative name says nothing
	} {
		for name, find := range map[string]func(string) (string, error){"torch": s.Torch, "ort": s.ORT, "openvino": s.OpenVINO, "wordnet": s.WordNet} {
			if got, err := find(""); err == nil && (name != "wordnet" || strings.HasPrefix(got, planted) || !filepath.IsAbs(got)) {
				t.Errorf("%s: %s was found in the working directory", name, got)
			}
		}
	}
}

func TestSymlinkedBinary(t *testing.T) {
	root := t.TempDir()
	exe := put(t, root, "opt", "bin", "synshard")
	lib := put(t, root, "opt", "lib", native.ShimName)
	link := filepath.Join(root, "link")
	if err := os.Symlink(exe, link); err != nil {
		t.Fatal(err)
	}
	if got, err := (native.Search{Env: nothing, Executable: link}).Torch(""); err != nil || !samePath(got, lib) {
		t.Errorf("found %s, %v; want %s", got, err, lib)
	}
}

func samePath(a, b string) bool {
	x, err1 := os.Stat(a)
	y, err2 := os.Stat(b)
	return err1 == nil && err2 == nil && os.SameFile(x, y)
}

func TestDirectoryWithPatternCharacters(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a[1]*")
	lib := put(t, dir, native.ShimName)
	if got, err := (native.Search{Env: nothing}).Torch(dir); err != nil || got != lib {
		t.Errorf("found %s, %v; want %s", got, err, lib)
	}
}

func TestWordNetNamed(t *testing.T) {
	dir := filepath.Dir(put(t, t.TempDir(), "dict", "data.noun"))
	s := native.Search{Env: func(key string) string {
		if key == "WNHOME" {
			return filepath.Dir(dir)
		}
		return ""
	}}
	if got, err := s.WordNet(""); err != nil || got != dir {
		t.Errorf("by WNHOME: %s, %v; want %s", got, err, dir)
	}
	if _, err := s.WordNet(t.TempDir()); !errors.Is(err, native.ErrMissing) {
		t.Errorf("a directory without nouns: %v", err)
	}
}
