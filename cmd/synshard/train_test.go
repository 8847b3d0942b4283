package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/internal/native/nativetest"
	"github.com/synshard/synshard/internal/ui"
	"github.com/synshard/synshard/loader"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/shard/shardtest"
	"github.com/synshard/synshard/train/checkpoint"
	"github.com/synshard/synshard/train/recipe"
	"github.com/synshard/synshard/train/runlog"
)

// trainClasses are zebra, tiger and orange.
var trainClasses = []string{"n02129604", "n02391049", "n07747607"}

// writeTrainSet makes a dataset of small images whose colour tells the class.
func writeTrainSet(t *testing.T, perClass, val int) string {
	t.Helper()
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(1, 2))
	trainSplit, valSplit := shardtest.Split{Name: "train", BySynset: true}, shardtest.Split{Name: "val"}
	for label, synset := range trainClasses {
		for i := range perClass {
			trainSplit.Images = append(trainSplit.Images, colourImage(t, rng, label, fmt.Sprintf("%s_%d.JPEG", synset, i)))
		}
	}
	for i := range val {
		valSplit.Images = append(valSplit.Images, colourImage(t, rng, i%3, fmt.Sprintf("val_%04d.JPEG", i)))
	}
	shardtest.Write(t, dir, trainClasses, trainSplit, valSplit)
	return dir
}

func colourImage(t *testing.T, rng *rand.Rand, label int, name string) *shard.Image {
	t.Helper()
	im := image.NewRGBA(image.Rect(0, 0, 100, 90))
	for y := range 90 {
		for x := range 100 {
			c := [3]uint8{uint8(rng.IntN(90)), uint8(rng.IntN(90)), uint8(rng.IntN(90))}
			c[label] += 140
			im.Set(x, y, color.RGBA{c[0], c[1], c[2], 255})
		}
	}
	var b bytes.Buffer
	check(t, jpeg.Encode(&b, im, nil))
	return &shard.Image{Row: shard.Row{Path: name, Label: int64(label), Synset: trainClasses[label], Width: 100, Height: 90,
		Format: "JPEG", Mode: "RGB", SHA256: sha256.Sum256(b.Bytes())}, Bytes: b.Bytes()}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// needEngine skips without the engine's library, and fails where it must be
// there.
func needEngine(t *testing.T) string {
	t.Helper()
	path, err := (&app{}).findTorch("")
	return nativetest.Need(t, path, err)
}

// synshard starts the real program in a process of its own.
func synshardCommand(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	hangupCaught()
	exe, err := os.Executable()
	check(t, err)
	link := filepath.Join(t.TempDir(), "synshard") // TestMain goes by the name
	check(t, os.Symlink(exe, link))
	return exec.Command(link, args...)
}

// hangupCaught makes SIGHUP what it is by default in the processes that tests start,
// where nohup started the tests: what is caught here is not ignored there.
var hangupCaught = sync.OnceFunc(func() { signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP) })

// smallRun trains a thin network on 64-pixel images: 24 steps, dropout and
// averages included.
func smallRun(t *testing.T, set, out string, more ...string) []string {
	return append([]string{"train", set, "--out", out, "--recipe", "demo", "--torch-lib", needEngine(t), "--model", "googlenet", "--width", "0.08", "--aux-weight", "0",
		"--set", "eval.size=64", "--set", "eval.resize=68", "--precision", "fp32", "--device", "cpu", "--threads", "1", "--batch", "6",
		"--epochs", "6", "--ema", "0.9", "--dropout", "0.3", "--mixup", "0.2", "--seed", "7", "--progress", "off"}, more...)
}

func runVerb(t *testing.T, want int, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	if got := run(args, strings.NewReader(""), &out, &errs); got != want {
		t.Fatalf("synshard %s: exit code %d, want %d\n%s", strings.Join(args, " "), got, want, &errs)
	}
	return out.String(), errs.String()
}

