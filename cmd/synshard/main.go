// Command synshard turns ImageNet archives into Arrow shards organised by
// WordNet synset, fits networks on them and predicts over them.
//
// This package is the only one that knows of flags, the environment and exit
// codes; each verb has a file of its own, and verbs.go lists them.
package main

import (
	"cmp"
	"context"
	"io"
	"log"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/synshard/synshard/internal/crash"
	"github.com/synshard/synshard/internal/metrics"
	"github.com/synshard/synshard/internal/processors"
	"github.com/synshard/synshard/internal/ui"
	"github.com/synshard/synshard/storage"
)

func main() {
	log.SetOutput(io.Discard) // libraries of object stores talk there of what they return, too
	processors.Heed(os.Getenv)
	processors.Spare()
	// A crash of any goroutine or library must not end in exit code 2, which is
	// wrong usage here.
	if err := crash.Guard("synshard: " + crashText()); err != nil {
		panic(err)
	}
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// progressAsked is --progress where an error came before it was read.
func progressAsked(args []string, read string) string {
	for i, arg := range args {
		if value, ok := strings.CutPrefix(arg, "--progress="); ok {
			return value
		}
		if arg == "--progress" && i+1 < len(args) {
			return args[i+1]
		}
	}
	return cmp.Or(os.Getenv("SYNSHARD_PROGRESS"), read)
}

// jsonAsked is --json, likewise.
func jsonAsked(args []string, read bool) bool {
	asked := read
	if v, err := strconv.ParseBool(os.Getenv("SYNSHARD_JSON")); err == nil {
		asked = v
	}
	for _, arg := range args {
		switch value, given := strings.CutPrefix(arg, "--json="); {
		case arg == "--":
			return asked
		case arg == "--json":
			asked = true
		case given:
			if v, err := strconv.ParseBool(value); err == nil {
				asked = v
			}
		}
	}
	return asked
}

// patience is how long an orderly end may take. What waits longer waits for a
// pipe that says nothing, or for a model that never ends.
const patience = 10 * time.Second

// giveUp ends the process that does not end by itself after a signal. Nothing is
// lost: what is written is whole or absent, whenever that is. A fit is not ended
// so, which saves its state however long that takes.
func (a *app) giveUp() {
	if a.saves.Load() {
		return
	}
	code := exitInterrupted
	if a.continues.Load() {
		code = exitStopped
	}
	forAtMost(time.Second, func() { a.metrics.End(code) }) // whose file system may be what does not end
	forAtMost(time.Second, func() {
		a.Error("interrupted, and ended without waiting for what does not end", code, kindOf(nil, code))
	})
	os.Exit(code)
}

// forAtMost waits for f, but not for longer.
func forAtMost(limit time.Duration, f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(limit):
	}
}

// run executes one command line and returns its exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	// SIGUSR1 is what schedulers are often asked to warn with; SIGXCPU is what comes at a soft
	// limit of processor time, and again each second.
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGXCPU}
	if !signal.Ignored(syscall.SIGHUP) { // as nohup makes it
		signals = append(signals, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), signals...)
	defer stop()
	a := &app{Console: ui.Console{Stdin: stdin, Stdout: stdout, Stderr: stderr, Dumb: os.Getenv("TERM") == "dumb"}, metrics: new(metrics.File)}
	// The first signal asks for an orderly end; after it the default action
	// is back, so that a second one ends the process at once.
	var ended atomic.Bool
	defer ended.Store(true)
	context.AfterFunc(ctx, func() {
		stop()
		time.AfterFunc(patience, func() {
			if !ended.Load() {
				a.giveUp()
			}
		})
	})
	ctx = storage.OnWaiting(ctx, a.tellWaiting)
	root := newRoot(a)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if code := a.classify(err); err == nil || code == exitRefused {
		if perr := a.remote.paths.Publish(ctx); perr != nil {
			err = perr
		}
	}
	a.tellURLs()
	a.closeURLs()
	if err == nil {
		a.metrics.End(exitOK)
		return exitOK
	}
	code := a.classify(err)
	a.metrics.End(code)
	if code == exitCorrupt {
		if err := a.remote.paths.Forget(); err != nil {
			a.Warnf("what was copied from a URL is damaged, and cannot be removed: %v", err)
		}
	}
	a.Progress, a.JSON = progressAsked(args, a.Progress), jsonAsked(args, a.JSON)
	if text := a.remote.paths.Shown(errorText(cmd, err)); text != "" {
		a.Error(text, code, kindOf(err, code))
	}
	return code
}
