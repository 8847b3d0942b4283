//go:build linux

package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Three ways to disturb a job that writes: to kill it, to let its calls fail, to send it signals. After each the same
// command must end in what it would have made undisturbed.

// mostReruns is how often a job that says it stopped with its state saved is run again.
const mostReruns = 40

// finish runs the job until it is done, and judges what it left.
func (j *job) finish(s *scene, dir, after string) error {
	for nth := range mostReruns {
		o, err := j.call(s, dir, nth+1).do()
		if err != nil {
			return err
		}
		if o.code == 75 {
			continue
		}
		if !j.ended(o) {
			return finding("%s; then it does not go on: %v", after, o)
		}
		if err := j.judge(dir); err != nil {
			return finding("%s; then exit %d, and %v", after, o.code, err)
		}
		return nil
	}
	return finding("%s; then %d runs did not end it", after, mostReruns)
}

// kill ends the job at points or after times, a few times over, and lets it finish.
func (j *job) kill(s *scene, r *rand.Rand) (result, error) {
	dir, err := j.ready(s)
	if err != nil {
		return result{}, err
	}
	defer os.RemoveAll(dir)
	var res result
	var told []string
	for range 1 + r.IntN(8) {
		run := j.call(s, dir, r.IntN(8))
		var where string
		if r.IntN(4) > 0 { // at a point
			n := 1 + r.IntN(j.points+1)
			run.decide = func(i int, c func() call) verdict {
				if i == n {
					where = fmt.Sprintf("before change %d (%v)", i, c())
				}
				return verdict{kill: i >= n}
			}
		} else { // at a time
			after := time.Duration(r.Int64N(int64(j.took) + int64(j.took)/8))
			if r.IntN(4) == 0 {
				after = time.Duration(r.Int64N(int64(3 * time.Millisecond)))
			}
			where = fmt.Sprintf("after %v", after)
			run.began = func(pid int) { time.AfterFunc(after, func() { unix.Kill(-pid, unix.SIGKILL) }) }
		}
		o, err := run.do()
		if err != nil {
			return res, err
		}
		if o.signal != unix.SIGKILL || o.late || o.fat {
			if !j.ended(o) {
				return res, finding("killed %s; then %v", strings.Join(told, ", "), o)
			}
			break
		}
		res.acts++
		told = append(told, where)
		if err := j.judgeWhole(dir); err != nil {
			return res, finding("killed %s: %v", strings.Join(told, ", "), err)
		}
	}
	if err := j.finish(s, dir, "killed "+strings.Join(told, ", ")); err != nil {
		return res, err
	}
	res.right++
	return res, nil
}

// failures are what the kernel answers on machines in trouble, by call.
var failures = map[string][]unix.Errno{
	"openat":    {unix.ENOSPC, unix.EMFILE, unix.ENFILE, unix.EACCES, unix.EROFS, unix.EIO, unix.EDQUOT},
	"write":     {unix.ENOSPC, unix.EIO, unix.EDQUOT, unix.EFBIG},
	"pwrite64":  {unix.ENOSPC, unix.EIO, unix.EDQUOT},
	"renameat":  {unix.ENOSPC, unix.EIO, unix.EACCES, unix.EROFS},
	"renameat2": {unix.ENOSPC, unix.EIO},
	"unlinkat":  {unix.EIO, unix.EACCES, unix.EROFS},
	"mkdirat":   {unix.ENOSPC, unix.EACCES, unix.EROFS, unix.EMLINK},
	"fsync":     {unix.EIO, unix.ENOSPC},
	"fdatasync": {unix.EIO, unix.ENOSPC},
}