// What the design promises: stopped by a signal, killed outright, continued
// with other numbers of workers, a run on the CPU in fp32 ends in the same
// bits as one left alone.
func TestTrainContinuesExactly(t *testing.T) {
	if testing.Short() {
		t.Skip("trains")
	}
	set := writeTrainSet(t, 8, 9)
	long := func(out string, more ...string) []string { // enough for three signals
		return smallRun(t, set, out, append([]string{"--epochs", "10"}, more...)...)
	}
	whole := filepath.Join(t.TempDir(), "whole")
	stdout, stderr := runVerb(t, 0, long(whole)...)
	if !strings.HasPrefix(stdout, "steps ") || stderr != "" {
		t.Errorf("with --progress off want the result alone: %q, %q", stdout, stderr)
	}

	cut := filepath.Join(t.TempDir(), "cut")
	runVerb(t, 75, long(cut, "--stop-after-steps", "1", "-j", "1")...)
	for _, s := range []struct {
		signal syscall.Signal
		code   int
		args   []string
	}{
		{syscall.SIGKILL, -1, []string{"-j", "3", "--checkpoint-every", "1ms"}},
		{syscall.SIGUSR1, 75, nil},
		{syscall.SIGTERM, 75, []string{"-j", "5"}},
	} {
		before := logLines(t, cut)
		cmd := synshardCommand(t, long(cut, s.args...)...)
		check(t, cmd.Start())
		waitForSteps(t, cut, before+2)
		check(t, cmd.Process.Signal(s.signal))
		_ = cmd.Wait()
		if got := cmd.ProcessState.ExitCode(); got != s.code {
			t.Errorf("%v: exit code %d, want %d", s.signal, got, s.code)
		}
	}
	runVerb(t, 0, long(cut)...)
	for _, name := range []string{"model.safetensors", "model.onnx"} {
		a, err := os.ReadFile(filepath.Join(whole, name))
		check(t, err)
		b, err := os.ReadFile(filepath.Join(cut, name))
		check(t, err)
		if !bytes.Equal(a, b) {
			t.Errorf("%s of the interrupted run differs", name)
		}
	}
	a, b := lastState(t, whole), lastState(t, cut)
	if len(a) == 0 || !bytes.Equal(a, b) {
		t.Error("averages or optimiser state of the interrupted run differ")
	}
}

// lastState is the data of the newest checkpoint, all tensors.
func lastState(t *testing.T, dir string) []byte {
	t.Helper()
	steps, err := checkpoint.Steps(dir)
	check(t, err)
	c, err := checkpoint.Read(checkpoint.Path(dir, steps[len(steps)-1]))
	check(t, err)
	var b []byte
	for _, x := range c.Tensors {
		b = append(append(b, x.Name...), x.Data...)
	}
	return b
}

func logLines(t *testing.T, dir string) int {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "log.ndjson"))
	check(t, err)
	return bytes.Count(b, []byte(`"kind":"step"`))
}

