package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"github.com/synshard/synshard/storage"
)

// localDirs are the flags of verbs that write directories which are never at a URL.
var localDirs = map[string]string{"sample": "out", "man": "out"}

// stdoutTo are the flags to which - is stdout, by verb.
var stdoutTo = map[string]string{"infer": "out", "model card": "out", "model describe": "out"}

// checkOutputs finds out before the work what could not be written after it: a directory that
// is not there or may not be written, a directory where a file is to be. URLs are asked in
// settleURL.
func (a *app) checkOutputs(cmd *cobra.Command) error {
	if writesNothing(cmd) {
		return nil
	}
	verb := verbOf(cmd)
	var failed error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		value := f.Value.String()
		if value == "" || storage.IsURL(value) || failed != nil {
			return
		}
		switch use := useOf(verb, f.Name); {
		case use == urlWritten && value == "-" && stdoutTo[verb] == f.Name:
		case use == urlWritten && value == "-":
			failed = usagef("--%s -: what is written there does not go to stdout; give a file", f.Name)
		case use == urlWritten:
			failed = ofFlag(f.Name, checkFile(value, verb == "infer"))
		case use == urlOwned, localDirs[verb] == f.Name:
			failed = ofFlag(f.Name, checkDir(value))
		}
	})
	return failed
}

// writesNothing says whether a call asks for an answer alone, whatever outputs it names.
func writesNothing(cmd *cobra.Command) bool {
	for _, name := range []string{"dry-run", "eval-only"} {
		if f := cmd.Flags().Lookup(name); f != nil && f.Value.String() == "true" {
			return true
		}
	}
	return false
}

// ofFlag puts a flag before an error that is none of usage.
func ofFlag(flag string, err error) error {
	if err == nil {
		return nil
	}
	return withCode(exitFailure, fmt.Errorf("--%s %w", flag, err))
}

// checkFile says whether a file could be written; its directory may be missing where it is
// made.
func checkFile(path string, dirMade bool) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return fmt.Errorf("%s: it is a directory, and a file is to be written", path)
	}
	dir := filepath.Dir(path)
	if dirMade {
		return checkDir(dir)
	}
	return writable(dir)
}

// checkDir says whether a directory could be made, if it is not there, and written.
func checkDir(dir string) error {
	for at := dir; ; at = filepath.Dir(at) {
		_, err := os.Stat(at)
		if err == nil || !errors.Is(err, fs.ErrNotExist) || at == filepath.Dir(at) {
			return writable(at)
		}
	}
}

// writable says whether files can be made in a directory.
func writable(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("cannot be written: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("cannot be written: %s is no directory", dir)
	}
	if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
		return fmt.Errorf("cannot be written: %w", &fs.PathError{Op: "write into", Path: dir, Err: err})
	}
	return nil
}

// probeEnding is that of the object, of no bytes, that is written beside one that is to be and
// removed again.
const probeEnding = ".synshard-probe"

// probe finds out before the work whether an object can be written at a URL.
func (a *app) probe(url string) error {
	dir, base := storage.Split(url)
	at, err := a.remote.paths.Place(a.remote.ctx, dir)
	if err != nil {
		return err
	}
	if err := at.WriteFrom(a.remote.ctx, base+probeEnding, bytes.NewReader(nil), 0); err != nil {
		return fmt.Errorf("cannot be written: %w", err)
	}
	if err := at.Remove(a.remote.ctx, base+probeEnding); err != nil {
		a.Warnf("%s: what was written to see whether it can be stays there: %v", storage.Shown(url)+probeEnding, err)
	}
	return nil
}

// wantEnding refuses a name that ends otherwise than what is written there.
func wantEnding(out, ending, what string) error {
	if strings.ToLower(filepath.Ext(out)) != ending {
		return usagef("--out %s: the name of %s ends in %s", out, what, ending)
	}
	return nil
}
