// Command synshard turns ImageNet archives into Arrow shards organised by
// WordNet synset, fits networks on them and predicts over them.
//
// This package is the only one that knows of flags, the environment, the
// terminal and exit codes; each verb has a file of its own.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/synshard/synshard/internal/processors"
)

// version is set by the linker (-X main.version=...) and otherwise taken from
// the build information.
var version = ""

func main() {
	processors.Spare()
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run executes one command line and returns its exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The first signal asks for an orderly end; after it the default action
	// is back, so that a second one ends the process at once.
	context.AfterFunc(ctx, stop)

	a := &app{stdin: stdin, stdout: stdout, stderr: stderr}
	root := newRoot(a)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	code := a.classify(err)
	if text := strings.TrimSpace(err.Error()); text != "" {
		a.logf("%s", strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' }), "; "))
	}
	return code
}