func TestTrainLearnsASelection(t *testing.T) {
	if testing.Short() {
		t.Skip("trains")
	}
	dir, err := (&app{}).findWordNet("")
	nativetest.Need(t, dir, err)
	set := writeTrainSet(t, 16, 18)
	out := filepath.Join(t.TempDir(), "run")
	args := smallRun(t, set, out, "--exclude", "n02129604", "--epochs", "24", "--mixup", "0", "--ema", "0", "--lr", "0.01",
		"--batch", "8", "--set", "eval.size=96", "--set", "eval.resize=98", // batch norm needs more than one place of the last maps
		"--dropout", "0", "--bn-momentum", "0.3", "--sampling", "balanced", "--cache", "pin", "--json")
	stdout, _ := runVerb(t, 0, args...)
	var res trainResult
	check(t, json.Unmarshal([]byte(stdout), &res))
	if res.Last == nil || res.Last.Raw.N != 12 || res.Best.Raw.Top1 < 0.9 { // two colours are easily told apart
		t.Errorf("result %s", stdout)
	}
	c, err := checkpoint.Read(checkpoint.Path(out, res.Steps))
	check(t, err)
	if got := strings.Join(c.Spec.Classes, " "); got != "n02391049 n07747607" {
		t.Errorf("classes %s", got)
	}
	stdout, _ = runVerb(t, 0, append(args, "--eval-only")...)
	var ev measured
	check(t, json.Unmarshal([]byte(stdout), &ev))
	type place struct {
		Step int64
		Raw  scoreJSON
	}
	if diff := cmp.Diff(place{res.Steps, res.Last.Raw}, place{ev.Step, ev.Raw}); diff != "" {
		t.Errorf("--eval-only (-the run's end +got):\n%s", diff)
	}
	// Its weights start another run over other classes: a fresh head.
	tuned := filepath.Join(t.TempDir(), "tuned")
	_, stderr := runVerb(t, 75, smallRun(t, set, tuned, "--weights", filepath.Join(out, "best.safetensors"), "--stop-after-steps", "1")...)
	if !strings.Contains(stderr, "initialised afresh: fc.weight, fc.bias") {
		t.Errorf("said %q", stderr)
	}
	_, stderr = runVerb(t, 1, smallRun(t, set, filepath.Join(tuned, "none"), "--weights", filepath.Join(out, "model.safetensors"), "--eval-only")...)
	if !strings.Contains(stderr, "not for these 3 classes") {
		t.Errorf("said %q", stderr)
	}
	// The same command with --eval-only measures the run, and so does one without the weights, of a recipe that wants them, too.
	for _, more := range [][]string{{"--weights", filepath.Join(out, "best.safetensors")}, {"--recipe", "finetune", "--set", "rate.base_batch=6"}} {
		stdout, _ = runVerb(t, 0, smallRun(t, set, tuned, append(more, "--eval-only", "--json")...)...)
		var of measured
		check(t, json.Unmarshal([]byte(stdout), &of))
		if want := checkpoint.Path(tuned, 1); of.Step != 1 || of.Weights != want {
			t.Errorf("%s: step %d of %s, want 1 of %s", more[0], of.Step, of.Weights, want)
		}
	}
}

// What lies about on a disk: a lock held, a checkpoint damaged, an image
// damaged.
func TestTrainMeetsDamage(t *testing.T) {
	if testing.Short() {
		t.Skip("trains")
	}
	set := writeTrainSet(t, 8, 3)
	out := filepath.Join(t.TempDir(), "run")
	runVerb(t, 75, smallRun(t, set, out, "--stop-after-steps", "5")...)

	lock, err := durable.TryLock(filepath.Join(out, ".lock"))
	check(t, err)
	if _, stderr := runVerb(t, 5, smallRun(t, set, out)...); !strings.Contains(stderr, out) {
		t.Errorf("locked: said %q", stderr)
	}
	check(t, lock.Unlock())

	if _, stderr := runVerb(t, 1, smallRun(t, set, out, "--seed", "8")...); !strings.Contains(stderr, "seed 7 (now 8)") {
		t.Errorf("another seed: said %q", stderr)
	}
	flipByte(t, checkpoint.Path(out, 5), -100)
	_, stderr := runVerb(t, 75, smallRun(t, set, out, "--stop-after-steps", "2")...) // from step 4 on
	if !strings.Contains(stderr, "damaged") || !strings.Contains(stderr, "step 6 of 24") {
		t.Errorf("damaged checkpoint: said %q", stderr)
	}
	shards, err := filepath.Glob(filepath.Join(set, "train", "*", "*.arrow"))
	check(t, err)
	for _, path := range shards {
		info, err := os.Stat(path)
		check(t, err)
		flipByte(t, path, int(info.Size()/2))
	}
	if _, stderr := runVerb(t, 4, smallRun(t, set, out)...); !strings.Contains(stderr, "part-00000.arrow") {
		t.Errorf("damaged image: said %q", stderr)
	}
}

