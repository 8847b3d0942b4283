//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A point is a moment at which a process is about to change the file system: one system call of those in changes. What a
// kill leaves on disk is decided between two points, and by nothing else but how much of one write was done; so trying
// every point is trying every moment. The kernel asks us before each (seccomp's user notification), and we let the call
// be, let it fail, or end the process there.

// changes are the calls that change files, as Go and C make them on every processor that Linux knows.
var changes = map[uint32]string{
	unix.SYS_OPENAT: "openat", unix.SYS_WRITE: "write", unix.SYS_PWRITE64: "pwrite64", unix.SYS_WRITEV: "writev",
	unix.SYS_RENAMEAT: "renameat", unix.SYS_RENAMEAT2: "renameat2", unix.SYS_UNLINKAT: "unlinkat", unix.SYS_MKDIRAT: "mkdirat",
	unix.SYS_SYMLINKAT: "symlinkat", unix.SYS_LINKAT: "linkat", unix.SYS_FSYNC: "fsync", unix.SYS_FDATASYNC: "fdatasync",
	unix.SYS_FTRUNCATE: "ftruncate", unix.SYS_FALLOCATE: "fallocate", unix.SYS_COPY_FILE_RANGE: "copy_file_range", unix.SYS_UTIMENSAT: "utimensat",
}

// call is a change that is about to be made.
type call struct {
	name string
	path string // what it is about, where that can be told
}

func (c call) String() string { return strings.TrimSpace(c.name + " " + c.path) }

// verdict is what becomes of a call.
type verdict struct {
	kill  bool        // end the process in place of the call
	errno unix.Errno  // let the call fail
	send  unix.Signal // deliver this, and make the call
}

// launchVar asks a copy of this program to put a filter on itself and to become another program.
const launchVar = "SYNSHARD_ATTACK_LAUNCH"

// init is the other half of watch: it never returns where launchVar is set.
func init() {
	if os.Getenv(launchVar) == "" {
		return
	}
	runtime.LockOSThread() // the filter is the thread's, and exec keeps it
	if err := becomeWatched(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "attack: launch:", err)
		os.Exit(exitLaunch)
	}
}

// exitLaunch is no code of synshard's.
const exitLaunch = 99

func becomeWatched(args []string) error {
	os.Unsetenv(launchVar)
	const socket = 3
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	filter := changesFilter()
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return fmt.Errorf("seccomp: %w", errno)
	}
	if err := unix.Sendmsg(socket, []byte{0}, unix.UnixRights(int(fd)), nil, 0); err != nil {
		return err
	}
	unix.Close(int(fd))
	unix.Close(socket)
	return unix.Exec(args[0], args, os.Environ())
}

// changesFilter asks about the calls of changes: of openat only those that may create or write, of writes those that go
// neither to stdout nor to stderr.
func changesFilter() []unix.SockFilter {
	const (
		nr, arg0, arg2 = 0, 16, 32 // offsets in seccomp_data; the low words of arguments on a little-endian machine
		writes         = unix.O_WRONLY | unix.O_RDWR | unix.O_CREAT | unix.O_TRUNC
	)
	load := func(at uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at}
	}
	jump := func(op uint16, k uint32, yes, no uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | op | unix.BPF_K, Jt: yes, Jf: no, K: k}
	}
	ret := func(k uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k} }
	f := []unix.SockFilter{load(nr),
		jump(unix.BPF_JEQ, unix.SYS_OPENAT, 0, 4), load(arg2), jump(unix.BPF_JSET, writes, 0, 1), ret(unix.SECCOMP_RET_USER_NOTIF), ret(unix.SECCOMP_RET_ALLOW),
		jump(unix.BPF_JEQ, unix.SYS_WRITE, 0, 4), load(arg0), jump(unix.BPF_JGT, 2, 0, 1), ret(unix.SECCOMP_RET_USER_NOTIF), ret(unix.SECCOMP_RET_ALLOW),
	}
	for number := range changes {
		if number != unix.SYS_OPENAT && number != unix.SYS_WRITE {
			f = append(f, jump(unix.BPF_JEQ, number, 0, 1), ret(unix.SECCOMP_RET_USER_NOTIF))
		}
	}
	return append(f, ret(unix.SECCOMP_RET_ALLOW))
}

