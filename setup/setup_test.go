package setup

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/internal/native"
	"github.com/synshard/synshard/internal/native/nativetest"
	"github.com/synshard/synshard/internal/raced"
	"github.com/synshard/synshard/setup/wheel"
	"github.com/synshard/synshard/wordnet"
)

const versionHeader = "#define TORCH_VERSION_MAJOR 2\n#define TORCH_VERSION_MINOR 11\n#define TORCH_VERSION_PATCH 0\n"

// torchFiles are what is looked at of a PyTorch.
var torchFiles = map[string]string{
	"torch/lib/libtorch_cpu.so":                          "cpu",
	"torch/lib/libtorch_cuda.so":                         "cuda",
	"torch/lib/libc10.so":                                "c10",
	"torch/include/torch/headeronly/version.h":           versionHeader,
	"torch/include/torch/csrc/api/include/torch/torch.h": "//",
	"torch/test/left_out.py":                             "x",
	"torch.libs/libgomp.so.1":                            "omp",
}

// wheels writes wheels into a directory and gives their pins.
func wheels(t *testing.T, dir string, all map[wheel.Pin]map[string]string) (pins []wheel.Pin) {
	t.Helper()
	for p, members := range all {
		var b, record bytes.Buffer
		z := zip.NewWriter(&b)
		add := func(name, content string) {
			w, err := z.Create(name)
			if err == nil {
				_, err = w.Write([]byte(content))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		for name, content := range members {
			add(name, content)
			sum := sha256.Sum256([]byte(content))
			fmt.Fprintf(&record, "%s,sha256=%s,%d\n", name, base64.RawURLEncoding.EncodeToString(sum[:]), len(content))
		}
		add(p.Name+".dist-info/RECORD", record.String())
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		file := fmt.Sprintf("%s-%s-py3-none-manylinux2014_x86_64.whl", strings.ReplaceAll(p.Name, "-", "_"), p.Version)
		if err := os.WriteFile(filepath.Join(dir, file), b.Bytes(), 0o666); err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(record.Bytes())
		p.Machine, p.Record = "x86_64", hex.EncodeToString(sum[:])
		pins = append(pins, p)
	}
	return pins
}

// scene are options under which everything can be set up, of made-up wheels
// and an engine that is a line of text.
func scene(t *testing.T) (Options, []wheel.Pin) {
	t.Helper()
	dir := t.TempDir()
	pins := wheels(t, dir, map[wheel.Pin]map[string]string{
		{Group: "torch", Name: "torch", Version: "2.11.0"}:              {},
		{Group: "cpu", Name: "nvidia-cuda-runtime", Version: "13.0.96"}: {"nvidia/cu13/lib/libcudart.so.13": "rt", "nvidia/cu13/include/cuda.h": "//"},
		{Group: "cuda", Name: "nvidia-cublas", Version: "13.1.0.3"}:     {"nvidia/cu13/lib/libcublas.so.13": "blas"},
		{Group: "ort", Name: "onnxruntime", Version: "1.26.0"}:          {"onnxruntime/capi/libonnxruntime.so.1.26.0": "ort", "onnxruntime/LICENSE": "MIT"},
		{Group: "openvino", Name: "openvino", Version: "2026.4.1"}: {"openvino/libs/libopenvino_c.so.2641": "ov", "openvino/libs/libopenvino.so.2641": "ov", "openvino/libs/libopenvino_intel_gpu_plugin.so": "gpu",
			"openvino/__init__.py": "", "openvino-2026.4.1.dist-info/licenses/LICENSE": "Apache"},
		{Group: "ortcuda", Name: "onnxruntime-gpu", Version: "1.27.0"}: {"onnxruntime/capi/libonnxruntime.so.1.27.0": "ort", "onnxruntime/capi/libonnxruntime_providers_cuda.so": "p"},
	})
	for i := range pins {
		if pins[i].Group == "torch" {
			pins[i] = wheels(t, dir, map[wheel.Pin]map[string]string{{Group: "torch", Name: "torch", Version: "2.11.0"}: torchFiles})[0]
		}
	}
	cache := filepath.Join(t.TempDir(), "synshard")
	return Options{
		Cache: cache, Lib: filepath.Join(cache, "lib"), Machine: "x86_64",
		Found: nativetest.WordNetDir(t), Wheels: wheel.Places{Dirs: []string{dir}},
		Source:   fstest.MapFS{"build.sh": {Data: []byte("echo \"$2\" >\"$4\"\n")}, "instead/a.h": {Data: []byte("//")}},
		Compiler: "true", Say: func(part Part, words string) { t.Logf("%s: %s", part, words) },
	}, pins
}

// tree gives the names of the files below dir.
func tree(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(dir, path)
			names = append(names, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestRun(t *testing.T) {
	for _, c := range []struct {
		cuda bool
		want []string
	}{
		{false, []string{
			"lib/libonnxruntime.so", "lib/libsynshard_torch.so", "lib/shim.stamp",
			"onnxruntime-1.26.0/onnxruntime/LICENSE", "onnxruntime-1.26.0/onnxruntime/capi/libonnxruntime.so.1.26.0", "onnxruntime-1.26.0/onnxruntime-1.26.0.RECORD",
			"setup.lock",
			"torch-2.11.0-cpu/nvidia/cu13/lib/libcudart.so.13", "torch-2.11.0-cpu/nvidia-cuda-runtime-13.0.96.RECORD",
			"torch-2.11.0-cpu/torch/include/torch/csrc/api/include/torch/torch.h", "torch-2.11.0-cpu/torch/include/torch/headeronly/version.h",
			"torch-2.11.0-cpu/torch/lib/libc10.so", "torch-2.11.0-cpu/torch/lib/libtorch_cpu.so",
			"torch-2.11.0-cpu/torch-2.11.0.RECORD", "torch-2.11.0-cpu/torch.libs/libgomp.so.1",
		}},
		{true, []string{
			"lib/libonnxruntime.so", "lib/libsynshard_torch.so", "lib/shim.stamp",
			"onnxruntime-1.27.0-cuda/onnxruntime/capi/libonnxruntime.so.1.27.0", "onnxruntime-1.27.0-cuda/onnxruntime/capi/libonnxruntime_providers_cuda.so", "onnxruntime-1.27.0-cuda/onnxruntime-gpu-1.27.0.RECORD",
			"setup.lock",
			"torch-2.11.0-cuda/nvidia/cu13/include/cuda.h", "torch-2.11.0-cuda/nvidia/cu13/lib/libcublas.so.13", "torch-2.11.0-cuda/nvidia/cu13/lib/libcudart.so.13",
			"torch-2.11.0-cuda/nvidia-cublas-13.1.0.3.RECORD", "torch-2.11.0-cuda/nvidia-cuda-runtime-13.0.96.RECORD",
			"torch-2.11.0-cuda/torch/include/torch/csrc/api/include/torch/torch.h", "torch-2.11.0-cuda/torch/include/torch/headeronly/version.h",
			"torch-2.11.0-cuda/torch/lib/libc10.so", "torch-2.11.0-cuda/torch/lib/libtorch_cpu.so", "torch-2.11.0-cuda/torch/lib/libtorch_cuda.so",
			"torch-2.11.0-cuda/torch-2.11.0.RECORD", "torch-2.11.0-cuda/torch.libs/libgomp.so.1",
		}},
	} {
		o, pins := scene(t)
		o.CUDA = c.cuda
		done, err := start(t.Context(), o, pins)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, tree(t, o.Cache)); diff != "" {
			t.Errorf("cuda %t: the cache:\n%s", c.cuda, diff)
		}
		if diff := cmp.Diff([]bool{true, true, true, false}, brought(done)); diff != "" {
			t.Errorf("cuda %t: what was brought:\n%s", c.cuda, diff)
		}
		o.Wheels.Dirs = nil // nothing more is needed
		again, err := start(t.Context(), o, pins)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]bool{false, false, false, false}, brought(again)); diff != "" {
			t.Errorf("cuda %t: what was brought again:\n%s", c.cuda, diff)
		}
	}
}

// TestDamaged: of what was brought before, nothing that changed since is called there: it is brought
// again, or named.
func TestDamaged(t *testing.T) {
	o, pins := scene(t)
	if _, err := start(t.Context(), o, pins); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"torch-2.11.0-cpu/torch/lib/libc10.so", "torch-2.11.0-cpu/nvidia/cu13/lib/libcudart.so.13", "torch-2.11.0-cpu/torch-2.11.0.RECORD",
		"onnxruntime-1.26.0/onnxruntime/capi/libonnxruntime.so.1.26.0", "lib/" + native.ShimName} {
		path := filepath.Join(o.Cache, name)
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		damaged := bytes.Clone(whole)
		damaged[len(damaged)/2] ^= 1
		if err := os.WriteFile(path, damaged, 0o666); err != nil {
			t.Fatal(err)
		}
		without := o
		without.Wheels.Dirs = nil
		var said strings.Builder
		without.Say = func(_ Part, words string) { said.WriteString(words + "\n") }
		if _, err := start(t.Context(), without, pins); !strings.Contains(said.String(), path) || err == nil && !strings.HasPrefix(name, "lib/") {
			t.Errorf("%s damaged, and no wheels: %v, and it is said %q", name, err, &said)
		}
		if _, err := start(t.Context(), o, pins); err != nil {
			t.Errorf("%s damaged: %v", name, err)
		}
		if b, err := os.ReadFile(path); err != nil || !bytes.Equal(b, whole) {
			t.Errorf("%s was damaged and is now %q, %v", name, b, err)
		}
	}
}

