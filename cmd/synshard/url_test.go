package main

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/synshard/synshard/internal/filetest"
	"github.com/synshard/synshard/internal/native/nativetest"
	"github.com/synshard/synshard/internal/ui"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/storage"
	"github.com/synshard/synshard/storage/storagetest"
)

// TestUnknownSchemes gives every argument and every flag with a text a URL of a scheme
// that is none: nowhere may it be taken for a path.
func TestUnknownSchemes(t *testing.T) {
	var verbs []*cobra.Command
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		if c.RunE != nil && !c.HasSubCommands() {
			verbs = append(verbs, c)
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(newRoot(&app{Console: ui.Console{}}))
	const url = "s4://bucket/key"
	tried := 0
	for _, c := range verbs {
		verb := strings.Fields(verbOf(c))
		lines := [][]string{{url}, {"x", url}}
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if slices.Contains([]string{"string", "stringArray", "stringSlice"}, f.Value.Type()) {
				lines = append(lines, []string{"--" + f.Name, url}, []string{"x", "--" + f.Name + "=" + url})
			}
		})
		for _, line := range lines {
			tried++
			var talk strings.Builder
			if code := run(slices.Concat(verb, line), strings.NewReader(""), io.Discard, &talk); code != exitUsage {
				t.Errorf("%s %s: exit %d, %s", strings.Join(verb, " "), strings.Join(line, " "), code, &talk)
			}
		}
	}
	if tried < 100 {
		t.Errorf("only %d command lines were tried", tried)
	}
}

