package main

import (
	"bytes"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/synshard/synshard/internal/crash"
)

// crashes is a process that dies as synshard's would by a panic in a goroutine
// of a library.
func crashes() {
	if err := crash.Guard("synshard: " + crashText()); err != nil {
		os.Exit(99)
	}
	go func() { panic("on purpose") }()
	select {}
}

// TestQuit sends SIGQUIT to a verb that reads its standard input.
func TestQuit(t *testing.T) {
	for _, c := range []struct {
		mode, last string
	}{
		{"off", "synshard: this is a fault in synshard "},
		{"json", `{"exit_code":1,"kind":"fault","message":"this is a fault in synshard `},
	} {
		cmd := synshardCommand(t, "eval", "-", "--classes", "imagenet-1k", "--progress", c.mode)
		stdin, err := cmd.StdinPipe()
		check(t, err)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		check(t, cmd.Start())
		// More than a pipe holds: when it is written the verb has begun to read.
		if _, err := io.WriteString(stdin, "{"+strings.Repeat(" ", 70_000)); err == nil {
			check(t, cmd.Process.Signal(syscall.SIGQUIT))
		}
		_ = cmd.Wait()
		text := strings.TrimSuffix(stderr.String(), "\n")
		if code := cmd.ProcessState.ExitCode(); code != exitFailure || !strings.HasPrefix(text[strings.LastIndex(text, "\n")+1:], c.last) || !strings.Contains(text, reportAddress) {
			t.Errorf("exit %d, %q", code, text)
		}
	}
}