// A run goes on with what it was made from: another recipe, dataset, split or
// selection in its directory is refused by name, though all counts are the same.
func TestTrainRefusesAnotherRun(t *testing.T) {
	if testing.Short() {
		t.Skip("trains")
	}
	set, out := writeTrainSet(t, 4, 12), filepath.Join(t.TempDir(), "run")
	runVerb(t, 75, smallRun(t, set, out, "--stop-after-steps", "3")...)
	for _, c := range []struct {
		set  string
		more []string
		want []string
	}{
		{set, []string{"--lr", "0.9", "--label-smoothing", "0.3", "--weight-decay", "0.1", "--schedule", "constant", "--ema", "0.5", "--dropout", "0.9", "--set", "augment.flip=false"},
			[]string{"rate.base", "(now 0.9)", "loss.label_smoothing", "optimizer.weight_decay", "rate.schedule", "ema.decay 0.9 (now 0.5)", "network.dropout 0.3 (now 0.9)", "augment.flip"}},
		{writeTrainSet(t, 5, 12), []string{"--limit-per-synset", "4"}, []string{"dataset.train.index_sha256", "limit-per-synset not set (now 4)"}},
		{set, []string{"--split", "val"}, []string{"split train (now val)", "what may change is", "epochs", "device", "workers", "how often"}},
		{set, []string{"--val-split", "train"}, []string{"val-split val (now train)", "train is trained on and validated on"}},
		{set, []string{"--synset", "n02129604", "--synset", "n02391049", "--synset", "n07747607"}, []string{"synset not set (now n02129604 n02391049 n07747607)"}},
	} {
		if _, err := (&app{}).findWordNet(""); err != nil && c.more[0] == "--synset" {
			continue
		}
		_, stderr := runVerb(t, 1, smallRun(t, c.set, out, c.more...)...)
		for _, want := range c.want {
			if !strings.Contains(stderr, want) {
				t.Errorf("%v: %q is not in %q", c.more, want, stderr)
			}
		}
	}
	runVerb(t, 75, smallRun(t, set, out, "--epochs", "7", "--workers", "1", "--keep", "1", "--checkpoint-every", "1s", "--stop-after-steps", "1")...)
}

// A network that cannot be exported is refused before it is trained.
func TestTrainNotExportable(t *testing.T) {
	set, out := writeTrainSet(t, 8, 3), filepath.Join(t.TempDir(), "run")
	_, stderr := runVerb(t, 1, "train", set, "--out", out, "--torch-lib", needEngine(t), "--model", "alexnet", "--width", "0.05", "--set", "eval.size=64", "--set", "eval.resize=64", "--batch", "6", "--device", "cpu", "--progress", "off")
	if !strings.Contains(stderr, "alexnet of 64-pixel images cannot be exported") {
		t.Errorf("said %q", stderr)
	}
	if steps, err := checkpoint.Steps(out); len(steps) > 0 || err != nil {
		t.Errorf("checkpoints %v, %v", steps, err)
	}
}

func flipByte(t *testing.T, path string, at int) {
	t.Helper()
	b, err := os.ReadFile(path)
	check(t, err)
	if at < 0 {
		at += len(b)
	}
	b[at] ^= 0xff
	check(t, os.WriteFile(path, b, 0o666))
}

// SIGUSR2 asks for a line of status and changes nothing.
func TestTrainStatus(t *testing.T) {
	if testing.Short() {
		t.Skip("trains")
	}
	set, out := writeTrainSet(t, 8, 3), filepath.Join(t.TempDir(), "run")
	cmd := synshardCommand(t, smallRun(t, set, out, "--epochs", "400")...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	check(t, cmd.Start())
	waitForSteps(t, out, 3)
	check(t, cmd.Process.Signal(syscall.SIGUSR2))
	waitForSteps(t, out, logLines(t, out)+5)
	check(t, cmd.Process.Signal(os.Interrupt))
	_ = cmd.Wait()
	if got := cmd.ProcessState.ExitCode(); got != 75 {
		t.Errorf("exit code %d", got)
	}
	lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
	if len(lines) != 2 || !strings.HasPrefix(lines[0], "synshard: status: step ") || !strings.Contains(lines[0], "of 1600") || !strings.Contains(lines[0], "images/s") {
		t.Errorf("said %q", lines)
	}
}

func waitForSteps(t *testing.T, dir string, n int) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if b, err := os.ReadFile(filepath.Join(dir, "log.ndjson")); err == nil && bytes.Count(b, []byte(`"kind":"step"`)) >= n {
			return
		}
	}
	t.Fatalf("%s: no %d steps in two minutes", dir, n)
}

