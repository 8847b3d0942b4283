package regular

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// AtMost is how many files one who keeps files open may keep, of what the process
// may have: an nth part of it, and no more than most.
func AtMost(most, nth int) int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return min(most, 64)
	}
	return int(max(4, min(uint64(most), uint64(limit.Cur)/uint64(nth))))
}

// TooMany says whether an error is that too many files are open, here or on the
// machine: closing one helps.
func TooMany(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}
