package traintest

import (
	"os/signal"
	"syscall"
)

// A test that trains in a group learns by an error, not by its end, that another process of it is gone, as the verbs do:
// Gloo's threads write to connections without asking for that.
func init() { signal.Ignore(syscall.SIGPIPE) }