func TestTrainRefuses(t *testing.T) {
	set := writeTrainSet(t, 4, 3)
	out := filepath.Join(t.TempDir(), "run")
	for _, c := range []struct {
		code int
		want string
		args []string
	}{
		{1, "not a synshard dataset", []string{t.TempDir(), "--out", out}},
		{1, "nowhere", []string{filepath.Join(set, "nowhere"), "--out", out}},
		{1, "no such split", []string{set, "--out", out, "--split", "training"}},
		{1, "validation split", []string{set, "--out", out, "--val-split", "dev"}},
		{2, "--out RUN is needed", []string{set}},
		{2, `"imaginary"`, []string{set, "--out", out, "--recipe", "imaginary"}},
		{2, "rate.bass", []string{set, "--out", out, "--set", "rate.bass=3"}},
		{2, "dropout", []string{set, "--out", out, "--dropout", "1.5"}},
		{2, "lenet", []string{set, "--out", out, "--model", "lenet"}},
		{2, "--weights FILE", []string{set, "--out", out, "--recipe", "finetune"}},
		{2, "images of 40 pixels", []string{set, "--out", out, "--set", "eval.size=40"}},
		{2, "sampling", []string{set, "--out", out, "--sampling", "alphabetical"}},
		{2, "--cache", []string{set, "--out", out, "--cache", "everything"}},
		{2, "--batch", []string{set, "--out", out, "--batch", "some"}},
		{2, "--width 0", []string{set, "--out", out, "--width", "0"}},
		{2, "no effect without --cache pin", []string{set, "--out", out, "--pin-bytes", "5"}},
		{6, "no-such.so", []string{set, "--out", out, "--torch-lib", "/no-such.so"}},
	} {
		_, stderr := runVerb(t, c.code, append([]string{"train"}, c.args...)...)
		if !strings.Contains(stderr, c.want) || strings.Count(stderr, "\n") != 1 || !strings.HasPrefix(stderr, "synshard: ") {
			t.Errorf("train %v: said %q, want one line with %q", c.args, stderr, c.want)
		}
	}
	if _, err := os.Stat(out); !os.IsNotExist(err) {
		t.Errorf("a refused call left a run directory: %v", err)
	}
}

// TestTrainBatchBeyondMemory: batches are of the bytes that --memory says, and what
// does not fit is told before anything is made.
func TestTrainBatchBeyondMemory(t *testing.T) {
	set, out := writeTrainSet(t, 4, 3), filepath.Join(t.TempDir(), "run")
	_, stderr := runVerb(t, exitUsage, smallRun(t, set, out, "--memory", "1200KiB")...)
	if want := "3 batches of 6 images of 64 pixels: too little memory: 0.2 MiB, where all pixels together and the decoding of images have 1.2 MiB"; !strings.Contains(stderr, want) {
		t.Errorf("said %q, want %q", stderr, want)
	}
	if _, err := os.Stat(out); !os.IsNotExist(err) {
		t.Errorf("a refused call left a run directory: %v", err)
	}
	runVerb(t, exitStopped, smallRun(t, set, out, "--memory", "2MiB", "--stop-after-steps", "1")...)
}

