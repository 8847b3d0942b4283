package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/internal/native/nativetest"
	"github.com/synshard/synshard/internal/onnxpb"
	"github.com/synshard/synshard/internal/raced"
)

// inferBed is what the tests of infer stand on: a small model that synshard did
// not export, its images, and a list of them that takes a while.
type inferBed struct {
	t                     *testing.T
	lib, model, dir       string
	classes, long, images string
}

// needORT is needEngine for ONNX Runtime.
func needORT(t *testing.T) string {
	t.Helper()
	path, err := (&app{}).findORT("")
	return nativetest.Need(t, path, err)
}

func newInferBed(t *testing.T) *inferBed {
	t.Helper()
	lib := needORT(t)
	t.Setenv("XDG_CACHE_HOME", t.TempDir()) // no trial is remembered
	data, err := filepath.Abs("../../infer/ort/testdata")
	if err != nil {
		t.Fatal(err)
	}
	b := &inferBed{t: t, lib: lib, model: filepath.Join(data, "nhwc_uint8.onnx"), dir: t.TempDir(), images: data}
	b.classes = b.put("classes.txt", "ant\nbee\ncat\ndog\nelk\n")
	var list strings.Builder
	for i := range 9000 { // four chunks and a half
		fmt.Fprintf(&list, "%s/image%d.png\n", data, i%6)
	}
	b.long = list.String()
	return b
}

func (b *inferBed) at(name string) string { return filepath.Join(b.dir, name) }

func (b *inferBed) put(name, text string) string {
	b.t.Helper()
	if err := os.WriteFile(b.at(name), []byte(text), 0o666); err != nil {
		b.t.Fatal(err)
	}
	return b.at(name)
}

// command is synshard in a process of its own: this test binary under that
// name.
func (b *inferBed) command(stdin string, args ...string) *exec.Cmd {
	b.t.Helper()
	exe, err := os.Executable()
	if err != nil {
		b.t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Args = append([]string{"synshard", "infer", b.model}, args...)
	cmd.Args = append(cmd.Args, "--ort-lib", b.lib, "--classes", b.classes, "--resize", "40", "--progress", "off")
	cmd.Stdin = strings.NewReader(stdin)
	return cmd
}

// infer runs it in this process, and wants an exit code.
func (b *inferBed) infer(code int, stdin string, args ...string) (stdout, stderr string) {
	b.t.Helper()
	var out, talk bytes.Buffer
	args = append([]string{"infer", b.model}, args...)
	args = append(args, "--ort-lib", b.lib, "--classes", b.classes, "--resize", "40", "--progress", "off")
	if got := run(args, strings.NewReader(stdin), &out, &talk); got != code {
		b.t.Fatalf("%q: exit code %d, want %d\n%s", args, got, code, &talk)
	}
	return out.String(), talk.String()
}

func (b *inferBed) same(one, other string) {
	b.t.Helper()
	x, err1 := os.ReadFile(b.at(one))
	y, err2 := os.ReadFile(b.at(other))
	if err := errors.Join(err1, err2); err != nil {
		b.t.Fatal(err)
	}
	if !bytes.Equal(x, y) {
		b.t.Errorf("%s and %s differ", one, other)
	}
}

// begun waits until a run has finished so many chunks.
func begun(t *testing.T, out string, chunks int) {
	t.Helper()
	for range 12000 {
		if _, err := os.Stat(filepath.Join(out+".chunks", fmt.Sprintf("chunk-%06d.arrow", chunks-1))); err == nil {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("%s: no chunk %d in a minute", out, chunks)
}

// TestInferKilled ends runs by force and by request in the middle, and expects
// the same command to go on to the bytes of a run that was left alone.
func TestInferKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("predicts over thousands of images")
	}
	b := newInferBed(t)
	b.infer(0, b.long, "-", "--out", b.at("whole.arrow"))
	for _, c := range []struct {
		signal syscall.Signal
		code   int // -1: ended by the signal
	}{{syscall.SIGKILL, -1}, {syscall.SIGTERM, exitStopped}, {syscall.SIGINT, exitStopped}} {
		out := b.at(fmt.Sprintf("killed-%d.arrow", c.signal))
		cmd := b.command(b.long, "-", "--out", out)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		begun(t, out, 1)
		if err := cmd.Process.Signal(c.signal); err != nil {
			t.Fatal(err)
		}
		if cmd.Wait(); cmd.ProcessState.ExitCode() != c.code {
			t.Errorf("%v: exit code %d, want %d", c.signal, cmd.ProcessState.ExitCode(), c.code)
		}
		if _, err := os.Stat(out); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%v: a file of half the rows has its name (%v)", c.signal, err)
		}
		text, _ := b.infer(0, b.long, "-", "--out", out, "--json")
		if strings.Contains(text, `"kept": 0`) {
			t.Errorf("%v: nothing was kept: %s", c.signal, text)
		}
		b.same("whole.arrow", filepath.Base(out))
	}
	if text, _ := b.infer(0, b.long, "-", "--out", b.at("whole.arrow")); !strings.Contains(text, "nothing to do") {
		t.Error(text)
	}
	_, talk := b.infer(1, b.long, "-", "--out", b.at("whole.arrow"), "--top-k", "2")
	if !strings.Contains(talk, "other predictions") {
		t.Error(talk)
	}
}

