package traintest

import (
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
)

// FreePort is a TCP port of loopback's that no one listens at, nor will unasked: it lies below
// those that the kernel gives out, and among those that Slurm's job numbers give.
func FreePort(t testing.TB) int {
	t.Helper()
	for range 100 {
		port := 20000 + rand.IntN(10000)
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		return port
	}
	t.Fatal("no free port from 20000 to 29999")
	return 0
}
