package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/synshard/synshard/internal/native/nativetest"
)

// schemas are those of docs/json, and which of them something was held to.
type schemas struct {
	t    *testing.T
	c    *jsonschema.Compiler
	held map[string]bool
}

const schemaDir = "../../docs/json"

func newSchemas(t *testing.T) *schemas {
	return &schemas{t, jsonschema.NewCompiler(), map[string]bool{"common": true}}
}

func (s *schemas) of(name string) *jsonschema.Schema {
	s.t.Helper()
	s.held[name] = true
	one, err := s.c.Compile(filepath.Join(schemaDir, name+".schema.json"))
	check(s.t, err)
	return one
}

// hold wants one JSON value that is as a schema says.
func (s *schemas) hold(name, text, what string) {
	s.t.Helper()
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err == nil {
		err = s.of(name).Validate(v)
	}
	if err != nil {
		s.t.Errorf("%s is not as docs/json/%s.schema.json has it: %v\n%s", what, name, err, text)
	}
}

// lines wants every line of stderr to be one of --progress json; the last one is the error
// where there is an exit code.
func (s *schemas) lines(code int, stderr, what string) {
	s.t.Helper()
	last := ""
	for line := range strings.Lines(stderr) {
		last = line
		s.hold("progress", line, what+", stderr")
	}
	if code != 0 {
		s.hold("error", last, what+", the last line of stderr")
		var e struct {
			Code int `json:"exit_code"`
		}
		check(s.t, json.Unmarshal([]byte(last), &e))
		if e.Code != code {
			s.t.Errorf("%s: the error says %d, the process %d", what, e.Code, code)
		}
	}
}

// run holds a verb's result to a schema, and all that it says to that of progress.
func (s *schemas) run(name string, code int, args ...string) {
	s.t.Helper()
	args = append(args, "--json", "--progress", "json")
	got, stdout, stderr := verb(args...)
	if got != code {
		s.t.Fatalf("%q: exit code %d, want %d\n%s", args, got, code, stderr)
	}
	s.hold(name, stdout, strings.Join(args, " "))
	s.lines(code, stderr, strings.Join(args, " "))
}

// TestJSON holds what every verb prints with --json and --progress json to docs/json.
func TestJSON(t *testing.T) {
	if testing.Short() {
		t.Skip("runs every verb")
	}
	wn, err := (&app{}).findWordNet("")
	nativetest.Need(t, wn, err)
	s, dir := newSchemas(t), t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	s.data(at)
	s.predictions(at)
	s.training(at)
	s.tools(at, wn)
	s.serve()
	made, err := filepath.Glob(schemaDir + "/*.schema.json")
	check(t, err)
	var names []string
	for _, file := range made {
		names = append(names, strings.TrimSuffix(filepath.Base(file), ".schema.json"))
	}
	var held []string
	for name := range s.held {
		held = append(held, name)
	}
	slices.Sort(held)
	slices.Sort(names)
	if diff := cmp.Diff(names, held); diff != "" {
		t.Errorf("schemas that nothing was held to (-there +used):\n%s", diff)
	}
}

func (s *schemas) data(at func(string) string) {
	t := s.t
	s.run("sample", 0, "sample", "--out", at("archives"), "--train-per-synset", "2", "--val-per-synset", "1", "--test-images", "1")
	check(t, os.WriteFile(at("archives/notes.txt"), []byte("no image"), 0o666))
	check(t, os.MkdirAll(at("bad/n02391049"), 0o777))
	check(t, os.WriteFile(at("bad/n02391049/broken.jpg"), []byte("\xff\xd8\xffbroken"), 0o666))
	check(t, os.WriteFile(at("bad/n02391049/new.avif"), []byte("0000ftypavif"), 0o666))
	s.run("ingest-dry-run", 3, "ingest", at("bad"), "--out", at("none"), "--dry-run")
	s.run("ingest", 3, "ingest", at("bad"), "--out", at("none"))
	s.run("ingest-dry-run", 0, "ingest", at("archives"), "--out", at("set"), "--dry-run")
	s.run("ingest", 0, "ingest", at("archives"), "--out", at("set"), "--job", "0/1")
	s.run("ingest", 0, "ingest", "--join", "--out", at("set"))
	s.run("verify", 0, "verify", at("set"))
	check(t, os.CopyFS(at("damaged"), os.DirFS(at("set"))))
	shards, err := filepath.Glob(at("damaged/train/*/part-00000.arrow"))
	check(t, err)
	check(t, os.Remove(shards[0]))
	flipByte(t, shards[1], 5200)
	check(t, os.WriteFile(at("damaged/other"), nil, 0o666))
	s.run("verify", 4, "verify", at("damaged"))
	s.run("verify", 4, "verify", at("damaged"), "--repair")
	check(t, os.Remove(at("set/train/index.arrow")))
	s.run("verify", 0, "verify", at("set"), "--repair")
	s.run("verify-duplicates", 0, "verify", "../../shard/testdata/v1", "--duplicates")
	s.run("verify-near", 0, "verify", "../../shard/testdata/v1", "--near", "--against", at("set"))
	s.run("ls", 0, "ls", "../../shard/testdata/v1")
	s.run("stats", 0, "stats", "../../shard/testdata/v1", "--pixels", "raw")
	s.run("ls-tree", 0, "ls", "../../shard/testdata/v1", "--tree")
	s.run("classes", 0, "classes", at("set"))
	s.run("export", 0, "export", at("set"), "--to", "folder", "--out", at("folder"))
}