// TestInferDiskFull runs where there is room for some chunks only.
func TestInferDiskFull(t *testing.T) {
	raced.Skip(t, "package infer is watched with its own tests, and TestInferTrial the verb")
	b := newInferBed(t)
	small := b.at("small")
	cmd := b.command(b.long, "-", "--out", filepath.Join(small, "out.arrow"))
	script := `mkdir "$1" && mount -t tmpfs -o size=600k none "$1" || exit 99; shift; "$@"; code=$?; ls "$0" >&2; exit $code`
	exe := cmd.Path
	link := b.at("synshard") // by this name the test binary is the command
	if err := os.Symlink(exe, link); err != nil {
		t.Fatal(err)
	}
	full := exec.Command("unshare", append([]string{"-rm", "sh", "-c", script, small, small, link}, cmd.Args[1:]...)...)
	full.Stdin = strings.NewReader(b.long)
	text, err := full.CombinedOutput()
	if full.ProcessState == nil || full.ProcessState.ExitCode() == 99 || strings.Contains(string(text), "unshare:") {
		t.Skipf("needs leave to mount a small disk in a user namespace: %v: %s", err, text)
	}
	if code := full.ProcessState.ExitCode(); code != exitFailure || !strings.Contains(string(text), "no space left") || !strings.Contains(string(text), "out.arrow") {
		t.Errorf("exit code %d: %s", code, text)
	}
	if strings.Contains(string(text), "\nout.arrow\n") {
		t.Errorf("a file of half the rows has its name: %s", text)
	}
}

