package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/modeltest"
	"github.com/synshard/synshard/model/weights"
	"github.com/synshard/synshard/train/traintest"
)

// launchers give the variables of rank i of 2 as they are set by each.
var testLaunchers = map[string]func(i, port int) []string{
	"torchrun": func(i, port int) []string {
		return []string{fmt.Sprintf("RANK=%d", i), "WORLD_SIZE=2", fmt.Sprintf("LOCAL_RANK=%d", i), "LOCAL_WORLD_SIZE=2", "MASTER_ADDR=127.0.0.1", fmt.Sprintf("MASTER_PORT=%d", port)}
	},
	"Slurm": func(i, port int) []string {
		return []string{fmt.Sprintf("SLURM_PROCID=%d", i), "SLURM_NTASKS=2", fmt.Sprintf("SLURM_LOCALID=%d", i), "SLURM_JOB_NODELIST=localhost", fmt.Sprintf("SLURM_JOB_ID=%d", port-20000), "SLURM_JOB_NUM_NODES=1"}
	},
}

// process is one rank under way.
type process struct {
	*exec.Cmd
	stdout, stderr bytes.Buffer
}

// launch starts both ranks of a run as a launcher would.
func launch(t *testing.T, launcher string, args []string) [2]*process {
	t.Helper()
	port := traintest.FreePort(t)
	var ps [2]*process
	for i := range ps {
		p := &process{Cmd: synshardCommand(t, args...)}
		p.Env = append(os.Environ(), testLaunchers[launcher](i, port)...)
		p.Stdout, p.Stderr = &p.stdout, &p.stderr
		check(t, p.Start())
		t.Cleanup(func() { p.Process.Kill() })
		ps[i] = p
	}
	return ps
}

