package crash_test

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/synshard/synshard/internal/crash"
)

const line = "last words, with a place to report to"

// deaths are ways in which a process ends badly.
var deaths = map[string]func(){
	"panic in main":        func() { panic("on purpose") },
	"panic in a goroutine": func() { go panic("on purpose"); select {} },
	"nil in a goroutine": func() {
		go func() { var p *int; *p = 1 }()
		time.Sleep(time.Minute)
	},
	"stack overflow": func() { var f func(int) int; f = func(n int) int { return f(n+1) + 1 }; f(0) },
	"unlocked mutex": func() { new(sync.Mutex).Unlock() },
	"abort":          func() { _ = syscall.Kill(os.Getpid(), syscall.SIGABRT); time.Sleep(time.Minute) },
	"quit":           func() { _ = syscall.Kill(os.Getpid(), syscall.SIGQUIT); time.Sleep(time.Minute) },
	// A fault outside Go, as the runtime sees one in C code: sent by nobody, on a thread's own stack.
	"fault": func() { _ = syscall.Kill(os.Getpid(), syscall.SIGSEGV); time.Sleep(time.Minute) },
}

func TestMain(m *testing.M) {
	if name := os.Getenv("SYNSHARD_TEST_DEATH"); name != "" {
		if err := crash.Guard("replaced"); err != nil {
			panic(err)
		}
		if err := crash.Guard(line); err != nil {
			os.Exit(99)
		}
		deaths[name]()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestGuard(t *testing.T) {
	for name := range deaths {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), "SYNSHARD_TEST_DEATH="+name)
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			_ = cmd.Run() // the code says it
			if code := cmd.ProcessState.ExitCode(); code != 1 {
				t.Errorf("exit %d (%v), want 1\n%.2000s", code, cmd.ProcessState, &stderr)
			}
			if got := strings.Count(stderr.String(), line+"\n"); got != 1 || !strings.HasSuffix(stderr.String(), line+"\n") {
				t.Errorf("the line stands %d times, want once, at the end:\n%.2000s", got, &stderr)
			}
			if took := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(); took > 8*time.Second {
				t.Errorf("took %v of a processor", took)
			}
		})
	}
}

func TestGuardRefusesLongLines(t *testing.T) {
	if err := crash.Guard(strings.Repeat("x", 2000)); err == nil {
		t.Error("a line of 2000 bytes was taken")
	}
}
