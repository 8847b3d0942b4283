// Package native finds what is not Go: the training engine's library, ONNX
// Runtime's, OpenVINO's, and WordNet's files. Each is looked for in one way: a flag, then
// the environment, then beside the binary, then the user's cache. Neither the
// working directory nor anything above it is looked at: to open a library is
// to run its code.
package native

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// What mends a missing part; doctor prints the same.
const (
	MendTorch   = "run synshard setup, or give --torch-lib FILE"
	MendORT     = "run synshard setup, or give --ort-lib FILE"
	MendWordNet = "run synshard setup, or give --wordnet DIR"

	MendOpenVINO = "run synshard setup --openvino, or give --openvino-lib FILE"
)

// ShimName is the file name of the training engine's library.
const ShimName = "libsynshard_torch.so"

// A kind is a library that is looked for.
type kind struct {
	what, flag, mend string
	env              []string // the first that is set decides
	names            []string // patterns of file names, the likeliest first
}

var (
	torchLib = kind{"the training engine", "--torch-lib", MendTorch, []string{"SYNSHARD_TORCH_LIB"}, []string{ShimName}}
	ortLib   = kind{"ONNX Runtime", "--ort-lib", MendORT, []string{"SYNSHARD_ORT_LIB", "ONNXRUNTIME_SHARED_LIBRARY_PATH"},
		[]string{"libonnxruntime.so", "libonnxruntime.so.1", "libonnxruntime.so.1.*"}}
	openVINOLib = kind{"OpenVINO", "--openvino-lib", MendOpenVINO, []string{"SYNSHARD_OPENVINO_LIB"}, []string{"libopenvino_c.so", "libopenvino_c.so.*"}}
)

// Variables are the names in the environment that this package heeds.
var Variables = []string{"SYNSHARD_TORCH_LIB", "SYNSHARD_ORT_LIB", "ONNXRUNTIME_SHARED_LIBRARY_PATH", "SYNSHARD_OPENVINO_LIB", "SYNSHARD_WORDNET", "WNSEARCHDIR", "WNHOME"}

// ErrMissing is an error about something that is not where it was looked for.
// Its text ends in what mends it.
var ErrMissing = errors.New("missing or unfit")

type missing struct{ error }

func (missing) Is(target error) bool { return target == ErrMissing }
func (m missing) Unwrap() error      { return m.error }

// ErrNowhere is an ErrMissing about a library that nothing names and no place holds: nobody set it up.
var ErrNowhere = errors.New("not set up")

type nowhere struct{ missing }

func (nowhere) Is(target error) bool { return target == ErrNowhere || target == ErrMissing }

// Search is where to look. The caller reads the process's state, as here
// nothing does.
type Search struct {
	Env        func(key string) string // os.Getenv
	Executable string                  // the running binary; "" when unknown
	Cache      string                  // the user's cache directory; "" when there is none
}

// Torch gives the path of the training engine's library; flag is what
// --torch-lib says, "" without it. Errors are ErrMissing.
func (s Search) Torch(flag string) (string, error) { return s.find(torchLib, flag) }

// ORT gives the path of ONNX Runtime's library; flag is what --ort-lib says.
// Errors are ErrMissing.
func (s Search) ORT(flag string) (string, error) { return s.find(ortLib, flag) }

// OpenVINO gives the path of OpenVINO's C library; flag is what --openvino-lib says.
// Errors are ErrMissing.
func (s Search) OpenVINO(flag string) (string, error) { return s.find(openVINOLib, flag) }

// find looks for a shared library. A place that was named, by flag or
// environment, must hold it: nothing else is tried then.
func (s Search) find(k kind, flag string) (string, error) {
	if flag != "" {
		return k.named(k.flag, flag)
	}
	for _, key := range k.env {
		if v := s.Env(key); v != "" {
			return k.named(key, v)
		}
	}
	for _, dir := range s.dirs() {
		if p, ok := k.in(dir); ok {
			return p, nil
		}
	}
	return "", nowhere{missing{fmt.Errorf("%s: library %s not found; %s", k.what, k.names[0], k.mend)}}
}

func (k kind) named(from, path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", missing{fmt.Errorf("%s: library from %s: %w; %s", k.what, from, err, k.mend)}
	}
	if info.IsDir() {
		p, ok := k.in(path)
		if !ok {
			return "", missing{fmt.Errorf("%s: no %s in directory %s (from %s); %s", k.what, k.names[0], path, from, k.mend)}
		}
		path = p
	} else if !info.Mode().IsRegular() { // the loader would wait for a FIFO
		return "", missing{fmt.Errorf("%s: library from %s: %s is not a regular file; %s", k.what, from, path, k.mend)}
	}
	return filepath.Abs(path) // dlopen searches the system for a name without a slash
}

func (k kind) in(dir string) (string, bool) {
	for _, name := range k.names {
		found, err := filepath.Glob(filepath.Join(escapeGlob(dir), name))
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

// escapeGlob makes a directory's name stand for itself in a pattern.
func escapeGlob(dir string) string {
	var out []byte
	for i := range len(dir) {
		switch dir[i] {
		case '*', '?', '[', '\\':
			out = append(out, '\\')
		}
		out = append(out, dir[i])
	}
	return string(out)
}

// dirs are the directories looked in when none is named, in order of
// preference: lib/ beside the binary, lib/ one above it (bin/synshard and
// lib/), there lib/synshard/ as packages lay it out, the user's cache.
func (s Search) dirs() []string {
	dirs := s.Beside()
	if filepath.IsAbs(s.Cache) {
		dirs = append(dirs, filepath.Join(s.Cache, "synshard", "lib"))
	}
	return dirs
}

// Beside are those of the directories that go with the binary.
func (s Search) Beside() []string {
	var dirs []string
	if filepath.IsAbs(s.Executable) {
		exe := s.Executable
		if real, err := filepath.EvalSymlinks(exe); err == nil {
			exe = real
		}
		dir := filepath.Dir(exe)
		dirs = append(dirs, filepath.Join(dir, "lib"), filepath.Join(dir, "..", "lib", "synshard"), filepath.Join(dir, "..", "lib"))
	}
	return dirs
}

// GPUs counts the NVIDIA cards that this process may use, by their device
// files and CUDA_VISIBLE_DEVICES; no driver is opened.
func (s Search) GPUs() int {
	cards, err := filepath.Glob("/dev/nvidia[0-9]*")
	if err != nil || len(cards) == 0 {
		return 0
	}
	switch visible := s.Env("CUDA_VISIBLE_DEVICES"); {
	case visible == "":
		return len(cards)
	case strings.HasPrefix(visible, "-"):
		return 0
	default:
		return min(len(cards), strings.Count(visible, ",")+1)
	}
}

// GPU gives the number of the GPU that cuda, the first, or cuda:N names.
func GPU(device string) (int, error) {
	kind, number, numbered := strings.Cut(device, ":")
	if kind == "cuda" && !numbered {
		return 0, nil
	}
	n, err := strconv.ParseUint(number, 10, 16)
	if kind != "cuda" || err != nil {
		return 0, errors.New("want auto, cpu, cuda or cuda:N")
	}
	return int(n), nil
}

// HasCUDA says whether an ONNX Runtime comes with its CUDA provider, which is
// a library beside it.
func HasCUDA(ort string) bool {
	if real, err := filepath.EvalSymlinks(ort); err == nil {
		ort = real
	}
	info, err := os.Stat(filepath.Join(filepath.Dir(ort), "libonnxruntime_providers_cuda.so"))
	return err == nil && info.Mode().IsRegular()
}