// TestTrainDataAsAsked looks at what the flags make of a loader's options.
func TestTrainDataAsAsked(t *testing.T) {
	dir := writeTrainSet(t, 4, 3)
	for _, mode := range []string{"page", "none", "pin"} {
		a := &app{Console: ui.Console{Stderr: io.Discard}}
		flags := trainOptions{split: "train", valSplit: "val", selection: &selectionOptions{}, cache: &cacheOptions{mode: mode, pinBytes: 1 << 20}}
		d, err := a.openTrainData(dir, flags)
		check(t, err)
		l, err := a.cached(d, recipe.Recipe{Sampling: "balanced"}, flags, nil)
		if err != nil {
			t.Fatal(err)
		}
		o := l.TrainOptions
		if once := d.Data(recipe.Recipe{Epochs: 1}, 1, nil).TrainOptions.Points; once != nil {
			t.Error("entry points are kept for a run of one epoch")
		}
		if d.Data(recipe.Recipe{Epochs: 2}, 1, nil).TrainOptions.Points == nil {
			t.Error("no entry points are kept for a second epoch")
		}
		if len(o.Weights) != d.Train.Len() {
			t.Errorf("%d weights for %d images", len(o.Weights), d.Train.Len())
		}
		type cached struct{ Advised, Forgotten, Pinned bool }
		want := cached{mode != "pin", mode == "none", mode == "pin"}
		got := cached{o.Advisor != nil, o.Forget, l.TrainSource != loader.Source(d.Train)}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("--cache %s (-want +got):\n%s", mode, diff)
		}
		check(t, d.Close())
	}
}

// TestTrainProcs: two processes end with the weights one has, where batch norm
// does not tell them apart; and what is refused.
func TestTrainProcs(t *testing.T) {
	if testing.Short() {
		t.Skip("trains")
	}
	set := writeTrainSet(t, 8, 9)
	same := []string{"--epochs", "2", "--dropout", "0", "--set", "network.freeze_bn=true", "--json"}
	one, two := filepath.Join(t.TempDir(), "one"), filepath.Join(t.TempDir(), "two")
	runVerb(t, 0, smallRun(t, set, one, same...)...)
	cmd := synshardCommand(t, smallRun(t, set, two, append(same, "--procs", "2")...)...)
	cmd.Stderr = os.Stderr
	_, err := cmd.Output()
	check(t, err)
	// The first step's loss and accuracy are of all images, not of one process's.
	if x, y := firstStep(t, one), firstStep(t, two); math.Abs(x.Loss-y.Loss) > 1e-5 || x.Top1 != y.Top1 {
		t.Errorf("first step: loss %v, top-1 %v with one process, %v, %v with two", x.Loss, x.Top1, y.Loss, y.Top1)
	}
	if worst := weightsApart(t, one, two); !(worst <= 1e-5) {
		t.Errorf("weights differ by %g", worst)
	}
	_, stderr := runVerb(t, 1, smallRun(t, set, filepath.Join(t.TempDir(), "odd"), "--procs", "4")...)
	if !strings.Contains(stderr, "batch 6 cannot be worked through by 4 processes") {
		t.Errorf("said %q", stderr)
	}
	_, stderr = runVerb(t, 2, smallRun(t, set, filepath.Join(t.TempDir(), "none"), "--procs", "0")...)
	if !strings.Contains(stderr, `--procs "0": want 1 to 256`) {
		t.Errorf("said %q", stderr)
	}
}