// The kernel's structures, from linux/seccomp.h.
type (
	notification struct {
		id         uint64
		pid, flags uint32
		nr         int32
		arch       uint32
		ip         uint64
		args       [6]uint64
	}
	answer struct {
		id    uint64
		val   int64
		error int32
		flags uint32
	}
)

const continueCall = 1 // SECCOMP_USER_NOTIF_FLAG_CONTINUE

// watch makes cmd, not started yet, one that asks decide before each change, counted from 1. The function that comes
// back starts it and serves its questions until it is gone, and returns their number.
func watch(cmd *exec.Cmd, decide func(n int, c func() call) verdict) (start func() error, serve func() int, err error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	theirs := os.NewFile(uintptr(pair[1]), "launch")
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	cmd.Args = append([]string{self}, cmd.Args...)
	cmd.Path, cmd.Env, cmd.ExtraFiles = self, append(cmd.Environ(), launchVar+"=1"), []*os.File{theirs}
	start = func() error {
		defer theirs.Close()
		return cmd.Start()
	}
	serve = func() int {
		defer unix.Close(pair[0])
		listener, err := receive(pair[0])
		if err != nil { // it ended before it asked
			return 0
		}
		defer unix.Close(listener)
		return answerAll(listener, cmd.Process.Pid, decide)
	}
	return start, serve, nil
}

func receive(socket int) (int, error) {
	b, oob := make([]byte, 1), make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(socket, b, oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return 0, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(messages) == 0 {
		return 0, errors.Join(err, unix.EPIPE)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) == 0 {
		return 0, errors.Join(err, unix.EPIPE)
	}
	return fds[0], nil
}

// answerAll serves until every process under the filter is gone.
func answerAll(listener, pid int, decide func(int, func() call) verdict) (n int) {
	for {
		poll := []unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}}
		if _, err := unix.Poll(poll, -1); err != nil && err != unix.EINTR {
			return n
		}
		if poll[0].Revents&unix.POLLIN == 0 {
			if poll[0].Revents&(unix.POLLHUP|unix.POLLERR) != 0 {
				return n
			}
			continue
		}
		var q notification
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(listener), unix.SECCOMP_IOCTL_NOTIF_RECV, uintptr(unsafe.Pointer(&q))); errno != 0 {
			continue // the thread that asked is gone
		}
		n++
		v := decide(n, func() call { return q.call() })
		if v.kill {
			unix.Kill(-pid, unix.SIGKILL)
			if group, err := unix.Getpgid(int(q.pid)); err != nil || group == pid {
				continue
			}
			// Of another group, which the kill left: it goes on as it would.
		}
		if v.send != 0 {
			unix.Kill(pid, v.send)
		}
		a := answer{id: q.id, flags: continueCall}
		if v.errno != 0 {
			a.error, a.flags = -int32(v.errno), 0
		}
		unix.Syscall(unix.SYS_IOCTL, uintptr(listener), unix.SECCOMP_IOCTL_NOTIF_SEND, uintptr(unsafe.Pointer(&a)))
	}
}

// call names the change in question, for messages.
func (q *notification) call() call {
	c := call{name: changes[uint32(q.nr)]}
	switch c.name {
	case "openat", "renameat", "renameat2", "unlinkat", "mkdirat", "utimensat":
		c.path = stringAt(int(q.pid), q.args[1])
	case "symlinkat":
		c.path = stringAt(int(q.pid), q.args[2])
	default:
		c.path, _ = os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", q.pid, int32(q.args[0])))
	}
	c.path = filepath.Base(c.path)
	return c
}

// stringAt reads a C string of another process.
func stringAt(pid int, address uint64) string {
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		return ""
	}
	defer mem.Close()
	b := make([]byte, 256)
	n, _ := mem.ReadAt(b, int64(address))
	text, _, _ := bytes.Cut(b[:n], []byte{0})
	return string(text)
}
