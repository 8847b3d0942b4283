package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// File names of the native libraries.
const shimName = "libsynshard_torch.so"

var ortNames = []string{"libonnxruntime.so", "libonnxruntime.so.1", "libonnxruntime.so.1.*"}

// What mends a missing part; doctor prints the same.
const (
	mendTorch   = "run scripts/setup.sh, or give --torch-lib FILE"
	mendORT     = "run scripts/setup.sh, or give --ort-lib FILE"
	mendWordNet = "install the package wordnet-base, or give --wordnet DIR"
)

// findTorch gives the path of the training engine's shim: the flag, then
// SYNSHARD_TORCH_LIB, then lib/ by the binary or in the checkout, then the
// user's cache.
func (a *app) findTorch(flag string) (string, error) {
	return findLibrary("the training engine", "--torch-lib", flag, []string{"SYNSHARD_TORCH_LIB"}, []string{shimName}, mendTorch)
}

// findORT gives the path of ONNX Runtime's library, looked for like the shim.
func (a *app) findORT(flag string) (string, error) {
	return findLibrary("ONNX Runtime", "--ort-lib", flag,
		[]string{"SYNSHARD_ORT_LIB", "ONNXRUNTIME_SHARED_LIBRARY_PATH"}, ortNames, mendORT)
}

// findWordNet gives a directory that holds data.noun: the flag, then the
// environment, then the user's cache, then the system's places.
func (a *app) findWordNet(flag string) (string, error) {
	has := func(dir string) bool {
		info, err := os.Stat(filepath.Join(dir, "data.noun"))
		return err == nil && info.Mode().IsRegular()
	}
	type place struct{ name, dir string }
	asked := []place{{"--wordnet", flag}, {"SYNSHARD_WORDNET", os.Getenv("SYNSHARD_WORDNET")}, {"WNSEARCHDIR", os.Getenv("WNSEARCHDIR")}}
	if home := os.Getenv("WNHOME"); home != "" {
		asked = append(asked, place{"WNHOME", filepath.Join(home, "dict")})
	}
	for _, p := range asked {
		if p.dir == "" {
			continue
		}
		if !has(p.dir) {
			return "", native(fmt.Errorf("wordnet: no data.noun in %s (from %s); %s", p.dir, p.name, mendWordNet))
		}
		return p.dir, nil
	}
	for _, dir := range wordNetDirs() {
		if has(dir) {
			return dir, nil
		}
	}
	return "", native(errors.New("wordnet: data.noun not found; " + mendWordNet))
}

func wordNetDirs() []string {
	var dirs []string
	for _, d := range libraryDirs() {
		dirs = append(dirs, filepath.Join(d, "wordnet"))
	}
	return append(dirs, "/usr/share/wordnet", "/usr/share/wordnet/dict", "/usr/local/share/wordnet", "/usr/local/WordNet-3.0/dict")
}

// findLibrary looks for a shared library. A place that was named, by flag or
// environment, must hold it: nothing else is tried then.
func findLibrary(what, flagName, flag string, env, names []string, mend string) (string, error) {
	if flag != "" {
		return namedLibrary(what, flagName, flag, names, mend)
	}
	for _, key := range env {
		if v := os.Getenv(key); v != "" {
			return namedLibrary(what, key, v, names, mend)
		}
	}
	for _, dir := range libraryDirs() {
		if p, ok := libraryIn(dir, names); ok {
			return p, nil
		}
	}
	return "", native(fmt.Errorf("%s: library %s not found; %s", what, names[0], mend))
}

func namedLibrary(what, from, path string, names []string, mend string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", native(fmt.Errorf("%s: library from %s: %w; %s", what, from, err, mend))
	}
	if info.IsDir() {
		p, ok := libraryIn(path, names)
		if !ok {
			return "", native(fmt.Errorf("%s: no %s in directory %s (from %s); %s", what, names[0], path, from, mend))
		}
		path = p
	}
	return filepath.Abs(path) // dlopen searches the system for a name without a slash
}

func libraryIn(dir string, names []string) (string, bool) {
	for _, name := range names {
		found, err := filepath.Glob(filepath.Join(dir, name))
		if err != nil || len(found) == 0 {
			continue
		}
		slices.Sort(found)
		p := found[len(found)-1]
		if info, err := os.Stat(p); err == nil && info.Mode().IsRegular() {
			if abs, err := filepath.Abs(p); err == nil {
				return abs, true
			}
		}
	}
	return "", false
}

// libraryDirs are the directories native libraries are looked for in, in
// order of preference.
func libraryDirs() []string {
	var dirs []string
	if exe, err := os.Executable(); err == nil {
		if real, err := filepath.EvalSymlinks(exe); err == nil {
			exe = real
		}
		dir := filepath.Dir(exe)
		dirs = append(dirs, filepath.Join(dir, "lib"), filepath.Join(dir, "..", "lib", "synshard"))
		if root, ok := checkout(dir); ok {
			dirs = append(dirs, filepath.Join(root, "lib"))
		}
	}
	if wd, err := os.Getwd(); err == nil { // go run and go test build elsewhere
		if root, ok := checkout(wd); ok {
			dirs = append(dirs, filepath.Join(root, "lib"))
		}
	}
	if cache, err := os.UserCacheDir(); err == nil {
		dirs = append(dirs, filepath.Join(cache, "synshard", "lib"))
	}
	return slices.Compact(dirs)
}

// checkout gives the root of the source tree that dir lies in.
func checkout(dir string) (string, bool) {
	for {
		if b, err := os.ReadFile(filepath.Join(dir, "go.mod")); err == nil {
			return dir, bytes.HasPrefix(b, []byte("module github.com/synshard/synshard\n"))
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", false
		}
		dir = up
	}
}