func (s *schemas) predictions(at func(string) string) {
	lib := needORT(s.t)
	s.t.Setenv("XDG_CACHE_HOME", at("trials"))
	data := "../../infer/ort/testdata"
	check(s.t, os.WriteFile(at("classes.txt"), []byte("ant\nbee\ncat\ndog\nelk\n"), 0o666))
	var list strings.Builder
	for i, class := range []string{"ant", "bee", "cat", "dog", "elk", "fox"} {
		fmt.Fprintf(&list, "%s/image%d.png,%s\n", must(filepath.Abs(data)), i, class)
	}
	check(s.t, os.WriteFile(at("list.csv"), []byte("path,label\n"+list.String()+"gone.png,ant\n"), 0o666))
	net := []string{"--ort-lib", lib, "--classes", at("classes.txt"), "--resize", "40"}
	s.run("infer-dry-run", 3, append([]string{"infer", data + "/nhwc_uint8.onnx", at("list.csv"), "--dry-run"}, net...)...)
	infer := append([]string{"infer", data + "/nhwc_uint8.onnx", at("list.csv"), "--out"}, net...)
	out := func(name string, more ...string) []string {
		return append(slices.Insert(slices.Clone(infer), 4, at(name)), more...)
	}
	s.run("infer", 3, out("p.arrow")...)
	s.run("infer", 3, out("p.arrow")...) // nothing to do
	s.run("infer", 0, out("job0.arrow", "--job", "0/2")...)
	s.run("infer", 3, out("job1.arrow", "--job", "1/2")...)
	s.run("merge", 0, "merge", at("job0.arrow"), at("job1.arrow"), "--out", at("all.parquet"))
	s.run("eval", 0, "eval", at("p.arrow"), "--no-wordnet")
	s.run("infer", 3, out("whole.arrow", "--probabilities", "all")...)
	s.run("eval-suspects", 0, "eval", at("whole.arrow"), "--suspects")
	s.run("eval-compare", 0, "eval", "--compare", at("p.arrow"), at("all.parquet"))
	s.run("bench-infer", 0, "bench", "infer", data+"/nhwc_uint8.onnx", "--ort-lib", lib, "--classes", at("classes.txt"), "--resize", "40", "--batches", "1", "--runs", "1", "--max", "10ms")
	s.run("infer", 3, out("auto.arrow", "--batch", "auto")...) // remembered
	_, _, stderr := verb(append(slices.Clone(infer[:3]), append(net, "--json")...)...)
	s.hold("error", stderr, "infer --json without --out")
}

