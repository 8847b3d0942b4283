package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/synshard/synshard/internal/filetest"
	"github.com/synshard/synshard/internal/native/nativetest"
	"github.com/synshard/synshard/internal/ui"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/storage/standin"
	"github.com/synshard/synshard/storage/storagetest"
	"github.com/synshard/synshard/train"
	"github.com/synshard/synshard/train/checkpoint"
	"github.com/synshard/synshard/train/runlog"
)

// TestUnknownSchemes gives every argument and every flag with a text a URL of a scheme
// that is none: nowhere may it be taken for a path.
func TestUnknownSchemes(t *testing.T) {
	verbs := leaves(newRoot(&app{Console: ui.Console{}}))
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

// TestSecretsAreNotShown has every verb fail with URLs, in every place that takes one, of which
// what may be a signature or a password is in no line that it writes.
func TestSecretsAreNotShown(t *testing.T) {
	for k, v := range map[string]string{"AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_EC2_METADATA_DISABLED": "true"} {
		t.Setenv(k, v)
	}
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/x?sig=SECRET", http.StatusFound) }))
	defer h.Close()
	for _, c := range leaves(newRoot(&app{Console: ui.Console{}})) {
		verb := verbOf(c)
		for _, url := range []string{"s3://b/k.onnx?X-Amz-Signature=SECRET", "https://h/%zz.csv?sig=SECRET", "https://u:SECRET@h/x.arrow", "https://u:SECRET/@h/x.ndjson", h.URL + "/x.csv?sig=SECRET"} {
			lines := [][]string{{url}, {"x", url}}
			c.Flags().VisitAll(func(f *pflag.Flag) {
				if use := useOf(verb, f.Name); use != urlRefused && use != urlAddress {
					lines = append(lines, []string{"--" + f.Name, url}, []string{"x", "--" + f.Name + "=" + url})
				}
			})
			for _, line := range lines {
				var said strings.Builder
				run(slices.Concat(strings.Fields(verb), line), strings.NewReader(""), &said, &said)
				if strings.Contains(said.String(), "SECRET") {
					t.Errorf("%s %s: %s", verb, strings.Join(line, " "), &said)
				}
			}
		}
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
	for i := range 2 {
		predict(filepath.Join(work, "a", "model.onnx"), set, s.Via(proxy, fmt.Sprintf("jobs/job-%d.arrow", i)), append(cache, "--job", fmt.Sprintf("%d/2", i))...)
	}
	// One of the two has no rows.
	if got, _ := runVerb(t, 0, append([]string{"eval", s.Via(proxy, "jobs/job-*.arrow"), "--no-wordnet", "--json"}, cache...)...); got != figures {
		t.Errorf("eval of jobs: %s, want %s", got, figures)
	}
	runVerb(t, 0, append([]string{"merge", s.Via(proxy, "jobs/"), "--out", filepath.Join(work, "merged.arrow")}, cache...)...)
	if got, err := os.ReadFile(filepath.Join(work, "merged.arrow")); err != nil || !bytes.Equal(got, want) {
		t.Errorf("merged: %v", err)
	}
	// A single image; a run's page; a dataset's classes; tables.
	s.Put(t, "one.jpg", colourImage(t, rand.New(rand.NewPCG(1, 1)), 0, "one.jpg").Bytes)
	predictOne, _ := runVerb(t, 0, append([]string{"infer", s.Via(proxy, "model.onnx"), s.Via(proxy, "one.jpg"), "--classes", url, "--out", "-", "--format", "ndjson", "--ort-lib", ort, "--device", "cpu", "--progress", "off"}, cache...)...)
	if strings.Count(predictOne, "\n") != 1 || !strings.Contains(predictOne, "s3://images/one.jpg") || strings.Contains(predictOne, "endpoint") {
		t.Errorf("one image: %s", predictOne)
	}
	s.Put(t, "odd/a b%41#1.jpg", colourImage(t, rand.New(rand.NewPCG(1, 1)), 0, "one.jpg").Bytes)
	predictAll, _ := runVerb(t, 0, append([]string{"infer", s.Via(proxy, "model.onnx"), s.Via(proxy, "odd"), "--classes", url, "--out", "-", "--format", "ndjson", "--ort-lib", ort, "--device", "cpu", "--progress", "off"}, cache...)...)
	if !strings.Contains(predictAll, `"s3://images/odd/a%20b%2541%231.jpg"`) {
		t.Errorf("all below a prefix: %s", predictAll)
	}
	put(t, s, "run", filepath.Join(work, "a"))
	if _, told := runVerb(t, 0, append([]string{"report", s.Via(proxy, "run"), s.Via(proxy, "out/p.arrow"), "--data", url, "--out", s.Via(proxy, "page.html"), "--no-wordnet"}, cache...)...); strings.Contains(told, "is not known") {
		t.Errorf("where the newest checkpoint stands is not known: %s", told)
	}
	if page, err := os.ReadFile(filepath.Join(s.Dir, "page.html")); err != nil || !bytes.Contains(page, []byte("s3://images/run")) || bytes.Contains(page, []byte(work)) {
		t.Errorf("the page of %d bytes: %v", len(page), err)
	}
	told(t, s, proxy, cache)
	put(t, s, "cut", filepath.Join(work, "a"))
	log, err := os.ReadFile(filepath.Join(work, "a", runlog.Name))
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(log, []byte("\n"))
	s.Put(t, "cut/"+runlog.Name, bytes.Join(lines[:len(lines)/2], nil))
	if _, told := runVerb(t, exitCorrupt, append([]string{"report", s.Via(proxy, "cut"), "--out", filepath.Join(work, "cut.html")}, cache...)...); !strings.Contains(told, "lost") { // the checkpoint knows
		t.Errorf("half of the log is lost: %s", told)
	}
	runVerb(t, 0, append([]string{"eval", s.Via(proxy, "out/p.arrow"), "--no-wordnet", "--arrow", s.Via(proxy, "tables")}, cache...)...)
	if made, err := filepath.Glob(filepath.Join(s.Dir, "tables", "*.arrow")); err != nil || len(made) < 3 {
		t.Errorf("tables: %v, %v", made, err)
	}
	bench, _ := runVerb(t, 0, append([]string{"bench", "loader", url, "--seconds", "0.1", "--rounds", "1", "--size", "64", "--json", "--progress", "off"}, cache...)...)
	if !strings.Contains(bench, "images_per_second") || !strings.Contains(bench, `"hit_rate"`) {
		t.Errorf("bench: %s", bench)
	}
	// What takes none says so.
	for _, line := range [][]string{{"sample", "--out", url}, {"ls", set, "--cache-dir", work}, {"infer", "m", set, "--out", "https://h/x.arrow"}} {
		if _, stderr := runVerb(t, exitUsage, line...); !strings.Contains(stderr, "URL") && !strings.Contains(stderr, "only be read") {
			t.Errorf("%v: %s", line, stderr)
		}
	}
}

// told follows predictions in a bucket to the run and the dataset there, which are called by their URLs.
func told(t *testing.T, s *storagetest.Server, proxy *storagetest.Proxy, cache []string) {
	t.Helper()
	args := append([]string{"provenance", s.Via(proxy, "out/p.arrow"), s.Via(proxy, "run"), s.Via(proxy, "set"), "--check"}, cache...)
	text, stderr := runVerb(t, 0, args...)
	for _, want := range []string{"s3://images/out/p.arrow  predictions  sha256 ", ": s3://images/run/model.onnx\n", ": s3://images/set\n", "command ", "images val "} {
		if !strings.Contains(text, want) {
			t.Errorf("nothing of %q in\n%s", want, text)
		}
	}
	doc, _ := runVerb(t, 0, append(args, "--json")...)
	var got attestedJSON
	check(t, json.Unmarshal([]byte(doc), &got))
	var names []string
	for _, one := range got.Statements {
		names = append(names, one.Subject[0].Name)
	}
	if diff := cmp.Diff([]string{"s3://images/out/p.arrow", "s3://images/run/model.onnx", "s3://images/set"}, names); diff != "" {
		t.Errorf("statements (-want +got):\n%s", diff)
	}
	if all := text + stderr + doc; strings.Contains(all, cache[1]) || strings.Contains(all, "endpoint") {
		t.Errorf("a copy's place, or a URL's options:\n%s", all)
	}
	s.Put(t, "other.arrow", []byte("no predictions"))
	runVerb(t, exitCorrupt, append([]string{"provenance", s.Via(proxy, "other.arrow")}, cache...)...)
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

	// Exports, with what they keep of their classes and names.
	runVerb(t, 0, "export", at("local"), "--to", "folder", "--split", "val", "--out", at("tree"))
	runVerb(t, 0, "export", at("local"), "--to", "webdataset", "--split", "val", "--out", at("web"))
	for _, name := range []string{"tree", "web"} {
		put(t, s, name, at(name))
		ingest(0, name+"-local", at(name))
		ingest(0, name+"-url", s.Via(proxy, name))
		sameFiles(t, at(name+"-local"), at(name+"-url"))
		if _, err := os.Stat(filepath.Join(s.Dir, name, shard.ExportName)); err != nil {
			t.Error(err)
		}
	}

	// Lists: one beside its images, and one here that names URLs. One image is not there.
	var beside, here strings.Builder
	check(t, filepath.WalkDir(at("tree"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".JPEG") {
			rel, _ := filepath.Rel(at("tree"), path)
			label := filepath.Base(filepath.Dir(path))
			fmt.Fprintf(&beside, "%s,%s\n", rel, label)
			fmt.Fprintf(&here, "%s,%s\n", s.Via(proxy, "tree/"+rel), label)
		}
		return err
	}))
	for _, text := range []*strings.Builder{&beside, &here} {
		text.WriteString(strings.Replace(strings.SplitN(text.String(), "\n", 2)[0], ".JPEG", "-none.JPEG", 1) + "\n")
	}
	s.Put(t, "tree/images.csv", []byte(beside.String()))
	check(t, os.WriteFile(at("tree/images.csv"), []byte(beside.String()), 0o666))
	check(t, os.WriteFile(at("urls.csv"), []byte(here.String()), 0o666))
	ingest(exitRefused, "list-local", at("tree/images.csv"))
	ingest(exitRefused, "list-url", "--list", s.Via(proxy, "tree/images.csv"))
	ingest(exitRefused, "list-urls", at("urls.csv"))
	counts := func(name string) string {
		out, _ := runVerb(t, 0, "ls", at(name), "--json")
		return strings.ReplaceAll(out, at(name), "")
	}
	for _, name := range []string{"list-url", "list-urls"} {
		if diff := cmp.Diff(counts("list-local"), counts(name)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	index := filepath.Join("train", shard.IndexName)
	want, err := os.ReadFile(at("list-local/" + index))
	check(t, err)
	if got, err := os.ReadFile(at("list-url/" + index)); err != nil || !bytes.Equal(got, want) {
		t.Errorf("a list at a URL makes another index: %v", err)
	}
	for _, row := range rejections(t, at("list-urls")) {
		if strings.Contains(row, "?") {
			t.Errorf("the options of a URL are shown: %s", row)
		}
	}
	// A row of another scheme is no path.
	check(t, os.WriteFile(at("odd.csv"), []byte("s4://b/a.JPEG,cat\n"), 0o666))
	ingest(exitUsage, "none", at("odd.csv"))
	if _, made := proxy.Count(); made < 3 {
		t.Errorf("%d faults", made)
	}
}

// rejections are the lines of the list of what was refused.
func rejections(t *testing.T, dir string) []string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, shard.RejectedName))
	check(t, err)
	return strings.Split(strings.TrimSpace(string(b)), "\n")
}

