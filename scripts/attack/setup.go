//go:build linux

package main

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/synshard/synshard/internal/filetest"
)

// What setup brings is gigabytes, and pinned. Here it brings small wheels from an index on loopback or from a directory: the binary is
// built with their pins in the place of the real ones, and who compiles the engine is a script.

// wheels are made-up ones of the groups that setup knows.
var wheels = []struct {
	group, name, version string
	files                []file
}{
	{"torch", "torch", "2.11.0", []file{
		{"torch/include/ATen/ATen.h", []byte("//")},
		{"torch/include/torch/csrc/api/include/torch/torch.h", []byte("//")},
		{"torch/include/torch/headeronly/version.h", []byte("#define TORCH_VERSION_MAJOR 2\n#define TORCH_VERSION_MINOR 11\n#define TORCH_VERSION_PATCH 0\n")},
		{"torch/lib/libtorch_cpu.so", noise(rand.New(rand.NewPCG(1, 1)), 9<<20)}, // some ranges
		{"torch/lib/libtorch_cuda.so", []byte("cuda")},
		{"torch/lib/libc10.so", noise(rand.New(rand.NewPCG(2, 1)), 10000)},
		{"torch/test/left_out.py", []byte("pass")},
		{"torch.libs/libgomp.so.1", []byte("omp")},
	}},
	{"cpu", "nvidia-cuda-runtime", "13.0.96", []file{{"nvidia/cu13/lib/libcudart.so.13", []byte("rt")}, {"nvidia/cu13/include/cuda_runtime_api.h", []byte("//")}}},
	{"cuda", "nvidia-nccl-cu13", "2.28.9", []file{{"nvidia/nccl/lib/libnccl.so.2", []byte("nccl")}, {"nvidia/nccl/include/nccl.h", []byte("//")}}},
	{"ort", "onnxruntime", "1.26.0", []file{{"onnxruntime/capi/libonnxruntime.so.1.26.0", noise(rand.New(rand.NewPCG(3, 1)), 70000)}, {"onnxruntime/LICENSE", []byte("MIT")}}},
	{"ortcuda", "onnxruntime-gpu", "1.27.0", []file{{"onnxruntime/capi/libonnxruntime.so.1.27.0", []byte("ort")}, {"onnxruntime/capi/libonnxruntime_providers_cuda.so", []byte("p")}}},
}

// machines are as wheels name them.
var machines = map[string]string{"amd64": "x86_64", "arm64": "aarch64"}

// wheelhouse is all of wheels as files, and the pins of them.
func wheelhouse() (all []file, pins string, err error) {
	machine := machines[runtime.GOARCH]
	for _, w := range wheels {
		under := strings.ReplaceAll(w.name, "-", "_") + "-" + w.version
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		list := ""
		for _, f := range w.files {
			sum := sha256.Sum256(f.data)
			list += fmt.Sprintf("%s,sha256=%s,%d\n", f.name, base64.RawURLEncoding.EncodeToString(sum[:]), len(f.data))
		}
		list += under + ".dist-info/RECORD,,\n"
		for _, f := range append(w.files[:len(w.files):len(w.files)], file{under + ".dist-info/RECORD", []byte(list)}) {
			member, err := z.Create(f.name)
			if err == nil {
				_, err = member.Write(f.data)
			}
			if err != nil {
				return nil, "", err
			}
		}
		if err := z.Close(); err != nil {
			return nil, "", err
		}
		name, sum := fmt.Sprintf("%s-py3-none-manylinux_2_28_%s.whl", under, machine), sha256.Sum256([]byte(list))
		all = append(all, file{"wheels/" + name, b.Bytes()}, file{"simple/" + w.name + "/index.html", []byte(fmt.Sprintf(`<a href="../../wheels/%s">%s</a>`, name, name))})
		pins += fmt.Sprintf("%s %s %s %s %s\n", w.group, w.name, w.version, machine, hex.EncodeToString(sum[:]))
	}
	return all, pins, nil
}