// fail lets one change fail, or all of its kind from there on, as on a full or a broken disk. The job says so, with
// another exit code and a line that names a file, or it does without; nothing of its temporary files is left, and
// after the trouble it ends right.
func (j *job) fail(s *scene, r *rand.Rand) (result, error) {
	dir, err := j.ready(s)
	if err != nil {
		return result{}, err
	}
	defer os.RemoveAll(dir)
	n, forever := 1+r.IntN(j.points), r.IntN(3) == 0
	var where call
	var errno unix.Errno
	unlinks := false
	run := j.call(s, dir, r.IntN(8))
	run.decide = func(i int, c func() call) verdict {
		if i < n || i > n && !forever {
			return verdict{}
		}
		now := c()
		if now.path == "" || strings.HasPrefix(now.path, "anon_inode") || strings.HasPrefix(now.path, "pipe:") || strings.HasPrefix(now.path, "socket:") { // the runtime's own
			return verdict{}
		}
		choice := failures[now.name]
		if len(choice) == 0 {
			return verdict{}
		}
		if errno == 0 {
			where, errno = now, choice[r.IntN(len(choice))]
		}
		if !slices.Contains(choice, errno) {
			return verdict{}
		}
		unlinks = unlinks || now.name == "unlinkat"
		return verdict{errno: errno}
	}
	o, err := run.do()
	if err != nil {
		return result{}, err
	}
	if errno == 0 {
		return result{}, j.finish(s, dir, "nothing disturbed")
	}
	told := fmt.Sprintf("change %d (%v) failed with %v", n, where, errno)
	if forever {
		told += ", and so did the later ones"
	}
	res := result{acts: 1, code: o.code}
	got, err := readTree(dir, j.same)
	if err != nil {
		return res, err
	}
	if err := j.weigh(&res, told, o, got, j.want.differences(got), unlinks); err != nil {
		return res, err
	}
	return res, j.finish(s, dir, told+fmt.Sprintf(" (exit %d: %s)", o.code, strings.TrimSpace(shorten(o.stderr))))
}

// signals that a job may get, and the exit codes with which it may answer; those of a process that the signal ended
// have no code.
var signals = []struct {
	name string
	all  []unix.Signal
}{
	{"INT", []unix.Signal{unix.SIGINT}},
	{"TERM", []unix.Signal{unix.SIGTERM}},
	{"HUP", []unix.Signal{unix.SIGHUP}},
	{"QUIT", []unix.Signal{unix.SIGQUIT}},
	{"USR1", []unix.Signal{unix.SIGUSR1}},
	{"USR2", []unix.Signal{unix.SIGUSR2}},
	{"PIPE", []unix.Signal{unix.SIGPIPE}},
	{"STOP and CONT", []unix.Signal{unix.SIGSTOP, unix.SIGCONT}},
	{"a storm", []unix.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGTERM, unix.SIGINT, unix.SIGCONT, unix.SIGTERM}},
}

// signal sends the job a signal at a point or after a time.
func (j *job) signal(s *scene, r *rand.Rand) (result, error) {
	dir, err := j.ready(s)
	if err != nil {
		return result{}, err
	}
	defer os.RemoveAll(dir)
	what := signals[r.IntN(len(signals))]
	run := j.call(s, dir, r.IntN(8))
	sent := func(pid int) {
		for i, sig := range what.all {
			if i > 0 {
				time.Sleep(time.Duration(1+r.IntN(5)) * time.Millisecond)
			}
			unix.Kill(pid, sig)
		}
	}
	told := "signal " + what.name
	if r.IntN(2) == 0 {
		n := 1 + r.IntN(j.points)
		told += fmt.Sprintf(" at change %d", n)
		pid := 0
		run.began = func(p int) { pid = p }
		run.decide = func(i int, c func() call) verdict {
			if i == n && pid != 0 {
				told += fmt.Sprintf(" (%v)", c())
				go sent(pid)
				time.Sleep(time.Millisecond)
			}
			return verdict{}
		}
	} else {
		after := time.Duration(r.Int64N(int64(j.took)))
		told += fmt.Sprintf(" after %v", after)
		run.began = func(pid int) { time.AfterFunc(after, func() { sent(pid) }) }
	}
	o, err := run.do()
	if err != nil {
		return result{}, err
	}
	res := result{acts: len(what.all), code: o.code}
	switch {
	case o.late || o.fat:
		return res, finding("%s: %v", told, o)
	case o.signal != 0: // by default: it is told by how it ended
	case what.name != "QUIT" && o.crashed():
		return res, finding("%s: %v", told, o)
	case j.ended(o):
		if err := j.judge(dir); err != nil {
			return res, silent("%s: exit %d, and %v", told, o.code, err)
		}
	case what.name != "QUIT" && o.code != 75 && o.code != 130:
		return res, finding("%s: %v", told, o)
	}
	if err := j.finish(s, dir, told+fmt.Sprintf(" (exit %d %v)", o.code, o.signal)); err != nil {
		return res, err
	}
	res.right++
	return res, nil
}