// TestTrainOutURL fits into a bucket behind faults, killed and continued on machines
// that have nothing kept: the run is, in every bit, the one in a directory that never
// stopped, and its directory there holds the same files.
func TestTrainOutURL(t *testing.T) {
	if testing.Short() {
		t.Skip("trains")
	}
	s := storagetest.Start(t)
	proxy := storagetest.Before(t, s, storagetest.Faults{Refuse: 0.05, Lose: 0.02, Cut: 0.05, Seed: 3})
	set, work := writeTrainSet(t, 8, 9), t.TempDir()
	whole := filepath.Join(work, "whole")
	runVerb(t, 0, smallRun(t, set, whole, "--checkpoint-every", "1ns")...)
	url := s.Via(proxy, "runs/a")
	line := func(cache string, more ...string) []string {
		return append(smallRun(t, set, url, "--checkpoint-every", "1ns", "--cache-dir", cache), more...)
	}
	kills := 0
	for i := range 6 {
		cmd := synshardCommand(t, line(filepath.Join(work, fmt.Sprint("cache", i)))...)
		var talk bytes.Buffer
		cmd.Stderr = &talk
		check(t, cmd.Start())
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		// Until some more is there, and a moment more: within an upload, or between two.
		before := newestAt(t, s, "runs/a")
		for began := time.Now(); len(ended) == 0; time.Sleep(5 * time.Millisecond) {
			if now := newestAt(t, s, "runs/a"); now > before+2 {
				break
			}
			if time.Since(began) > 2*time.Minute {
				t.Fatalf("no checkpoint comes: %s", &talk)
			}
		}
		time.Sleep(time.Duration(i*7) * time.Millisecond)
		if len(ended) == 0 {
			kills++
			check(t, cmd.Process.Kill())
		}
		<-ended
		// Where it stands is sound, and measured from a copy.
		if i == 2 {
			runVerb(t, 0, line(filepath.Join(work, "measured"), "--eval-only")...)
		}
	}
	if kills < 3 {
		t.Errorf("killed %d times", kills)
	}
	var last struct {
		train.Result
		Written struct{ Requests int64 } `json:"storage_out"`
	}
	out, _ := runVerb(t, 0, line(filepath.Join(work, "last"), "--json")...)
	check(t, json.Unmarshal([]byte(out), &last))
	if diff := cmp.Diff([]string{"s3://images/runs/a", "s3://images/runs/a/model.onnx"}, []string{last.Dir, last.ONNX}); diff != "" {
		t.Errorf("directory and model (-want +got):\n%s", diff)
	}
	if last.Written.Requests == 0 {
		t.Errorf("no requests: %s", out)
	}
	local, there := dirNames(t, whole), dirNames(t, filepath.Join(s.Dir, "runs", "a"))
	if diff := cmp.Diff(local, there); diff != "" {
		t.Errorf("other files (-want +got):\n%s", diff)
	}
	for _, name := range []string{"model.onnx", "model.safetensors", "config.yaml"} {
		want, err := os.ReadFile(filepath.Join(whole, name))
		check(t, err)
		if got, err := os.ReadFile(filepath.Join(s.Dir, "runs", "a", name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("another %s: %v", name, err)
		}
	}
	// What is damaged there is found by its sums, and made anew.
	check(t, os.WriteFile(filepath.Join(s.Dir, "runs", "a", "model.onnx"), []byte("torn"), 0o666))
	out, talk := runVerb(t, 0, line(filepath.Join(work, "fresh"), "--json")...)
	if !strings.Contains(out, `"already": true`) && !strings.Contains(out, `"already":true`) || !strings.Contains(talk, "model.onnx") {
		t.Errorf("%s\n%s", out, talk)
	}
	want, _ := os.ReadFile(filepath.Join(whole, "model.onnx"))
	if got, err := os.ReadFile(filepath.Join(s.Dir, "runs", "a", "model.onnx")); err != nil || !bytes.Equal(got, want) {
		t.Errorf("model.onnx is not made anew: %v", err)
	}
}

// newestAt is the step of a bucket's newest checkpoint; 0: there is none.
func newestAt(t *testing.T, s *storagetest.Server, key string) int64 {
	t.Helper()
	steps, err := checkpoint.Steps(filepath.Join(s.Dir, key))
	check(t, err)
	if len(steps) == 0 {
		return 0
	}
	return steps[len(steps)-1]
}

// dirNames are the names in a run's directory, but for locks.
func dirNames(t *testing.T, dir string) (names []string) {
	t.Helper()
	check(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && d.Name() != ".lock" {
			rel, _ := filepath.Rel(dir, path)
			names = append(names, rel)
		}
		return err
	}))
	return names
}

