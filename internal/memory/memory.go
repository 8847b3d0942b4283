// Package memory says how much memory this process may use.
package memory

import (
	"bytes"
	"math"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/synshard/synshard/internal/regular"
)

// Limit is the least of the machine's memory, the bounds of the control groups
// that this process is in, and its bound on addresses (ulimit -v), in bytes.
func Limit() int64 {
	least := int64(math.MaxInt64)
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		least = min(least, int64(info.Totalram)*int64(info.Unit))
	}
	var addresses unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_AS, &addresses) == nil && addresses.Cur < math.MaxInt64 {
		least = min(least, int64(addresses.Cur))
	}
	text, err := regular.ReadFile("/proc/self/cgroup", regular.Document)
	if err == nil {
		least = min(least, groups("/sys/fs/cgroup", text))
	}
	return least
}

// groups is the least bound of the groups that a process is in, and of those
// above them, by /proc/self/cgroup and the files below root: memory.max of
// version 2, memory.limit_in_bytes of version 1.
func groups(root string, cgroup []byte) int64 {
	least := int64(math.MaxInt64)
	for line := range bytes.Lines(cgroup) {
		fields := strings.SplitN(strings.TrimSpace(string(line)), ":", 3)
		if len(fields) != 3 {
			continue
		}
		dir, file := root, "memory.max"
		if fields[1] != "" {
			if !strings.Contains(","+fields[1]+",", ",memory,") {
				continue
			}
			dir, file = path.Join(root, "memory"), "memory.limit_in_bytes"
		}
		for at := path.Clean("/" + fields[2]); ; at = path.Dir(at) {
			text, err := regular.ReadFile(path.Join(dir, at, file), regular.Document)
			if n, perr := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && perr == nil && n > 0 {
				least = min(least, n)
			}
			if at == "/" {
				break
			}
		}
	}
	return least
}
