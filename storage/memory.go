package storage

import (
	"fmt"
	"sync"

	"golang.org/x/sys/unix"
)

// spare are bytes of windows of the largest size that nobody uses. They lie outside of the heap: of what
// lies in it the collector lets it grow by as much again before it looks, and what is given back is
// cleared before it is used again, which costs as much as fetching does on a fast network.
var spare struct {
	sync.Mutex
	all [][]byte
}

// mostSpare is how many are kept.
const mostSpare = 4

// memory gives so many bytes for a window.
func memory(size int64) ([]byte, error) {
	if size <= mostWindow/2 || size > mostWindow {
		return make([]byte, size), nil
	}
	spare.Lock()
	defer spare.Unlock()
	if n := len(spare.all); n > 0 {
		b := spare.all[n-1]
		spare.all = spare.all[:n-1]
		return b[:size], nil
	}
	b, err := unix.Mmap(-1, 0, mostWindow, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, fmt.Errorf("memory for what is read ahead: %w", err)
	}
	return b[:size], nil
}

// unused takes back what memory gave.
func unused(b []byte) {
	if cap(b) != mostWindow {
		return
	}
	spare.Lock()
	defer spare.Unlock()
	if b = b[:mostWindow]; len(spare.all) < mostSpare {
		spare.all = append(spare.all, b)
		return
	}
	_ = unix.Munmap(b)
}