// TestURLFlags wants it to be said of every flag with a text, of every verb, whether it names
// a file, and what becomes of a URL there: a flag that nobody thought of fails.
func TestURLFlags(t *testing.T) {
	// What names no file.
	words := strings.Fields(`activations addr as as-split below cache check-images embedding embedding-output engine ep-option eval-split exclude export find-lr fold format freeze host init input
		interpolation job layout method mlflow-experiment model on-bad optimizer output path pixels policy precision probabilities provider rank-by recipe rollup
		sampling schedule scores set split superclass synset tensor-layout title to token truncated val-split weights-key`)
	// What is a path here and cannot be elsewhere; docs/STORAGE.md says why.
	paths := []string{"cache-dir", "ort-lib", "openvino-lib", "torch-lib", "secret-file", "sample --out", "man --out", "setup --lib", "setup --torch", "setup --wheels", "wordnet-from"}
	used := map[string]bool{}
	for _, c := range leaves(newRoot(&app{Console: ui.Console{}})) {
		verb := verbOf(c)
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if !slices.Contains([]string{"string", "stringArray", "stringSlice", "stringToString", "name"}, f.Value.Type()) {
				return
			}
			use := useOf(verb, f.Name)
			used[verb+" --"+f.Name] = true
			path := slices.Contains(paths, f.Name) || slices.Contains(paths, verb+" --"+f.Name)
			if n := count(use != urlRefused, slices.Contains(words, f.Name), path); n != 1 {
				t.Errorf("%s --%s (%s): said of it in %d places, want 1", verb, f.Name, f.Value.Type(), n)
			}
		})
	}
	for _, word := range words {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(used)), func(of string) bool { return strings.HasSuffix(of, " --"+word) }) {
			t.Errorf("no verb has a flag --%s", word)
		}
	}
	for verb, uses := range urlUses {
		for flag := range uses.flags {
			if !used[verb+" --"+flag] {
				t.Errorf("%s has no flag --%s", verb, flag)
			}
		}
	}
}

