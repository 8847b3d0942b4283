package setup

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/synshard/synshard/internal/regular"
)

// The oldest PyTorch that the engine is built against.
const leastMajor, leastMinor = 2, 9

// What of the wheels is needed. Without a card four fifths of libtorch's are left. Which libraries beside its own
// libtorch_cpu.so is linked against hangs on the machine: on 64-bit Arm they are NVIDIA's of linear algebra, which want Fortran's.
var (
	torchCPU  = regexp.MustCompile(`^torch\.libs/|^torch/include/|^torch/lib/(libc10|libtorch_cpu|lib(gomp|gfortran|arm|openblas|nvpl)[^/]*)\.so`)
	torchAll  = regexp.MustCompile(`^torch(\.libs|/include|/lib)/`)
	cudaLibs  = regexp.MustCompile(`^nvidia/.*(\.so[.0-9]*|License\.txt)$`)
	cudaWhole = regexp.MustCompile(`^nvidia/`)
)

// torch is a PyTorch that the engine is built against.
type torch struct {
	Done
	dir    string // the package's, with lib/ and include/
	pinned bool   // it is the one that pins.txt names, in the cache
}

func (r run) kind() string {
	if r.CUDA {
		return "cuda"
	}
	return "cpu"
}

// torch finds or brings libtorch.
func (r run) torch(ctx context.Context) (torch, error) {
	t := torch{Done: Done{Part: Torch}}
	if r.Torch != "" {
		dir := r.Torch
		if _, err := os.Stat(filepath.Join(dir, "torch", "lib")); err == nil {
			dir = filepath.Join(dir, "torch")
		}
		return r.useTorch(t, dir)
	}
	if dir := r.installedTorch(ctx); dir != "" {
		found, err := r.useTorch(t, dir)
		if err == nil {
			return found, nil
		}
		r.Say(Torch, fmt.Sprintf("passing over the PyTorch in %s: %v", dir, err))
	}
	return r.bringTorch(ctx, t)
}

func (r run) useTorch(t torch, dir string) (torch, error) {
	var err error
	if dir, err = filepath.Abs(dir); err != nil {
		return t, err
	}
	if t.Version, err = checkTorch(dir, r.CUDA); err != nil {
		return t, fmt.Errorf("%s: %w", dir, err)
	}
	t.dir, t.Path = dir, dir
	r.Say(Torch, t.Version+" in "+dir)
	return t, nil
}

// installedTorch is the PyTorch that Python has, "" if none.
func (r run) installedTorch(ctx context.Context) string {
	if !r.Look {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "python3", "-P", "-c",
		"import importlib.util, os; s = importlib.util.find_spec('torch'); print(os.path.dirname(s.origin) if s and s.origin else '')").Output()
	if err != nil {
		return "" // no Python is no error: it is not needed
	}
	return strings.TrimSpace(string(out))
}

// checkTorch gives the version of the PyTorch in dir, or says why it will not
// do.
func checkTorch(dir string, cuda bool) (version string, err error) {
	for _, file := range []string{"lib/libtorch_cpu.so", "include/torch/csrc/api/include/torch/torch.h"} {
		if _, err := os.Stat(filepath.Join(dir, file)); err != nil {
			return "", unfit("no %s in it", file)
		}
	}
	major, minor, patch, err := torchVersion(dir)
	if err != nil {
		return "", err
	}
	version = fmt.Sprintf("%d.%d.%d", major, minor, patch)
	if major < leastMajor || major == leastMajor && minor < leastMinor {
		return "", unfit("it is version %s, %d.%d or later is needed", version, leastMajor, leastMinor)
	}
	if _, err := os.Stat(filepath.Join(dir, "lib/libtorch_cuda.so")); cuda && err != nil {
		return "", unfit("it has no CUDA, and CUDA is wanted")
	}
	return version, nil
}

var versionMacro = regexp.MustCompile(`^\s*#define\s+TORCH_VERSION_(MAJOR|MINOR|PATCH)\s+(\d+)`)

// torchVersion reads the version out of the headers.
func torchVersion(dir string) (major, minor, patch int, err error) {
	for _, file := range []string{"include/torch/headeronly/version.h", "include/torch/csrc/api/include/torch/version.h"} {
		text, err := regular.ReadFile(filepath.Join(dir, file), regular.Document)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return 0, 0, 0, err
		}
		n := map[string]int{}
		for lines := bufio.NewScanner(strings.NewReader(string(text))); lines.Scan(); {
			if m := versionMacro.FindStringSubmatch(lines.Text()); m != nil {
				if n[m[1]], err = strconv.Atoi(m[2]); err != nil {
					return 0, 0, 0, err
				}
			}
		}
		if len(n) == 3 {
			return n["MAJOR"], n["MINOR"], n["PATCH"], nil
		}
	}
	return 0, 0, 0, unfit("its headers do not tell its version")
}

// bringTorch brings the pinned libtorch into the cache.
func (r run) bringTorch(ctx context.Context, t torch) (torch, error) {
	if t.Version = r.version("torch"); t.Version == "" {
		return t, unfit("none is pinned for machine %s; give --torch DIR", r.Machine)
	}
	home := filepath.Join(r.Cache, "torch-"+t.Version+"-"+r.kind())
	t.dir, t.pinned, t.Path = filepath.Join(home, "torch"), true, home
	all := []wanted{{"torch", torchCPU}, {"cpu", cudaLibs}}
	if r.CUDA {
		all = []wanted{{"torch", torchAll}, {"cpu", cudaWhole}, {"cuda", cudaWhole}}
	}
	lay, err := r.bring(ctx, Torch, fmt.Sprintf("%s (%s)", t.Version, r.kind()), home, all...)
	t.Brought = !lay
	return t, err
}