// training trains a network, predicts by it, and converts it.
func (s *schemas) training(at func(string) string) {
	t := s.t
	lib, set := needEngine(t), writeTrainSet(t, 4, 6)
	train := smallRun(t, set, at("run"), "--epochs", "1", "--batch", "12", "--dropout", "0")
	s.run("train", 0, train...)
	tested := append(slices.Clone(train), "--out", at("tested"))
	s.run("train-find-lr", 0, append(slices.Clone(tested), "--find-lr")...)
	s.run("train", 0, append(slices.Clone(tested), "--find-lr=use")...)
	check(t, os.Remove(at("tested/find-lr.svg"))) // a test that there is is not made again
	s.run("train", 0, append(slices.Clone(tested), "--find-lr=use")...)
	if _, err := os.Stat(at("tested/find-lr.svg")); err == nil {
		t.Error("--find-lr=use tested again")
	}
	s.run("train-eval-only", 0, append(train, "--eval-only")...)
	s.run("infer", 0, "infer", at("run/model.onnx"), set, "--split", "val", "--out", at("val.csv"), "--ort-lib", needORT(t))
	s.run("eval", 0, "eval", at("val.csv"), "--superclass", "mammal")
	s.run("infer", 0, "infer", at("run/model.onnx"), set, "--split", "val", "--out", at("run/val.arrow"), "--ort-lib", needORT(t))
	s.run("provenance", 0, "provenance", at("run/val.arrow"), set, "--check")
	s.run("report", 0, "report", at("run"), at("val.csv"), "--out", at("r.html"))
	s.run("model-import", 0, "model", "import", at("run/model.onnx"), "--out", at("back.safetensors"))
	s.run("model-export", 0, "model", "export", at("run/model.safetensors"), "--out", at("m.pth"))
	s.run("model-card", 0, "model", "card", at("run/model.onnx"), at("run/val.arrow"), "--out", at("README.md"))
	s.run("model-quantize", 0, "model", "quantize", at("run/model.onnx"), set, "--out", at("int8.onnx"), "--images", "2", "--max-drop", "100", "--ort-lib", needORT(t))
	s.run("bench-loader", 0, "bench", "loader", set, "--seconds", "0.1", "--rounds", "1", "--size", "32", "-j", "1", "--batch", "2")
	s.run("bench-train", 0, "bench", "train", "--torch-lib", lib, "--device", "cpu", "--model", "googlenet", "--batch", "1", "--steps", "1", "--warmup", "0", "--threads", "1", "--precision", "fp32")
}

func (s *schemas) tools(at func(string) string, wn string) {
	s.run("model-list", 0, "model", "list")
	s.run("model-describe", 0, "model", "describe", "inception_v3")
	s.run("model-describe-savings", 0, "model", "describe", "alexnet", "--savings")
	s.run("model-describe-memory", 0, "model", "describe", "alexnet", "--gpu-memory")
	s.run("model-describe-out", 0, "model", "describe", "alexnet", "--out", at("a.svg"))
	s.run("synset-show", 0, "synset", "show", "dog")
	s.run("synset-find", 0, "synset", "find", "zebra")
	s.run("synset-tree", 0, "synset", "tree", "dog", "--depth", "2")
	s.run("synset-path", 0, "synset", "path", "dog", "--all")
	s.run("synset-path-between", 0, "synset", "path", "dog", "cat")
	s.run("synset-lca", 0, "synset", "lca", "dog", "cat")
	s.run("man", 0, "man", "--out", at("man"))
	s.run("version", 0, "version")
	s.run("doctor", 6, "doctor", "--ort-lib", at("nothing.so"))
	s.t.Setenv("XDG_CACHE_HOME", at("cache"))
	s.t.Setenv("PIP_FIND_LINKS", "")
	index := httptest.NewServer(http.NotFoundHandler()) // which one need not ask twice
	defer index.Close()
	s.run("setup", 6, "setup", "--cpu", "--torch", at("nowhere"), "--index", index.URL+"/simple", "--wordnet-from", wn)
}

func (s *schemas) serve() {
	t := s.t
	cmd := synshardCommand(t, "serve", "../../shard/testdata/v1", "--no-wordnet", "--json", "--progress", "json")
	out, err := cmd.StdoutPipe()
	check(t, err)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	check(t, cmd.Start())
	t.Cleanup(func() { cmd.Process.Kill() })
	var text string
	for lines := bufio.NewScanner(out); !strings.HasSuffix(text, "}\n") && lines.Scan(); {
		text += lines.Text() + "\n"
	}
	s.hold("serve", text, "serve")
	check(t, cmd.Process.Signal(syscall.SIGTERM))
	_ = cmd.Wait()
	s.lines(cmd.ProcessState.ExitCode(), stderr.String(), "serve")
}

// TestEveryVerbHasASchema: a verb that can be called prints JSON, which docs/json has, or
// stands here.
func TestEveryVerbHasASchema(t *testing.T) {
	none := []string{"completion bash", "completion zsh", "completion fish", "completion powershell", "help"}
	for _, cmd := range leaves(newRoot(&app{})) {
		name := verbOf(cmd)
		if cmd.Hidden || slices.Contains(none, name) {
			continue
		}
		if _, err := os.Stat(filepath.Join(schemaDir, strings.ReplaceAll(name, " ", "-")+".schema.json")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