// leaves are the commands of a tree that do something.
func leaves(c *cobra.Command) (out []*cobra.Command) {
	if c.RunE != nil && !c.HasSubCommands() {
		out = append(out, c)
	}
	for _, sub := range c.Commands() {
		out = append(out, leaves(sub)...)
	}
	return out
}

// web serves a directory, and says of names below its files that they are no good.
func web(t *testing.T, dir string) string {
	t.Helper()
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, ".txt/") {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		http.FileServer(http.Dir(dir)).ServeHTTP(w, r)
	}))
	t.Cleanup(h.Close)
	return h.URL
}

// TestClassesOnAServer reads a list of classes from a server that answers otherwise than
// "not found" to what is no file of a dataset.
func TestClassesOnAServer(t *testing.T) {
	dir := t.TempDir()
	check(t, os.WriteFile(filepath.Join(dir, "classes.txt"), []byte("n02084071\n"), 0o666))
	r := remoteFiles{ctx: t.Context(), paths: standin.Paths{Dir: t.TempDir()}}
	defer r.paths.Close()
	path, err := r.copyOrNamed(web(t, dir)+"/classes.txt", shard.ManifestName, shard.ClassesName)
	check(t, err)
	if b, err := os.ReadFile(path); err != nil || string(b) != "n02084071\n" {
		t.Errorf("%q, %v", b, err)
	}
}

