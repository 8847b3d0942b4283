package storage

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/synshard/synshard/internal/regular"
)

// Holder is who takes a lock.
type Holder struct {
	// Host names the processes that see each other: whoever is not of it is known to be dead
	// by its silence alone.
	Host  string
	PID   int                // on Host
	Alive func(pid int) bool // of a process on Host
}

// ThisProcess is the process as a holder. Its host is this machine since it was started
// and, in it, this container: a process that another one of the same name left, or one of
// the same number in a container that was started again, is not taken for it.
func ThisProcess() (Holder, error) {
	host, err := os.Hostname()
	if err != nil {
		return Holder{}, err
	}
	if space, err := os.Readlink("/proc/self/ns/pid"); err == nil { // else all see each other
		host += " " + space
	}
	if b, err := regular.ReadFile("/proc/sys/kernel/random/boot_id", 64); err == nil {
		host += " " + strings.TrimSpace(string(b))
	}
	return Holder{Host: host, PID: os.Getpid(), Alive: alive}, nil
}

// alive says whether a process that this one can see lives. One that has ended and whose parent
// did not ask how is still listed (a zombie), and writes no more.
func alive(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return false
	}
	b, err := regular.ReadFile(fmt.Sprintf("/proc/%d/stat", pid), 4096)
	if err != nil { // another system, or a process that is hidden
		return true
	}
	_, state, _ := strings.Cut(string(b[bytes.LastIndexByte(b, ')')+1:]), " ") // behind the name, which may have any bytes
	return !strings.HasPrefix(state, "Z") && !strings.HasPrefix(state, "X")
}
