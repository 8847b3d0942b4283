package main

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/synshard/synshard/train/cluster/meeting"
)

// groupProcess is one process of a run of two.
type groupProcess struct {
	pid    int
	end    func(t *testing.T) int // waits for it and gives its exit code; -1: it is rank 0's to know
	stderr *bytes.Buffer
}

// startGroup starts a run of two, by --procs or as a launcher would, and waits for
// some steps.
func startGroup(t *testing.T, how, set, out string, more ...string) [2]groupProcess {
	t.Helper()
	more = append([]string{"--epochs", "400", "--checkpoint-every", "1h"}, more...)
	var ps [2]groupProcess
	if how == "procs" {
		p := &process{Cmd: synshardCommand(t, smallRun(t, set, out, append(more, "--procs", "2")...)...)}
		p.Stdout, p.Stderr = &p.stdout, &p.stderr
		check(t, p.Start())
		t.Cleanup(func() { p.Process.Kill() })
		waitForSteps(t, out, 3)
		children := taskChildren(t, p.Process.Pid)
		if len(children) != 1 {
			t.Fatalf("children %v, want one", children)
		}
		ps[0] = groupProcess{p.Process.Pid, p.end, &p.stderr}
		ps[1] = groupProcess{children[0], gone(children[0]), &p.stderr}
		return ps
	}
	for i, p := range launch(t, how, smallRun(t, set, out, more...)) {
		ps[i] = groupProcess{p.Process.Pid, p.end, &p.stderr}
	}
	waitForSteps(t, out, 3)
	return ps
}

// gone waits until a process of somebody else's is no more.
func gone(pid int) func(*testing.T) int {
	return func(t *testing.T) int {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
			if stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err != nil || strings.Contains(string(stat), ") Z ") {
				return -1
			}
		}
		t.Errorf("process %d is still there", pid)
		return -1
	}
}

// listening are the addresses at which a process accepts TCP connections.
func listening(t *testing.T, pid int) []netip.AddrPort {
	t.Helper()
	own := map[string]bool{}
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	check(t, err)
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil && strings.HasPrefix(to, "socket:[") {
			own[strings.Trim(to, "socket:[]")] = true
		}
	}
	var all []netip.AddrPort
	for _, table := range []string{"tcp", "tcp6"} {
		f, err := os.Open(fmt.Sprintf("/proc/%d/net/%s", pid, table))
		if os.IsNotExist(err) { // a machine without IPv6
			continue
		}
		check(t, err)
		defer f.Close()
		for lines := bufio.NewScanner(f); lines.Scan(); {
			const local, state, inode, listens = 1, 3, 9, "0A"
			if fields := strings.Fields(lines.Text()); len(fields) > inode && fields[state] == listens && own[fields[inode]] {
				all = append(all, kernelAddress(t, fields[local]))
			}
		}
	}
	return all
}

// kernelAddress reads an address as /proc writes it: words of four bytes in the
// machine's order, here the least first, and a port.
func kernelAddress(t *testing.T, text string) netip.AddrPort {
	t.Helper()
	host, port, _ := strings.Cut(text, ":")
	b, err := hex.DecodeString(host)
	check(t, err)
	for word := range slices.Chunk(b, 4) {
		slices.Reverse(word)
	}
	addr, _ := netip.AddrFromSlice(b)
	var n uint16
	_, err = fmt.Sscanf(port, "%x", &n)
	check(t, err)
	return netip.AddrPortFrom(addr.Unmap(), n)
}