// TestImageOnAServer predicts an image of a server that has an answer to everything below it, and
// says what another server says of an image that it does not have.
func TestImageOnAServer(t *testing.T) {
	b := newInferBed(t)
	image, err := os.ReadFile(filepath.Join(b.images, "image1.png"))
	check(t, err)
	for _, answer := range []string{string(image), "<html>", ""} { // to what is no image
		h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			text := answer
			if r.URL.Path == "/image.png" {
				text = string(image)
			}
			if text == "" {
				w.WriteHeader(http.StatusNotFound)
				return
			}
			http.ServeContent(w, r, "", time.Unix(1, 0), strings.NewReader(text))
		}))
		defer h.Close()
		out, _ := b.infer(0, "", h.URL+"/image.png?id=5", "--format", "ndjson")
		if !strings.Contains(out, "/image.png") || strings.Count(out, "\n") != 1 {
			t.Errorf("where all else is answered by %.10q: %s", answer, out)
		}
		if answer == "" {
			if _, told := b.infer(1, "", h.URL+"/missing.jpg", "--format", "ndjson"); !strings.Contains(told, "404") || strings.Contains(told, "list") {
				t.Errorf("an image that is missing: %s", told)
			}
		}
	}
}

// TestAnswersInAList: what a server says of one image of a list, and will say again, is that
// image's own; so is a file without bytes.
func TestAnswersInAList(t *testing.T) {
	image, err := os.ReadFile("../../infer/ort/testdata/image1.png")
	check(t, err)
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/good.png":
			http.ServeContent(w, r, "", time.Unix(1, 0), bytes.NewReader(image))
		case "/400.png":
			w.WriteHeader(http.StatusBadRequest)
		case "/loop.png":
			http.Redirect(w, r, "/loop.png", http.StatusFound)
		case "/page.png":
			fmt.Fprint(w, "<html>please log in</html>")
		case "/empty.png":
			w.Header().Set("Content-Range", "bytes */0")
			w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer h.Close()
	dir := t.TempDir()
	want := map[string]string{"400": "400 Bad Request", "loop": "redirects", "page": "a page (text/html)", "empty": "an empty file", "none": "404"}
	list := "path,label\n" + h.URL + "/good.png?sig=SECRET,cat\n"
	for name := range want {
		list += h.URL + "/" + name + ".png?sig=SECRET,cat\n"
	}
	check(t, os.WriteFile(filepath.Join(dir, "list.csv"), []byte(list), 0o666))
	_, told := runVerb(t, exitRefused, "ingest", filepath.Join(dir, "list.csv"), "--out", filepath.Join(dir, "out"))
	if !strings.Contains(told, "4 files that lists name are not at their URLs") || strings.Contains(told, "SECRET") {
		t.Errorf("told: %s", told)
	}
	rows := rejections(t, filepath.Join(dir, "out"))
	for name, reason := range want {
		if !slices.ContainsFunc(rows, func(r string) bool { return strings.Contains(r, "/"+name+".png\"") && strings.Contains(r, reason) }) {
			t.Errorf("%s is not refused with %q: %s", name, reason, rows)
		}
	}
	if len(rows) != len(want) || strings.Contains(fmt.Sprint(rows), "SECRET") {
		t.Errorf("refused: %s", rows)
	}
}

