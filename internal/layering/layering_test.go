// Package layering holds what keeps the house in order, all of it tests: who may import
// whom, how large a package and a function may be, that exported names have comments, and
// that the pages which name places in the code and messages of the program name such as
// there are.
package layering

import (
	"fmt"
	"go/build"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/synshard/synshard"

// allowed lists, for each package, the packages of this module it may import, and does.
// Data flows down: a package never imports one that stands later on the road.
var allowed = map[string][]string{
	"wordnet":                 {"internal/regular"},
	"pixel":                   {},
	"internal/arrowipc":       {},
	"internal/durable":        {},
	"internal/parquet":        {},
	"internal/processors":     {"internal/controlgroup", "internal/regular"},
	"internal/controlgroup":   {"internal/regular"},
	"internal/jobarray":       {},
	"internal/regular":        {},
	"internal/openfiles":      {"internal/regular"},
	"internal/inorder":        {},
	"internal/splitmix":       {},
	"internal/panel":          {"internal/durable"},
	"internal/recent":         {},
	"internal/yamldoc":        {},
	"storage":                 {"internal/durable", "internal/regular"},
	"storage/files":           {"internal/durable", "internal/regular"},
	"storage/directory":       {"storage", "storage/files", "internal/durable"},
	"storage/cached":          {"storage", "internal/durable", "internal/regular"},
	"storage/standin":         {"storage", "storage/cached", "internal/durable", "internal/regular", "internal/inorder"},
	"internal/utf8name":       {},
	"internal/layering":       {},
	"internal/onnxpb":         {},
	"internal/mat5":           {},
	"internal/memory":         {"internal/controlgroup"},
	"internal/sample":         {"internal/durable", "internal/mat5", "internal/processors", "internal/inorder"},
	"source":                  {"source/entry", "source/folder", "source/tarfile", "source/zipfile", "source/list", "source/columns", "storage", "internal/durable", "internal/openfiles", "internal/regular", "internal/inorder"},
	"source/entry":            {"internal/regular", "internal/utf8name"},
	"source/folder":           {"source/entry", "internal/regular"},
	"source/tarfile":          {"source/entry"},
	"source/zipfile":          {"source/entry", "internal/regular"},
	"source/list":             {"source/entry", "internal/inorder"},
	"source/columns":          {"source/entry", "internal/arrowipc", "internal/parquet"},
	"model":                   {},
	"model/describe":          {"model"},
	"model/onnx":              {"model", "internal/onnxpb", "internal/regular"},
	"model/onnx/fold":         {"model", "model/onnx", "internal/onnxpb"},
	"model/quantize":          {"model/onnx", "model/onnx/fold", "internal/onnxpb"},
	"model/weights":           {"model", "model/weights/pth", "internal/regular"},
	"model/weights/pickle":    {"model"},
	"model/weights/pth":       {"model", "model/weights/pickle"},
	"setup":                   {"setup/wheel", "wordnet", "internal/durable", "internal/native", "internal/regular"},
	"setup/wheel":             {"storage", "internal/durable", "internal/regular", "internal/inorder"},
	"shard":                   {"storage/files", "wordnet", "internal/arrowipc", "internal/openfiles", "internal/recent", "internal/utf8name", "internal/regular"},
	"shard/census":            {"shard", "wordnet"},
	"shard/stats":             {"internal/panel", "loader", "pixel", "shard/census"},
	"shard/near":              {"infer/prediction/encode", "internal/utf8name", "loader", "pixel", "shard"},
	"shard/check":             {"shard", "storage/files", "wordnet", "internal/processors", "internal/utf8name", "internal/regular", "internal/inorder"},
	"shard/export":            {"shard", "storage/files", "internal/hubcard", "internal/utf8name", "internal/parquet"},
	"ingest/imagenet":         {"source", "shard", "internal/mat5"},
	"ingest/record":           {"shard", "source/layout", "storage/files", "internal/regular"},
	"ingest":                  {"ingest/imagenet", "ingest/record", "source", "source/classlist", "source/layout", "shard", "storage/files", "wordnet", "pixel", "internal/durable", "internal/processors", "internal/utf8name", "internal/inorder"},
	"loader":                  {"pixel", "internal/processors", "internal/splitmix", "internal/inorder"},
	"train":                   {"loader", "model", "model/onnx", "model/weights", "train/recipe", "train/checkpoint", "train/footprint", "train/runlog", "train/tensorboard", "internal/durable", "internal/panel", "internal/regular", "internal/processors", "internal/splitmix"},
	"train/recipe":            {"model", "model/weights", "pixel", "internal/yamldoc"},
	"train/checkpoint":        {"model", "model/onnx", "model/weights", "model/weights/pth", "train/runlog", "internal/durable", "internal/regular"},
	"train/views":             {"internal/splitmix", "loader", "pixel", "shard", "train", "train/checkpoint", "train/recipe", "wordnet"},
	"train/footprint":         {"model"},
	"train/runlog":            {"internal/durable", "internal/panel", "internal/regular"},
	"train/tensorboard":       {"internal/durable"},
	"train/mlflow":            {"train/runlog", "internal/durable", "internal/regular"},
	"train/cluster":           {"loader", "model", "train", "train/cluster/meeting", "internal/processors"},
	"train/cluster/meeting":   {"internal/durable", "internal/regular"},
	"train/torch":             {"loader", "model", "train", "internal/native"},
	"infer":                   {"source", "loader", "pixel", "model", "infer/prediction", "internal/inorder"},
	"infer/prediction":        {"model", "infer/prediction/encode", "internal/arrowipc", "internal/durable", "internal/parquet", "internal/recent", "internal/utf8name", "internal/regular"},
	"infer/prediction/encode": {"internal/parquet"},
	"infer/images":            {"source", "source/classlist", "source/layout", "internal/utf8name"},
	"infer/classifier":        {"model", "model/onnx", "infer"},
	"infer/openvino":          {"model", "model/onnx", "infer", "infer/classifier", "internal/processors", "internal/regular"},
	"infer/ort":               {"loader", "model", "model/onnx", "infer", "infer/classifier", "internal/processors", "internal/regular"},
	"infer/trial":             {"infer", "internal/durable", "internal/regular"},
	"infer/torch":             {"loader", "model", "model/onnx", "model/weights", "train", "train/checkpoint", "train/torch", "infer", "internal/processors", "internal/regular"},
	"web/look":                {"pixel"},
	"web/report":              {"eval", "infer/prediction", "internal/panel", "pixel", "shard", "train/runlog", "web/look"},
	"web/explore":             {"eval", "infer/prediction", "internal/processors", "internal/recent", "shard", "shard/census", "web/look", "wordnet", "internal/inorder"},
	"web/serve":               {"infer/prediction", "internal/processors", "internal/recent", "internal/ui", "pixel", "shard", "web/explore", "web/look"},
	"web/network":             {"model", "model/describe", "web/look"},
	"provenance":              {"shard", "storage/files", "ingest/record", "infer/prediction", "model", "model/onnx", "model/quantize", "model/weights", "train/checkpoint", "train/runlog", "internal/regular"},
	"provenance/modelcard":    {"eval", "infer/prediction", "internal/hubcard", "model", "model/onnx", "provenance"},
	"eval":                    {"infer/prediction", "infer/prediction/encode", "wordnet", "storage/files", "internal/regular"},
	"internal/bench":          {"infer", "infer/trial", "loader", "model", "pixel", "shard", "train", "internal/processors", "internal/regular"},
	"internal/crash":          {},
	"internal/hubcard":        {"internal/utf8name"},
	"internal/native":         {},
	"internal/metrics":        {"internal/durable", "internal/regular"},
	"internal/ui":             {},
	"cmd/synshard":            {"*"},

	// Of onlyTests.
	"internal/filetest":          {},
	"internal/golden":            {},
	"internal/raced":             {},
	"internal/native/nativetest": {"internal/native", "wordnet"},
	"model/modeltest":            {"model"},
	"shard/shardtest":            {"shard", "storage/files"},
	"source/entry/entrytest":     {"source/entry"},
	"storage/storagetest":        {},
	"train/traintest":            {"internal/native/nativetest", "loader", "model", "model/modeltest", "train"},

	"source/classlist":         {"source/classlist/form", "internal/regular"},
	"source/classlist/form":    {"source/classlist/literal"},
	"source/classlist/literal": {},
	"source/layout":            {"source", "source/classlist", "source/layout/labelfile", "source/layout/listing", "source/layout/naming", "internal/splitmix", "internal/utf8name"},
	"source/layout/labelfile":  {"source", "source/classlist", "internal/parquet", "internal/yamldoc"},
	"source/layout/listing":    {"source", "source/layout/naming"},
	"source/layout/naming":     {"source", "source/classlist"},
}

// onlyTests are the packages that only tests import, and one another. They may
// read the environment and any file.
var onlyTests = []string{"internal/filetest", "internal/golden", "internal/raced", "internal/native/nativetest", "model/modeltest", "shard/shardtest", "source/entry/entrytest", "storage/storagetest", "train/traintest"}

// owners lists the foreign packages that only some of ours may import, by
// prefix of the import path.
var owners = map[string][]string{
	"github.com/apache/arrow-go/":          {"internal/parquet"},
	"github.com/apache/arrow/go/":          {"internal/arrowipc", "internal/parquet", "source/columns", "shard", "shard/export", "shard/near", "infer/prediction", "eval", "infer/prediction/encode"},
	"github.com/x448/float16":              {"model", "infer/prediction/encode", "internal/parquet"},
	"github.com/yalue/onnxruntime_go":      {"infer/ort"},
	"github.com/ulikunitz/xz":              {"source/tarfile", "source/zipfile"},
	"github.com/klauspost/compress":        {"internal/arrowipc", "infer/prediction/encode", "source/tarfile", "source/zipfile"},
	"github.com/spf13/cobra":               {"cmd/synshard"},
	"github.com/spf13/pflag":               {"cmd/synshard"},
	"github.com/schollz/progressbar/":      {"internal/ui"},
	"golang.org/x/term":                    {"internal/ui"},
	"C":                                    {"internal/crash", "pixel", "train/torch", "infer/openvino", "infer/ort"},
	"testing":                              onlyTests,
	"unsafe":                               {"internal/crash", "internal/onnxpb", "pixel", "train/torch", "infer/openvino", "infer/ort"}, // onnxpb: by its generator
	"github.com/goccy/go-yaml":             {"internal/yamldoc", "train/recipe"},
	"google.golang.org/protobuf/":          {"internal/onnxpb", "model/onnx", "model/quantize", "train/tensorboard"},
	"google.golang.org/protobuf/encoding/": {"train/tensorboard"},
	"gonum.org/v1/plot":                    {"internal/panel"},
	"github.com/prometheus/":               {"internal/metrics"},
	"gocloud.dev":                          {"storage"},
	"github.com/aws/":                      {"storage"},
	"github.com/Azure/":                    {"storage"},
	"cloud.google.com/go/":                 {"storage"},
	"google.golang.org/api/":               {"storage"},
	"github.com/cenkalti/backoff/":         {"storage"},
}

// forbidden calls and imports of libraries: they never read the environment or
// the terminal, never print and never exit. Only package main may.
var forbidden = []string{"os.Exit(", "os.Getenv(", "os.LookupEnv(", "os.Args", "os.Stdout", "os.Stderr", "fmt.Print", "log.Print", "log.Fatal"}

func TestLayering(t *testing.T) {
	root := moduleRoot(t)
	seen := map[string]bool{}
	for _, dir := range packageDirs(t, root) {
		p, err := build.ImportDir(filepath.Join(root, dir), 0)
		if _, none := err.(*build.NoGoError); none {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		seen[dir] = true
		may, known := allowed[dir]
		if !known {
			t.Errorf("package %s is not in the table: give it its place", dir)
			continue
		}
		for _, path := range p.Imports {
			checkImport(t, dir, path, may)
		}
		for _, one := range may {
			if one != "*" && !slices.Contains(p.Imports, module+"/"+one) {
				t.Errorf("%s has leave to import %s, and does not", dir, one)
			}
		}
		if slices.Contains(onlyTests, dir) {
			continue
		}
		if p.Name != "main" {
			checkCalls(t, p)
		}
		checkOpens(t, dir, p)
	}
	checkSizes(t, root, slices.Concat(slices.Collect(maps.Keys(seen)), commands(t, root), []string{"train/torch/shim"}))
	for dir := range allowed {
		if !seen[dir] {
			t.Errorf("package %s is in the table and not in the tree", dir)
		}
	}
}

func checkImport(t *testing.T, dir, path string, may []string) {
	t.Helper()
	if ours, ok := strings.CutPrefix(path, module+"/"); ok {
		if !slices.Contains(may, "*") && !slices.Contains(may, ours) {
			t.Errorf("%s may not import %s", dir, ours)
		}
		if slices.Contains(onlyTests, ours) && !slices.Contains(onlyTests, dir) {
			t.Errorf("%s may not import %s, which is for tests alone", dir, ours)
		}
		return
	}
	for prefix, who := range owners {
		// A path that ends in neither a slash nor a dot stands for itself and what is below it.
		if (path == prefix || strings.HasPrefix(path, strings.TrimSuffix(prefix, "/")+"/")) && !slices.Contains(who, dir) {
			t.Errorf("%s may not import %s: it belongs to %s", dir, path, strings.Join(who, ", "))
		}
	}
}

// checkCalls looks for what a library must not do. A text search is enough:
// the names are plain, and a false alarm is seen at once.
func checkCalls(t *testing.T, p *build.Package) {
	t.Helper()
	for place, code := range lines(t, p) {
		for _, f := range forbidden {
			if strings.Contains(code, f) {
				t.Errorf("%s: %s is for cmd/synshard alone", place, strings.TrimSuffix(f, "("))
			}
		}
	}
}

// lines gives a package's lines without their comments, by file and number.
func lines(t *testing.T, p *build.Package) iter.Seq2[string, string] {
	return func(yield func(place, code string) bool) {
		for _, name := range slices.Concat(p.GoFiles, p.CgoFiles) {
			path := filepath.Join(p.Dir, name)
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for i, line := range strings.Split(string(text), "\n") {
				code, _, _ := strings.Cut(line, "//")
				if !yield(fmt.Sprintf("%s:%d", path, i+1), code) {
					return
				}
			}
		}
	}
}

// opens are the calls that open files by name, and opening the packages that may
// make them, which say why: all else reads by internal/regular, which waits for
// no FIFO and knows limits, and writes by internal/durable.
var opens = regexp.MustCompile(`\b(?:os\.(?:Open|OpenFile|OpenInRoot|OpenRoot|ReadFile|Create|CreateTemp|WriteFile|DirFS|CopyFS)|(?:unix|syscall)\.(?:Open|Openat|Creat)|ioutil\.\w+)\(`)

var opening = map[string]string{
	"internal/regular":  "opens what is read",
	"internal/durable":  "creates files aside, takes locks, syncs directories",
	"storage/files":     "creates many small files aside, which it does not sync one by one",
	"storage/cached":    "keeps parts of files in their places",
	"setup/wheel":       "keeps parts of wheels in their places, and unpacks thousands of headers, which it does not sync one by one",
	"train/runlog":      "appends to a log",
	"train/tensorboard": "appends to a log of its own",
}

func checkOpens(t *testing.T, dir string, p *build.Package) {
	t.Helper()
	found := false
	for place, code := range lines(t, p) {
		if call := opens.FindString(code); call != "" {
			if found = true; opening[dir] == "" {
				t.Errorf("%s: %s is not for this package: internal/regular opens what is read, internal/durable writes", place, strings.TrimSuffix(call, "("))
			}
		}
	}
	if opening[dir] != "" && !found {
		t.Errorf("%s opens no files, and has leave to", dir)
	}
}

func moduleRoot(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil || !strings.HasPrefix(string(text), "module "+module+"\n") {
		t.Fatalf("no go.mod of %s in %s: %v", module, root, err)
	}
	return root
}

// packageDirs gives every directory of the module that may hold a package,
// relative to root.
func packageDirs(t *testing.T, root string) []string {
	t.Helper()
	var dirs []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		name := d.Name()
		if path != root && (name == "testdata" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")) {
			return filepath.SkipDir
		}
		rel, err := filepath.Rel(root, path)
		if rel == "." {
			return err
		}
		if slices.Contains([]string{"lib", "bin", "demo", "docs", "examples", "scripts"}, rel) {
			return filepath.SkipDir
		}
		dirs = append(dirs, filepath.ToSlash(rel))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return dirs
}

// commands gives the directories below scripts that hold Go.
func commands(t *testing.T, root string) []string {
	t.Helper()
	dirs := map[string]bool{}
	err := filepath.WalkDir(filepath.Join(root, "scripts"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".go" {
			rel, _ := filepath.Rel(root, filepath.Dir(path))
			dirs[filepath.ToSlash(rel)] = true
		}
		return err
	})
	if err != nil || len(dirs) == 0 {
		t.Fatalf("%d directories of scripts hold Go: %v", len(dirs), err)
	}
	return slices.Collect(maps.Keys(dirs))
}

// checkSizes wants a reason in docs/ARCHITECTURE.md for packages that are
// larger or smaller than one idea is apt to be. Comments and empty lines do not
// count, nor do tests and what is generated.
func checkSizes(t *testing.T, root string, dirs []string) {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(root, "docs", "ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range dirs {
		n, reason := codeLines(t, filepath.Join(root, dir)), ""
		switch {
		case n > 900:
			reason = "above 900 lines"
		case n < 150 && n > 0:
			reason = "below 150 lines"
		default:
			continue
		}
		row := regexp.MustCompile("(?m)^\\| `" + regexp.QuoteMeta(dir) + "` .*$").FindString(string(page))
		if !strings.Contains(row, reason) {
			t.Errorf("%s has %d lines of code; its row in docs/ARCHITECTURE.md does not say why (%q)", dir, n, reason)
		}
	}
}

// codeLines counts a directory's lines of code: Go, or C where there is no Go.
func codeLines(t *testing.T, dir string) (n int) {
	t.Helper()
	var files []string
	for _, pattern := range []string{"*.go", "*.c", "*.cpp", "*.cu", "*.h"} {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		if files = append(files, found...); pattern == "*.go" && len(found) > 0 {
			break
		}
	}
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") || strings.HasSuffix(f, ".pb.go") {
			continue
		}
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "//") {
				n++
			}
		}
	}
	return n
}
