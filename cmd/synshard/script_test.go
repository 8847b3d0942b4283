package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/synshard/synshard/internal/native/nativetest"
	"github.com/synshard/synshard/internal/raced"
)

// TestMain lets scripts call the real main as the command synshard: the test
// binary runs itself under that name.
func TestMain(m *testing.M) {
	testscript.Main(tests{m}, map[string]func(){"synshard": main, "synshard-crashes": crashes})
}

// tests are this package's; the commands that they run find what the checkout was set up with.
type tests struct{ *testing.M }

func (t tests) Run() int {
	if err := nativetest.Export(); err != nil {
		panic(err)
	}
	return t.M.Run()
}

// TestScripts runs testdata/script/*.txtar, each in a directory of its own.
// $DATASET is the frozen dataset of package shard, to be read or copied.
func TestScripts(t *testing.T) {
	frozen, err := filepath.Abs("../../shard/testdata/v1")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("DATASET", frozen)
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("XDG_CACHE_HOME", filepath.Join(e.WorkDir, ".cache"))
			e.Setenv("SYNSHARD_PROGRESS", "off")
			passWordNet(e)
			return nil
		},
		Condition: func(cond string) (bool, error) {
			switch cond {
			case "wordnet":
				has := (&app{}).hasWordNet()
				if !has && os.Getenv("SYNSHARD_TEST_NATIVE") != "" {
					return false, errors.New("no WordNet: scripts/setup.sh brings it")
				}
				return has, nil
			case "race":
				return raced.Enabled, nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"code":  scriptCode,
			"flip":  scriptFlip,
			"lines": scriptLines,
			"copy":  scriptCopy,
		},
	})
}

// passWordNet lets a script find the WordNet that its test finds.
func passWordNet(e *testscript.Env) {
	if dir, err := (&app{}).findWordNet(""); err == nil {
		e.Setenv("SYNSHARD_WORDNET", dir)
	}
}

// scriptCode runs a command and wants the exit code: code N command args...
func scriptCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N command [args...]")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	if err != nil {
		exit, ok := err.(interface{ ExitCode() int })
		if !ok {
			ts.Fatalf("%s: %v", args[1], err)
		}
		got = exit.ExitCode()
	}
	if want := atoi(ts, args[0]); got != want {
		ts.Fatalf("%s: exit code %d, want %d", args[1], got, want)
	}
}

// scriptFlip inverts one byte of a file: flip file offset; a negative offset
// counts from the end.
func scriptFlip(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: flip file offset")
	}
	path := ts.MkAbs(args[0])
	b, err := os.ReadFile(path)
	ts.Check(err)
	at := atoi(ts, args[1])
	if at < 0 {
		at += len(b)
	}
	if at < 0 || at >= len(b) {
		ts.Fatalf("flip %s: no byte %s in %d", args[0], args[1], len(b))
	}
	b[at] ^= 0xff
	ts.Check(os.WriteFile(path, b, 0o666))
}

// scriptLines wants so many lines: lines file N, where file may be stdout or
// stderr.
func scriptLines(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: lines file N")
	}
	n := 0
	for _, c := range ts.ReadFile(args[0]) {
		if c == '\n' {
			n++
		}
	}
	if want := atoi(ts, args[1]); n != want {
		ts.Fatalf("%s has %d lines, want %d", args[0], n, want)
	}
}

// scriptCopy copies a directory: copy from to.
func scriptCopy(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: copy from to")
	}
	ts.Check(os.CopyFS(ts.MkAbs(args[1]), os.DirFS(ts.MkAbs(args[0]))))
}

func atoi(ts *testscript.TestScript, s string) int {
	n, sign := 0, 1
	for i, c := range s {
		switch {
		case i == 0 && c == '-':
			sign = -1
		case c >= '0' && c <= '9':
			n = 10*n + int(c-'0')
		default:
			ts.Fatalf("%q is not a number", s)
		}
	}
	return sign * n
}