// tarGz is a packed tar of one image.
func tarGz(t *testing.T) string {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	w := tar.NewWriter(z)
	err := w.WriteHeader(&tar.Header{Name: "a.jpg", Mode: 0o666, Size: 1, Typeflag: tar.TypeReg})
	if err == nil {
		_, err = w.Write([]byte("x"))
	}
	if err := errors.Join(err, w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestInferInputs(t *testing.T) {
	b := newInferBed(t)
	for _, c := range []struct {
		name, stdin string
		code, rows  int
		talk        string
		args        []string
	}{
		{"a folder", "", 0, 6, "files: not an image", []string{b.images}},
		{"a list", b.images + "/image1.png\n" + b.images + "/image0.png\n", 0, 2, "", []string{"-"}},
		{"a list with zeros", b.images + "/image1.png\x00" + b.images + "/image0.png\x00", 0, 2, "", []string{"-", "-0"}},
		{"an image that is not there", "/nothing/here.png\n" + b.images + "/image0.png\n", 3, 2, "/nothing/here.png", []string{"-"}},
		{"an image that is none", "", 3, 2, "its row has the error", []string{b.put("none.png", "text"), b.images + "/image0.png"}},
		{"a part", "", 0, 3, "", []string{b.images, "--job", "1/2", "--batch", "3"}},
		{"the dataset's wrong flag", "", 2, 0, "select from a dataset", []string{b.images, "--limit-per-synset", "1"}},
		{"-0 without a list", "", 2, 0, "-0", []string{b.images, "-0"}},
		{"no such input", "", 1, 0, "no such file", []string{b.at("nothing")}},
		{"a packed tar", "", 3, 1, "its row has the error", []string{b.put("x.tar.gz", tarGz(t))}},
		{"no GPU build", "", 6, 0, "--ort-lib", []string{b.images, "--provider", "cuda", "--ep-option", "use_tf32=0"}},
		{"no such option", "", 2, 0, "it has arena_extend_strategy", []string{b.images, "--provider", "cuda", "--ep-option", "tf32=0"}},
		{"no such provider", "", 2, 0, "abacus", []string{b.images, "--provider", "abacus"}},
		{"no such format", "", 2, 0, "--format", []string{b.images, "--format", "xml"}},
		{"no embedding", "", 1, 0, "no embedding", []string{b.images, "--embedding"}},
		{"normalised twice", "", 2, 0, "would change nothing", []string{b.images, "--mean", "0.5"}},
		{"another size", "", 1, 0, "pixels", []string{b.images, "--input-size", "40"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b.t = t
			args := c.args
			if c.name != "no such format" {
				args = append(args, "--format", "ndjson")
			}
			out, talk := b.infer(c.code, c.stdin, args...)
			if n := strings.Count(out, "\n"); n != c.rows || !strings.Contains(talk, c.talk) {
				t.Errorf("%d rows, want %d; stderr: %s", n, c.rows, talk)
			}
		})
	}
}

// TestInferCorruptShard expects damage to end the run with its own exit code,
// and what was done before to be kept.
func TestInferCorruptShard(t *testing.T) {
	b := newInferBed(t)
	set := b.at("set")
	if err := os.CopyFS(set, os.DirFS("../../shard/testdata/v1")); err != nil {
		t.Fatal(err)
	}
	b.infer(0, "", set, "--split", "train", "--out", b.at("whole.csv"))
	shards, err := filepath.Glob(filepath.Join(set, "train", "*", "part-*.arrow"))
	if err != nil || len(shards) == 0 {
		t.Fatal(shards, err)
	}
	bytes, err := os.ReadFile(shards[0])
	if err != nil {
		t.Fatal(err)
	}
	for i := range bytes {
		bytes[i] ^= 0x55
	}
	if err := os.WriteFile(shards[0], bytes, 0o666); err != nil {
		t.Fatal(err)
	}
	_, talk := b.infer(exitCorrupt, "", set, "--split", "train", "--out", b.at("damaged.csv"))
	if !strings.Contains(talk, filepath.Base(shards[0])) {
		t.Errorf("the shard is not named: %s", talk)
	}
	if _, err := os.Stat(b.at("damaged.csv")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("an output was made of damaged data")
	}
}

func TestMergeVerb(t *testing.T) {
	if testing.Short() {
		t.Skip("predicts over thousands of images")
	}
	b := newInferBed(t)
	b.infer(0, b.long, "-", "--out", b.at("whole.arrow"))
	args := []string{"merge", "--out", b.at("merged.arrow")}
	for i := range 3 {
		part := b.at(fmt.Sprintf("part-%d.arrow", i))
		b.infer(0, b.long, "-", "--job", fmt.Sprintf("%d/3", i), "--out", part)
		args = append(args, part)
	}
	var out, talk bytes.Buffer
	if code := run(args[:5], nil, &out, &talk); code != exitFailure || !strings.Contains(talk.String(), "job 2/3 is missing") {
		t.Errorf("two jobs of three: exit code %d: %s", code, &talk)
	}
	if code := run(args, nil, &out, &talk); code != 0 {
		t.Fatalf("exit code %d: %s", code, &talk)
	}
	b.same("whole.arrow", "merged.arrow")
}

// TestInferGuards: outputs of unknown forms are wrong usage, damage is found and mended, what
// was made otherwise is refused by what differs, a plan is printed without predicting.
func TestInferGuards(t *testing.T) {
	b := newInferBed(t)
	for _, name := range []string{"x.json", "x.txt", "x.arrow.gz", "x.gz", "x", "ftp://host/x.arrow"} {
		if _, talk := b.infer(exitUsage, "", b.images, "--out", name); !strings.Contains(talk, name) {
			t.Errorf("--out %s: %s", name, talk)
		}
	}
	out := b.at("out.arrow")
	b.infer(0, "", b.images, "--out", out)
	whole, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(whole, []byte("image3.png")) // in the rows: the metadata have no names
	damaged := slices.Clone(whole)
	damaged[at+5] = '9'
	if err := os.WriteFile(out, damaged, 0o666); err != nil {
		t.Fatal(err)
	}
	var talk bytes.Buffer
	if code := run([]string{"eval", out, "--no-wordnet"}, nil, io.Discard, &talk); code != exitCorrupt || !strings.Contains(talk.String(), "column path") {
		t.Errorf("eval of a damaged file: exit code %d: %s", code, &talk)
	}
	if text, _ := b.infer(0, "", b.images, "--out", out); strings.Contains(text, "nothing to do") {
		t.Errorf("a damaged output: %s", text)
	}
	if again, err := os.ReadFile(out); err != nil || !bytes.Equal(again, whole) {
		t.Errorf("a damaged output is not made anew: %v", err)
	}
	if _, talk := b.infer(exitFailure, "", b.images, "--out", out, "--top-k", "2"); !strings.Contains(talk, "top_k is 5, not 2") {
		t.Error(talk)
	}
	b.infer(0, "", b.images, "--out", out, "--top-k", "2", "--overwrite")
	if text, _ := b.infer(0, "", b.images, "--out", out, "--top-k", "2"); !strings.Contains(text, "nothing to do") {
		t.Error(text)
	}

	if err := os.Mkdir(b.at("photos"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nothing", b.at("photos/dead.jpg")); err != nil {
		t.Fatal(err)
	}
	b.put("photos/notes.txt", "x")
	b.put("photos/a.jpg", "x")
	// Nobody listens there, and nobody is asked: nothing is to be written.
	nowhere := "s3://bucket/out.arrow?endpoint=http://127.0.0.1:1&use_path_style=true&region=us-east-1"
	text, _ := b.infer(exitRefused, "", b.at("photos"), "--dry-run", "--json", "--out", nowhere)
	type skipped struct{ Images, Files int }
	type planned struct {
		Images  int
		Skipped []skipped
	}
	var plan planned
	check(t, json.Unmarshal([]byte(text), &plan))
	if diff := cmp.Diff(planned{1, []skipped{{1, 0}, {0, 1}}}, plan); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
}

// TestInferSpecFile: a Spec that is misspelled or lacks what makes images ready is refused by the key, unless a flag says it, and
// colours of pixels in 0 to 255 are.
func TestInferSpecFile(t *testing.T) {
	b := newInferBed(t)
	b.model = filepath.Join(b.images, "nhwc_float.onnx")
	for _, c := range []struct {
		code       int
		spec, want string
		flags      []string
	}{
		{0, `{"input_size": 32, "resize": 36, "interpolation": "bilinear", "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}`, "", nil},
		{0, `{"input_size": 32, "interpolation": "bilinear", "std": [0.5, 0.5, 0.5]}`, "", []string{"--mean", "0.5"}},
		{2, `{"input_size": 32, "interpolation": "bilinear", "std": [0.5, 0.5, 0.5]}`, "no mean, which is not guessed: say it there, or by --mean", nil},
		{2, `{"resize": 36, "interpolation": "bilinear", "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}`, "--input-size", nil},
		{2, `{"means": [0.5, 0.5, 0.5]}`, `key "means" is none of a Spec`, nil},
		{2, `{"classes": ["x", "x"]}`, "class 0 and class 1", nil},
		{2, `{"mean": [124, 116, 104], "std": [58, 57, 57]}`, "mean 0.4863,0.4549,0.4078", nil},
		{2, `{}`, "mean 0.4863,0.4549,0.4078 std 0.2275,0.2235,0.2235", []string{"--mean", "124,116,104", "--std", "58,57,57"}},
	} {
		args := append(c.flags, b.images, "--spec", b.put("spec.json", c.spec), "--format", "ndjson")
		if _, talk := b.infer(c.code, "", args...); !strings.Contains(talk, c.want) {
			t.Errorf("%s %q: %s; want %q", c.spec, c.flags, talk, c.want)
		}
	}
}

// TestInferScores: what is said of scores is held to what they are, before anything is written.
func TestInferScores(t *testing.T) {
	b := newInferBed(t)
	for _, c := range []struct{ model, scores, want string }{
		{"nchw_uint8.onnx", "probabilities", "is no probability: these are logits; say --scores logits"},
		{"nhwc_uint8.onnx", "logits", "made by a Softmax"},
	} {
		b.model = filepath.Join(b.images, c.model)
		if _, talk := b.infer(exitUsage, "", b.images, "--scores", c.scores, "--out", b.at("x.arrow")); !strings.Contains(talk, c.want) {
			t.Errorf("%s as %s: %s", c.model, c.scores, talk)
		}
		b.infer(0, "", b.images, "--out", b.at(c.model+".arrow"))
	}
	if left, _ := filepath.Glob(b.at("x.arrow*")); left != nil {
		t.Errorf("left behind: %q", left)
	}
}

// TestInferWithoutTruth: the end tells of rows without a truth beside those with one, and of names of two classes.
func TestInferWithoutTruth(t *testing.T) {
	b := newInferBed(t)
	image, err := os.ReadFile(filepath.Join(b.images, "image0.png"))
	check(t, err)
	for _, name := range []string{"ant/a.png", "Ant/b.png", "crane/c.png", "other/d.png"} {
		check(t, os.MkdirAll(filepath.Dir(b.at("in/"+name)), 0o777))
		b.put("in/"+name, string(image))
	}
	b.put("classes.txt", "ant\nn02012849\ncat\nn03126707\nelk\n")
	text, talk := b.infer(0, "", b.at("in"), "--out", b.at("out.arrow"))
	if !strings.Contains(text, "no truth      2 ") || !strings.Contains(talk, `"crane": n02012849 and n03126707 both have this name`) {
		t.Errorf("%s\n%s", text, talk)
	}
}

// outsideWeights writes a model whose weights lie in a file beside it.
func outsideWeights(t *testing.T, from, to string) (weights string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	var m onnxpb.Model
	if err := proto.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	var data []byte
	for _, w := range m.Graph.Initializers {
		if len(w.RawData) == 0 || w.GetDataType() != int32(onnxpb.Tensor_FLOAT) {
			continue
		}
		place := map[string]string{"location": "w.bin", "offset": strconv.Itoa(len(data)), "length": strconv.Itoa(len(w.RawData))}
		for _, k := range slices.Sorted(maps.Keys(place)) {
			w.External = append(w.External, &onnxpb.Entry{Key: proto.String(k), Value: proto.String(place[k])})
		}
		data = append(data, w.RawData...)
		w.RawData, w.Location = nil, onnxpb.Tensor_EXTERNAL.Enum()
	}
	weights = filepath.Join(filepath.Dir(to), "w.bin")
	b, err = proto.Marshal(&m)
	if err := errors.Join(err, os.WriteFile(to, b, 0o666), os.WriteFile(weights, data, 0o666)); err != nil || len(data) == 0 {
		t.Fatalf("%d bytes of weights: %v", len(data), err)
	}
	return weights
}

// TestInferWeightsBeside: a model is known by the weights beside it, too: other ones are
// refused over an output and in merge, and predicted anew with --overwrite.
func TestInferWeightsBeside(t *testing.T) {
	b := newInferBed(t)
	model := b.at("model.onnx")
	weights := outsideWeights(t, b.model, model)
	b.model = model
	out := b.at("out.csv")
	b.infer(0, "", b.images, "--out", out)
	b.infer(0, "", b.images, "--job", "0/2", "--batch", "3", "--out", b.at("0.arrow"))
	before, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(weights)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+3 < len(data); i += 4 { // every number's sign
		data[i+3] ^= 0x80
	}
	if err := os.WriteFile(weights, data, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, talk := b.infer(exitFailure, "", b.images, "--out", out); !strings.Contains(talk, "model is ") {
		t.Error(talk)
	}
	b.infer(0, "", b.images, "--job", "1/2", "--batch", "3", "--out", b.at("1.arrow"))
	var talk bytes.Buffer
	run([]string{"eval", b.at("1.arrow"), "--no-wordnet"}, nil, io.Discard, &talk) // whose images have no labels
	if !strings.Contains(talk.String(), "1.arrow is job 1/2 of an array") {
		t.Errorf("a job measured: %s", &talk)
	}
	talk.Reset()
	if code := run([]string{"merge", b.at("0.arrow"), b.at("1.arrow"), "--out", b.at("m.arrow")}, nil, io.Discard, &talk); code != exitFailure || !strings.Contains(talk.String(), "model is ") {
		t.Errorf("merge: exit code %d: %s", code, &talk)
	}
	b.infer(0, "", b.images, "--out", out, "--overwrite")
	if after, err := os.ReadFile(out); err != nil || bytes.Equal(before, after) {
		t.Errorf("the predictions are those of the old weights: %v", err)
	}
}
