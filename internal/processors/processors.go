// Package processors says how many processors there are to share out: what this
// process was given, and not what the machine has. Every verb asks here.
package processors

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"io"
	"math"
	"runtime"
	"strconv"
	"strings"

	"github.com/synshard/synshard/internal/controlgroup"
	"github.com/synshard/synshard/internal/regular"
)

// count begins as Go's own number, which keeps to affinity and to GOMAXPROCS, and
// to quotas of two processors and more.
var count = min(runtime.GOMAXPROCS(0), quota(controlgroup.Of("cpu")))

// Count is how many processors this process may use, at least 1: as few as its
// affinity, the quotas of its control groups and, once Heed was called, its
// scheduler allow.
func Count() int { return count }

// Heed keeps to what a scheduler says in the environment. It is for the program to
// call, once and first.
func Heed(getenv func(string) string) {
	if n := Given(getenv); n > 0 {
		count = min(count, n)
	}
}

// Given is how many processors Slurm gave this process; 0: not said, or no job. A
// task that srun started has its own, a batch script those of its job on this
// machine. It may be fewer than the system allows: not every cluster binds tasks to
// processors.
func Given(getenv func(string) string) int {
	onNode := number(getenv("SLURM_CPUS_ON_NODE"))
	if getenv("SLURM_STEP_ID") == "" {
		if getenv("SLURM_JOB_ID") == "" {
			return 0
		}
		return onNode
	}
	if n := number(getenv("SLURM_CPUS_PER_TASK")); n > 0 {
		return n
	}
	if tasks := TasksHere(getenv); tasks > 0 && onNode > 0 {
		return max(onNode/tasks, 1)
	}
	return 0
}

// TasksHere is how many tasks of its step Slurm started on this machine, which it
// says in one of several ways; 0: not said.
func TasksHere(getenv func(string) string) int {
	if getenv("SLURM_STEP_NUM_NODES") == "1" || getenv("SLURM_STEP_NUM_NODES") == "" && getenv("SLURM_JOB_NUM_NODES") == "1" {
		return number(getenv("SLURM_NTASKS"))
	}
	return tasksOn(getenv("SLURM_STEP_TASKS_PER_NODE"), getenv("SLURM_NODEID"))
}

// Name is what the machine's processors are called, as Linux has it; "" where it does not
// say.
func Name() string { return info("model name") }

// Kind tells processors apart by their name and all that they say they can do; "" where the
// system says neither.
func Kind() string {
	features := info("flags") + info("Features") // x86-64's, arm64's
	if features == "" {
		return Name()
	}
	return fmt.Sprintf("%s %.8x", Name(), sha256.Sum256([]byte(features)))
}

// info is what Linux says of the first processor under a key; "" where it says nothing.
func info(key string) string {
	f, _, err := regular.Open("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	defer f.Close()
	for s := bufio.NewScanner(io.LimitReader(f, 1<<16)); s.Scan(); {
		if k, value, ok := strings.Cut(s.Text(), ":"); ok && strings.TrimSpace(k) == key {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// number reads a count; 0 where it is none.
func number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0
	}
	return max(n, 0)
}

// tasksOn is a node's number in Slurm's list of tasks a node: the third of
// "4(x2),3" is 3.
func tasksOn(list, node string) int {
	at, err := strconv.Atoi(node)
	if err != nil {
		return 0
	}
	for part := range strings.SplitSeq(list, ",") {
		text, times, repeated := strings.Cut(part, "(x")
		n, err := strconv.Atoi(text)
		if err != nil {
			return 0
		}
		nodes := 1
		if repeated {
			if nodes, err = strconv.Atoi(strings.TrimSuffix(times, ")")); err != nil {
				return 0
			}
		}
		if at < nodes {
			return n
		}
		at -= nodes
	}
	return 0
}

// quota is how many processors control groups let a process have at a time, rounded
// up and at least 1: cpu.max of version 2, cpu.cfs_quota_us and cpu.cfs_period_us of
// version 1.
func quota(groups []controlgroup.Group) int {
	least := math.Inf(1)
	for _, g := range groups {
		max, period, _ := strings.Cut(g.Read("cpu.max"), " ")
		if g.Version == 1 {
			max, period = g.Read("cpu.cfs_quota_us"), g.Read("cpu.cfs_period_us")
		}
		if n, of := number(max), number(period); n > 0 && of > 0 {
			least = min(least, float64(n)/float64(of))
		}
	}
	if least > math.MaxInt32 {
		return math.MaxInt32
	}
	return int(math.Ceil(least))
}

// Spare gives Go's scheduler two places more than there are processors. Work
// here is done in C, in calls of a millisecond, and Count workers do it. With as
// many places the scheduler would take each from a call that lasts, to nobody's
// use, and spend a tenth of a processor on that; while one is free it waits.
// For the program to call, once.
func Spare() { runtime.GOMAXPROCS(count + 2) }
