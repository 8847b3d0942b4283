package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
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
	time.Sleep(time.Second) // it waits for the first header by now
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