// TestTrainSignals: whichever process of a group gets whichever signal, the step is
// finished and saved, and all end with 75; meanwhile none listens but on loopback,
// and nothing is left behind.
func TestTrainSignals(t *testing.T) {
	if testing.Short() {
		t.Skip("trains")
	}
	set := writeTrainSet(t, 8, 9)
	for _, c := range []struct {
		how    string
		signal syscall.Signal
		rank   int
	}{
		{"procs", syscall.SIGHUP, 0},
		{"procs", syscall.SIGTERM, 1},
		{"procs", syscall.SIGXCPU, 1},
		{"torchrun", syscall.SIGINT, 0},
		{"torchrun", syscall.SIGHUP, 1},
	} {
		t.Run(fmt.Sprintf("%s/%v to rank %d", c.how, c.signal, c.rank), func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "run")
			ps := startGroup(t, c.how, set, out)
			for i, p := range ps {
				for _, a := range listening(t, p.pid) {
					if !a.Addr().IsLoopback() {
						t.Errorf("rank %d listens at %v", i, a)
					}
				}
			}
			check(t, syscall.Kill(ps[c.rank].pid, c.signal))
			began := time.Now()
			for i, p := range ps {
				if code := p.end(t); code != exitStopped && code != -1 {
					t.Errorf("rank %d ends with %d: %q", i, code, p.stderr)
				}
			}
			if took := time.Since(began); took > 20*time.Second || !strings.Contains(ps[0].stderr.String(), "saved") {
				t.Errorf("after %v: %q", took, ps[0].stderr)
			}
			if _, err := os.Stat(filepath.Join(out, meeting.SecretName)); !os.IsNotExist(err) {
				t.Errorf("the group's secret is left: %v", err)
			}
		})
	}
}

// TestTrainSilent: a process that is stopped is given up after the time stated, and
// sooner where the group is to stop; what was done before is saved.
func TestTrainSilent(t *testing.T) {
	if testing.Short() {
		t.Skip("trains")
	}
	set := writeTrainSet(t, 8, 9)
	for _, c := range []struct {
		how     string
		timeout string
		stop    bool // rank 0 is told to stop too
		want    int
	}{
		{"procs", "3s", false, exitFailure},
		{"torchrun", "1h", true, exitStopped},
	} {
		out := filepath.Join(t.TempDir(), "run")
		ps := startGroup(t, c.how, set, out, "--peer-timeout", c.timeout)
		check(t, syscall.Kill(ps[1].pid, syscall.SIGSTOP))
		if c.stop {
			// Rank 0 is in a step that rank 1 has no part in once none has ended for a while.
			for n, since := logLines(t, out), time.Now(); time.Since(since) < time.Second; time.Sleep(10 * time.Millisecond) {
				if now := logLines(t, out); now != n {
					n, since = now, time.Now()
				}
			}
			check(t, syscall.Kill(ps[0].pid, syscall.SIGTERM))
		}
		began := time.Now()
		code := ps[0].end(t)
		last := fmt.Sprintf("step %d", logLines(t, out))
		said := ps[0].stderr.String()
		if took := time.Since(began); code != c.want || took > time.Minute || !strings.Contains(said, "rank 1") || !strings.Contains(said, "no sign of life") || !strings.Contains(said, "saved") {
			t.Errorf("%s: ends with %d after %v: %q", c.how, code, took, said)
		}
		if !strings.Contains(said, last+" ") {
			t.Errorf("%s: said %q, but the last step done is %s", c.how, said, last)
		}
		if c.how != "procs" { // whose stopped process is killed
			check(t, syscall.Kill(ps[1].pid, syscall.SIGCONT))
		}
		ps[1].end(t)
	}
}

// TestTrainSilentRank0: the others end where rank 0 is stopped, which finds them gone when
// it goes on, and has saved.
func TestTrainSilentRank0(t *testing.T) {
	if testing.Short() {
		t.Skip("trains")
	}
	set := writeTrainSet(t, 8, 9)
	for _, how := range []string{"procs", "torchrun"} {
		out := filepath.Join(t.TempDir(), "run")
		ps := startGroup(t, how, set, out, "--peer-timeout", "3s")
		check(t, syscall.Kill(ps[0].pid, syscall.SIGSTOP))
		began := time.Now()
		ps[1].end(t)
		if took := time.Since(began); took > 30*time.Second {
			t.Errorf("%s: rank 1 waited for %v", how, took)
		}
		check(t, syscall.Kill(ps[0].pid, syscall.SIGCONT))
		began = time.Now()
		code, said := ps[0].end(t), ps[0].stderr.String()
		if took := time.Since(began); took > 30*time.Second {
			t.Errorf("%s: rank 0 waited for %v for who is gone", how, took)
		}
		if code != exitFailure || !strings.Contains(said, "rank 1") || !strings.Contains(said, "saved") {
			t.Errorf("%s: rank 0 ends with %d: %q", how, code, said)
		}
	}
}