// TestWaitingIsTold: of a server that has been away for some seconds a line is said, though nothing
// else is.
func TestWaitingIsTold(t *testing.T) {
	if testing.Short() {
		t.Skip("waits")
	}
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }))
	defer h.Close()
	exe, err := os.Executable()
	check(t, err)
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	cmd := exec.CommandContext(ctx, exe)
	cmd.Args = []string{"synshard", "ls", h.URL + "/set?sig=SECRET", "--progress", "off"}
	errs, err := cmd.StderrPipe()
	check(t, err)
	check(t, cmd.Start())
	line, _ := bufio.NewReader(errs).ReadString('\n')
	stop()
	cmd.Wait() // killed
	if want := "synshard: warning: " + h.URL + ": the server answers 503 Service Unavailable; it is asked again until "; !strings.HasPrefix(line, want) {
		t.Errorf("told %q, want %q", line, want)
	}
}

// TestMetricsOfACopyThatFails: --metrics-file tells of what went wrong with a URL.
func TestMetricsOfACopyThatFails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.prom")
	runVerb(t, exitFailure, "model", "export", web(t, dir)+"/none.safetensors", "--out", filepath.Join(dir, "x.onnx"), "--metrics-file", path, "--cache-dir", dir)
	if b, err := os.ReadFile(path); err != nil || !strings.Contains(string(b), `synshard_exit_code{task="x",verb="model export"} 1`) {
		t.Errorf("%s, %v", b, err)
	}
}

// TestWrongFlagsAskNoStore: flags that are wrong are, before anything of a URL is asked for.
func TestWrongFlagsAskNoStore(t *testing.T) {
	var asked atomic.Int64
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(http.StatusNotFound)
	}))
	defer h.Close()
	for _, line := range []string{
		"eval --resamples 1 URL",
		"eval --resamples 1 x.arrow --only URL",
		"eval --compare x.arrow y.arrow --real URL", // cobra's own: they exclude each other
		"train set --out run --procs 0 --weights URL",
		"bench infer URL --max 0s",
		"model quantize URL set --out q.onnx --images 0",
		"model quantize URL set", // cobra's own: --out is needed
	} {
		runVerb(t, exitUsage, strings.Fields(strings.ReplaceAll(line, "URL", h.URL+"/x")+" --cache-dir "+t.TempDir())...)
		if n := asked.Swap(0); n > 0 {
			t.Errorf("%s: the server was asked %d times", line, n)
		}
	}
}