// end waits for a rank and gives its exit code.
func (p *process) end(t *testing.T) int {
	t.Helper()
	var exit *exec.ExitError
	if err := p.Wait(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return p.ProcessState.ExitCode()
}

// TestTrainLaunched: two processes that a launcher started, stopped and
// continued, end with the weights one has; rank 0 alone writes and prints.
func TestTrainLaunched(t *testing.T) {
	if testing.Short() {
		t.Skip("trains")
	}
	set := writeTrainSet(t, 8, 9)
	same := []string{"--epochs", "2", "--dropout", "0", "--set", "network.freeze_bn=true", "--json"}
	one := filepath.Join(t.TempDir(), "one")
	runVerb(t, 0, smallRun(t, set, one, same...)...)
	for name := range testLaunchers {
		two := filepath.Join(t.TempDir(), name)
		for i, p := range launch(t, name, smallRun(t, set, two, append(same, "--stop-after-steps", "3")...)) {
			if code := p.end(t); code != exitStopped {
				t.Fatalf("%s: stopped rank %d ends with %d: %s", name, i, code, &p.stderr)
			}
		}
		for range 2 { // the second time it is finished
			ps := launch(t, name, smallRun(t, set, two, same...))
			for i, p := range ps {
				if code := p.end(t); code != 0 {
					t.Fatalf("%s: rank %d ends with %d: %s", name, i, code, &p.stderr)
				}
			}
			if ps[1].stdout.Len()+ps[1].stderr.Len() > 0 || !strings.Contains(ps[0].stdout.String(), `"steps": 8`) {
				t.Errorf("%s: rank 0 printed %q, rank 1 %q %q", name, &ps[0].stdout, &ps[1].stdout, &ps[1].stderr)
			}
		}
		if worst := weightsApart(t, one, two); !(worst <= 1e-5) {
			t.Errorf("%s: weights differ by %g from one process's", name, worst)
		}
	}
}

// weightsApart is the greatest difference between two runs' weights.
func weightsApart(t *testing.T, one, two string) float64 {
	t.Helper()
	a, _, err := weights.ReadSafetensorsFile(filepath.Join(one, "model.safetensors"))
	check(t, err)
	b, _, err := weights.ReadSafetensorsFile(filepath.Join(two, "model.safetensors"))
	check(t, err)
	return apart(t, a, b)
}

// apart is the greatest difference between two sets of weights.
func apart(t *testing.T, a, b []model.Tensor) float64 {
	t.Helper()
	if len(a) == 0 || len(a) != len(b) {
		t.Fatalf("%d and %d tensors", len(a), len(b))
	}
	other, worst := model.ByName(b), 0.0
	for _, x := range a {
		worst = max(worst, modeltest.Difference(t, x, other[x.Name]))
	}
	return worst
}

// TestTrainLaunchedEnds: whichever rank a signal reaches, all stop with the
// state saved; whichever is killed, the other ends with an error in seconds.
func TestTrainLaunchedEnds(t *testing.T) {
	if testing.Short() {
		t.Skip("trains")
	}
	set := writeTrainSet(t, 8, 9)
	for _, c := range []struct {
		signal syscall.Signal
		rank   int // that it reaches
		want   int // the other's exit code
		says   string
	}{
		{syscall.SIGTERM, 0, exitStopped, ""},
		{syscall.SIGTERM, 1, exitStopped, "saved"},
		{syscall.SIGKILL, 0, exitFailure, "rank 0: another process of the group is lost"},
		{syscall.SIGKILL, 1, exitFailure, "rank 1"},
	} {
		out := filepath.Join(t.TempDir(), "run")
		ps := launch(t, "torchrun", smallRun(t, set, out, "--epochs", "400", "--checkpoint-every", "1ms"))
		waitForSteps(t, out, 3)
		check(t, ps[c.rank].Process.Signal(c.signal))
		began := time.Now()
		other := ps[1-c.rank]
		if code := other.end(t); code != c.want || !strings.Contains(other.stderr.String(), c.says) || time.Since(began) > 20*time.Second {
			t.Errorf("%v to rank %d: the other ends with %d after %v: %q", c.signal, c.rank, code, time.Since(began), &other.stderr)
		}
		if code := ps[c.rank].end(t); c.signal == syscall.SIGTERM && code != exitStopped {
			t.Errorf("%v to rank %d: it ends with %d: %q", c.signal, c.rank, code, &ps[c.rank].stderr)
		}
	}
}

// TestTrainLaunchedErrors: what rank 0 finds wrong ends the others with its
// code, and variables that do not add up are named.
func TestTrainLaunchedErrors(t *testing.T) {
	for _, c := range []struct{ env, arg, want string }{
		{"RANK=1", "", "not WORLD_SIZE"},
		{"RANK=0 WORLD_SIZE=2 MASTER_PORT=1", "", "not MASTER_ADDR"},
		{"RANK=2 WORLD_SIZE=2 MASTER_ADDR=a MASTER_PORT=1", "", "RANK is 2"},
		{"SLURM_PROCID=1 SLURM_NTASKS=x", "", "SLURM_NTASKS"},
		{"RANK=0 WORLD_SIZE=2 MASTER_ADDR=a MASTER_PORT=1", "--procs=2", "--procs 2"},
		{"RANK=0 WORLD_SIZE=2 MASTER_ADDR=a MASTER_PORT=1", "--device=cuda:1", "--device cuda:1"},
	} {
		t.Run(c.env+c.arg, func(t *testing.T) {
			for _, v := range strings.Fields(c.env) {
				name, value, _ := strings.Cut(v, "=")
				t.Setenv(name, value)
			}
			args := []string{"train", "none", "--out", filepath.Join(t.TempDir(), "run")}
			if c.arg != "" {
				args = append(args, c.arg)
			}
			if _, stderr := runVerb(t, exitUsage, args...); !strings.Contains(stderr, c.want) || strings.Count(stderr, "\n") != 1 {
				t.Errorf("said %q", stderr)
			}
		})
	}
	if testing.Short() {
		t.Skip("starts processes")
	}
	ps := launch(t, "torchrun", smallRun(t, "/nonexistent", filepath.Join(t.TempDir(), "run")))
	for i, p := range ps {
		if code := p.end(t); code != exitFailure {
			t.Errorf("no data: rank %d ends with %d", i, code)
		}
	}
	if !strings.Contains(ps[0].stderr.String(), "/nonexistent") || ps[1].stderr.Len() > 0 {
		t.Errorf("no data: rank 0 says %q, rank 1 %q", &ps[0].stderr, &ps[1].stderr)
	}
}

// launchUnder starts both ranks of a run as children of a launcher that is not this
// process, as torchrun's are, and gives the launcher and the ranks' process ids.
func launchUnder(t *testing.T, args []string) (launcher *exec.Cmd, ranks [2]int, stderr [2]string) {
	t.Helper()
	// Whoever loses its parent is this process's then, which can ask how it ended.
	check(t, unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
	dir := t.TempDir()
	rank := synshardCommand(t, args...)
	launcher = exec.Command("sh", append([]string{"-c", `cd "$0"; for i in 0 1; do RANK=$i LOCAL_RANK=$i "$@" 2>err$i & echo $! >pid$i; done; wait`, dir, rank.Path}, rank.Args[1:]...)...)
	port := traintest.FreePort(t)
	launcher.Env = append(os.Environ(), "WORLD_SIZE=2", "LOCAL_WORLD_SIZE=2", "MASTER_ADDR=127.0.0.1", fmt.Sprintf("MASTER_PORT=%d", port), "TORCHELASTIC_RUN_ID=none")
	check(t, launcher.Start())
	for i := range ranks {
		stderr[i] = filepath.Join(dir, fmt.Sprintf("err%d", i))
		for deadline := time.Now().Add(time.Minute); ranks[i] == 0 && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
			text, _ := os.ReadFile(filepath.Join(dir, fmt.Sprintf("pid%d", i)))
			fmt.Sscan(string(text), &ranks[i])
		}
		if ranks[i] == 0 {
			t.Fatalf("the launcher did not start rank %d", i)
		}
		t.Cleanup(func() { syscall.Kill(ranks[i], syscall.SIGKILL) })
	}
	return launcher, ranks, stderr
}

// TestTrainLauncherKilled: the ranks of a launcher that was killed stop in seconds, saved,
// and nothing is left running. The same command goes on and ends in the bits of a run that
// nobody disturbed.
func TestTrainLauncherKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("trains")
	}
	set := writeTrainSet(t, 8, 9)
	out, whole := filepath.Join(t.TempDir(), "run"), filepath.Join(t.TempDir(), "whole")
	args := func(out string, more ...string) []string {
		return smallRun(t, set, out, append(more, "--epochs", "400", "--checkpoint-every", "1h")...)
	}
	launcher, ranks, stderr := launchUnder(t, args(out))
	waitForSteps(t, out, 3)
	check(t, launcher.Process.Kill())
	_ = launcher.Wait() // it was killed
	began := time.Now()
	for i, pid := range ranks {
		var status syscall.WaitStatus
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			got, err := syscall.Wait4(pid, &status, syscall.WNOHANG, nil)
			if got == pid {
				break
			}
			if err != nil && !errors.Is(err, syscall.EINTR) || time.Now().After(deadline) {
				t.Fatalf("rank %d is still there after %v: %v", i, time.Since(began), err)
			}
		}
		if said, err := os.ReadFile(stderr[i]); status.ExitStatus() != exitStopped || err != nil || i == 0 && !strings.Contains(string(said), "saved") {
			t.Errorf("rank %d ends with %d: %q, %v", i, status.ExitStatus(), said, err)
		}
	}
	steps := logLines(t, out)
	for i, p := range launch(t, "torchrun", args(out, "--stop-after-steps", "3")) {
		if code := p.end(t); code != exitStopped {
			t.Errorf("again: rank %d ends with %d: %s", i, code, &p.stderr)
		}
	}
	if got := logLines(t, out); got != steps+3 {
		t.Errorf("it had %d steps, and after three more %d", steps, got)
	}
	for i, p := range launch(t, "torchrun", args(whole, "--stop-after-steps", fmt.Sprint(steps+3))) {
		if code := p.end(t); code != exitStopped {
			t.Errorf("undisturbed: rank %d ends with %d: %s", i, code, &p.stderr)
		}
	}
	var states [2][]model.Tensor
	for i, dir := range []string{whole, out} {
		var err error
		states[i], _, err = weights.ReadSafetensorsFile(filepath.Join(dir, "checkpoints", fmt.Sprintf("step-%09d.safetensors", steps+3)))
		check(t, err)
	}
	if worst := apart(t, states[0], states[1]); worst != 0 {
		t.Errorf("weights differ by %g", worst)
	}
}

// TestTrainTorchrun is started by torchrun itself, whose own store the
// processes meet in.
func TestTrainTorchrun(t *testing.T) {
	if testing.Short() {
		t.Skip("trains")
	}
	python := os.Getenv("SYNSHARD_TEST_PYTHON")
	if python == "" {
		t.Skip("needs a Python with PyTorch, for torchrun: SYNSHARD_TEST_PYTHON=/path/to/python")
	}
	out := filepath.Join(t.TempDir(), "run")
	own := synshardCommand(t, smallRun(t, writeTrainSet(t, 8, 9), out, "--epochs", "1")...)
	cmd := exec.Command(python, append([]string{"-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--no-python"}, own.Args...)...)
	text, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if _, err := os.Stat(filepath.Join(out, "model.onnx")); err != nil {
		t.Errorf("%v: %s", err, text)
	}
}
