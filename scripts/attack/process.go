//go:build linux

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// run is one call of a command.
type run struct {
	args  []string // the program first
	dir   string
	env   []string // beside ours
	stdin *os.File
	limit time.Duration // after it the process is killed, and the outcome is late
	bytes int64         // resident memory above which it is killed, and the outcome is fat

	// decide is asked before each change to the file system; nil asks nothing.
	decide func(n int, c func() call) verdict
	// began is called with the process's id once it runs.
	began func(pid int)
}

// outcome is how a command ended.
type outcome struct {
	code           int            // exit code; -1 where a signal ended it
	signal         syscall.Signal // that ended it
	stdout, stderr string
	late, fat      bool
	took           time.Duration
	points         int
}

func (o outcome) String() string {
	how := fmt.Sprintf("exit %d", o.code)
	switch {
	case o.late:
		how = fmt.Sprintf("still running after %v", o.took.Round(time.Millisecond))
	case o.fat:
		how = "out of bounds of memory"
	case o.signal != 0:
		how = o.signal.String()
	}
	return how + ": " + strings.TrimSpace(shorten(o.stderr))
}

// shorten keeps the first and the last of what was said.
func shorten(text string) string {
	const most = 300
	if len(text) > 2*most {
		return text[:most] + " ... " + text[len(text)-most:]
	}
	return text
}

// crashed says whether a process ended as none should: by a fault of its own, for too long, or with too much.
func (o outcome) crashed() bool {
	for _, mark := range []string{"panic:", "goroutine ", "runtime error", "fatal error:", "SIGSEGV", "please report"} {
		if strings.Contains(o.stderr, mark) {
			return true
		}
	}
	return o.late || o.fat || o.code == exitLaunch || o.signal == syscall.SIGSEGV || o.signal == syscall.SIGABRT || o.signal == syscall.SIGBUS
}

// do runs it to its end.
func (r run) do() (outcome, error) {
	cmd := exec.Command(r.args[0], r.args[1:]...)
	var stdout, stderr bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr = r.dir, &stdout, &stderr
	cmd.Env = append(append(os.Environ(), "SYNSHARD_PROGRESS=off"), r.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = 2 * time.Second
	if r.stdin != nil {
		cmd.Stdin = r.stdin
	}
	start, serve := cmd.Start, func() int { return 0 }
	if r.decide != nil {
		var err error
		if start, serve, err = watch(cmd, r.decide); err != nil {
			return outcome{}, err
		}
	}
	begun := time.Now()
	if err := start(); err != nil {
		return outcome{}, err
	}
	if r.began != nil {
		r.began(cmd.Process.Pid)
	}
	points := make(chan int, 1)
	go func() { points <- serve() }()
	ended := make(chan struct{})
	var o outcome
	guarded := make(chan struct{})
	go func() { o.late, o.fat = r.guard(cmd.Process.Pid, ended); close(guarded) }()
	cmd.Wait() // its error is in the state
	close(ended)
	<-guarded
	syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what it may have left running
	o.points = <-points
	o.took, o.stdout, o.stderr = time.Since(begun), strings.ReplaceAll(stdout.String(), r.dir, "."), stderr.String() // the directory is the trial's own
	state := cmd.ProcessState.Sys().(syscall.WaitStatus)
	o.code = state.ExitStatus()
	if state.Signaled() {
		o.signal = state.Signal()
	}
	return o, nil
}

// guard kills a process that takes too long or too much.
func (r run) guard(pid int, ended <-chan struct{}) (late, fat bool) {
	limit, most := r.limit, r.bytes
	if limit == 0 {
		limit = time.Minute
	}
	if most == 0 {
		most = 3 << 30
	}
	end := time.After(limit)
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for {
		select {
		case <-ended:
			return false, false
		case <-end:
			late = true
		case <-look.C:
			fat = resident(pid) > most
		}
		if late || fat {
			syscall.Kill(-pid, syscall.SIGKILL)
			return late, fat
		}
	}
}

// resident is a process's memory in bytes.
func resident(pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(b))
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize())
}