// compiler makes a sum of what it is to compile, which are the sources that a unit includes, or to link.
const compiler = `#!/bin/sh
[ "$1" != --version ] || { echo "a sum of the text"; exit; }
out= in=
while [ $# -gt 0 ]; do
	case $1 in
	-o) out=$2; shift ;;
	*.cpp) in="$in $(sed -n 's/^#include "\(\/.*\)"$/\1/p' "$1")" ;;
	*.o) in="$in $1" ;;
	esac
	shift
done
[ -z "$out" ] || cat $in | cksum >"$out"
`

// packages puts what setup brings into the scene, and in torch/ a PyTorch that is there.
func (s *scene) packages() error {
	all, _, err := wheelhouse()
	if err != nil {
		return err
	}
	nouns, err := os.ReadFile(s.in("wordnet/data.noun"))
	if err != nil {
		return err
	}
	for _, f := range append(slices.Concat(all, wheels[0].files), file{"WNdb.tar.gz", filetest.Gzip(tarOf(file{"dict/data.noun", nouns}))}) {
		if err := put(s.in(""), f); err != nil {
			return err
		}
	}
	return os.WriteFile(s.in("cxx"), []byte(compiler), 0o777)
}

// overlay has the binary built with the pins of wheels: go build's -overlay names the file that is returned.
func overlay(root string) (string, error) {
	_, pins, err := wheelhouse()
	if err != nil {
		return "", err
	}
	module, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/synshard/synshard").Output()
	if err != nil {
		return "", fmt.Errorf("where the module lies: %w", err)
	}
	replaced := map[string]map[string]string{"Replace": {filepath.Join(strings.TrimSpace(string(module)), "setup", "pins.txt"): filepath.Join(root, "pins.txt")}}
	text, err := json.Marshal(replaced)
	if err != nil {
		return "", err
	}
	path := filepath.Join(root, "overlay.json")
	return path, errors.Join(os.WriteFile(filepath.Join(root, "pins.txt"), []byte(pins), 0o666), os.WriteFile(path, text, 0o666))
}

// setupEnv has setup write into the trial's own cache.
func setupEnv(dir string) []string {
	return []string{"XDG_CACHE_HOME=" + filepath.Join(dir, "cache"), "CXX=../in/cxx", "SYNSHARD_ORT_LIB=", "ONNXRUNTIME_SHARED_LIBRARY_PATH="}
}

// setupArgs bring all from an index, and setupWheels from a directory.
var (
	setupArgs   = []string{"setup", "--cpu", "--download", "--wheels", "none", "--index", "url@jobs/simple", "--wordnet-from", "@/WNdb.tar.gz"}
	setupWheels = []string{"setup", "--cuda", "--download", "--wheels", "@/wheels", "--index", "url@jobs/none", "--wordnet-from", "@/WNdb.tar.gz"}
)

func setupJobs() []*job {
	own := []string{"setup", "--cpu", "--torch", "@/torch", "--wheels", "@/wheels", "--index", "url@jobs/none", "--wordnet-from", "@/wordnet", "--lib", "lib"}
	return []*job{
		{name: "setup-index", needs: "pins", args: setupArgs, same: ofSetup},
		{name: "setup-wheels", needs: "pins", args: setupWheels, same: ofSetup},
		{name: "setup-torch", needs: "pins", args: own, same: ofSetup},
	}
}

func setupExposures() (all []*exposure) {
	for name, args := range map[string][]string{"index": setupArgs, "wheels": setupWheels} {
		all = append(all, &exposure{name: "setup-again-" + name, needs: "pins", args: args, damaged: []string{"cache/**"}, except: []string{"cache/synshard/setup.lock"}, mends: true, same: ofSetup,
			prepare: func(s *scene, dir string) error { return s.must(dir, args...) }})
	}
	from := inDir(setupWheels, "wheels")
	return append(all, &exposure{name: "setup-from-wheels", needs: "pins", args: from, prepare: copied("wheels", "wheels"), damaged: []string{"wheels/**"}, same: ofSetup})
}

// ofSetup is what setup brought: of the engine's stamp the library's sum, since what it was built against lies elsewhere in each trial.
func ofSetup(name string, b []byte) ([]byte, bool) {
	if filepath.Base(name) == "shim.stamp" {
		_, b, _ = bytes.Cut(b, []byte(" "))
	}
	return b, true
}