// TestTrainSecondSignal: a second signal ends the process that gets it at once. The others
// have been told to stop by the first, or lose it: they end in seconds, with 75 or an error
// that names it, and say what is saved.
func TestTrainSecondSignal(t *testing.T) {
	if testing.Short() {
		t.Skip("trains")
	}
	set := writeTrainSet(t, 8, 9)
	for _, how := range []string{"procs", "torchrun"} {
		out := filepath.Join(t.TempDir(), "run")
		ps := startGroup(t, how, set, out)
		check(t, syscall.Kill(ps[1].pid, syscall.SIGTERM))
		_ = syscall.Kill(ps[1].pid, syscall.SIGTERM) // it may be gone already
		began := time.Now()
		code := ps[0].end(t)
		ps[1].end(t)
		said := ps[0].stderr.String()
		if code != exitStopped && (code != exitFailure || !strings.Contains(said, "rank 1")) || !strings.Contains(said, "saved") {
			t.Errorf("%s: rank 0 ends with %d: %q", how, code, said)
		}
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("%s: it took %v", how, took)
		}
	}
}

// TestTrainLostContinues: what is saved when a process is lost is what it was: the
// run that goes on from it ends in the bits of one that lost nobody.
func TestTrainLostContinues(t *testing.T) {
	if testing.Short() {
		t.Skip("trains")
	}
	set := writeTrainSet(t, 8, 9)
	one, two := filepath.Join(t.TempDir(), "one"), filepath.Join(t.TempDir(), "two")
	args := func(out string) []string { return smallRun(t, set, out, "--procs", "2", "--epochs", "12") }
	check(t, synshardCommand(t, args(one)...).Run())
	ps := startGroup(t, "procs", set, two, "--epochs", "12")
	check(t, syscall.Kill(ps[1].pid, syscall.SIGKILL))
	if code := ps[0].end(t); code != exitFailure && code != exitOK { // it may have been done
		t.Errorf("ends with %d: %q", code, ps[0].stderr)
	}
	check(t, synshardCommand(t, args(two)...).Run())
	if worst := weightsApart(t, one, two); worst != 0 {
		t.Errorf("weights differ by %g", worst)
	}
}

// TestTrainHangup: a terminal that closes stops a run, saved, and one under nohup
// not at all.
func TestTrainHangup(t *testing.T) {
	if testing.Short() {
		t.Skip("trains")
	}
	set := writeTrainSet(t, 8, 9)
	for _, ignored := range []bool{false, true} {
		out := filepath.Join(t.TempDir(), "run")
		cmd := synshardCommand(t, smallRun(t, set, out, "--epochs", "400")...)
		if ignored {
			cmd.Args = append([]string{"sh", "-c", `trap "" HUP; exec "$0" "$@"`, cmd.Path}, cmd.Args[1:]...)
			var err error
			cmd.Path, err = exec.LookPath("sh")
			check(t, err)
		}
		check(t, cmd.Start())
		t.Cleanup(func() { cmd.Process.Kill() })
		waitForSteps(t, out, 2)
		check(t, cmd.Process.Signal(syscall.SIGHUP))
		if ignored {
			waitForSteps(t, out, logLines(t, out)+5)
			check(t, cmd.Process.Signal(syscall.SIGTERM))
		}
		_ = cmd.Wait() // the code says it
		if code := cmd.ProcessState.ExitCode(); code != exitStopped {
			t.Errorf("SIGHUP ignored %v: ends with %d", ignored, code)
		}
	}
}
