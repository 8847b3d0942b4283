package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"github.com/synshard/synshard/infer/classifier"
	"github.com/synshard/synshard/infer/openvino"
	"github.com/synshard/synshard/infer/ort"
	"github.com/synshard/synshard/infer/prediction"
	"github.com/synshard/synshard/ingest"
	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/internal/native"
	"github.com/synshard/synshard/model/onnx"
	"github.com/synshard/synshard/model/weights"
	"github.com/synshard/synshard/pixel"
	"github.com/synshard/synshard/setup"
	"github.com/synshard/synshard/setup/wheel"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/source"
	"github.com/synshard/synshard/source/layout"
	"github.com/synshard/synshard/storage"
	"github.com/synshard/synshard/storage/cached"
	"github.com/synshard/synshard/storage/standin"
	"github.com/synshard/synshard/train"
	"github.com/synshard/synshard/train/checkpoint"
	"github.com/synshard/synshard/train/runlog"
	"github.com/synshard/synshard/train/torch"
	"github.com/synshard/synshard/wordnet"
)

// Exit codes, the same for every verb and printed in every help.
const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 2
	exitRefused     = 3
	exitCorrupt     = 4
	exitLocked      = 5
	exitNative      = 6
	exitStopped     = 75
	exitInterrupted = 130
)

// exitCodes is what each code says to who called, and its word in errors that are JSON.
var exitCodes = []struct {
	code          int
	kind, meaning string
}{
	{exitOK, "done", "done"},
	{exitFailure, "failed", "error"},
	{exitUsage, "usage", "wrong usage"},
	{exitRefused, "rejected", "done, with some inputs refused"},
	{exitCorrupt, "corrupt", "data corrupt"},
	{exitLocked, "locked", "locked by another process"},
	{exitNative, "native", "native library missing or unfit"},
	{exitStopped, "stopped", "stopped on a signal with the state saved; the same command continues"},
	{exitInterrupted, "interrupted", "interrupted before anything was worth saving"},
}

// failures are the kinds of exit code 1 that a program may want to tell apart.
var failures = []struct {
	err  error
	kind string
}{
	{fs.ErrNotExist, "not_found"},
	{fs.ErrPermission, "permission"},
	{syscall.ENOSPC, "no_space"},
	{syscall.EDQUOT, "no_space"},
}

// kindOf is the sort of error that ends a process with a code, as docs/JSON.md lists them.
func kindOf(err error, code int) string {
	if code == exitFailure {
		for _, f := range failures {
			if errors.Is(err, f.err) {
				return f.kind
			}
		}
	}
	for _, c := range exitCodes {
		if c.code == code {
			return c.kind
		}
	}
	return "failed"
}

// exitCodesHelp is the table that ends every help text.
func exitCodesHelp() string {
	b := &strings.Builder{}
	b.WriteString("Exit codes:\n")
	for _, c := range exitCodes {
		fmt.Fprintf(b, "  %-3d  %s\n", c.code, c.meaning)
	}
	return b.String()
}

// exitError is an error that knows its exit code.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// withCode gives err an exit code; nil stays nil.
func withCode(code int, err error) error {
	if err == nil {
		return nil
	}
	return &exitError{code, err}
}

// usagef is an error in how the command was called (exit 2).
func usagef(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

// refused marks work that is done but for some inputs (exit 3).
func refused(err error) error { return withCode(exitRefused, err) }

// corrupt marks data that fail their checks (exit 4).
func corrupt(err error) error { return withCode(exitCorrupt, err) }

// stopped marks work cut short by a signal with its state saved (exit 75).
func stopped(err error) error { return withCode(exitStopped, err) }

// coded lists the sentinel errors of the packages with their exit codes.
var coded = []struct {
	err  error
	code int
}{
	{durable.ErrLocked, exitLocked},
	{shard.ErrCorrupt, exitCorrupt},
	{source.ErrCorrupt, exitCorrupt},
	{prediction.ErrFormat, exitCorrupt},
	{onnx.ErrDamaged, exitCorrupt},
	{weights.ErrDamaged, exitCorrupt},
	{checkpoint.ErrDamaged, exitCorrupt},
	{runlog.ErrDamaged, exitCorrupt},
	{cached.ErrOtherSum, exitCorrupt},
	{native.ErrMissing, exitNative},
	{ort.ErrUnfit, exitNative},
	{ort.ErrTooNew, exitNative},
	{openvino.ErrUnfit, exitNative},
	{torch.ErrUnfit, exitNative},
	{wordnet.ErrVersion, exitNative},
	{setup.ErrUnfit, exitNative},
	{wheel.ErrNone, exitNative},
	{wheel.ErrSum, exitCorrupt},
	{wordnet.ErrDamaged, exitCorrupt},
	{ort.ErrOption, exitUsage},
	{pixel.ErrMemory, exitUsage},
	{storage.ErrURL, exitUsage},
	{storage.ErrReadOnly, exitUsage},
	{standin.ErrName, exitUsage},
	{source.ErrBareNames, exitUsage},
	{train.ErrStopped, exitStopped},
	{context.Canceled, exitInterrupted},
}

// wantsFlag says whether an error is mended by another command line alone: names that
// can be read in two ways, which a flag decides, a flag of no effect, or one that is
// missing.
func wantsFlag(err error) bool {
	var doubt *layout.Ambiguity
	var vain *layout.NoEffect
	var option *ingest.OptionError
	var spec *classifier.SpecError
	var fit *train.OptionError
	return errors.As(err, &doubt) || errors.As(err, &vain) || errors.As(err, &option) || errors.As(err, &spec) || errors.As(err, &fit)
}

// classify gives the exit code for an error. A verb's own choice comes first,
// then what the packages say, and an error from before the verb began is one
// of usage.
func (a *app) classify(err error) int {
	var e *exitError
	if errors.As(err, &e) {
		return e.code
	}
	for _, c := range coded {
		if errors.Is(err, c.err) {
			return c.code
		}
	}
	if malformed := (*wordnet.ParseError)(nil); errors.As(err, &malformed) {
		return exitCorrupt
	}
	if wantsFlag(err) {
		return exitUsage
	}
	if !a.started {
		return exitUsage
	}
	return exitFailure
}
