package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestTermEnds sends SIGTERM to runs that wait for a pipe that says nothing.
func TestTermEnds(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for ten seconds")
	}
	t.Parallel()
	out := filepath.Join(t.TempDir(), "set")
	cmd := synshardCommand(t, "ingest", "--train", "-", "--out", out, "--progress", "off")
	r, w, err := os.Pipe()
	check(t, err)
	defer w.Close()
	var talk bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = r, io.Discard, &talk
	check(t, cmd.Start())
	_, err = w.Write([]byte{0})
	check(t, err)
	awaitRead(t, r) // and waits for the rest of the first header
	check(t, cmd.Process.Signal(syscall.SIGTERM))
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-ended:
		if code := cmd.ProcessState.ExitCode(); code != exitInterrupted && code != exitStopped {
			t.Errorf("exit code %d\n%s", code, &talk)
		}
	case <-time.After(2 * patience):
		cmd.Process.Kill()
		t.Fatal("SIGTERM does not end it")
	}
}

// awaitRead returns when nothing is left in a pipe that another process reads.
func awaitRead(t *testing.T, r *os.File) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		left, err := unix.IoctlGetInt(int(r.Fd()), unix.TIOCINQ)
		check(t, err)
		if left == 0 {
			return
		}
	}
	t.Fatal("nothing is read")
}
