// Package crash decides how this process ends when it is beyond saving: a
// panic in any goroutine, a fault in C code, an abort of a C++ library or
// SIGQUIT end in exit code 1 and one last line on stderr, where the Go runtime
// would exit 2, which here means wrong usage.
//
// A recover reaches its own goroutine alone, and the libraries below start
// goroutines of theirs. So the runtime is told to raise SIGABRT once it has
// printed what it knows of a crash, and a handler of a few lines, which
// allocates nothing and takes no lock, writes the line and ends the process.
package crash

// #include "crash.h"
import "C"

import (
	"fmt"
	"runtime/debug"
	"unsafe"
)

// Guard installs the handler; line (without its newline, at most 1000 bytes)
// is what it writes. Calling it again changes the line.
func Guard(line string) error {
	debug.SetTraceback("crash")
	b := []byte(line + "\n")
	if C.crash_guard((*C.char)(unsafe.Pointer(&b[0])), C.size_t(len(b))) != 0 {
		return fmt.Errorf("crash: handler for a line of %d bytes cannot be installed", len(line))
	}
	return nil
}
