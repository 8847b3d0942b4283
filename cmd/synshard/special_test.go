package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/synshard/synshard/internal/raced"
)

// within runs a command line in this process and wants it to end in seconds.
func within(t *testing.T, args ...string) (code int, stderr string) {
	t.Helper()
	var talk bytes.Buffer
	done := make(chan int, 1)
	go func() { done <- run(append(args, "--progress", "off"), strings.NewReader(""), &bytes.Buffer{}, &talk) }()
	select {
	case code := <-done:
		return code, talk.String()
	case <-time.After(20 * time.Second):
		t.Fatalf("%q does not end", args)
		return 0, ""
	}
}

// TestSpecialFiles puts a FIFO, an endless device and a directory in the place
// of every file that a verb reads. Every verb ends, says which file it was, and
// does not say that all is well.
func TestSpecialFiles(t *testing.T) {
	raced.Skip(t, "each call reads one file that it cannot use")
	t.Setenv("HOME", t.TempDir())
	special := t.TempDir()
	check(t, syscall.Mkfifo(filepath.Join(special, "fifo"), 0o600))
	check(t, os.Symlink("/dev/zero", filepath.Join(special, "zero")))
	check(t, os.Mkdir(filepath.Join(special, "dir"), 0o700))
	dataset := func(t *testing.T) string {
		dir := filepath.Join(t.TempDir(), "set")
		check(t, os.CopyFS(dir, os.DirFS("../../shard/testdata/v1")))
		return dir
	}
	whole := dataset(t)
	out := func(name string) string { return filepath.Join(t.TempDir(), name) }
	for _, kind := range []string{"fifo", "zero", "dir"} {
		odd := filepath.Join(special, kind)
		for _, name := range []string{"dataset.json", "classes.arrow", "train/index.arrow", "train/synset=n02123045/part-00000.arrow"} {
			for _, args := range [][]string{
				{"ls", "DIR"}, {"classes", "DIR"}, {"verify", "DIR"}, {"verify", "DIR", "--fast"}, {"verify", "DIR", "--repair"}, {"verify", "DIR", "--duplicates"},
				{"export", "DIR", "--to", "folder", "--out", out("export")},
			} {
				set := dataset(t)
				file := filepath.Join(set, name)
				check(t, os.Remove(file))
				check(t, os.Symlink(odd, file))
				args := replaced(args, "DIR", set)
				code, stderr := within(t, args...)
				if code == exitOK && unread(args, name) {
					continue
				}
				if code == exitOK || code == exitUsage {
					t.Errorf("%q with %s as %s: exit code %d\n%s", args, name, kind, code, stderr)
				}
			}
		}
		for _, args := range [][]string{
			{"ingest", "FILE", "--out", out("set")}, {"ingest", "--train", "FILE", "--out", out("set")}, {"ingest", "--parquet", "FILE", "--out", out("set")},
			{"ingest", "--list", "FILE", "--out", out("set")}, {"ingest", "--folder", whole, "--classes", "FILE", "--out", out("set")},
			{"ingest", "--folder", whole, "--boxes", "FILE", "--out", out("set")}, {"ingest", "--folder", whole, "--devkit", "FILE", "--out", out("set")},
			{"eval", "FILE"}, {"merge", "FILE", "--out", out("p.arrow")},
			{"train", whole, "--config", "FILE", "--out", out("run")}, {"train", whole, "--weights", "FILE", "--out", out("run")},
			{"model", "import", "FILE", "--out", out("w.safetensors")}, {"model", "export", "FILE", "--out", out("w.pth")},
			{"model", "quantize", "FILE", whole, "--out", out("q.onnx")}, {"infer", "FILE", whole}, {"infer", "FILE", whole, "--engine", "torch"},
			{"bench", "infer", "FILE"},
		} {
			args := replaced(args, "FILE", odd)
			code, stderr := within(t, args...)
			if code == exitOK || code == exitNative || !strings.Contains(stderr, odd) {
				t.Errorf("%q with a %s: exit code %d\n%s", args, kind, code, stderr)
			}
		}
		wordnet := t.TempDir()
		check(t, os.Symlink(odd, filepath.Join(wordnet, "data.noun")))
		if code, stderr := within(t, "synset", "show", "dog", "--wordnet", wordnet); code == exitOK || !strings.Contains(stderr, "data.noun") {
			t.Errorf("WordNet in a %s: exit code %d\n%s", kind, code, stderr)
		}
		t.Setenv(configVariable, odd)
		if code, stderr := within(t, "ls", whole); code == exitOK || !strings.Contains(stderr, odd) {
			t.Errorf("settings in a %s: exit code %d\n%s", kind, code, stderr)
		}
		t.Setenv(configVariable, "")
	}
}

// unread says whether a verb has no need of a dataset's file: what lists or
// looks for duplicates reads no shard, and repair makes all else anew.
func unread(args []string, name string) bool {
	last := args[len(args)-1]
	if strings.Contains(name, "part-") {
		return args[0] == "ls" || args[0] == "classes" || last == "--duplicates"
	}
	return last == "--repair" || args[0] == "classes" && strings.Contains(name, "index")
}

// replaced gives arguments with one word replaced.
func replaced(args []string, word, by string) []string {
	out := make([]string, len(args))
	for i, a := range args {
		if out[i] = a; a == word {
			out[i] = by
		}
	}
	return out
}
