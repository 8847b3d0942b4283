// Package memory says how much memory this process may use.
package memory

import (
	"math"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/synshard/synshard/internal/controlgroup"
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
	return min(least, bound(controlgroup.Of("memory")))
}

// bound is the least bound of groups: memory.max of version 2,
// memory.limit_in_bytes of version 1.
func bound(groups []controlgroup.Group) int64 {
	least := int64(math.MaxInt64)
	for _, g := range groups {
		file := "memory.max"
		if g.Version == 1 {
			file = "memory.limit_in_bytes"
		}
		if n, err := strconv.ParseInt(g.Read(file), 10, 64); err == nil && n > 0 {
			least = min(least, n)
		}
	}
	return least
}