// TestTrainLosesAProcess: a rank that is killed ends the run in seconds, with an
// error, and leaves what can be continued.
func TestTrainLosesAProcess(t *testing.T) {
	if testing.Short() {
		t.Skip("trains")
	}
	set, out := writeTrainSet(t, 8, 9), filepath.Join(t.TempDir(), "run")
	args := smallRun(t, set, out, "--procs", "2", "--epochs", "400", "--checkpoint-every", "1ms")
	cmd := synshardCommand(t, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	check(t, cmd.Start())
	waitForSteps(t, out, 3)
	pids := taskChildren(t, cmd.Process.Pid)
	if len(pids) != 1 {
		t.Fatalf("children %v, want one", pids)
	}
	check(t, syscall.Kill(pids[0], syscall.SIGKILL))
	began := time.Now()
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(stderr.String(), "rank 1") || time.Since(began) > 20*time.Second {
		t.Errorf("exit %d after %v: %q", code, time.Since(began), &stderr)
	}
	runVerb(t, 75, smallRun(t, set, out, "--epochs", "400", "--stop-after-steps", "1")...)
}

// taskChildren are a process's children, whichever of its threads began them.
func taskChildren(t *testing.T, pid int) []int {
	t.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	check(t, err)
	var out []int
	for _, task := range tasks {
		b, err := os.ReadFile(task)
		check(t, err)
		for field := range strings.FieldsSeq(string(b)) {
			n, err := strconv.Atoi(field)
			check(t, err)
			out = append(out, n)
		}
	}
	return out
}

// firstStep is the first line of a run's log that tells of a step.
func firstStep(t *testing.T, dir string) runlog.Step {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "log.ndjson"))
	check(t, err)
	for line := range bytes.Lines(b) {
		var s runlog.Step
		if json.Unmarshal(line, &s) == nil && s.Kind == "step" {
			return s
		}
	}
	t.Fatalf("%s: no step in the log", dir)
	return runlog.Step{}
}

// TestTrainCountsUnreadable: a validation image that cannot be read is a wrong one, as infer and
// eval have it, in all that train says.
func TestTrainCountsUnreadable(t *testing.T) {
	if testing.Short() {
		t.Skip("trains")
	}
	dir, rng := t.TempDir(), rand.New(rand.NewPCG(3, 4))
	sides := []shardtest.Split{{Name: "train", BySynset: true}, {Name: "val"}}
	for i := range 36 {
		im := colourImage(t, rng, i%3, fmt.Sprintf("%d.JPEG", i))
		if i >= 33 { // of the last part of val
			im.Bytes = im.Bytes[:len(im.Bytes)/3]
			im.SHA256 = sha256.Sum256(im.Bytes)
		}
		sides[i/18].Images = append(sides[i/18].Images, im)
	}
	shardtest.Write(t, dir, trainClasses, sides...)
	out := filepath.Join(t.TempDir(), "run")
	args := smallRun(t, dir, out, "--epochs", "1", "--ema", "0")
	text, _ := runVerb(t, 0, args...)
	if !strings.Contains(text, "images       18    3 of them unreadable, which counts as wrong\n") || !strings.Contains(text, "3 of 18 images could not be read, which counts as wrong") {
		t.Errorf("train ends with\n%s", text)
	}
	var res trainResult
	text, _ = runVerb(t, 0, append(args, "--json")...)
	check(t, json.Unmarshal([]byte(text), &res))
	predictions := filepath.Join(t.TempDir(), "val.arrow")
	runVerb(t, 3, "infer", filepath.Join(out, "model.safetensors"), dir, "--split", "val", "--engine", "torch", "--device", "cpu", "--torch-lib", needEngine(t), "--out", predictions)
	lines, _ := runVerb(t, 0, "eval", predictions)
	e := res.Exported
	if e == nil || e.Raw.Top1 == 0 || e.Raw.N != 18 || e.Rejected != 3 || !strings.Contains(lines, fmt.Sprintf("top-1    %6.2f %%", 100*e.Raw.Top1)) {
		t.Errorf("train: %+v; eval:\n%s", e, lines)
	}
	if _, page := runVerb(t, 0, "report", out, "--out", filepath.Join(out, "r.html")); strings.Contains(page, "error") {
		t.Error(page)
	}
	page, err := os.ReadFile(filepath.Join(out, "r.html"))
	check(t, err)
	if want := fmt.Sprintf("top-1 %.2f %%", 100*e.Raw.Top1); !strings.Contains(string(page), want) || !strings.Contains(string(page), "3 of the 18 validation images") {
		t.Errorf("the report lacks %q, or the images that could not be read", want)
	}
}