func brought(done []Done) (b []bool) {
	for _, d := range done {
		b = append(b, d.Brought)
	}
	return b
}

// TestEngine is built again when its source changes, and taken as it is where
// one was built beforehand.
func TestEngine(t *testing.T) {
	o, pins := scene(t)
	run := func() string {
		t.Helper()
		if _, err := start(t.Context(), o, pins); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(o.Lib, native.ShimName))
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(b))
	}
	against := filepath.Join(o.Cache, "torch-2.11.0-cpu", "torch")
	if got := run(); got != against {
		t.Errorf("built against %q, want %q", got, against)
	}
	o.Source.(fstest.MapFS)["build.sh"] = &fstest.MapFile{Data: []byte("echo new >\"$4\"\n")}
	if got := run(); got != "new" {
		t.Errorf("after a change of its source: %q", got)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, PrebuiltName("2.11.0", "cpu")), []byte("prebuilt"), 0o666); err != nil {
		t.Fatal(err)
	}
	o.Prebuilt = []string{dir}
	if got := run(); got != "prebuilt" {
		t.Errorf("with one built beforehand: %q", got)
	}
	o.Prebuilt = nil
	if got := run(); got != "new" {
		t.Errorf("without it again: %q", got)
	}

	o.Torch = t.TempDir() // another PyTorch: that is what it is built against
	for name, content := range torchFiles {
		path := filepath.Join(o.Torch, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.WriteFile(path, []byte(content), 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	o.Prebuilt = []string{dir}
	o.Source.(fstest.MapFS)["build.sh"] = &fstest.MapFile{Data: []byte("echo \"$2\" >\"$4\"\n")}
	if got, want := run(), filepath.Join(o.Torch, "torch"); got != want {
		t.Errorf("--torch: built against %q, want %q", got, want)
	}
	o.Source.(fstest.MapFS)["build.sh"] = &fstest.MapFile{Data: []byte("echo no such header >&2; exit 1\n")}
	if _, err := start(t.Context(), o, pins); err == nil || !strings.Contains(err.Error(), "no such header") {
		t.Errorf("a build that fails: %v, want what it said", err)
	}
}

func TestTorchThatWillNotDo(t *testing.T) {
	for _, c := range []struct{ change, content, want string }{
		{"torch/include/torch/headeronly/version.h", strings.ReplaceAll(versionHeader, "11", "8"), "2.9 or later is needed"},
		{"torch/include/torch/headeronly/version.h", "//", "do not tell its version"},
		{"torch/lib/libtorch_cpu.so", "", "no lib/libtorch_cpu.so"},
	} {
		o, pins := scene(t)
		o.Torch = t.TempDir()
		for name, content := range torchFiles {
			if name == c.change {
				content = c.content
			}
			path := filepath.Join(o.Torch, name)
			if content == "" {
				continue
			}
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.WriteFile(path, []byte(content), 0o666)); err != nil {
				t.Fatal(err)
			}
		}
		done, err := start(t.Context(), o, pins)
		if !errors.Is(err, ErrUnfit) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
		if len(done) != 2 { // ONNX Runtime and WordNet
			t.Errorf("%d parts were set up beside it, want 2", len(done))
		}
	}
}

// damagedWordNet changes a letter of what was brought: it is told wherever WordNet is read,
// and set-up brings it again.
func damagedWordNet(t *testing.T, o Options, pins []wheel.Pin, from string) {
	t.Helper()
	path := filepath.Join(o.Lib, "wordnet", "data.noun")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	damaged := bytes.Replace(text, []byte("entity"), []byte("entitx"), 1)
	if bytes.Equal(damaged, text) {
		t.Fatal("nothing to damage")
	}
	if err := os.WriteFile(path, damaged, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := wordnet.Open(filepath.Dir(path)); !errors.Is(err, wordnet.ErrDamaged) {
		t.Errorf("a letter is another: %v, want ErrDamaged", err)
	}
	tools := os.Getenv("PATH")
	t.Setenv("PATH", "") // no package manager
	o.WordNet, o.Found = "", filepath.Dir(path)
	if _, err := start(t.Context(), o, pins); !errors.Is(err, ErrUnfit) {
		t.Errorf("set-up over damage, with nowhere to bring it from: %v, want ErrUnfit", err)
	}
	t.Setenv("PATH", tools)
	o.WordNet = from
	if _, err := start(t.Context(), o, pins); err != nil {
		t.Errorf("set-up over damage: %v", err)
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, text) {
		t.Errorf("it was not brought again (%v)", err)
	}
}

// TestWordNetForms takes WordNet from a directory and from a .tar.gz.
func TestWordNetForms(t *testing.T) {
	raced.Skip(t, "one goroutine inflates, writes and reads it")
	o, pins := scene(t)
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, name := range wordNetFiles[:3] {
		text, err := os.ReadFile(filepath.Join(o.Found, name))
		if err == nil {
			err = w.WriteHeader(&tar.Header{Name: "WordNet-3.0/dict/" + name, Mode: 0o644, Size: int64(len(text))})
		}
		if err == nil {
			_, err = w.Write(text)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	archive := filepath.Join(t.TempDir(), "WNdb-3.0.tar.gz")
	if err := os.WriteFile(archive, b.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, from := range []string{archive, o.Found} {
		o.Cache = filepath.Join(t.TempDir(), "synshard")
		o.Lib, o.WordNet = filepath.Join(o.Cache, "lib"), from
		done, err := start(t.Context(), o, pins)
		if err != nil {
			t.Fatal(err)
		}
		want := Done{WordNet, "3.0", filepath.Join(o.Lib, "wordnet"), true}
		if diff := cmp.Diff(want, done[len(done)-1]); diff != "" {
			t.Errorf("%s:\n%s", from, diff)
		}
	}
	damagedWordNet(t, o, pins, archive)
	o.WordNet = t.TempDir()
	if _, err := start(t.Context(), o, pins); !errors.Is(err, ErrUnfit) {
		t.Errorf("an empty directory: %v, want ErrUnfit", err)
	}
	if err := os.WriteFile(filepath.Join(o.WordNet, "data.noun"), []byte("of another kind\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(o.Lib, ".wordnet.killed")
	if err := os.Mkdir(left, 0o777); err != nil {
		t.Fatal(err)
	}
	before := tree(t, o.Lib)
	if _, err := start(t.Context(), o, pins); err == nil {
		t.Error("a file that is no WordNet is taken")
	}
	if diff := cmp.Diff(before, tree(t, o.Lib)); diff != "" {
		t.Errorf("after what was refused:\n%s", diff)
	}
	if _, err := os.Stat(left); err == nil {
		t.Error("what a killed set-up left is still there")
	}
}

// TestEndsAtTheEnd: a set-up that has done all when its context ends has not been cut.
func TestEndsAtTheEnd(t *testing.T) {
	o, pins := scene(t)
	for _, c := range []struct {
		part Part
		says string
		done int
		cut  bool
	}{{Torch, "bringing", 0, true}, {WordNet, " is in ", 4, false}} {
		ctx, cancel := context.WithCancel(t.Context())
		o.Say = func(p Part, words string) {
			if p == c.part && strings.Contains(words, c.says) {
				cancel()
			}
		}
		done, err := start(ctx, o, pins)
		if cut := errors.Is(err, context.Canceled); len(done) != c.done || cut != c.cut || !cut && err != nil {
			t.Errorf("ended at %s: %v, %v", c.part, done, err)
		}
		cancel()
	}
}

// TestNamedORT: a library that somebody named is taken, and none is brought.
func TestNamedORT(t *testing.T) {
	o, pins := scene(t)
	o.ORT = "/opt/ort/libonnxruntime.so"
	done, err := start(t.Context(), o, pins)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Done{Part: ORT, Path: o.ORT}, done[2]); diff != "" {
		t.Error(diff)
	}
	if left, _ := filepath.Glob(filepath.Join(o.Cache, "onnxruntime-*")); len(left) > 0 {
		t.Errorf("brought all the same: %v", left)
	}
}

// TestOpenVINO: it comes where it is asked for, without what runs no ONNX on a CPU.
func TestOpenVINO(t *testing.T) {
	o, pins := scene(t)
	o.OpenVINO = true
	done, err := start(t.Context(), o, pins)
	if err != nil {
		t.Fatal(err)
	}
	at := filepath.Join(o.Lib, "libopenvino_c.so")
	if diff := cmp.Diff(Done{Part: OpenVINO, Version: "2026.4.1", Path: at, Brought: true}, done[len(done)-1]); diff != "" {
		t.Error(diff)
	}
	home := filepath.Join(o.Cache, "openvino-2026.4.1")
	want := []string{"openvino/libs/libopenvino.so.2641", "openvino/libs/libopenvino_c.so.2641", "openvino-2026.4.1.RECORD", "openvino-2026.4.1.dist-info/licenses/LICENSE"}
	slices.Sort(want)
	got := tree(t, home)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("below its directory:\n%s", diff)
	}
	if to, err := filepath.EvalSymlinks(at); err != nil || filepath.Dir(to) != filepath.Join(home, "openvino", "libs") {
		t.Errorf("the link leads to %s, %v", to, err)
	}
}

func TestWaitsForAnother(t *testing.T) {
	o, pins := scene(t)
	ctx, cancel := context.WithCancel(t.Context())
	waited := false
	o.Say = func(part Part, words string) {
		if part == "" {
			waited = true
			cancel()
		}
	}
	if err := os.MkdirAll(o.Cache, 0o777); err != nil {
		t.Fatal(err)
	}
	lock, err := run{Options: o}.lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Unlock()
	if _, err := start(ctx, o, pins); !errors.Is(err, context.Canceled) || !waited {
		t.Errorf("%v (waited: %t), want to wait until the end of the context", err, waited)
	}
}

func TestPip(t *testing.T) {
	home := t.TempDir()
	config := filepath.Join(home, ".config", "pip", "pip.conf")
	text := "[global]\nindex-url = https://a.example/simple\nfind-links =\n  /srv/wheels\n  https://b.example/\n# a remark\n[install]\nindex_url: https://c.example\n"
	if err := errors.Join(os.MkdirAll(filepath.Dir(config), 0o777), os.WriteFile(config, []byte(text), 0o666)); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"HOME": home}
	get := func(key string) string { return env[key] }
	if diff := cmp.Diff(PipSettings{"https://a.example/simple", []string{"/srv/wheels"}}, Pip(get)); diff != "" {
		t.Errorf("from its file:\n%s", diff)
	}
	env["PIP_INDEX_URL"], env["PIP_FIND_LINKS"] = "https://d.example/simple", "file:///mnt/w"
	if diff := cmp.Diff(PipSettings{"https://d.example/simple", []string{"/mnt/w"}}, Pip(get)); diff != "" {
		t.Errorf("from its variables:\n%s", diff)
	}
}

func TestPinsOfBothMachines(t *testing.T) {
	pins, err := wheel.ReadPins(bytes.NewReader(pinned))
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for _, p := range pins {
		count[p.Group+" "+p.Machine]++
	}
	want := map[string]int{"torch x86_64": 1, "ort x86_64": 1, "cpu x86_64": 2, "cuda x86_64": 13, "ortcuda x86_64": 1, "openvino x86_64": 1, "openvino aarch64": 1,
		"torch aarch64": 1, "ort aarch64": 1, "cpu aarch64": 2, "cuda aarch64": 13}
	if diff := cmp.Diff(want, count); diff != "" {
		t.Error(diff)
	}
}

// TestTorchWithoutCard: of the libraries in the pinned wheels those that libtorch_cpu.so needs, as readelf -d of it and of
// what it names has them, are brought without a card, and CUDA's are not.
func TestTorchWithoutCard(t *testing.T) {
	for _, name := range []string{
		"libc10.so", "libtorch_cpu.so", "libgomp.so.1", // both machines
		"libarm_compute.so", "libarm_compute_graph.so", "libgfortran.so.5", "libnvpl_blas_core.so.0", "libnvpl_blas_lp64_gomp.so.0",
		"libnvpl_lapack_core.so.0", "libnvpl_lapack_lp64_gomp.so.0", // aarch64
	} {
		if !torchCPU.MatchString("torch/lib/" + name) {
			t.Errorf("%s is not brought", name)
		}
	}
	for _, name := range []string{
		"libc10_cuda.so", "libtorch_cuda.so", "libtorch_cuda_linalg.so", "libtorch_nvshmem.so", "libtorch_python.so", "libcaffe2_nvrtc.so", "libshm.so",
	} {
		if torchCPU.MatchString("torch/lib/" + name) {
			t.Errorf("%s is brought", name)
		}
	}
}