// put copies a directory into a server's bucket.
func put(t *testing.T, s *storagetest.Server, key, dir string) {
	t.Helper()
	if err := os.CopyFS(filepath.Join(s.Dir, key), os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
}

// TestURLs fits, predicts and measures with everything in a bucket behind faults: the
// results are those of the same in directories.
func TestURLs(t *testing.T) {
	if testing.Short() {
		t.Skip("trains")
	}
	s := storagetest.Start(t)
	proxy := storagetest.Before(t, s, storagetest.Faults{Refuse: 0.05, Cut: 0.05, Seed: 2})
	set, work := writeTrainSet(t, 8, 9), t.TempDir()
	put(t, s, "set", set)
	url := s.Via(proxy, "set")
	cache := []string{"--cache-dir", filepath.Join(work, "cache")}
	listed, _ := runVerb(t, 0, "ls", set, "--json")
	if got, _ := runVerb(t, 0, append([]string{"ls", url, "--json"}, cache...)...); strings.ReplaceAll(got, "s3://images/set", set) != listed {
		t.Errorf("ls: %s, want %s", got, listed)
	}
	for from, to := range map[string]string{set: "a", url: "b"} {
		args := smallRun(t, from, filepath.Join(work, to), "--json")
		if to == "b" {
			args = append(args, cache...)
		}
		runVerb(t, 0, args...)
	}
	model, err := os.ReadFile(filepath.Join(work, "a", "model.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	if other, err := os.ReadFile(filepath.Join(work, "b", "model.onnx")); err != nil || !bytes.Equal(model, other) {
		t.Errorf("another model from the bucket: %v", err)
	}
	s.Put(t, "model.onnx", model)
	ort := nativetest.ORT(t)
	predict := func(from, data, out string, more ...string) {
		runVerb(t, 0, append([]string{"infer", from, data, "--split", "val", "--out", out, "--ort-lib", ort, "--device", "cpu", "--progress", "off"}, more...)...)
	}
	predict(filepath.Join(work, "a", "model.onnx"), set, filepath.Join(work, "p.arrow"))
	for range 2 { // the second has nothing to do
		predict(s.Via(proxy, "model.onnx"), url, s.Via(proxy, "out/p.arrow"), cache...)
	}
	want, _ := os.ReadFile(filepath.Join(work, "p.arrow"))
	if got, err := os.ReadFile(filepath.Join(s.Dir, "out", "p.arrow")); err != nil || !bytes.Equal(got, want) {
		t.Errorf("other predictions: %d bytes, want %d, %v", len(got), len(want), err)
	}
	figures, _ := runVerb(t, 0, "eval", filepath.Join(work, "p.arrow"), "--no-wordnet", "--json")
	if got, _ := runVerb(t, 0, append([]string{"eval", s.Via(proxy, "out/p.arrow"), "--no-wordnet", "--json"}, cache...)...); got != figures {
		t.Errorf("eval: %s, want %s", got, figures)
	}
	// What takes none says so.
	for _, line := range [][]string{{"verify", url}, {"bench", "loader", url}, {"train", set, "--out", url}, {"export", set, "--to", "folder", "--out", url}, {"sample", "--out", url}, {"ls", set, "--cache-dir", work}, {"infer", "m", set, "--out", "https://h/x.arrow"}} {
		if _, stderr := runVerb(t, exitUsage, line...); !strings.Contains(stderr, "URL") && !strings.Contains(stderr, "only be read") {
			t.Errorf("%v: %s", line, stderr)
		}
	}
}

// TestCopies wants a model's weights beside it to be copied anew where they alone have
// changed, and nothing where nothing has.
func TestCopies(t *testing.T) {
	s := storagetest.Start(t)
	var a app
	a.remote.ctx, a.remote.cacheDir = t.Context(), t.TempDir()
	read := func() (path, beside string) {
		t.Helper()
		path, err := a.copyHere(s.URL("m.onnx"))
		check(t, err)
		b, err := os.ReadFile(path + ".data")
		check(t, err)
		return path, string(b)
	}
	s.Put(t, "m.onnx", []byte("model"))
	s.Put(t, "m.onnx.data", []byte("weights"))
	path, first := read()
	again, _ := read()
	place, err := storage.Open(t.Context(), s.URL(""), storage.Options{})
	check(t, err)
	defer place.Close()
	check(t, place.Write(t.Context(), "m.onnx.data", []byte("others!")))
	_, second := read()
	if diff := cmp.Diff([]string{path, "weights", "others!"}, []string{again, first, second}); diff != "" {
		t.Errorf("the second path, and what lay beside the model (-want +got):\n%s", diff)
	}
	path, _ = read()
	check(t, os.WriteFile(path+".data", []byte("damaged"), 0o666))
	if _, third := read(); third != "others!" {
		t.Errorf("a copy that was damaged here: %q", third)
	}
	a.forgetCopies()
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what came damaged is kept: %v", err)
	}
}

// sameFiles wants two datasets to be the same bytes but for what their manifests say of
// the sources.
func sameFiles(t *testing.T, want, got string) {
	t.Helper()
	files := func(dir string) map[string]string { return filetest.Sums(t, dir, shard.ManifestName, shard.LockName) }
	if diff := cmp.Diff(files(want), files(got)); diff != "" {
		t.Errorf("other files (-want +got):\n%s", diff)
	}
}

// TestIngestURLs reads ILSVRC2012's archives, tars of tars among them, and a folder of
// images and archives from a bucket behind faults.
func TestIngestURLs(t *testing.T) {
	s := storagetest.Start(t)
	proxy := storagetest.Before(t, s, storagetest.Faults{Refuse: 0.05, Cut: 0.05, Seed: 9})
	work := t.TempDir()
	at := func(name string) string { return filepath.Join(work, name) }
	runVerb(t, 0, "sample", "--out", at("archives"), "--train-per-synset", "4", "--val-per-synset", "2", "--test-images", "1", "--progress", "off")
	put(t, s, "archives", at("archives"))
	entries, err := os.ReadDir(at("archives"))
	if err != nil {
		t.Fatal(err)
	}
	line := func(from func(name string) string) []string {
		var args []string
		for _, e := range entries {
			for part, flag := range map[string]string{"_train": "--train", "_val": "--val", "devkit": "--devkit"} {
				if strings.Contains(e.Name(), part) && strings.Contains(e.Name(), "ILSVRC2012_") && !strings.Contains(e.Name(), "bbox") {
					args = append(args, flag, from(e.Name()))
				}
			}
		}
		return args
	}
	ingest := func(want int, out string, args ...string) {
		t.Helper()
		runVerb(t, want, append([]string{"ingest", "--out", at(out), "--progress", "off"}, args...)...)
	}
	ingest(0, "local", line(func(n string) string { return at("archives/" + n) })...)
	ingest(0, "url", line(func(n string) string { return s.Via(proxy, "archives/"+n) })...)
	ingest(0, "url", line(func(n string) string { return s.Via(proxy, "archives/"+n) })...)
	sameFiles(t, at("local"), at("url"))

	// A tree of images, and a WebDataset; without what an export keeps, which is read in
	// directories alone.
	runVerb(t, 0, "export", at("local"), "--to", "folder", "--split", "val", "--out", at("tree"))
	runVerb(t, 0, "export", at("local"), "--to", "webdataset", "--split", "val", "--out", at("web"))
	for _, name := range []string{"tree", "web"} {
		put(t, s, "whole/"+name, at(name))
		if _, stderr := runVerb(t, exitUsage, "ingest", s.URL("whole/"+name), "--out", at("none")); !strings.Contains(stderr, "an export") {
			t.Error(stderr)
		}
		hidden, err := filepath.Glob(filepath.Join(at(name), ".*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range hidden {
			if err := os.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
		}
		put(t, s, name, at(name))
		ingest(0, name+"-local", at(name))
		ingest(0, name+"-url", s.Via(proxy, name))
		sameFiles(t, at(name+"-local"), at(name+"-url"))
	}
	if _, made := proxy.Count(); made < 3 {
		t.Errorf("%d faults", made)
	}
}
